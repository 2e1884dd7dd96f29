"""`organisation sign-in`: how an organisation's people sign in, for the operator."""

import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from ipt_workflow.access.oidc import Description, OidcSettings
from ipt_workflow.access.principal import Principal
from ipt_workflow.cli.output import fail, out, print_json, run, usage
from ipt_workflow.cli.token import operator_name
from ipt_workflow.ehr.calls import Calls
from ipt_workflow.ehr.deliveries.addresses import reach_of
from ipt_workflow.errors import CommandInvalid, Fault, NotFound
from ipt_workflow.runtime import documents
from ipt_workflow.service.access.providers import Providers
from ipt_workflow.service.access.sign_in_setup import SignInSetup, SignInView
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.service.clinics import Clinics

app = typer.Typer(help="How an organisation's people sign in.", no_args_is_help=True)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Name = Annotated[str, typer.Argument(help="The organisation's id.")]
Subject = Annotated[str, typer.Argument(help="The person's subject (`sub`) at the identity provider.")]
SECRET_MAX = 4096


def _operator() -> Principal:
    return Principal(person=operator_name(), role="operator", via="cli")


@app.command("set")
def set_up(
    organisation: Name,
    file: Annotated[Path, typer.Option(help="A TOML file with everything about signing in.")],
    client_secret_file: Annotated[
        str | None, typer.Option(help="A file with the client's secret alone; - reads it from standard input.")
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Do not ask the identity provider for its description.")] = False,
    as_json: AsJson = False,
) -> None:
    """Set up how an organisation's people sign in, and check its identity provider. What the file does not name is off."""
    wanted, secret = _table(file), _secret(client_secret_file)

    async def work(clinic: Clinic) -> SignInView:
        issuer = wanted.get("oidc", {}).get("issuer") if isinstance(wanted.get("oidc"), dict) else None
        if isinstance(issuer, str):
            reach_of(clinic.settings).check(issuer, "oidc.issuer")
            if not offline:
                await _described(clinic, issuer)
        return await _setup(clinic).set(_operator(), organisation, wanted, secret)

    _show(run(work), as_json=as_json)


@app.command()
def show(organisation: Name, as_json: AsJson = False) -> None:
    """Show how an organisation's people sign in, without secrets."""
    _show(run(lambda clinic: _setup(clinic).show(_operator(), organisation), reads_only=True), as_json=as_json)


@app.command()
def check(organisation: Name, as_json: AsJson = False) -> None:
    """Ask an organisation's identity provider for its description and keys. Exit 1 if it cannot be used."""

    async def work(clinic: Clinic) -> Description:
        found = (await _setup(clinic).show(_operator(), organisation)).sign_in.oidc
        if found is None:
            raise NotFound("The organisation has no identity provider. Set one up with `organisation sign-in set`.")
        return await _described(clinic, found.issuer)

    found = run(work, reads_only=True)
    if as_json:
        print_json(found)
    else:
        out.print(f"{found.issuer} can be used. People sign in at {found.authorization_endpoint}.", markup=False)


@app.command()
def link(
    organisation: Name,
    person: Annotated[str, typer.Argument(help="The person's id here.")],
    subject: Subject,
    as_json: AsJson = False,
) -> None:
    """Link a person to their name at the identity provider."""
    run(lambda clinic: _setup(clinic).link(_operator(), organisation, person, subject))
    if as_json:
        print_json({"person": person, "subject": subject, "linked": True})
    else:
        out.print(f"{person} signs in as {subject}.", markup=False)


@app.command()
def unlink(organisation: Name, subject: Subject, as_json: AsJson = False) -> None:
    """Forget whom the identity provider names so. They cannot sign in any more until they are linked again."""
    run(lambda clinic: _setup(clinic).unlink(_operator(), organisation, subject))
    if as_json:
        print_json({"subject": subject, "linked": False})
    else:
        out.print(f"{subject} is nobody here any more.", markup=False)


def _setup(clinic: Clinic) -> SignInSetup:
    return SignInSetup(clinic, Clinics(clinic))


async def _described(clinic: Clinic, issuer: str) -> Description:
    calls = Calls(reach_of(clinic.settings))
    try:
        return await Providers(calls, clinic.clock).description(issuer)
    finally:
        await calls.close()


def _table(file: Path) -> dict[str, Any]:
    """The table in a TOML file. If there is none, says why and exits 2."""
    try:
        return documents.toml_table(file)
    except OSError as error:
        usage(f"--file cannot be read: {error.strerror}.")
    except ValueError as error:
        _refuse("--file", f"is not TOML: {error}")


def _secret(file: str | None) -> str | None:
    """The client's secret, without the end of its line. If it cannot be read, says why and exits 2."""
    if file is None:
        return None
    try:
        text = sys.stdin.read(SECRET_MAX) if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        usage("--client-secret-file cannot be read, or is not text.")
    secret = text.rstrip("\r\n")
    if not 1 <= len(secret) <= SECRET_MAX or not secret.isprintable():
        _refuse("--client-secret-file", f"must hold 1 to {SECRET_MAX} visible characters on one line")
    return secret


def _refuse(where: str, message: str) -> NoReturn:
    fail(CommandInvalid([Fault(where, message)]), code=2)


def _show(view: SignInView, *, as_json: bool) -> None:
    if as_json:
        print_json(view)
        return
    found: OidcSettings | None = view.sign_in.oidc
    if view.sign_in.passwords:
        out.print("Passwords with a second factor are on.", markup=False)
    if found is None:
        out.print(f"{view.organisation} has no identity provider.", markup=False)
        return
    out.print(f"{view.organisation} signs in at {found.issuer} as the client {found.client_id}.", markup=False)
    out.print(f"Redirect URI: <public_url>/o/{view.organisation}/sign-in/callback", markup=False)
    out.print(f"Back-channel logout URI: <public_url>/o/{view.organisation}/sign-in/back-channel", markup=False)
    if view.public_keys:
        out.print(f"JWKS URI: <public_url>/o/{view.organisation}/sign-in/keys", markup=False)
