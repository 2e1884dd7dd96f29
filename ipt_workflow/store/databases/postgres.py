"""PostgreSQL: functions run on an asyncpg connection through SQLAlchemy; what every request needs is one statement each, on asyncpg
itself and without a transaction around it."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, NoReturn

import asyncpg
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from ipt_workflow.errors import Busy, DatabaseNotReady, IptError, Unreachable
from ipt_workflow.store.commits import batches
from ipt_workflow.store.database import Database, Result
from ipt_workflow.store.databases.connections import Connections
from ipt_workflow.store.lookups import Lookup
from ipt_workflow.store.units import LoggedEvent, Unit

CONNECT_SECONDS = 5.0
GRACE_SECONDS = 0.5  # by which the server should have given a statement up, and said so
# What runs on the bare driver goes by key. A plan that was made while a table was small or empty would read it whole, and be kept.
BY_KEY = {"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off", "enable_bitmapscan": "off", "jit": "off"}
FAILURES = (
    OSError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresError,
    sa.exc.TimeoutError,
    sa.exc.DBAPIError,
)
# PostgreSQL's codes
NOT_LET_IN = frozenset({"3D000", "28000", "28P01"})  # no such database, no such user, wrong password
GONE = frozenset({"57P01", "57P02", "57P03", "53300"})  # shut down, crashed, starting up, too many connections
CONTENDED = frozenset(
    {"40001", "40P01", "55P03", "57014"}
)  # serialization failure, deadlock, lock not had, statement took too long


class PostgresDatabase(Database):
    dialect = "postgresql"

    def __init__(self, url: sa.URL, statement_seconds: float | None, connections: int) -> None:
        told = {"application_name": "ipt_workflow"}
        if statement_seconds:
            told["statement_timeout"] = str(int(statement_seconds * 1000))
        options = {
            "timeout": CONNECT_SECONDS,
            "command_timeout": statement_seconds and statement_seconds + GRACE_SECONDS,
            "server_settings": told,
        }
        asyncpg_url = url.set(drivername="postgresql+asyncpg")
        self._whole = create_async_engine(
            asyncpg_url,
            pool_size=connections,
            max_overflow=0,
            pool_timeout=CONNECT_SECONDS,
            pool_pre_ping=True,
            connect_args=options,
        )
        self._snapshot = self._whole.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        where = self._whole.dialect.create_connect_args(asyncpg_url)[1]
        by_key = {**where, **options, "server_settings": told | BY_KEY}
        self._bare = Connections(lambda: asyncpg.connect(**by_key), connections)

    async def read(self, function: Callable[..., Result], *args: Any) -> Result:
        async with self._reached(), self._snapshot.connect() as connection, _kept(connection):
            return await connection.run_sync(function, *args)

    async def write(self, function: Callable[..., Result], *args: Any) -> Result:
        async with self._reached(), self._whole.begin() as connection, _kept(connection):
            return await connection.run_sync(function, *args)

    async def find(self, question: Lookup[Result], organisation: str, ids: Sequence[str]) -> dict[str, Result]:
        return question.answers("postgresql", await self.fetch(question.sql, organisation, ids))

    async def fetch(self, sql: Mapping[str, str], *args: Any) -> Sequence[Any]:
        try:
            return await self._fetch(sql["postgresql"], *args)
        except Unreachable:  # the connection may have been one to a server that was restarted since
            return await self._fetch(sql["postgresql"], *args)

    async def put(self, units: Sequence[Unit], events: Sequence[LoggedEvent]) -> list[bool]:
        return await batches.write_postgres(self._fetch, units, events)

    async def _fetch(self, sql: str, *args: Any) -> Sequence[Any]:
        """Runs one statement, which is a transaction of its own."""
        try:
            return await self._bare.fetch(sql, *args)
        except FAILURES as error:
            await self._fail(error)

    @asynccontextmanager
    async def _reached(self) -> AsyncIterator[None]:
        try:
            yield
        except FAILURES as error:
            await self._fail(error)

    async def _fail(self, error: Exception) -> NoReturn:
        """Raises what an error means to us: Unreachable, DatabaseNotReady or Busy; or the error, where it means nothing.

        Where an answer did not come in time, the other connections are as dead: better new ones than to find out one by one.
        """
        if isinstance(error, TimeoutError):
            await self._whole.dispose(close=False)
            self._bare.drop()
        meant = _meaning(error)
        if meant is None:
            raise error
        raise meant from error

    async def close(self) -> None:
        await self._bare.close()
        await self._whole.dispose()


@asynccontextmanager
async def _kept(connection: AsyncConnection) -> AsyncIterator[None]:
    """Throws the connection away where an answer did not come in time: nobody knows what it will say next."""
    try:
        yield
    except TimeoutError:
        await connection.invalidate()
        raise


def _meaning(error: Exception) -> IptError | None:
    """Unreachable where the server does not answer, DatabaseNotReady where it does not let us in, Busy where it gave up."""
    if isinstance(error, OSError | asyncpg.InterfaceError | asyncpg.InternalClientError):
        return Unreachable("The database server cannot be reached.")
    if isinstance(error, sa.exc.TimeoutError):
        return Busy("Every connection to the database is taken. Try again.")
    if isinstance(error, asyncpg.PostgresError):
        return _meaning_of(error.sqlstate)
    if isinstance(error, sa.exc.DBAPIError):
        gone = Unreachable("The database server has gone away.") if error.connection_invalidated else None
        return _meaning_of(getattr(error.orig, "sqlstate", None)) or gone
    return None


def _meaning_of(code: str | None) -> IptError | None:
    """What one of PostgreSQL's codes means to us, if anything."""
    if code in NOT_LET_IN:
        return DatabaseNotReady("The database server has no such database or user, or another password.")
    if code in GONE or (code or "").startswith("08"):
        return Unreachable("The database server has gone away.")
    if code in CONTENDED:
        return Busy("The database is contended. Try again.")
    return None
