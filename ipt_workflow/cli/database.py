"""`db` and `demo`: the database, and a demonstration caseload for it."""

import re
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import typer

from ipt_workflow.cli.output import bar, complete, err, out, print_json, run, settings_or_exit, usage
from ipt_workflow.cli.process import FAILED
from ipt_workflow.runtime.settings import Settings
from ipt_workflow.service import check as database_check
from ipt_workflow.service import demo as demonstration
from ipt_workflow.service import upgrade as database_upgrade
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.store.database import Database
from ipt_workflow.store.databases.factory import open_database
from ipt_workflow.store.schema import grants as tables_grants
from ipt_workflow.store.schema import roles as database_roles
from ipt_workflow.store.schema import row_security

SWITCH_ON = "Row-level security is not switched on yet. Run this command again once no process of the version before runs."
Result = TypeVar("Result")
app = typer.Typer(help="The database.", no_args_is_help=True)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def upgrade(
    roles: Annotated[
        str | None,
        typer.Option(metavar="PREFIX", help="On PostgreSQL: also create the roles PREFIX_app, _relay, _verifier and _backup."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Migrate the database to this version's tables. Create it if there is none."""
    if roles is not None and not re.fullmatch(r"[a-z_][a-z0-9_]{0,53}", roles):
        usage("--roles must be lower-case letters, digits and _, at most 54, and begin with a letter.")

    async def work(database: Database, settings: Settings) -> tuple[str, list[str], bool]:
        if roles is not None and database.dialect != "postgresql":
            usage("--roles needs a PostgreSQL database.")
        reached = await database.write(database_upgrade.upgrade, settings)
        left = await database.write(database_roles.establish, roles) if roles is not None else []
        return reached, left, bool(await database.read(row_security.faults))

    reached, left, unprotected = _on_database(work)
    if as_json:
        print_json({"revision": reached, "statements": left})
        return
    out.print(f"The database is at revision {reached}.")
    if unprotected:
        err.print(SWITCH_ON, markup=False)
    if left:
        err.print("This role may not create all roles. An administrator of the server runs these statements in this database:")
    for statement in left:
        out.print(statement, markup=False)


@app.command()
def check(as_json: AsJson = False) -> None:
    """Check the database's pages, tables and guard triggers, and the identities in it. Exit 1 if one is not right."""

    async def work(database: Database, _settings: Settings) -> list[str]:
        return await database.read(database_check.faults)

    faults = _on_database(work)
    if as_json:
        print_json({"ok": not faults, "faults": faults})
    elif not faults:
        out.print("The database has this version's tables and guards, and its pages and identities are sound.")
    for fault in () if as_json else faults:
        err.print(fault, markup=False)
    if faults:
        raise typer.Exit(FAILED)


@app.command()
def grants(
    role: Annotated[str, typer.Argument(help="The PostgreSQL role: lower-case letters, digits and _.")],
    read: Annotated[bool, typer.Option("--read", help="Only for `audit verify`, `audit export`, `db check` and backups.")] = False,
    relay: Annotated[bool, typer.Option("--relay", help="Only for `relay`.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print the SQL that lets a role serve a database whose tables it does not own. The owner runs it after each `db upgrade`."""
    if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", role):
        usage("ROLE must be lower-case letters, digits and _, and begin with a letter.")
    if read and relay:
        usage("--read and --relay exclude each other.")
    granted = tables_grants.of_reader if read else tables_grants.of_relay if relay else tables_grants.of_service
    statements = list(granted(role))
    if as_json:
        print_json({"statements": statements})
        return
    for statement in statements:
        out.print(statement, markup=False)


def _on_database(work: Callable[[Database, Settings], Awaitable[Result]]) -> Result:
    """Runs work on a database at any revision."""
    settings = settings_or_exit()

    async def opened() -> Result:
        database = open_database(settings.database_url)
        try:
            await database.require_sessions()
            return await work(database, settings)
        finally:
            await database.close()

    return complete(opened())


def demo(as_json: AsJson = False) -> None:
    """Fill an empty database with a demonstration caseload. Print a token for every role, and for a rehearsal links to sign in."""
    settings = settings_or_exit()

    async def work(clinic: Clinic) -> demonstration.DemoResult:
        with bar() as progress:
            task = progress.add_task("courses", total=demonstration.COURSES)
            return await demonstration.make(clinic, lambda: progress.advance(task))

    made = run(work)
    if as_json:
        print_json(made)
        return
    out.print(
        f"{made.courses} demonstration courses in {made.states} states."
        if made.courses
        else "The demonstration courses are there already."
    )
    out.print(f"Tokens of the organisation {settings.organisation}, valid for a day:", markup=False)
    for role, text in made.tokens.items():
        out.print(f"  {role:<11}{text}", markup=False)
    if made.links:
        out.print("Links that sign in a person of each role, once and within an hour, when `ipt-workflow serve` runs:")
    for role, path in made.links.items():
        out.print(f"  {role:<11}http://localhost:{settings.port}{path}", markup=False)
    base = f"http://{settings.host}:{settings.port}"
    out.print("Commands to try when `ipt-workflow serve` runs:")
    out.print(f"  curl -s {base}/health/ready", markup=False)
    for role, path in (("therapist", "/v1/courses?attention=unsigned&limit=5"), ("auditor", "/v1/audit/verify")):
        if role in made.tokens:
            out.print(f"  curl -s -H 'Authorization: Bearer {made.tokens[role]}' '{base}{path}'", markup=False)
