"""PostgreSQL: functions run on an asyncpg connection through SQLAlchemy; what every request needs is one statement each, on asyncpg
itself and without a transaction around it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from ipt_workflow.errors import Busy, DatabaseNotReady, IptError, Unreachable
from ipt_workflow.store import batches
from ipt_workflow.store.database import Database, Result
from ipt_workflow.store.questions import Question
from ipt_workflow.store.units import ConstraintViolated, Event, Unit

CONNECT_SECONDS = 5.0
GRACE_SECONDS = 0.5  # by which the server should have given a statement up, and said so
# What runs on the bare driver goes by key. A plan that was made while a table was small or empty would read it whole, and be kept.
BY_KEY = {"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off", "enable_bitmapscan": "off", "jit": "off"}
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
        by_key = {**options, "server_settings": told | BY_KEY}
        self._where = {**where, **by_key, "min_size": 0, "max_size": connections, "reset": _as_it_is}
        self._bare: asyncpg.Pool | None = None
        self._opening = asyncio.Lock()

    async def read(self, function: Callable[..., Result], *args: Any) -> Result:
        async with _reached(), self._fresh(), self._snapshot.connect() as connection, _kept(connection):
            return await connection.run_sync(function, *args)

    async def write(self, function: Callable[..., Result], *args: Any) -> Result:
        async with _reached(), self._fresh(), self._whole.begin() as connection, _kept(connection):
            return await connection.run_sync(function, *args)

    async def find(self, question: Question[Result], organisation: str, ids: Sequence[str]) -> dict[str, Result]:
        return question.answers("postgresql", await self.fetch(question.sql, organisation, ids))

    async def fetch(self, sql: Mapping[str, str], *args: Any) -> Sequence[Any]:
        try:
            return await self._fetch(sql["postgresql"], *args)
        except Unreachable:  # the pool may have held a connection to a server that was restarted since
            return await self._fetch(sql["postgresql"], *args)

    async def put(self, units: Sequence[Unit], events: Sequence[Event]) -> list[bool]:
        try:
            return await batches.write_postgres(self._fetch, units, events)
        except asyncpg.IntegrityConstraintViolationError as error:
            raise ConstraintViolated("A row of the batch broke a constraint.") from error

    async def _fetch(self, sql: str, *args: Any) -> Sequence[Any]:
        """Runs one statement, which is a transaction of its own."""
        async with _reached(), self._fresh():
            pool = self._bare or await self._opened()
            async with pool.acquire(timeout=CONNECT_SECONDS) as connection:
                try:
                    rows: Sequence[Any] = await connection.fetch(sql, *args)
                except TimeoutError:
                    connection.terminate()  # closing it would wait for an answer once more
                    raise
                return rows

    @asynccontextmanager
    async def _fresh(self) -> AsyncIterator[None]:
        """Where an answer does not come in time, the other connections are as dead: better new ones than to find out one by one."""
        try:
            yield
        except TimeoutError:
            await self._whole.dispose(close=False)
            if self._bare:
                await self._bare.expire_connections()
            raise

    async def _opened(self) -> asyncpg.Pool:
        async with self._opening:
            self._bare = self._bare or await asyncpg.create_pool(**self._where)
        return self._bare

    async def close(self) -> None:
        if self._bare:
            await self._bare.close()
        await self._whole.dispose()


async def _as_it_is(_connection: object) -> None:
    """A connection goes back to the pool as it is: single statements leave nothing behind that would have to be reset."""


@asynccontextmanager
async def _kept(connection: AsyncConnection) -> AsyncIterator[None]:
    """Throws the connection away where an answer did not come in time: nobody knows what it will say next."""
    try:
        yield
    except TimeoutError:
        await connection.invalidate()
        raise


@asynccontextmanager
async def _reached() -> AsyncIterator[None]:
    """Raises Unreachable where the server does not answer, DatabaseNotReady where it does not let us in, Busy where it gave up."""
    try:
        yield
    except (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        raise Unreachable("The database server cannot be reached.") from error
    except sa.exc.TimeoutError as error:
        raise Busy("Every connection to the database is taken. Try again.") from error
    except asyncpg.PostgresError as error:
        raise _meaning(error.sqlstate) or error from error
    except sa.exc.DBAPIError as error:
        gone = Unreachable("The database server has gone away.") if error.connection_invalidated else None
        raise _meaning(getattr(error.orig, "sqlstate", None)) or gone or error from error


def _meaning(code: str | None) -> IptError | None:
    """What one of PostgreSQL's codes means to us, if anything."""
    if code in NOT_LET_IN:
        return DatabaseNotReady("The database server has no such database or user, or another password.")
    if code in GONE or (code or "").startswith("08"):
        return Unreachable("The database server has gone away.")
    if code in CONTENDED:
        return Busy("The database is contended. Try again.")
    return None
