"""Sandboxes: making a database one, and telling a sandbox from a database of real courses.

A sandbox is for rehearsals: its clock is moved by hand. So it must never be served as a real service, and the other way round.
"""

import datetime as dt

from ipt_workflow.errors import DatabaseNotReady
from ipt_workflow.runtime.clock import SandboxClock, SystemClock
from ipt_workflow.runtime.settings import Settings
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.service.upgrade import upgrade
from ipt_workflow.store import sandbox
from ipt_workflow.store.database import Connection
from ipt_workflow.store.databases.factory import open_database
from ipt_workflow.store.sandbox import ClockMove
from ipt_workflow.store.schema import revision

UNSIGNED = {"log_key_file": "", "log_policy_file": ""}
NOT_MADE_AS_ONE = (
    "The database was not made as a sandbox. Set IPT_SANDBOX_DATABASE_URL to an empty database, or to one that "
    "`ipt-workflow sandbox` made."
)
MADE_AS_ONE = (
    "The database was made as a sandbox, and its clock is moved by hand. Serve it with `ipt-workflow sandbox`, or set IPT_DATABASE_URL "
    "to a database of real courses."
)


def settings_of(settings: Settings) -> Settings:
    """The settings of a sandbox: a database of its own. It delivers webhooks itself, since no other process may. Its log is not signed:
    the keys are those of the log of real courses, which the same name would stand for.
    """
    return settings.model_copy(update={"database_url": settings.sandbox_database_url, "relay": True, **UNSIGNED})


async def make(settings: Settings) -> None:
    """Makes an empty database a sandbox, and brings a sandbox to this version's tables. Raises DatabaseNotReady for any other."""
    database = open_database(settings.database_url)
    try:
        if not await database.read(_is_made):
            await database.write(_make, settings, SystemClock().now())
    finally:
        await database.close()


def _is_made(connection: Connection) -> bool:
    return revision.current(connection) == revision.HEAD and sandbox.is_marked(connection)


def _make(connection: Connection, settings: Settings, now: dt.datetime) -> None:
    revision.take_turns(connection)
    new = sandbox.is_empty(connection)
    if not new and not sandbox.is_marked(connection):
        raise DatabaseNotReady(NOT_MADE_AS_ONE)
    upgrade(connection, settings)
    if new:
        sandbox.record(connection, settings.organisation, ClockMove(dt.timedelta(), now))


def require_sandbox(clinic: Clinic) -> SandboxClock:
    """The clock of a sandbox. Raises DatabaseNotReady if the clinic's database was not made as one."""
    if not isinstance(clinic.clock, SandboxClock):
        raise DatabaseNotReady(NOT_MADE_AS_ONE)
    return clinic.clock


def refuse_sandbox(clinic: Clinic) -> None:
    """Raises DatabaseNotReady if the clinic's database was made as a sandbox."""
    if isinstance(clinic.clock, SandboxClock):
        raise DatabaseNotReady(MADE_AS_ONE)
