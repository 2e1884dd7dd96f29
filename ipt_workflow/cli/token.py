"""`token`: bearer tokens. It works on the database alone, and is how the first administrator comes to be."""

import getpass
from typing import Annotated

import msgspec
import typer

from ipt_workflow.access.principal import Principal
from ipt_workflow.cli.output import out, print_json, print_table, run, usage
from ipt_workflow.service.access.tokens import NewToken, Tokens

app = typer.Typer(help="Bearer tokens.", no_args_is_help=True)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def operator() -> Principal:
    """Whoever is at the machine: the database is theirs to administer."""
    return Principal(person=f"operator:{getpass.getuser()}", role="admin", via="cli")


@app.command()
def create(
    role: Annotated[str, typer.Option(help="therapist, supervisor, auditor, ehr or admin.")],
    name: Annotated[str, typer.Option(help="What the token is called.")],
    subject: Annotated[str | None, typer.Option(help="The person (or system) the token stands for; default: its name.")] = None,
    days: Annotated[int | None, typer.Option(help="How long it is valid; default IPT_TOKEN_DAYS.")] = None,
    as_json: AsJson = False,
) -> None:
    """Create a token. It is shown this once."""
    try:
        new = msgspec.convert({"role": role, "name": name, "subject": subject, "days": days}, NewToken)
    except msgspec.ValidationError as error:
        usage(f"{error}. A role is one of therapist, supervisor, auditor, ehr, admin.")
    created = run(lambda clinic: Tokens(clinic).create(operator(), new))
    if as_json:
        print_json(created)
        return
    out.print(created.token, markup=False)
    out.print(
        f"For {created.subject}, as {created.role}, until {created.expires_at:%Y-%m-%d}. It is not shown again.", markup=False
    )


@app.command("list")
def list_tokens(as_json: AsJson = False) -> None:
    """List tokens, without their secrets."""
    found = run(lambda clinic: Tokens(clinic).list(operator()))
    if as_json:
        print_json(found)
        return
    rows = [(t.id, t.role, t.name, t.subject, f"{t.expires_at:%Y-%m-%d}", "revoked" if t.revoked_at else "") for t in found]
    print_table(("id", "role", "name", "subject", "expires", ""), rows)


@app.command()
def revoke(token_id: Annotated[str, typer.Argument(help="The token's id: the part after ipt_.")], as_json: AsJson = False) -> None:
    """Revoke a token, at once."""
    run(lambda clinic: Tokens(clinic).revoke(operator(), token_id))
    if as_json:
        print_json({"id": token_id, "revoked": True})
    else:
        out.print(f"{token_id} is revoked.", markup=False)
