"""SQLite: functions run in threads, several readers and one writer.

The writer begins IMMEDIATE; otherwise two writers could read the same head and fork a chain. Such a reader would block everybody, so
readers are deferred and `query_only`. The event loop itself reads rows by key, because handing that to a thread takes several times as
long as the read. The loop also writes the rows of a batch, because a thread would wait for its turn after every statement. Only the slow
steps go to the writer's thread: the commit, and waiting for another process.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import msgspec
import sqlalchemy as sa

from ipt_workflow.access.client_keys import KeyRing
from ipt_workflow.errors import IptError
from ipt_workflow.store import client_keys
from ipt_workflow.store.commits import batches
from ipt_workflow.store.database import Database, Result
from ipt_workflow.store.databases.meanings import of_sqlite
from ipt_workflow.store.databases.sqlite_file import DatabaseFile
from ipt_workflow.store.lookups import DriverRow, Lookup, of_organisation
from ipt_workflow.store.probe import PROBE
from ipt_workflow.store.units import LoggedEvent, Unit

# The WAL may grow to 10 000 pages (40 MB). Copying it back after 1000 pages, the default, cost a fifth of the throughput.
PRAGMAS = ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "wal_autocheckpoint = 10000")
FOR_READERS = ("query_only = ON",)  # of a file that can only be read, the journal's mode cannot be set
READERS = 4
BUSY_SECONDS = 10.0
FIND_SECONDS = 0.25  # readers only ever wait while the file is being recovered


class SqliteDatabase(Database):
    dialect = "sqlite"
    records_apart = False  # all writers take turns

    def __init__(self, path: str, mode: str, keys: KeyRing | None = None) -> None:
        self._file = DatabaseFile(path, mode)
        self._writer = _engine(self._file, keys, writes=True)
        self._reader = _engine(self._file, keys, writes=False)
        self._write_lane = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ipt-write")
        self._read_lanes = ThreadPoolExecutor(max_workers=READERS, thread_name_prefix="ipt-read")
        self._writing = asyncio.Lock()
        self._finding: sqlite3.Connection | None = None
        self._putting: sqlite3.Connection | None = None

    async def read(self, function: Callable[..., Result], *args: Any, organisations: Collection[str] = ()) -> Result:  # noqa: ARG002 - a file has no row security
        lanes = self._read_lanes
        found: Result = await asyncio.get_running_loop().run_in_executor(lanes, _run, self._reader, function, args)
        self._file.check_read()
        return found

    async def write(self, function: Callable[..., Result], *args: Any, organisations: Collection[str] = ()) -> Result:  # noqa: ARG002
        async with self._writing:
            written: Result = await self._in_write_lane(_run, self._writer, function, args)
        self._file.check()
        return written

    async def find(self, lookup: Lookup[Result], organisation: str | None, ids: Sequence[str]) -> dict[str, Result]:
        with _our_errors():
            self._finding = self._finding or _connect(self._file, FIND_SECONDS, writes=False)
            parameters = (*of_organisation(organisation), msgspec.json.encode(ids).decode())
            rows = self._finding.execute(lookup.sql["sqlite"], parameters).fetchall()
        self._file.check_read()
        return lookup.found("sqlite", rows)

    async def fetch(self, sql: Mapping[str, str], *args: Any, organisations: Collection[str] = ()) -> Sequence[DriverRow]:  # noqa: ARG002
        return await self.read(_fetch, sql["sqlite"], args)

    async def put(self, units: Sequence[Unit], events: Sequence[LoggedEvent]) -> list[bool]:
        async with self._writing:
            with _our_errors():
                self._putting = self._putting or _connect(self._file, 0, writes=True)
                try:
                    await self._begin(self._putting)
                    won = batches.write_sqlite(self._putting, units, events)
                    await self._in_write_lane(self._putting.commit)
                finally:
                    self._putting.rollback()  # no effect if it was committed
        self._file.check_commit()
        return won

    async def probe(self, organisation: str) -> None:
        await self.write(_probe, organisation)

    async def _begin(self, connection: sqlite3.Connection) -> None:
        """Takes the write lock. If another process holds it, waits for it in the writer's thread."""
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            await self._in_write_lane(_begin_patiently, connection)

    async def _in_write_lane(self, function: Callable[..., Result], *args: Any) -> Result:
        """Runs a function in the writer's thread. A cancelled caller still waits for it, so that the next writer does not meet it."""
        running = asyncio.get_running_loop().run_in_executor(self._write_lane, function, *args)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            while not running.done():
                with suppress(asyncio.CancelledError):
                    await asyncio.wait([running])
            running.exception()  # marks it as seen: the caller was cancelled
            raise

    async def close(self) -> None:
        async with self._writing:
            self._write_lane.shutdown()
        self._read_lanes.shutdown()
        self._writer.dispose()
        self._reader.dispose()
        for bare in (self._finding, self._putting):
            if bare:
                bare.close()


def _run(engine: sa.Engine, function: Callable[..., Result], args: tuple[Any, ...]) -> Result:
    with _our_errors(), engine.begin() as connection:
        return function(connection, *args)


def _begin_patiently(connection: sqlite3.Connection) -> None:
    """Takes the write lock, and waits while another process holds it."""
    connection.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000:.0f}")
    try:
        connection.execute("BEGIN IMMEDIATE")
    finally:
        connection.execute("PRAGMA busy_timeout = 0")


def _fetch(connection: sa.Connection, sql: str, args: tuple[Any, ...]) -> Sequence[DriverRow]:
    cursor: Any = connection.exec_driver_sql(sql, args).cursor
    rows: Sequence[DriverRow] = cursor.fetchall()
    return rows


def _probe(connection: sa.Connection, organisation: str) -> None:
    connection.exec_driver_sql(PROBE["sqlite"], (organisation,))


@contextmanager
def _our_errors() -> Iterator[None]:
    """Raises the driver's errors as ours: Busy, DatabaseNotReady or ReadOnly."""
    try:
        yield
    except sqlite3.Error as error:
        raise _ours(error) or error from error
    except sa.exc.DatabaseError as error:
        raise _ours(error.orig) or error from error


def _ours(error: BaseException | None) -> IptError | None:
    """Our error for one of SQLite; None if we have none for it."""
    meant = of_sqlite(getattr(error, "sqlite_errorcode", None), str(error))
    return meant.raised() if meant else None


def _connect(file: DatabaseFile, patience: float, *, writes: bool) -> sqlite3.Connection:
    """A connection of the bare driver, used by one thread at a time."""
    connection = file.connect(patience)
    try:
        _set_up(connection, writes=writes)
    except BaseException:
        connection.close()
        raise
    return connection


def _set_up(connection: sqlite3.Connection, *, writes: bool) -> None:
    connection.isolation_level = None  # the driver begins no transaction on its own
    connection.text_factory = _text
    for pragma in PRAGMAS if writes else FOR_READERS:
        connection.execute(f"PRAGMA {pragma}")


def _engine(file: DatabaseFile, keys: KeyRing | None, *, writes: bool) -> sa.Engine:
    engine = sa.create_engine(
        "sqlite://",
        creator=lambda: file.connect(BUSY_SECONDS),
        poolclass=sa.QueuePool,
        pool_size=READERS,
        execution_options={client_keys.RING: keys},
    )

    @sa.event.listens_for(engine, "connect")
    def set_up(connection: Any, _record: Any) -> None:
        _set_up(connection, writes=writes)

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _text(stored: bytes) -> str:
    """Decodes stored text. Damaged text is escaped rather than refused, so that `audit verify` can find and report it."""
    return stored.decode("utf-8", errors="backslashreplace")
