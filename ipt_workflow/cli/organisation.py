"""`organisation`: the organisations of an installation, for its operator."""

from typing import Annotated

import typer

from ipt_workflow.access.principal import Principal
from ipt_workflow.cli import sign_in
from ipt_workflow.cli.output import of_options, out, print_json, print_table, run
from ipt_workflow.cli.token import operator_name
from ipt_workflow.service.clinics import Clinics
from ipt_workflow.service.organisations import NewOrganisation, OrganisationChange, Organisations, OrganisationView

app = typer.Typer(help="Organisations: the clinics of this installation.", no_args_is_help=True)
app.add_typer(sign_in.app, name="sign-in")
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Name = Annotated[str, typer.Argument(help="The organisation's id.")]
Zone = Annotated[str | None, typer.Option(help="The IANA time zone of its days and weeks, such as Europe/Berlin.")]


def operator() -> Principal:
    """The person at this machine, who runs the installation."""
    return Principal(person=operator_name(), role="operator", via="cli")


@app.command()
def create(
    organisation: Annotated[str, typer.Argument(help="Its id: small letters, digits and hyphens, at most 40.")],
    title: Annotated[str | None, typer.Option(help="Its title; default: its id.")] = None,
    zone: Zone = None,
    as_json: AsJson = False,
) -> None:
    """Create an organisation. Then make its tokens with IPT_ORGANISATION set to its id."""
    new = of_options(NewOrganisation, {"id": organisation, "title": title or organisation, "zone": zone})
    made = run(lambda clinic: Organisations(clinic, Clinics(clinic)).create(operator(), lambda: new))
    _show(made, f"{made.id} is created. Make its first token: IPT_ORGANISATION={made.id} ipt-workflow token create …", as_json)


@app.command("list")
def list_organisations(as_json: AsJson = False) -> None:
    """List the organisations."""
    found = run(lambda clinic: Organisations(clinic, Clinics(clinic)).every(operator()), reads_only=True)
    if as_json:
        print_json(found)
        return
    print_table(("id", "title", "zone", "status"), [(each.id, each.title, each.zone, each.status) for each in found.items])


@app.command()
def show(organisation: Name, as_json: AsJson = False) -> None:
    """Show an organisation."""
    found = run(lambda clinic: Organisations(clinic, Clinics(clinic)).one(operator(), organisation), reads_only=True)
    sees = f"Supervisors see: {found.supervision}. Auditors read sealed text: {found.auditor_text}."
    _show(found, f"{found.id}: {found.title}, {found.zone or 'the zone of IPT_TIME_ZONE'}, {found.status}. {sees}", as_json)


@app.command()
def change(
    organisation: Name,
    title: Annotated[str | None, typer.Option(help="Its new title.")] = None,
    zone: Zone = None,
    supervision: Annotated[
        str | None, typer.Option(help="Which courses supervisors see: those of the `organisation`, or of their `supervisees`.")
    ] = None,
    auditor_text: Annotated[
        str | None,
        typer.Option(help="When auditors read sealed text: at any time (`open`), after they unmasked it (`unmask`), or `never`."),
    ] = None,
    crisis_contacts: Annotated[
        str | None, typer.Option(help="Whom clients call when they need help at once, as papers print it. Separate lines by ` | `.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Change an organisation's title, time zone or crisis contacts, which courses its supervisors see, or when its auditors read sealed text."""
    contacts = None if crisis_contacts is None else crisis_contacts.replace(" | ", "\n")
    given = {"title": title, "zone": zone, "supervision": supervision, "auditor_text": auditor_text, "crisis_contacts": contacts}
    wanted = {name: value for name, value in given.items() if value is not None}
    changed = _change(organisation, of_options(OrganisationChange, wanted))
    _show(changed, f"{changed.id} is changed.", as_json)


@app.command()
def suspend(organisation: Name, as_json: AsJson = False) -> None:
    """Suspend an organisation: its credentials are refused at once, its data stay."""
    _show(_change(organisation, OrganisationChange(status="suspended")), f"{organisation} is suspended.", as_json)


@app.command()
def resume(organisation: Name, as_json: AsJson = False) -> None:
    """End an organisation's suspension."""
    _show(_change(organisation, OrganisationChange(status="active")), f"{organisation} is active.", as_json)


def _change(organisation: str, change: OrganisationChange) -> OrganisationView:
    return run(lambda clinic: Organisations(clinic, Clinics(clinic)).change(operator(), organisation, lambda: change))


def _show(view: OrganisationView, sentence: str, as_json: bool) -> None:
    if as_json:
        print_json(view)
    else:
        out.print(sentence, markup=False)
