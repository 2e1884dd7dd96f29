"""Opening the database, and running functions on its connections.

The rest of the store is plain functions of a connection. `read` and `write` run one of them in a transaction of its own: on SQLite
in a thread (many readers, one writer), on PostgreSQL on an asyncpg connection. `find` and `put` are what every request needs, many at
once: on PostgreSQL one statement each, on the bare driver and without a transaction around it.

SQLite: two engines. The writer begins IMMEDIATE, or two writers could read the same head and fork a chain; a reader that began so
would block everybody, so readers are `query_only` and deferred.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from ipt_workflow.errors import Busy, DatabaseNotReady, IptError, Unreachable
from ipt_workflow.store import batches
from ipt_workflow.store.questions import Question
from ipt_workflow.store.units import ConstraintViolated, Event, Unit

Result = TypeVar("Result")
READERS = 4
BUSY_TIMEOUT_MS = 10_000
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


class Database:
    """One database. `close` it when done."""

    dialect: str

    async def read(self, function: Callable[..., Result], *args: Any) -> Result:
        """Runs `function(connection, *args)` on one snapshot of the database."""
        raise NotImplementedError

    async def write(self, function: Callable[..., Result], *args: Any) -> Result:
        """Runs `function(connection, *args)` and commits, or rolls back and raises what it raised."""
        raise NotImplementedError

    async def find(self, question: Question[Result], organisation: str, ids: Sequence[str]) -> dict[str, Result]:
        """What is stored under these ids."""
        raise NotImplementedError

    async def put(self, units: Sequence[Unit], events: Sequence[Event]) -> list[bool]:
        """Commits plain units of different courses, and events; which of the units won. Raises ConstraintViolated."""
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError


def open_database(url: str, *, statement_seconds: float | None = None, connections: int = 4) -> Database:
    """A database by its URL: `sqlite:///path` or `postgresql://…`. A statement on PostgreSQL may take so many seconds."""
    parsed = sa.make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return SqliteDatabase(parsed)
    return PostgresDatabase(parsed, statement_seconds, connections)


class SqliteDatabase(Database):
    dialect = "sqlite"

    def __init__(self, url: sa.URL) -> None:
        if url.database and url.database != ":memory:":
            try:
                Path(url.database).parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise DatabaseNotReady(f"The folder of the database cannot be made: {error.strerror}.") from error
        self._writer = _sqlite_engine(url, writes=True)
        self._reader = _sqlite_engine(url, writes=False)
        self._write_lane = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ipt-write")
        self._read_lanes = ThreadPoolExecutor(max_workers=READERS, thread_name_prefix="ipt-read")

    async def read(self, function: Callable[..., Result], *args: Any) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._read_lanes, _run, self._reader, function, args)

    async def write(self, function: Callable[..., Result], *args: Any) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._write_lane, _run, self._writer, function, args)

    async def find(self, question: Question[Result], organisation: str, ids: Sequence[str]) -> dict[str, Result]:
        rows = await self.read(_find_sqlite, question.sql["sqlite"], organisation, msgspec.json.encode(ids).decode())
        return question.answers("sqlite", rows)

    async def put(self, units: Sequence[Unit], events: Sequence[Event]) -> list[bool]:
        try:
            return await self.write(batches.write_sqlite, units, events)
        except sa.exc.IntegrityError as error:
            raise ConstraintViolated("A row of the batch broke a constraint.") from error

    async def close(self) -> None:
        self._write_lane.shutdown()
        self._read_lanes.shutdown()
        self._writer.dispose()
        self._reader.dispose()


def _run(engine: sa.Engine, function: Callable[..., Result], args: tuple[Any, ...]) -> Result:
    try:
        with engine.begin() as connection:
            return function(connection, *args)
    except sa.exc.OperationalError as error:
        if "database is locked" in str(error.orig):
            raise Busy("Another process is writing to the database. Try again.") from error
        if "unable to open" in str(error.orig):
            raise DatabaseNotReady("The database cannot be opened: its folder or file may not be read and written.") from error
        if "disk is full" in str(error.orig) or "disk I/O error" in str(error.orig):
            raise DatabaseNotReady("The database cannot be written: the disk is full or failing.") from error
        raise
    except sa.exc.DatabaseError as error:
        if "not a database" in str(error.orig):
            raise DatabaseNotReady("The database cannot be opened: the file is no SQLite database.") from error
        raise


def _find_sqlite(connection: sa.Connection, sql: str, organisation: str, ids: str) -> list[Any]:
    return list(connection.exec_driver_sql(sql, (organisation, ids)).cursor.fetchall())


def _sqlite_engine(url: sa.URL, *, writes: bool) -> sa.Engine:
    engine = sa.create_engine(url, pool_size=READERS, connect_args={"timeout": BUSY_TIMEOUT_MS / 1000})

    @sa.event.listens_for(engine, "connect")
    def set_up(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver begins nothing on its own; `begin` below does
        connection.text_factory = _text
        for pragma in (
            f"busy_timeout = {BUSY_TIMEOUT_MS}",
            "journal_mode = WAL",
            "synchronous = FULL",
            "foreign_keys = ON",
            f"query_only = {'OFF' if writes else 'ON'}",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _text(stored: bytes) -> str:
    """Text that was damaged in the file is told as it is; reading it must not fail, or it could not be found."""
    return stored.decode("utf-8", errors="backslashreplace")


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
        sql = question.sql["postgresql"]
        try:
            rows = await self._fetch(sql, organisation, ids)
        except Unreachable:  # the pool may have held a connection to a server that was restarted since
            rows = await self._fetch(sql, organisation, ids)
        return question.answers("postgresql", rows)

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
