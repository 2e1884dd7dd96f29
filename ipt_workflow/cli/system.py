"""`system`: registers the programs that get access tokens by proving that they hold a private key (SMART Backend Services)."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ipt_workflow.cli.output import fail, of_options, out, print_json, print_table, run, usage
from ipt_workflow.cli.token import operator
from ipt_workflow.ehr.smart.systems import NewSystem, SystemChange, Systems, SystemView
from ipt_workflow.errors import CommandInvalid, CommandMalformed, Fault
from ipt_workflow.runtime.documents import json_value

JWKS_BYTES_MAX = 262_144
app = typer.Typer(help="Programs that get access tokens by a key of their own.", no_args_is_help=True)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
SystemName = Annotated[str, typer.Argument(help="The system's id.")]
ScopeOption = Annotated[
    list[str] | None,
    typer.Option("--scope", help="What it may do, such as system/*.rs or system/Encounter.r. Repeat the option for more."),
]
JwksUrl = Annotated[str | None, typer.Option(help="The URL at which it publishes its public keys (JWKS).")]
JwksFile = Annotated[Path | None, typer.Option(help="A file with its public keys (JWKS).")]


@app.command()
def add(
    name: SystemName,
    scope: ScopeOption = None,
    jwks_url: JwksUrl = None,
    jwks_file: JwksFile = None,
    role: Annotated[str, typer.Option(help="ehr, or auditor.")] = "ehr",
    label: Annotated[str | None, typer.Option(help="A name to show to people; default: its id.")] = None,
    source: Annotated[
        str | None, typer.Option(help="With the role ehr: the source whose messages it may read at /v1/ehr/messages.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Register a system by its public keys."""
    values = {"id": name, "name": label, "role": role, "scopes": scope or [], "source": source}
    new = of_options(NewSystem, {**values, "jwks_url": jwks_url, "jwks": _jwks(jwks_file)})
    made = run(lambda clinic: Systems(clinic).add(operator(), lambda: new))
    if as_json:
        print_json(made)
        return
    out.print(made.client_id, markup=False)
    out.print(f"The client_id of {made.id}, as {made.role}, for {' '.join(made.scopes)}.", markup=False)


@app.command("list")
def list_systems(as_json: AsJson = False) -> None:
    """List systems with their scopes."""
    found = run(lambda clinic: Systems(clinic).page(operator()))
    if as_json:
        print_json(found)
        return
    rows = [(each.client_id, each.role, " ".join(each.scopes), _keys(each), _last(each)) for each in found]
    print_table(("client_id", "role", "scopes", "keys", "last token"), rows)


@app.command("set")
def change(
    name: SystemName,
    scope: ScopeOption = None,
    jwks_url: JwksUrl = None,
    jwks_file: JwksFile = None,
    label: Annotated[str | None, typer.Option(help="A name to show to people.")] = None,
    as_json: AsJson = False,
) -> None:
    """Change a system from now on. Its access tokens end, so that it asks for a new one."""
    options = {"name": label, "scopes": scope, "jwks_url": jwks_url, "jwks": _jwks(jwks_file)}
    given = {name: value for name, value in options.items() if value is not None}
    if not given:
        usage("Name what changes: --scope, --jwks-url, --jwks-file or --label.")
    body = of_options(SystemChange, given)
    changed = run(lambda clinic: Systems(clinic).change(operator(), name, lambda: body))
    if as_json:
        print_json(changed)
    else:
        out.print(f"{changed.id}: {' '.join(changed.scopes)}", markup=False)


@app.command()
def revoke(name: SystemName, as_json: AsJson = False) -> None:
    """Revoke a system. Its access tokens stop working at once."""
    revoked = run(lambda clinic: Systems(clinic).revoke(operator(), name))
    if as_json:
        print_json(revoked)
    else:
        out.print(f"{revoked.id} is revoked.", markup=False)


def _jwks(path: Path | None) -> Any:
    if path is None:
        return None
    try:
        with path.open("rb") as file:
            return json_value(file.read(JWKS_BYTES_MAX))
    except (OSError, CommandMalformed):
        fail(CommandInvalid([Fault("--jwks-file", "must name a readable file that holds a JSON Web Key Set")]))


def _keys(system: SystemView) -> str:
    return system.jwks_url or ", ".join(system.keys)


def _last(system: SystemView) -> str:
    if system.revoked_at:
        return "revoked"
    return f"{system.last_token_at:%Y-%m-%d %H:%M}" if system.last_token_at else "none"
