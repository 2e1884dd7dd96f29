"""`db` and `demo`: the database and what it can be filled with."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import typer

from ipt_workflow import demo as demonstration
from ipt_workflow.cli.output import FAILED, bar, err, out, run, settings_or_exit
from ipt_workflow.shell import Shell
from ipt_workflow.store import migrate
from ipt_workflow.store.database import Database, open_database

Result = TypeVar("Result")
app = typer.Typer(help="The database.", no_args_is_help=True)


@app.command()
def upgrade() -> None:
    """Bring the database to this version's tables; make it if there is none."""
    settings = settings_or_exit()

    async def work(database: Database) -> str:
        return await database.write(migrate.upgrade)

    revision = asyncio.run(_with(open_database(settings.database_url), work))
    out.print(f"The database is at revision {revision}.")


@app.command()
def check() -> None:
    """Check that the database has this version's tables and guards; exit 1 if not."""
    settings = settings_or_exit()

    async def work(database: Database) -> list[str]:
        revision = await database.read(migrate.current)
        if revision != migrate.head():
            return [f"revision: it is {revision or 'none'}, and must be {migrate.head()}: run ipt-workflow db upgrade"]
        guards = [f"guard {name}: it is missing" for name in await database.read(migrate.missing_guards)]
        return [*guards, *(f"table: {each}" for each in await database.read(migrate.differences))]

    faults = asyncio.run(_with(open_database(settings.database_url), work))
    for fault in faults:
        err.print(fault, markup=False)
    if faults:
        raise typer.Exit(FAILED)
    out.print("The database has this version's tables and guards.")


async def _with(database: Database, work: Callable[[Database], Awaitable[Result]]) -> Result:
    try:
        return await work(database)
    finally:
        await database.close()


def demo() -> None:
    """Fill an empty database with a demonstration caseload, and print a token for every role."""
    settings = settings_or_exit()

    async def work(shell: Shell) -> demonstration.Made:
        with bar() as progress:
            task = progress.add_task("courses", total=demonstration.COURSES)
            return await demonstration.make(shell, lambda: progress.advance(task))

    made = run(work)
    out.print(
        f"{made.courses} demonstration courses in {made.states} states."
        if made.courses
        else "The demonstration courses are there already."
    )
    out.print("Tokens, valid for a day:")
    for role, text in made.tokens.items():
        out.print(f"  {role:<11}{text}", markup=False)
    base = f"http://{settings.host}:{settings.port}"
    therapist, auditor = made.tokens["therapist"], made.tokens["auditor"]
    out.print("Three commands to try, once it serves:")
    out.print(f"  curl -s {base}/health/ready", markup=False)
    out.print(f"  curl -s -H 'Authorization: Bearer {therapist}' '{base}/v1/courses?attention=unsigned&limit=5'", markup=False)
    out.print(f"  curl -s -H 'Authorization: Bearer {auditor}' {base}/v1/audit/verify", markup=False)
