"""`mark`: holds, processing restrictions and objections, without a server. The verbs are those of `/v1/clients/marks`."""

from typing import Annotated

import typer

from ipt_workflow.access.marks import KINDS, MarkEnd, NewMark
from ipt_workflow.cli.course import As, AsJson, DryRun, caller, operator_as_auditor, run_as
from ipt_workflow.cli.output import of_options, out, print_json, print_table, run, usage
from ipt_workflow.service.privacy.marks import MarkEndPreview, MarkPreview, Marks, MarkView
from ipt_workflow.store.marks import MarkFilters

app = typer.Typer(help="Marks on clients' records: holds, processing restrictions, objections.", no_args_is_help=True)
MarkId = Annotated[str, typer.Argument(help="The mark's id.")]
Kind = Annotated[str, typer.Argument(help="hold, restriction (of processing) or objection (to secondary use).")]
ForRights = Annotated[str, typer.Option("--role", help="supervisor or admin.")]
Note = Annotated[str | None, typer.Option(help="What else is to be said. It is sealed, and can be erased.")]


@app.command("set")
def set_mark(
    kind: Kind,
    client_ref: Annotated[str, typer.Argument(help="The EHR's reference of the client, exactly.")],
    ground: Annotated[str, typer.Option(help="The ground, a code: docs/access.md lists them.")],
    person: As,
    role: ForRights = "supervisor",
    note: Note = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Mark the record of a client."""
    new = of_options(NewMark, {"kind": kind, "client_ref": client_ref, "ground": ground, "note": note})
    principal = caller(person, role)
    if dry_run:
        _preview(run_as(principal, lambda clinic: Marks(clinic).preview(principal, lambda: new)), as_json)
        return
    _print(run_as(principal, lambda clinic: Marks(clinic).set(principal, lambda: new)), as_json)


@app.command()
def end(
    mark_id: MarkId,
    person: As,
    role: ForRights = "supervisor",
    client_informed: Annotated[
        bool, typer.Option("--client-informed", help="The client was informed, as the end of a processing restriction needs.")
    ] = False,
    note: Note = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """End a mark."""
    ending, principal = of_options(MarkEnd, {"client_informed": client_informed, "note": note}), caller(person, role)
    if dry_run:
        found = run_as(principal, lambda clinic: Marks(clinic).preview_end(principal, mark_id, lambda: ending))
        _preview(found, as_json)
        return
    _print(run_as(principal, lambda clinic: Marks(clinic).end(principal, mark_id, lambda: ending)), as_json)


@app.command("list")
def list_marks(
    kind: Annotated[str | None, typer.Option(help="Only marks of this kind.")] = None,
    ended: Annotated[bool, typer.Option("--ended", help="Those that have ended, instead of those in force.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="The most marks to list.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List marks, oldest first."""
    if kind is not None and kind not in KINDS:
        usage(f"--kind must be {', '.join(KINDS)}.")
    filters = MarkFilters(kind=kind, in_force=not ended)
    found = run(lambda clinic: Marks(clinic).page(operator_as_auditor(), filters, "", limit))
    if as_json:
        print_json(found)
        return
    rows = [(each.id, each.kind, each.client_ref, each.ground, each.set_by, each.set_at.isoformat()) for each in found]
    print_table(("mark", "kind", "client", "ground", "set by", "at"), rows)


@app.command()
def show(mark_id: MarkId, as_json: AsJson = False) -> None:
    """Show a mark with its notes."""
    found = run(lambda clinic: Marks(clinic).one(operator_as_auditor(), mark_id))
    _print(found, as_json)
    if not as_json:
        for note in (found.note, found.end_note):
            out.print(note or "", markup=False)


def _print(view: MarkView, as_json: bool) -> None:
    if as_json:
        print_json(view)
        return
    until = "in force" if view.ended_at is None else f"ended {view.ended_at.isoformat()} by {view.ended_by}"
    out.print(f"{view.id}: {view.kind}, {view.ground} ({view.means}), set by {view.set_by}; {until}", markup=False)
    print_table(("course",), [(each,) for each in view.courses])


def _preview(found: MarkPreview | MarkEndPreview, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    out.print(f"It would concern these courses ({found.kind}, {found.ground}). Nothing is written.", markup=False)
    print_table(("course",), [(each,) for each in found.courses])
