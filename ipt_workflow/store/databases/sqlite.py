"""SQLite: functions run in threads, several readers and one writer.

The writer begins IMMEDIATE; otherwise two writers could read the same head and fork a chain. Such a reader would block everybody, so
readers are deferred and `query_only`. The event loop itself reads rows by key, because handing that to a thread takes several times as
long as the read. The loop also writes the rows of a batch, because a thread would wait for its turn after every statement. Only the slow
steps go to the writer's thread: the commit, and waiting for another process.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa

from ipt_workflow.errors import Busy, DatabaseNotReady, IptError
from ipt_workflow.store.commits import batches
from ipt_workflow.store.database import Database, Result
from ipt_workflow.store.lookups import DriverRow, Lookup
from ipt_workflow.store.units import LoggedEvent, Unit

# The WAL may grow to 10 000 pages (40 MB). Copying it back after 1000 pages, the default, cost a fifth of the throughput.
PRAGMAS = ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "wal_autocheckpoint = 10000")
READERS = 4
BUSY_SECONDS = 10.0
FIND_SECONDS = 0.25  # readers only ever wait while the file is being recovered


class SqliteDatabase(Database):
    dialect = "sqlite"

    def __init__(self, url: sa.URL) -> None:
        self._file = url.database or ""
        try:
            Path(self._file).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DatabaseNotReady(
                f"The folder of the database cannot be created: {error.strerror}. Check IPT_DATABASE_URL."
            ) from error
        self._writer = _engine(url, writes=True)
        self._reader = _engine(url, writes=False)
        self._write_lane = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ipt-write")
        self._read_lanes = ThreadPoolExecutor(max_workers=READERS, thread_name_prefix="ipt-read")
        self._writing = asyncio.Lock()
        self._finding: sqlite3.Connection | None = None
        self._putting: sqlite3.Connection | None = None

    async def read(self, function: Callable[..., Result], *args: Any) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._read_lanes, _run, self._reader, function, args)

    async def write(self, function: Callable[..., Result], *args: Any) -> Result:
        async with self._writing:
            return await self._in_write_lane(_run, self._writer, function, args)

    async def find(self, lookup: Lookup[Result], organisation: str, ids: Sequence[str]) -> dict[str, Result]:
        with _our_errors():
            self._finding = self._finding or _connect(self._file, FIND_SECONDS, writes=False)
            parameters = (organisation, msgspec.json.encode(ids).decode())
            rows = self._finding.execute(lookup.sql["sqlite"], parameters).fetchall()
        return lookup.found("sqlite", rows)

    async def fetch(self, sql: Mapping[str, str], *args: Any) -> Sequence[DriverRow]:
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
        return won

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


@contextmanager
def _our_errors() -> Iterator[None]:
    """Raises Busy if another process writes for too long, DatabaseNotReady if the file cannot be read or written."""
    try:
        yield
    except sqlite3.Error as error:
        raise _meaning(str(error)) or error from error
    except sa.exc.DatabaseError as error:
        raise _meaning(str(error.orig)) or error from error


def _meaning(message: str) -> IptError | None:
    """Our error for a message of SQLite; None if we have none for it."""
    if "database is locked" in message:
        return Busy("Another process is writing to the database. Try again.")
    if "unable to open" in message:
        return DatabaseNotReady("The database cannot be opened. Check that the service may read and write its file and folder.")
    if "disk is full" in message or "disk I/O error" in message:
        return DatabaseNotReady("The database cannot be written: the disk is full or failing. Free some space or check the disk.")
    if "readonly" in message:
        return DatabaseNotReady("The database file can only be read. Let the service write to its file and folder.")
    if "malformed" in message:
        return DatabaseNotReady("The database file is damaged. Stop the service and restore a backup.")
    if "not a database" in message:
        return DatabaseNotReady("The database cannot be opened: the file is not a SQLite database. Check IPT_DATABASE_URL.")
    return None


def _connect(file: str, patience: float, *, writes: bool) -> sqlite3.Connection:
    """A connection of the bare driver, used by one thread at a time."""
    connection = sqlite3.connect(file, timeout=patience, check_same_thread=False)
    _set_up(connection, writes=writes)
    return connection


def _set_up(connection: sqlite3.Connection, *, writes: bool) -> None:
    connection.isolation_level = None  # the driver begins no transaction on its own
    connection.text_factory = _text
    for pragma in (*PRAGMAS, f"query_only = {'OFF' if writes else 'ON'}"):
        connection.execute(f"PRAGMA {pragma}")


def _engine(url: sa.URL, *, writes: bool) -> sa.Engine:
    engine = sa.create_engine(url, pool_size=READERS, connect_args={"timeout": BUSY_SECONDS})

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
