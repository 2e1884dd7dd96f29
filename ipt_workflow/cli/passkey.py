"""`passkey`: how people come to sign in where no identity provider does it. The verbs are those of `/v1/people/{person}/credentials`."""

from typing import Annotated

import typer

from ipt_workflow.cli.output import out, print_json, print_table, run
from ipt_workflow.cli.token import operator
from ipt_workflow.service.access.attempts import SignInAttempts
from ipt_workflow.service.access.enrolment import Enrolment
from ipt_workflow.service.clinic import Clinic

app = typer.Typer(help="Passkeys, recovery codes and passwords of people.", no_args_is_help=True)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
PersonId = Annotated[str, typer.Argument(help="The person's id.")]


def _enrolment(clinic: Clinic) -> Enrolment:
    address = clinic.settings.public_url or f"http://localhost:{clinic.settings.port}"
    attempts = SignInAttempts(clinic, clinic.installation.sign_in_limits)
    return Enrolment(clinic, attempts, f"{address}/o/{clinic.organisation}")


@app.command()
def link(person: PersonId, as_json: AsJson = False) -> None:
    """Make a link with which a person gets a passkey and recovery codes. It works once, for 24 hours. A new link replaces an old one."""
    made = run(lambda clinic: _enrolment(clinic).make_link(operator(), person))
    if as_json:
        print_json(made)
        return
    out.print(made.link, markup=False)
    out.print(f"For {made.person}, once, until {made.expires_at:%Y-%m-%d %H:%M} UTC. It cannot be shown again.", markup=False)


@app.command()
def show(person: PersonId, as_json: AsJson = False) -> None:
    """Show with what a person signs in: passkeys, recovery codes that are left, and when their password was changed."""
    found = run(lambda clinic: _enrolment(clinic).of(operator(), person))
    if as_json:
        print_json(found)
        return
    changed = f"{found.password_changed_at:%Y-%m-%d}" if found.password_changed_at else "none"
    out.print(f"{found.person}: {found.recovery_codes} recovery codes left; password: {changed}", markup=False)
    rows = [
        (each.id[:12], f"{each.created_at:%Y-%m-%d}", f"{each.used_at:%Y-%m-%d}" if each.used_at else "never", _kept(each.synced))
        for each in found.passkeys
    ]
    print_table(("passkey", "made", "last used", "kept"), rows)


def _kept(synced: bool) -> str:
    return "on several devices" if synced else "on one device"


@app.command()
def revoke(person: PersonId, as_json: AsJson = False) -> None:
    """Remove passkeys, recovery codes, password and link of a person, and end their sessions. Then make a new link."""
    run(lambda clinic: _enrolment(clinic).revoke(operator(), person))
    if as_json:
        print_json({"person": person, "revoked": True})
    else:
        out.print(f"{person} can sign in again with a new link.", markup=False)
