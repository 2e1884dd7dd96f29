"""`emergency`: emergency access to a client's courses, without a server. The verbs are those of `/v1/emergency-access`."""

from typing import Annotated

import typer

from ipt_workflow.access.break_glass import NewEmergencyAccess, NewReview
from ipt_workflow.cli.course import As, AsJson, ForRole, caller, operator_as_auditor, run_as
from ipt_workflow.cli.output import of_options, out, print_json, print_table, run
from ipt_workflow.service.access.break_glass import EmergencyAccesses, EmergencyAccessView

app = typer.Typer(help="Emergency access: a colleague opens a client's courses for a short time.", no_args_is_help=True)
AccessId = Annotated[str, typer.Argument(help="The access's id.")]
LIMIT_MAX = 1000


@app.command()
def start(
    client_ref: Annotated[str, typer.Argument(help="The EHR's reference of the client, exactly.")],
    code: Annotated[str, typer.Option(help="ETREAT (emergency treatment), safeguarding, cover_failed or other.")],
    reason: Annotated[str, typer.Option(help="Why the access is needed.")],
    person: As,
    role: ForRole = "therapist",
    minutes: Annotated[int | None, typer.Option(help="How long it lasts, at most 480; default: 60.")] = None,
    as_json: AsJson = False,
) -> None:
    """Take emergency access, which a supervisor reviews."""
    given = {"client_ref": client_ref, "code": code, "reason": reason, **({} if minutes is None else {"minutes": minutes})}
    new, principal = of_options(NewEmergencyAccess, given), caller(person, role)
    _print(run_as(principal, lambda clinic: EmergencyAccesses(clinic).start(principal, lambda: new)), as_json)


@app.command()
def end(access_id: AccessId, person: As, role: ForRole = "therapist", as_json: AsJson = False) -> None:
    """End emergency access before its time."""
    principal = caller(person, role)
    _print(run_as(principal, lambda clinic: EmergencyAccesses(clinic).end(principal, access_id)), as_json)


@app.command("list")
def list_accesses(
    waiting: Annotated[bool, typer.Option("--waiting", help="Only those that wait for a review.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=LIMIT_MAX, help="The most accesses to list.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List emergency accesses, oldest first."""
    reviewed = False if waiting else None
    found = run(lambda clinic: EmergencyAccesses(clinic).page(operator_as_auditor(), reviewed, "", limit))
    if as_json:
        print_json(found)
        return
    rows = [(each.id, each.person, each.code, each.started_at.isoformat(), _review(each), _flags(each)) for each in found]
    print_table(("access", "person", "code", "started", "review", ""), rows)


@app.command()
def show(access_id: AccessId, as_json: AsJson = False) -> None:
    """Show an emergency access with its reason and its review."""
    found = run(lambda clinic: EmergencyAccesses(clinic).one(operator_as_auditor(), access_id))
    _print(found, as_json)
    if not as_json and found.reason:
        out.print(found.reason, markup=False)


@app.command()
def review(
    access_id: AccessId,
    verdict: Annotated[str, typer.Argument(help="justified or not_justified.")],
    person: As,
    comment: Annotated[str | None, typer.Option(help="Why.")] = None,
    as_json: AsJson = False,
) -> None:
    """Review an emergency access as a supervisor, who is not the person that took it."""
    new, principal = of_options(NewReview, {"verdict": verdict, "comment": comment}), caller(person, "supervisor")
    _print(run_as(principal, lambda clinic: EmergencyAccesses(clinic).review(principal, access_id, lambda: new)), as_json)


def _review(view: EmergencyAccessView) -> str:
    if view.review:
        return f"{view.review.verdict}, by {view.review.reviewer}"
    return "overdue" if view.overdue else f"due {view.review_due.isoformat()}"


def _flags(view: EmergencyAccessView) -> str:
    return ", ".join(name for name, holds in (("often", view.often), ("restricted", view.restricted)) if holds)


def _print(view: EmergencyAccessView, as_json: bool) -> None:
    if as_json:
        print_json(view)
        return
    until = view.ended_at or view.until
    out.print(f"{view.id}: {view.person} ({view.code}) until {until.isoformat()}; review: {_review(view)}", markup=False)
    print_table(("course",), [(each,) for each in view.courses])
