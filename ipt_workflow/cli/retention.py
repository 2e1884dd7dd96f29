"""`retention`: policies, records that are due, and months of the audit log, without a server. The verbs are those of `/v1/retention`."""

from typing import Annotated, Any

import msgspec
import typer

from ipt_workflow.access.retention import NewRetentionPolicy
from ipt_workflow.cli.course import As, AsJson, DryRun, caller, operator_as_auditor, run_as
from ipt_workflow.cli.output import fail, of_options, out, print_json, print_table, run, settings_or_exit, usage
from ipt_workflow.cli.process import FAILED, USAGE
from ipt_workflow.errors import CommandInvalid
from ipt_workflow.service.privacy import policies
from ipt_workflow.service.privacy.log_months import LogMonths, ToReap
from ipt_workflow.service.privacy.policies import PolicyPreview, RetentionPolicies, RetentionPolicyView
from ipt_workflow.service.privacy.retention import NewRetentionDecision, Retention, RetentionDeed

app = typer.Typer(help="Retention: how long records and the audit log are kept.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="The policy's name.")]
Limit = Annotated[int, typer.Option(min=1, max=1000, help="The most to list.")]
Clients = Annotated[list[str], typer.Argument(help="Ids of clients, as `retention due` lists them.")]
ForAdmin = Annotated[str, typer.Option("--role", help="The role in which the person acts.")]
DONE = {"erased", "kept"}
VERIFIED = {"law": "the law was read", "secondary": "a text about it was read", "no": "not verified"}


def _print_policy(policy: NewRetentionPolicy, status: str) -> None:
    """A policy with its citation, which no column of a table is wide enough for."""
    term = f"{policy.bound} of {policy.period} from {policy.anchor}"
    out.print(f"{policy.name}: {term}, for {policy.kind} in {policy.jurisdiction} ({status})", markup=False)
    out.print(f"    {policy.citation}", markup=False)


@app.command()
def examples(as_json: AsJson = False) -> None:
    """List policies to begin with. None is in force, and none is legal advice."""
    found = run(lambda clinic: RetentionPolicies(clinic).examples(operator_as_auditor()))
    if as_json:
        print_json(found)
        return
    for each in found:
        _print_policy(each, VERIFIED[each.verified])


@app.command("policies")
def list_policies(
    ended: Annotated[bool, typer.Option("--ended", help="Also those that have ended.")] = False, as_json: AsJson = False
) -> None:
    """List the policies in force."""
    found = run(lambda clinic: RetentionPolicies(clinic).every(operator_as_auditor(), in_force=not ended))
    if as_json:
        print_json(found)
        return
    for each in found:
        _print_policy(each, "in force" if each.ended_at is None else f"ended {each.ended_at.isoformat()}")


@app.command()
def adopt(
    name: Name,
    person: As,
    role: ForAdmin = "admin",
    kind: Annotated[str | None, typer.Option(help="record, access_log or disclosure_log.")] = None,
    jurisdiction: Annotated[str | None, typer.Option(help="A code of ISO 3166, as GB-ENG.")] = None,
    bound: Annotated[str | None, typer.Option(help="floor or ceiling.")] = None,
    period: Annotated[str | None, typer.Option(help="Years and months, as P10Y.")] = None,
    anchor: Annotated[str | None, typer.Option(help="last_contact, death, majority or recorded.")] = None,
    citation: Annotated[str | None, typer.Option(help="The law or rule that says so.")] = None,
    verified: Annotated[str | None, typer.Option(help="law, secondary or no: where the citation was read.")] = None,
    note: Annotated[str | None, typer.Option(help="A remark.")] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Put a policy in force: an example by its name, with what the options change, or a policy of your own."""
    example = _example(name)
    given = {
        "kind": kind,
        "jurisdiction": jurisdiction,
        "bound": bound,
        "period": period,
        "anchor": anchor,
        "citation": citation,
        "verified": verified,
        "note": note,
    }
    asked = {**example, "name": name, **{key: value for key, value in given.items() if value is not None}}
    new, principal = of_options(NewRetentionPolicy, asked), caller(person, role)
    if dry_run:
        found: PolicyPreview = run_as(principal, lambda clinic: RetentionPolicies(clinic).preview(principal, lambda: new))
        if as_json:
            print_json(found)
        else:
            out.print(f"{name} could be put in force, beside {found.beside} others. It is about {found.means}.", markup=False)
        return
    _print(run_as(principal, lambda clinic: RetentionPolicies(clinic).adopt(principal, lambda: new)), as_json)


@app.command("end")
def end_policy(name: Name, person: As, role: ForAdmin = "admin", as_json: AsJson = False) -> None:
    """End a policy: its term does not count any more."""
    principal = caller(person, role)
    _print(run_as(principal, lambda clinic: RetentionPolicies(clinic).end(principal, name)), as_json)


@app.command()
def due(
    limit: Limit = 100,
    after: Annotated[str, typer.Option(help="Go on after this client.")] = "",
    as_json: AsJson = False,
) -> None:
    """List the records that are due. Nothing of them goes unless somebody decides so."""
    found = run(lambda clinic: Retention(clinic).due(operator_as_auditor(), after, limit))
    if as_json:
        print_json(found)
        return
    rows = [
        (each.client, each.client_ref, each.since, ", ".join(each.policies), _remarks(each.overdue, each.holds))
        for each in found.items
    ]
    print_table(("client", "reference", "since", "by", ""), rows)
    if found.next is not None:
        out.print(f"There may be more: --after {found.next}", markup=False)


@app.command()
def erase(
    clients: Clients,
    person: As,
    role: ForAdmin = "admin",
    born: Annotated[list[str] | None, typer.Option(help="The clients' dates of birth, in their order; not kept.")] = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Erase records that are due. What is not due, or on hold, stays."""
    if born and len(born) != len(clients):
        usage("--born must be given for each client, or for none.")
    named = [{"client": client, **({"born": born[n]} if born else {})} for n, client in enumerate(clients)]
    _decide({"decision": "erase", "clients": named}, person, role, dry_run=dry_run, as_json=as_json)


@app.command()
def keep(
    clients: Clients,
    person: As,
    until: Annotated[str, typer.Option(help="The last day, as 2030-12-31.")],
    ground: Annotated[str, typer.Option(help="continuing_care, claims, client_wish, research or national_law.")],
    role: ForAdmin = "admin",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Keep records that are due until a day."""
    named = [{"client": client} for client in clients]
    given = {"decision": "keep", "clients": named, "until": until, "ground": ground}
    _decide(given, person, role, dry_run=dry_run, as_json=as_json)


@app.command()
def decisions(limit: Limit = 100, as_json: AsJson = False) -> None:
    """List what was decided about records that were due, oldest first."""
    found = run(lambda clinic: Retention(clinic).decisions(operator_as_auditor(), "", limit))
    if as_json:
        print_json(found)
        return
    rows = [
        (each.client, each.decision, each.until, each.person, each.decided_at.isoformat(), _counted(each.removed)) for each in found
    ]
    print_table(("client", "decision", "until", "by", "at", "removed"), rows)


@app.command()
def months(as_json: AsJson = False) -> None:
    """List the months of the audit log that a ceiling wants gone, and those that were removed."""

    async def both(clinic: Any) -> dict[str, Any]:
        reaping, principal = LogMonths(clinic), operator_as_auditor()
        return {"due": await reaping.due(principal), "reaped": await reaping.reaped(principal)}

    found = run(both)
    if as_json:
        print_json(found)
        return
    rows = [(each.kind, each.month, each.records, f"due since {each.since}", each.because) for each in found["due"]]
    rows += [(each.kind, each.month, each.records, f"reaped by {each.person}", None) for each in found["reaped"]]
    print_table(("kind", "month", "records", "status", "what stops it"), rows)


@app.command()
def reap(
    kind: Annotated[str, typer.Argument(help="access_log or disclosure_log.")],
    month: Annotated[str, typer.Argument(help="The month, as 2023-04.")],
    person: As,
    role: ForAdmin = "admin",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Remove a month of the audit log that is due. The log still proves what was in it."""
    asked, principal = of_options(ToReap, {"kind": kind, "month": month}), caller(person, role)
    found = run_as(principal, lambda clinic: LogMonths(clinic).reap(principal, lambda: asked, dry_run=dry_run))
    if as_json:
        print_json(found)
        return
    verb = "would go" if found.dry_run else "are gone"
    out.print(f"{found.month.records} records of {kind} {month} {verb}.", markup=False)


def _example(name: str) -> dict[str, Any]:
    """The example of this name as options; nothing if there is none. If the file is faulty, prints its faults and exits 2."""
    try:
        found = policies.examples(settings_or_exit().retention)
    except CommandInvalid as invalid:
        fail(invalid, code=USAGE)
    return {each.name: msgspec.structs.asdict(each) for each in found}.get(name, {})


def _remarks(overdue: bool, holds: Any) -> str:
    return ", ".join(each for each in ("overdue" if overdue else "", "on hold" if holds else "") if each)


def _decide(given: dict[str, Any], person: str, role: str, *, dry_run: bool, as_json: bool) -> None:
    """Exits 1 if a record stays as it is."""
    new, principal = of_options(NewRetentionDecision, given), caller(person, role)
    deed: RetentionDeed = run_as(principal, lambda clinic: Retention(clinic).decide(principal, lambda: new, dry_run=dry_run))
    if as_json:
        print_json(deed)
    else:
        print_table(
            ("client", "would be" if dry_run else "was", "removed", "holds"),
            [(each.client, each.outcome.replace("_", " "), _counted(each.counts), "; ".join(each.holds)) for each in deed.records],
        )
    if any(each.outcome not in DONE for each in deed.records):
        raise typer.Exit(FAILED)


def _counted(counts: Any) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count)


def _print(view: RetentionPolicyView, as_json: bool) -> None:
    if as_json:
        print_json(view)
        return
    status = "is in force" if view.in_force else "has ended"
    out.print(f"{view.name} {status}: {view.bound} of {view.period} from {view.anchor}, for {view.means}.", markup=False)
