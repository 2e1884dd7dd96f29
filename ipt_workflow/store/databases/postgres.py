"""PostgreSQL. `read` and `write` run functions through SQLAlchemy on asyncpg.

`find`, `fetch` and `put` run one statement each on asyncpg itself, without a transaction around it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, NoReturn

import asyncpg
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from ipt_workflow.errors import Busy, DatabaseNotReady, IptError, Unreachable
from ipt_workflow.store.commits import batches
from ipt_workflow.store.database import Database, Result
from ipt_workflow.store.databases.connections import Connections
from ipt_workflow.store.lookups import DriverRow, Lookup
from ipt_workflow.store.units import LoggedEvent, Unit

CONNECT_SECONDS = 5.0
LISTEN_AGAIN_SECONDS = 1.0  # after a lost connection
GRACE_SECONDS = 0.5  # after its time limit, for the server to cancel a statement and report that
# For the bare driver, whose statements find rows by key. The server keeps a plan; one made while a table was small would scan it whole.
BY_KEY = {"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off", "enable_bitmapscan": "off", "jit": "off"}
FAILURES = (
    OSError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresError,
    sa.exc.TimeoutError,
    sa.exc.DBAPIError,
)
# Error codes of PostgreSQL
NOT_LET_IN = frozenset({"3D000", "28000", "28P01"})  # no such database, no such user, wrong password
GONE = frozenset({"57P01", "57P02", "57P03", "53300"})  # shut down, crashed, starting up, too many connections
CONTENDED = frozenset(
    {"40001", "40P01", "55P03", "57014"}
)  # serialization failure, deadlock, lock not available, statement timeout


class PostgresDatabase(Database):
    dialect = "postgresql"

    def __init__(self, url: sa.URL, statement_seconds: float | None, connections: int) -> None:
        server_settings = {"application_name": "ipt_workflow"}
        if statement_seconds:
            server_settings["statement_timeout"] = str(int(statement_seconds * 1000))
        options = {
            "timeout": CONNECT_SECONDS,
            "command_timeout": statement_seconds and statement_seconds + GRACE_SECONDS,
            "server_settings": server_settings,
        }
        asyncpg_url = url.set(drivername="postgresql+asyncpg")
        self._engine = create_async_engine(
            asyncpg_url,
            pool_size=connections,
            max_overflow=0,
            pool_timeout=CONNECT_SECONDS,
            pool_pre_ping=True,
            connect_args=options,
        )
        self._snapshot = self._engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        address = self._engine.dialect.create_connect_args(asyncpg_url)[1]
        by_key = {**address, **options, "server_settings": server_settings | BY_KEY}
        self._bare = Connections(lambda: asyncpg.connect(**by_key), connections)
        self._to_listen = {**address, **options}

    async def read(self, function: Callable[..., Result], *args: Any) -> Result:
        async with self._our_errors(), self._snapshot.connect() as connection, _invalidated(connection):
            return await connection.run_sync(function, *args)

    async def write(self, function: Callable[..., Result], *args: Any) -> Result:
        async with self._our_errors(), self._engine.begin() as connection, _invalidated(connection):
            return await connection.run_sync(function, *args)

    async def find(self, lookup: Lookup[Result], organisation: str, ids: Sequence[str]) -> dict[str, Result]:
        return lookup.found("postgresql", await self.fetch(lookup.sql, organisation, ids))

    async def fetch(self, sql: Mapping[str, str], *args: Any) -> Sequence[DriverRow]:
        try:
            return await self._fetch(sql["postgresql"], *args)
        except Unreachable:  # the server may have been restarted since the connection was opened
            return await self._fetch(sql["postgresql"], *args)

    async def put(self, units: Sequence[Unit], events: Sequence[LoggedEvent]) -> list[bool]:
        return await batches.write_postgres(self._fetch, units, events)

    async def listen(self, channel: str, heard: Callable[[str], None]) -> None:
        """Keeps a connection of its own, and opens another when it is lost."""
        while True:
            with suppress(*FAILURES):
                await self._listen(channel, heard)
            await asyncio.sleep(LISTEN_AGAIN_SECONDS)

    async def _listen(self, channel: str, heard: Callable[[str], None]) -> None:
        connection = await asyncpg.connect(**self._to_listen)
        lost = asyncio.Event()
        try:
            connection.add_termination_listener(lambda _connection: lost.set())
            await connection.add_listener(channel, lambda _connection, _pid, _channel, text: heard(text))
            await lost.wait()
        finally:
            connection.terminate()

    async def notify(self, channel: str, text: str) -> None:
        await self._fetch("SELECT pg_notify($1, $2)", channel, text)

    async def _fetch(self, sql: str, *args: Any) -> Sequence[DriverRow]:
        """Runs one statement as a transaction of its own."""
        try:
            return await self._bare.fetch(sql, *args)
        except FAILURES as error:
            await self._fail(error)

    @asynccontextmanager
    async def _our_errors(self) -> AsyncIterator[None]:
        """Raises the driver's errors as ours."""
        try:
            yield
        except FAILURES as error:
            await self._fail(error)

    async def _fail(self, error: Exception) -> NoReturn:
        """Raises Unreachable, DatabaseNotReady or Busy for a driver's error; the error itself if it is none of these.

        After a timeout the other connections are probably dead too, so all are replaced at once.
        """
        if isinstance(error, TimeoutError):
            await self._engine.dispose(close=False)
            self._bare.drop()
        meant = _meaning(error)
        if meant is None:
            raise error
        raise meant from error

    async def close(self) -> None:
        await self._bare.close()
        await self._engine.dispose()


@asynccontextmanager
async def _invalidated(connection: AsyncConnection) -> AsyncIterator[None]:
    """Discards the connection after a timeout: a late answer could be taken for that of the next statement."""
    try:
        yield
    except TimeoutError:
        await connection.invalidate()
        raise


def _meaning(error: Exception) -> IptError | None:
    """Unreachable if the server does not answer, DatabaseNotReady if it rejects the connection, Busy if it gave up; else None."""
    if isinstance(error, OSError | asyncpg.InterfaceError | asyncpg.InternalClientError):
        return Unreachable("The database server cannot be reached. Check that it runs, or try again later.")
    if isinstance(error, sa.exc.TimeoutError):
        return Busy("All connections to the database are in use. Try again.")
    if isinstance(error, asyncpg.PostgresError):
        return _meaning_of(error.sqlstate)
    if isinstance(error, sa.exc.DBAPIError):
        gone = Unreachable("The database server is not available now. Try again.") if error.connection_invalidated else None
        return _meaning_of(getattr(error.orig, "sqlstate", None)) or gone
    return None


def _meaning_of(code: str | None) -> IptError | None:
    """The same by PostgreSQL's error code."""
    if code in NOT_LET_IN:
        return DatabaseNotReady(
            "The database server rejected the connection: unknown database, unknown user or wrong password. Check IPT_DATABASE_URL."
        )
    if code in GONE or (code or "").startswith("08"):
        return Unreachable("The database server is not available now. Try again.")
    if code in CONTENDED:
        return Busy("The database is busy. Try again.")
    return None
