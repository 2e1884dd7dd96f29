"""`audit`: verifies the journal and exports the audit log."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, get_args

import msgspec
import typer

from ipt_workflow.access.break_glass import NewUnmasking
from ipt_workflow.cli.course import operator_as_auditor
from ipt_workflow.cli.output import bar, err, of_options, out, print_json, print_table, run, usage, write_json
from ipt_workflow.cli.process import FAILED
from ipt_workflow.service.access.failures import AuthenticationFailures
from ipt_workflow.service.access.masks import Unmaskings
from ipt_workflow.service.audit.log import AuditLog
from ipt_workflow.service.audit.log_verification import KeptCheckpointFile
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.service.reads import CourseReads
from ipt_workflow.service.views import Verification
from ipt_workflow.store.audit import AuditFilters
from ipt_workflow.values.types import SharingPurpose

app = typer.Typer(help="The audit log.", no_args_is_help=True)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def _say_unrecorded(reason: str) -> None:
    err.print(f"The audit log has no record of this command. {reason}", markup=False)


@app.command()
def verify(
    course: Annotated[str | None, typer.Option(help="One course; default: all.")] = None,
    processes: Annotated[int, typer.Option(min=1, max=64, help="The number of processes that share the work.")] = 1,
    chains: Annotated[
        bool,
        typer.Option(
            "--chains", help="Check the chains only, without sealed documents, columns, snapshots and the log: much quicker."
        ),
    ] = False,
    kept: Annotated[
        Path | None,
        typer.Option(
            help="A file with the last checkpoint that you kept. The log must continue it, and only what is newer is read. If all holds, the newest "
            "checkpoint with its quorum replaces it. If there is no file yet, everything is read, and the file is made."
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="With --kept: read everything again.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check every chain, column, sealed document and snapshot, and the log. Name the first bad entry and exit 1."""
    if kept and (course or chains):
        usage("--kept goes with the whole log: leave out --course and --chains.")

    async def work(clinic: Clinic) -> Verification:
        file = KeptCheckpointFile(clinic, kept) if kept else None
        since = file.read() if file else None
        whole = everything or since is None
        total = 1 if course else sum(count for *_, count in await CourseReads(clinic).count_courses())
        with bar() as progress:
            task = progress.add_task("courses", total=total, visible=whole)
            found = await AuditLog(clinic).verify(
                operator_as_auditor(),
                course,
                lambda done: progress.advance(task, done),
                _say_unrecorded,
                processes=1 if course else processes,
                chains_only=chains,
                since=since,
                whole=whole,
            )
        if file and found.ok:
            await _keep(file, found)
        return found

    found = run(work, reads_only=True)
    if as_json:
        print_json(found)
    elif found.ok:
        out.print(_holds(found), markup=False)
    else:
        err.print(_first_bad(found.first_bad or {}), markup=False)
    if not found.ok:
        raise typer.Exit(FAILED)


async def _keep(file: KeptCheckpointFile, found: Verification) -> None:
    size = await file.replace((found.since or 0) + (found.leaves or 0))
    if size is None:
        err.print("No checkpoint has its quorum of witnesses, so the file is as it was.", markup=False)


def _holds(found: Verification) -> str:
    if found.since is not None:
        return f"The log continues the checkpoint of size {found.since}, and the {found.leaves} positions after it are as they were written."
    erased = f", {found.erased} of them erased" if found.erased else ""
    logged = f" {found.leaves} positions of the log hold." if found.leaves else ""
    return f"{found.checked} entries of {found.courses} courses are as they were written{erased}.{logged}"


def _first_bad(bad: Mapping[str, Any]) -> str:
    entry = f"Course {bad['course']}, entry {bad['seq']}" if bad["course"] else ""
    position = f"position {bad['position']} of the log" if bad.get("position") is not None else ""
    where = ", ".join(each for each in (entry, position) if each)
    return f"{where[:1].upper()}{where[1:]}: {bad['fault']}"


@app.command()
def unmask(
    course: Annotated[str, typer.Argument(help="The course's id.")],
    reason: Annotated[str, typer.Option(help="Why its sealed text must be read.")],
    minutes: Annotated[int | None, typer.Option(help="How long it stays readable, at most 480; default: 60.")] = None,
    as_json: AsJson = False,
) -> None:
    """Read the sealed text of a course for a while, as an auditor of an organisation that asks for a reason."""
    given = {"course": course, "reason": reason, **({} if minutes is None else {"minutes": minutes})}
    new = of_options(NewUnmasking, given)
    made = run(lambda clinic: Unmaskings(clinic).unmask(operator_as_auditor(), lambda: new))
    if as_json:
        print_json(made)
        return
    out.print(f"The sealed text of {made.course} can be read until {made.until.isoformat()}.", markup=False)


@app.command()
def failures(
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="The most rows to show.")] = 100,
    as_json: AsJson = False,
) -> None:
    """Show failed authentications by minute and address, the newest first. They belong to the installation, not to an organisation."""
    found = run(lambda clinic: AuthenticationFailures(clinic.installation).newest(limit))
    if as_json:
        print_json(found)
        return
    print_table(
        ("minute", "address", "count"), [(f"{each.minute:%Y-%m-%d %H:%M}", each.address, str(each.count)) for each in found]
    )


@app.command()
def export(
    course: Annotated[str | None, typer.Option(help="One course; default: all.")] = None,
    purpose: Annotated[str, typer.Option(help="What it is for: TREAT, HPAYMT, HOPERAT, HQUALIMP, PUBHLTH or HRESCH.")] = "HOPERAT",
    as_json: Annotated[bool, typer.Option("--json", help="Changes nothing: the export is JSON with or without it.")] = False,  # noqa: ARG001 - scripts pass it to every command
) -> None:
    """Print the audit log as NDJSON: one JSON record on each line. Without `--course` it honours objections and consents."""
    if purpose not in get_args(SharingPurpose):
        usage(f"--purpose must be one of {', '.join(get_args(SharingPurpose))}.")
    chosen: SharingPurpose = purpose  # type: ignore[assignment]

    async def work(clinic: Clinic) -> None:
        encoder = msgspec.json.Encoder()
        async for chunk in await AuditLog(clinic).export(
            operator_as_auditor(), AuditFilters(course=course), _say_unrecorded, purpose=chosen
        ):
            write_json(encoder.encode_lines(chunk))

    run(work, reads_only=True)
