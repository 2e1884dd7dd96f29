"""`course` and `import`: work on courses without a server."""

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from ipt_workflow.access.principal import Principal
from ipt_workflow.cli.output import Result, bar, err, out, person_of, print_json, print_table, run, usage
from ipt_workflow.cli.process import FAILED
from ipt_workflow.cli.token import operator
from ipt_workflow.course.triggers import Command, Role, Together
from ipt_workflow.errors import CommandMalformed
from ipt_workflow.runtime.documents import json_value
from ipt_workflow.service import imports
from ipt_workflow.service.access.staff import Staff
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.service.courses import Courses
from ipt_workflow.service.proposals import Proposals
from ipt_workflow.service.reads import CourseReads
from ipt_workflow.service.views import Committed, CourseView, Options, Preview, ProposalView
from ipt_workflow.service.writes import Write
from ipt_workflow.store.courses import Filters
from ipt_workflow.values.faults import shaped

app = typer.Typer(help="Courses.", no_args_is_help=True)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
CourseId = Annotated[str, typer.Argument(help="The course's id.")]
As = Annotated[str, typer.Option("--as", help="The person who acts; the journal records `via cli`.")]
ForRole = Annotated[str, typer.Option("--role", help="The role in which the person acts.")]

Version = Annotated[int | None, typer.Option(help="The course's version that you saw; default: the present one.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print what would happen, and write nothing.")]


def caller(person: str, role: str) -> Principal:
    if role not in ("therapist", "supervisor", "ehr", "admin"):
        usage("--role must be therapist, supervisor, ehr or admin.")
    chosen: Role = role  # type: ignore[assignment]
    return Principal(person=person_of("--as", person), role=chosen, via="cli")


def run_as(principal: Principal, work: Callable[[Clinic], Awaitable[Result]]) -> Result:
    """Runs the work of somebody who acts. A person who has left does nothing any more."""

    async def checked(clinic: Clinic) -> Result:
        await Staff(clinic).check_here("--as", principal)
        return await work(clinic)

    return run(checked)


def operator_as_auditor() -> Principal:
    return Principal(person=operator().person, role="auditor", via="cli")


@app.command("list")
def list_courses(
    state: Annotated[str | None, typer.Option(help="Only courses in this state.")] = None,
    therapist: Annotated[str | None, typer.Option(help="Only courses of this therapist.")] = None,
    attention: Annotated[str | None, typer.Option(help="Only courses that need this kind of attention.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="The most courses to list.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List courses, oldest first."""
    filters = Filters(state=state, therapist=therapist, attention=attention)
    found: list[CourseView] = run(lambda clinic: CourseReads(clinic).caseload(operator_as_auditor(), filters, "", limit))
    if as_json:
        print_json(found)
        return
    rows = [(each.id, each.state, each.therapist, each.progress, " ".join(each.attention)) for each in found]
    print_table(("course", "state", "therapist", "progress", "attention"), rows)


@app.command()
def show(course_id: CourseId, as_json: AsJson = False) -> None:
    """Show one course."""
    found: CourseView = run(lambda clinic: CourseReads(clinic).course(operator_as_auditor(), course_id))
    if as_json:
        print_json(found)
        return
    out.print(f"{found.id}  {found.state}, version {found.version}, {found.progress}", markup=False)
    counted = found.counters
    rows = [(phase, attended, counted.caps[phase], counted.over[phase] or "") for phase, attended in counted.attended.items()]
    print_table(("phase", "attended", "at most", "over"), rows)
    if found.next:
        out.print(f"For {found.next}:", markup=False)
        print_table(
            ("met", "rule", "severity", "requirement"),
            [("x" if each.met else "", each.rule, each.severity, each.says) for each in found.requirements],
        )


@app.command()
def options(course_id: CourseId, person: As, role: ForRole = "therapist", as_json: AsJson = False) -> None:
    """Show which triggers a person may fire on a course now."""
    principal = caller(person, role)
    found: Options = run_as(principal, lambda clinic: CourseReads(clinic).options(principal, course_id))
    if as_json:
        print_json(found)
        return
    rows = [
        (each.trigger, "yes" if each.allowed else "no", each.to, " ".join(it.rule for it in each.refusals + each.warnings))
        for each in found.items
    ]
    print_table(("trigger", "allowed", "to", "refused or warned by"), rows)


@app.command()
def fire(
    course_id: CourseId,
    trigger: Annotated[str, typer.Argument(help="The trigger.")],
    person: As,
    role: ForRole = "therapist",
    data: Annotated[str, typer.Option(help="The trigger's data as JSON, or - to read it from standard input.")] = "{}",
    occurred_at: Annotated[str | None, typer.Option(help="When it happened, RFC 3339; default: now.")] = None,
    reason: Annotated[str | None, typer.Option(help="The reason; some triggers require one.")] = None,
    override: Annotated[list[str] | None, typer.Option(help="A soft rule to override; may be repeated.")] = None,
    override_reason: Annotated[str | None, typer.Option(help="The reason for the override.")] = None,
    version: Version = None,
    dry_run: DryRun = False,
    propose: Annotated[bool, typer.Option("--propose", help="Propose it to a supervisor, who cosigns or declines it.")] = False,
    as_json: AsJson = False,
) -> None:
    """Fire a trigger on a course."""
    body: dict[str, Any] = {"trigger": trigger, "data": json_of(data, "--data")}
    body |= {name: value for name, value in (("occurred_at", occurred_at), ("reason", reason)) if value is not None}
    if override:
        body["override"] = {"rules": override, "reason": override_reason}
    _fire(course_id, body, caller(person, role), version=version, dry_run=dry_run, propose=propose, as_json=as_json)


@app.command("move-entries")
def move_entries(
    course_id: CourseId,
    other: Annotated[str, typer.Argument(help="The id of the right client's course.")],
    entry: Annotated[list[int], typer.Option(help="The number of an entry to move; may be repeated.")],
    person: As,
    reason: Annotated[str, typer.Option(help="The reason.")],
    role: ForRole = "therapist",
    version: Version = None,
    dry_run: DryRun = False,
    propose: Annotated[bool, typer.Option("--propose", help="Propose it to a supervisor, who cosigns or declines it.")] = False,
    as_json: AsJson = False,
) -> None:
    """Move entries that were about another client to that client's course."""
    body = {"trigger": "move_entries", "data": {"course": other, "entries": entry}, "reason": reason}
    _fire(course_id, body, caller(person, role), version=version, dry_run=dry_run, propose=propose, as_json=as_json)


def _fire(
    course_id: str, body: dict[str, Any], principal: Principal, *, version: int | None, dry_run: bool, propose: bool, as_json: bool
) -> None:
    write = Write(decode=lambda: (shaped(Command, body),), triggers=(body["trigger"],), version=version, version_required=False)
    _write(course_id, write, principal, dry_run=dry_run, propose=propose, as_json=as_json, several=False)


@app.command()
def together(
    course_id: CourseId,
    commands: Annotated[
        str, typer.Argument(help="A JSON list of commands `{trigger, data, …}`, or - to read it from standard input.")
    ],
    person: As,
    role: ForRole = "therapist",
    version: Version = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Fire several triggers on a course as one: all are accepted, or none."""
    found = json_of(commands, "COMMANDS")
    names = tuple(str(each.get("trigger")) for each in found if isinstance(each, dict)) if isinstance(found, list) else ()
    write = Write(
        decode=lambda: shaped(Together, {"together": found}).together, triggers=names, version=version, version_required=False
    )
    _write(course_id, write, caller(person, role), dry_run=dry_run, propose=False, as_json=as_json, several=True)


def _write(
    course_id: str, write: Write, principal: Principal, *, dry_run: bool, propose: bool, as_json: bool, several: bool
) -> None:
    """Fires the commands, proposes them, or shows what would happen, and prints the result."""
    if dry_run:
        preview: Preview = run_as(principal, lambda clinic: Courses(clinic).preview(principal, course_id, write))
        print_json(preview)
        raise typer.Exit(0 if preview.option.allowed else FAILED)
    if propose:
        proposal: ProposalView = run_as(principal, lambda clinic: Proposals(clinic).propose(principal, course_id, write))
        print_json(proposal) if as_json else out.print(f"{proposal.id}: {proposal.status}", markup=False)
        return
    done: Committed = run_as(principal, lambda clinic: Courses(clinic).fire(principal, course_id, write))
    if as_json:
        written = {"entries": done.entries} if several else {"entry": done.entries[-1]}
        print_json({**written, "course": done.course})
        return
    assert done.course  # the write asked for it
    for entry in done.entries:
        out.print(f"{entry.seq} {entry.trigger}: {entry.from_} -> {entry.to}; {done.course.progress}", markup=False)


def json_of(text: str, option: str) -> Any:
    """The JSON in an option, or from standard input for `-`."""
    try:
        return json_value(_standard_input(option) if text == "-" else text.encode())
    except CommandMalformed as error:
        usage(f"{option} {error}.")


def _standard_input(option: str) -> bytes:
    if sys.stdin is None:
        usage(f"{option} is to be read from standard input, which is closed.")
    return sys.stdin.buffer.read()


def import_file(
    file: Annotated[
        Path,
        typer.Argument(
            help="NDJSON with a trigger of a course, or an action of a group, on each line; docs/import.md has the format.",
            exists=True,
            dir_okay=False,
        ),
    ],
    person: Annotated[str | None, typer.Option("--as", help="The person who imports: the actor of lines without one.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check every line, and write nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Import courses and groups. The machine checks every line. A second run of the same file adds nothing twice."""

    importer = operator().person if person is None else person_of("--as", person)

    async def work(clinic: Clinic) -> imports.ImportReport:
        lines = file.read_bytes().splitlines()
        with bar() as progress:
            task = progress.add_task("lines", total=len(lines))
            return await imports.run(clinic, lines, person=importer, dry_run=dry_run, progress=lambda: progress.advance(task))

    report = run(work)
    if as_json:
        print_json(report)
    else:
        verb = "would be" if dry_run else "were"
        out.print(
            f"{report.accepted} lines {verb} imported, {report.known} were there already, {report.linked} {verb} linked to a recorded"
            f" session, {len(report.refused)} refused.",
            markup=False,
        )
        for refusal in report.refused:
            err.print(f"line {refusal.line}: {refusal.why}", markup=False)
    if report.refused:
        raise typer.Exit(FAILED)
