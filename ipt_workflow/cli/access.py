"""`cover` and `restriction`: who sees a course beside its therapist, without a server. The verbs are those of `/v1/cover`."""

from typing import Annotated

import typer

from ipt_workflow.access.cover import NewCover
from ipt_workflow.cli.course import As, AsJson, CourseId, caller, operator_as_auditor, run_as
from ipt_workflow.cli.output import of_options, out, print_json, print_table, run
from ipt_workflow.service.access.cover import Covers, CoverView
from ipt_workflow.service.access.restrictions import NewRestriction, Restrictions, RestrictionView

cover = typer.Typer(help="Cover: a colleague looks after a therapist's courses for a while.", no_args_is_help=True)
restriction = typer.Typer(help="Restricted courses: only named people see them.", no_args_is_help=True)
LIMIT_MAX = 1000


@cover.command("arrange")
def arrange(
    therapist: Annotated[str, typer.Argument(help="The therapist who is away.")],
    colleague: Annotated[str, typer.Argument(help="The therapist who covers.")],
    until: Annotated[str, typer.Option(help="When the cover ends, RFC 3339.")],
    reason: Annotated[str, typer.Option(help="The reason.")],
    person: As,
    role: Annotated[str, typer.Option("--role", help="The role in which the person acts.")] = "therapist",
    begins: Annotated[str | None, typer.Option("--from", help="When the cover begins, RFC 3339; default: now.")] = None,
    course: Annotated[
        list[str] | None, typer.Option(help="A course; may be repeated. Default: every course of the therapist.")
    ] = None,
    client_told: Annotated[bool, typer.Option("--client-informed/--client-not-informed", help="Whether the clients know.")] = False,
    as_json: AsJson = False,
) -> None:
    """Arrange cover."""
    given = {
        "therapist": therapist,
        "colleague": colleague,
        "from": begins,
        "until": until,
        "courses": course or None,
        "client_told": client_told,
        "reason": reason,
    }
    new, principal = of_options(NewCover, given), caller(person, role)
    _print(run_as(principal, lambda clinic: Covers(clinic).arrange(principal, lambda: new)), as_json)


@cover.command("list")
def list_covers(
    limit: Annotated[int, typer.Option(min=1, max=LIMIT_MAX, help="The most covers to list.")] = 100, as_json: AsJson = False
) -> None:
    """List cover that is planned or in force, oldest first."""
    found = run(lambda clinic: Covers(clinic).page(operator_as_auditor(), "", limit))
    if as_json:
        print_json(found)
        return
    rows = [
        (each.id, each.therapist, each.colleague, each.from_.isoformat(), each.until.isoformat(), each.status) for each in found
    ]
    print_table(("cover", "therapist", "colleague", "from", "until", "status"), rows)


@cover.command("end")
def end_cover(
    cover_id: Annotated[str, typer.Argument(help="The cover's id.")],
    person: As,
    role: Annotated[str, typer.Option("--role", help="The role in which the person acts.")] = "therapist",
    as_json: AsJson = False,
) -> None:
    """End cover before its time."""
    principal = caller(person, role)
    _print(run_as(principal, lambda clinic: Covers(clinic).end(principal, cover_id)), as_json)


def _print(view: CoverView, as_json: bool) -> None:
    if as_json:
        print_json(view)
        return
    out.print(
        f"{view.id}: {view.colleague} covers for {view.therapist} until {view.until.isoformat()} ({view.status})", markup=False
    )


@restriction.command("set")
def restrict(
    course: CourseId,
    reason: Annotated[str, typer.Option(help="The reason.")],
    person: As,
    role: Annotated[str, typer.Option("--role", help="supervisor or admin.")] = "supervisor",
    admit: Annotated[list[str] | None, typer.Option(help="A person who may see the course; may be repeated.")] = None,
    as_json: AsJson = False,
) -> None:
    """Restrict a course to its therapist and the people admitted."""
    new, principal = of_options(NewRestriction, {"people": admit or [], "reason": reason}), caller(person, role)
    _print_restriction(run_as(principal, lambda clinic: Restrictions(clinic).restrict(principal, course, lambda: new)), as_json)


@restriction.command("show")
def show(course: CourseId, as_json: AsJson = False) -> None:
    """Show whom a course's restriction admits."""
    _print_restriction(run(lambda clinic: Restrictions(clinic).one(operator_as_auditor(), course)), as_json)


@restriction.command("lift")
def lift(
    course: CourseId,
    person: As,
    role: Annotated[str, typer.Option("--role", help="supervisor or admin.")] = "supervisor",
    as_json: AsJson = False,
) -> None:
    """Lift the restriction of a course."""
    principal = caller(person, role)
    run_as(principal, lambda clinic: Restrictions(clinic).lift(principal, course))
    if as_json:
        print_json({"course": course, "restricted": False})
    else:
        out.print(f"{course} is restricted no more.", markup=False)


def _print_restriction(view: RestrictionView, as_json: bool) -> None:
    if as_json:
        print_json(view)
        return
    out.print(f"{view.course} is restricted: its therapist and {', '.join(view.people) or 'nobody else'} see it.", markup=False)
