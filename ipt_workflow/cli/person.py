"""`person`: the people of the clinic. The verbs are those of `/v1/people`."""

from typing import Annotated

import typer

from ipt_workflow.access.people import STAFF_ROLES
from ipt_workflow.cli.output import of_options, out, print_json, print_table, run, usage
from ipt_workflow.cli.token import operator
from ipt_workflow.service.access.people import Departure, NewPerson, People, PersonChange, PersonView
from ipt_workflow.store.people import PersonFilters
from ipt_workflow.store.schema.tables import PERSON_STATUSES

app = typer.Typer(help="The people of the clinic's staff.", no_args_is_help=True)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
PersonId = Annotated[str, typer.Argument(help="The person's id: the subject of their tokens, and the name in the journal.")]
Roles = Annotated[list[str] | None, typer.Option("--role", help="therapist, supervisor, auditor or admin; may be repeated.")]
Supervisors = Annotated[list[str] | None, typer.Option("--supervisor", help="The id of a supervisor; may be repeated.")]
Language = Annotated[str | None, typer.Option(help="The person's language, such as de or pt-BR.")]
Zone = Annotated[str | None, typer.Option(help="The person's IANA time zone, such as Europe/Berlin.")]


@app.command()
def add(
    person: PersonId,
    name: Annotated[str, typer.Option(help="The name that others see.")],
    roles: Roles = None,
    supervisors: Supervisors = None,
    language: Language = None,
    zone: Zone = None,
    as_json: AsJson = False,
) -> None:
    """Add a person. The id is never given to another person."""
    values = {"name": name, "roles": roles or [], "supervisors": supervisors or [], "language": language, "zone": zone}
    new = of_options(NewPerson, {"id": person, **values})
    _show(run(lambda clinic: People(clinic).add(operator(), lambda: new)), as_json=as_json)


@app.command("list")
def list_people(
    status: Annotated[str | None, typer.Option(help="Only active people, or only those who left.")] = None,
    role: Annotated[str | None, typer.Option(help="Only people with this role.")] = None,
    as_json: AsJson = False,
) -> None:
    """List people, in the order of their ids."""
    if status not in {None, *PERSON_STATUSES}:
        usage(f"--status must be {' or '.join(PERSON_STATUSES)}.")
    if role not in {None, *STAFF_ROLES}:
        usage(f"--role must be one of {', '.join(STAFF_ROLES)}.")
    found = run(lambda clinic: People(clinic).page(operator(), PersonFilters(status=status, role=role)))
    if as_json:
        print_json(found)
        return
    rows = [(each.id, each.name, " ".join(each.roles), " ".join(each.supervisors), _left(each)) for each in found]
    print_table(("person", "name", "roles", "supervisors", ""), rows)


@app.command()
def show(person: PersonId, as_json: AsJson = False) -> None:
    """Show one person."""
    _show(run(lambda clinic: People(clinic).one(operator(), person)), as_json=as_json)


@app.command("set")
def change(
    person: PersonId,
    name: Annotated[str | None, typer.Option(help="The name that others see.")] = None,
    roles: Roles = None,
    supervisors: Supervisors = None,
    no_supervisor: Annotated[bool, typer.Option("--no-supervisor", help="The person has no supervisor from now on.")] = False,
    language: Language = None,
    zone: Zone = None,
    as_json: AsJson = False,
) -> None:
    """Change a person. Roles and supervisors replace those of before; tokens for a role that is taken away end at once."""
    if no_supervisor and supervisors:
        usage("Give --supervisor or --no-supervisor, not both.")
    options = {"name": name, "roles": roles or None, "supervisors": supervisors or None, "language": language, "zone": zone}
    given = {field: value for field, value in options.items() if value is not None} | ({"supervisors": []} if no_supervisor else {})
    if not given:
        usage("Name what to change: --name, --role, --supervisor, --no-supervisor, --language or --zone.")
    body = of_options(PersonChange, given)
    _show(run(lambda clinic: People(clinic).change(operator(), person, lambda: body)), as_json=as_json)


@app.command()
def leave(person: PersonId, as_json: AsJson = False) -> None:
    """Record that a person has left. Their access ends at once, and their open courses need another therapist."""
    departure: Departure = run(lambda clinic: People(clinic).leave(operator(), person))
    if as_json:
        print_json(departure)
        return
    ended = ", ".join(f"{count} {what}" for what, count in departure.ended.items() if count)
    out.print(f"{person} has left. Ended: {ended or 'nothing'}.", markup=False)


@app.command("return")
def come_back(person: PersonId, as_json: AsJson = False) -> None:
    """Record that a person who had left is here again. What ended stays ended: create new tokens."""
    _show(run(lambda clinic: People(clinic).come_back(operator(), person)), as_json=as_json)


def _show(person: PersonView, *, as_json: bool) -> None:
    if as_json:
        print_json(person)
        return
    supervised = f", supervised by {', '.join(person.supervisors)}" if person.supervisors else ""
    out.print(f"{person.id}: {person.name}, {' and '.join(person.roles)}{supervised}{_left(person)}", markup=False)


def _left(person: PersonView) -> str:
    return f" (left {person.left_at:%Y-%m-%d})" if person.left_at else ""
