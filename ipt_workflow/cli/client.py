"""`client`: what a client may ask of the clinic, without a server."""

import datetime as dt
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import msgspec
import typer

from ipt_workflow.cli.course import As, AsJson, DryRun, ForRole, caller, operator_as_auditor, run_as
from ipt_workflow.cli.output import of_options, out, print_json, print_table, run, usage, write_json
from ipt_workflow.ehr.client_exports import ClientExportPlan, ClientExportQuery, ClientExports
from ipt_workflow.ehr.fhir.disclosures import disclosure_event
from ipt_workflow.ehr.fhir_reads import FhirReader
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.service.privacy import tables
from ipt_workflow.service.privacy.access_reports import AccessReport, AccessReports, ReportQuery
from ipt_workflow.service.privacy.disclosures import Accounting, AccountingQuery, DisclosureReceipt, Disclosures, NewDisclosure

app = typer.Typer(help="A client's rights: their data, who had to do with them, what was disclosed of them.", no_args_is_help=True)
Ref = Annotated[str | None, typer.Argument(help="The EHR's reference of the client, exactly.")]
Course = Annotated[str | None, typer.Option(help="A course of the client, instead of the reference.")]
From = Annotated[str | None, typer.Option("--from", help="From when, RFC 3339.")]
To = Annotated[str | None, typer.Option("--to", help="Until when, RFC 3339; default: now.")]
Form = Annotated[str | None, typer.Option("--format", help="csv, or fhir for an AuditEvent on each line; default: a table.")]
FORMS = (None, "csv", "fhir")


def named(client_ref: str | None, course: str | None, **more: Any) -> dict[str, Any]:
    """The fields of a body that names a client."""
    return {name: value for name, value in {"client_ref": client_ref, "course": course, **more}.items() if value is not None}


@app.command("access-report")
def access_report(
    client_ref: Ref = None, course: Course = None, since: From = None, until: To = None, form: Form = None, as_json: AsJson = False
) -> None:
    """Print who had to do with a client, why they might, how often, first and last."""
    query, operator = of_options(ReportQuery, named(client_ref, course, **{"from": since, "to": until})), operator_as_auditor()
    _check(form)

    async def events(clinic: Clinic) -> None:
        reader = FhirReader(clinic)
        async for chunk in await AccessReports(clinic).records(operator, query):
            write_json(msgspec.json.Encoder().encode_lines(await reader.audit_events(reader.site(""), chunk)))

    if form == "fhir":
        run(events)
        return
    found: AccessReport = run(lambda clinic: AccessReports(clinic).one(operator, query))
    if as_json:
        print_json(found)
    elif form == "csv":
        write_json(tables.accesses_csv(found.items))
    else:
        rows = [
            (day(each.last_at), each.name, each.role, each.action or each.kind, each.basis, each.purpose, each.times)
            for each in found.items
        ]
        print_table(("last", "who", "role", "what", "basis", "purpose", "times"), rows)


@app.command()
def accounting(
    client_ref: Ref = None,
    course: Course = None,
    since: From = None,
    until: To = None,
    every: Annotated[bool, typer.Option("--every", help="Also what an accounting by 45 CFR 164.528 leaves out.")] = False,
    form: Form = None,
    as_json: AsJson = False,
) -> None:
    """Print what was disclosed of a client: to whom, what, for which purpose, how often, first and last. Six years back by default."""
    query = of_options(AccountingQuery, named(client_ref, course, **{"from": since, "to": until, "every": every}))
    _check(form)

    async def work(clinic: Clinic) -> tuple[Accounting, bytes]:
        found = await Disclosures(clinic).accounting(operator_as_auditor(), query)
        site = FhirReader(clinic).site("")
        patient = site.client(found.client_ref, found.client_id)
        return found, msgspec.json.Encoder().encode_lines([disclosure_event(each, patient, site) for each in found.items])

    found, events = run(work)
    if as_json:
        print_json(found)
    elif form:
        write_json(events if form == "fhir" else tables.disclosures_csv(found.items))
    else:
        rows = [
            (day(each.first_at), day(each.last_at), each.times, each.recipient, "; ".join(each.what), each.purpose)
            for each in found.items
        ]
        print_table(("first", "last", "times", "recipient", "what", "purpose"), rows)


@app.command()
def export(
    ground: Annotated[str, typer.Option(help="gdpr-15, gdpr-20, hipaa-164.524, national_law or other.")],
    person: As,
    client_ref: Ref = None,
    course: Course = None,
    to: Annotated[Path | None, typer.Option(help="The file to write; it must not be there yet.")] = None,
    role: ForRole = "therapist",
    language: Annotated[str, typer.Option(help="Of the page for people: en or de.")] = "en",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Write all data of a client to a ZIP, which anybody can verify with ipt_verify.py."""
    query = of_options(ClientExportQuery, named(client_ref, course, ground=ground, language=language))
    principal = caller(person, role)
    if to is None and not dry_run:
        usage("--to must name the file to write, or use --dry-run.")

    async def work(clinic: Clinic) -> ClientExportPlan:
        exports = ClientExports(clinic)
        if to is None or dry_run:
            return await exports.preview(principal, lambda: query)
        with new_file(to) as file:
            return await exports.write(principal, lambda: query, file)

    plan = run_as(principal, work)
    if as_json:
        print_json(plan)
        return
    proved = f"proved by a log of {plan.checkpoint} leaves" if plan.checkpoint else "not proved: the log is not signed"
    out.print(f"{len(plan.courses)} courses, {plan.entries} entries, {plan.erased} of them erased; {proved}.", markup=False)
    if plan.unproved:
        out.print(f"{plan.unproved} entries are newer than the newest checkpoint.", markup=False)


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """A file that only its owner may read. It is removed again if an error ends it."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        usage(f"--to: the file cannot be made: {error.strerror}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
    except BaseException:
        path.unlink()
        raise


@app.command()
def disclose(
    recipient: Annotated[str, typer.Option("--to", help="Who received it.")],
    what: Annotated[str, typer.Option(help="What was disclosed.")],
    purpose: Annotated[str, typer.Option(help="A code of v3-PurposeOfUse, such as HLEGAL, PUBHLTH or THREAT.")],
    person: As,
    client_ref: Ref = None,
    course: Course = None,
    role: ForRole = "therapist",
    address: Annotated[str | None, typer.Option(help="The recipient's address.")] = None,
    disclosed_at: Annotated[str | None, typer.Option("--at", help="When, RFC 3339; default: now.")] = None,
    authorised: Annotated[bool, typer.Option("--authorised", help="The client agreed to it in writing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Record a disclosure that was made by another way than this service."""
    given = named(client_ref, course, address=address, disclosed_at=disclosed_at)
    given |= {"recipient": recipient, "what": what, "purpose": purpose, "authorised": authorised}
    new, principal = of_options(NewDisclosure, given), caller(person, role)
    kept: DisclosureReceipt = run_as(principal, lambda clinic: Disclosures(clinic).record(principal, lambda: new))
    if as_json:
        print_json(kept)
        return
    out.print(f"{kept.id}: recorded for {kept.disclosed_at.isoformat()}, {kept.purpose}.", markup=False)


def day(moment: dt.datetime) -> str:
    return f"{moment:%Y-%m-%d}"


def _check(form: str | None) -> None:
    if form not in FORMS:
        usage("--format must be csv or fhir.")
