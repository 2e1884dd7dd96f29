"""`token`: bearer tokens. The commands need the database only, so they can create the first administrator's token."""

import getpass
import os
from typing import Annotated

import typer

from ipt_workflow.access.principal import Principal
from ipt_workflow.cli.output import of_options, out, person_of, print_json, print_table, run
from ipt_workflow.service.access.tokens import NewToken, Tokens

app = typer.Typer(help="Bearer tokens.", no_args_is_help=True)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def operator() -> Principal:
    """The person at this machine, who may administer its database."""
    return Principal(person=operator_name(), role="admin", via="cli")


def operator_name() -> str:
    return person_of("The name of this machine's user", f"operator:{_user()}")


def _user() -> str:
    """The user's name, or their number where no name is known, as in a container."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid-{os.getuid()}"


@app.command()
def create(
    role: Annotated[str, typer.Option(help="therapist, supervisor, auditor, ehr, admin or operator.")],
    name: Annotated[str, typer.Option(help="The token's name.")],
    subject: Annotated[str | None, typer.Option(help="The person or system that the token identifies; default: its name.")] = None,
    days: Annotated[int | None, typer.Option(help="The days until it expires; default: IPT_TOKEN_DAYS.")] = None,
    source: Annotated[
        str | None, typer.Option(help="With the role ehr: the source whose messages its bearer may read at /v1/ehr/messages.")
    ] = None,
    scope: Annotated[
        list[str] | None,
        typer.Option("--scope", help="What it may do of what its role allows, such as system/*.rs. Repeat the option for more."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Create a token, and print it. It cannot be shown again."""
    values = {"role": role, "name": name, "subject": subject, "days": days, "source": source}
    new = of_options(NewToken, {**values, "scopes": scope or None})
    created = run(lambda clinic: Tokens(clinic).create(operator(), new))
    if as_json:
        print_json(created)
        return
    out.print(created.token, markup=False)
    out.print(
        f"For {created.subject}, as {created.role}, until {created.expires_at:%Y-%m-%d}. It cannot be shown again.", markup=False
    )


@app.command("list")
def list_tokens(as_json: AsJson = False) -> None:
    """List tokens, without their secrets."""
    found = run(lambda clinic: Tokens(clinic).list(operator()))
    if as_json:
        print_json(found)
        return
    rows = [
        (
            each.id,
            each.role,
            each.name,
            each.subject,
            each.source or "",
            " ".join(each.scopes or ()),
            f"{each.expires_at:%Y-%m-%d}",
            f"{each.last_used_at:%Y-%m-%d %H:%M}" if each.last_used_at else "",
            "revoked" if each.revoked_at else "",
        )
        for each in found
    ]
    print_table(("id", "role", "name", "subject", "source", "scopes", "expires", "last used", ""), rows)


@app.command()
def revoke(token_id: Annotated[str, typer.Argument(help="The token's id: the part after ipt_.")], as_json: AsJson = False) -> None:
    """Revoke a token. It stops working at once."""
    run(lambda clinic: Tokens(clinic).revoke(operator(), token_id))
    if as_json:
        print_json({"id": token_id, "revoked": True})
    else:
        out.print(f"{token_id} is revoked.", markup=False)
