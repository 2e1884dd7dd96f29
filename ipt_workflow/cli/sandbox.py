"""`sandbox`: serves a rehearsal on a database of its own, with a clock that integrators move."""

import datetime as dt
import sys
from typing import Annotated

import msgspec
import typer

from ipt_workflow.cli.output import bar, complete, listening, out, print_json, settings_or_exit
from ipt_workflow.course.triggers import Role
from ipt_workflow.runtime.settings import Settings
from ipt_workflow.service import demo as demonstration
from ipt_workflow.service import sandbox as sandboxes
from ipt_workflow.service.clinic import open_clinic

TOKEN_DAYS = 3650  # of the sandbox's time, which a rehearsal moves by months


def sandbox(
    host: Annotated[str | None, typer.Option(help="The address to listen on; default: IPT_HOST.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="The port to listen on; default: IPT_PORT.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Serve a rehearsal: a demonstration caseload on a database of its own, and a clock that you move. Print tokens."""
    settings = sandboxes.settings_of(settings_or_exit(sandbox=True))
    address, number = host or settings.host, settings.port if port is None else port
    made = complete(_prepared(settings, f"http://{address}:{number}"))
    if as_json:
        print_json(made)
    else:
        _show(made)
    sys.stdout.flush()  # before the server starts, which only ends when it is told to
    from ipt_workflow.cli import server  # noqa: PLC0415 - as in `serve`

    with listening(address, number):
        server.serve(settings, address, number, sandbox=True)


class SandboxStart(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller needs: where the sandbox is, its present moment, and a token for each role."""

    url: str
    now: dt.datetime
    tokens: dict[Role, str]


async def _prepared(settings: Settings, url: str) -> SandboxStart:
    """Makes the database if it is empty, fills it, and makes tokens."""
    await sandboxes.make(settings)
    clinic = await open_clinic(settings)
    try:
        clock = sandboxes.require_sandbox(clinic)
        with bar() as progress:
            task = progress.add_task("courses", total=demonstration.COURSES)
            made = await demonstration.make(clinic, lambda: progress.advance(task), token_days=TOKEN_DAYS)
    finally:
        await clinic.installation.close()
    return SandboxStart(url=url, now=clock.now(), tokens=made.tokens)


def _show(made: SandboxStart) -> None:
    out.print(f"A sandbox at {made.url}. Its clock shows {made.now:%Y-%m-%dT%H:%M:%SZ}.", markup=False)
    out.print("Tokens:")
    for role, text in made.tokens.items():
        out.print(f"  {role:<11}{text}", markup=False)
    mover = made.tokens.get("admin", made.tokens["ehr"])  # a system never leaves
    out.print("Move the clock by a week:")
    out.print(
        f"  curl -s -X POST -H 'Authorization: Bearer {mover}' -H 'Content-Type: application/json' "
        f'-d \'{{"advance": "P7D"}}\' {made.url}/sandbox/clock',
        markup=False,
    )
