"""PostgreSQL. `read` and `write` run functions through SQLAlchemy on asyncpg.

`find`, `fetch` and `put` run one statement each on asyncpg itself, without a transaction around it.

Every connection is bound to organisations before it is used (`bindings.py`).
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, NoReturn

import asyncpg
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from ipt_workflow.access.client_keys import KeyRing
from ipt_workflow.errors import Busy, DatabaseNotReady, Unreachable
from ipt_workflow.runtime.database_urls import DatabaseUrl
from ipt_workflow.store import client_keys
from ipt_workflow.store.commits import batches
from ipt_workflow.store.database import Database, Result
from ipt_workflow.store.databases import pooler
from ipt_workflow.store.databases.bindings import Bindings
from ipt_workflow.store.databases.connections import Connections
from ipt_workflow.store.databases.meanings import AWAY, Meaning, of_sqlstate
from ipt_workflow.store.databases.postgres_address import PostgresAddress
from ipt_workflow.store.lookups import DriverRow, Lookup, of_organisation
from ipt_workflow.store.probe import PROBE
from ipt_workflow.store.units import LoggedEvent, Unit

POOL_SECONDS = 5.0  # to wait for a free connection
LISTEN_AGAIN_SECONDS = 1.0  # after a lost connection
GRACE_SECONDS = 0.5  # after its time limit, for the server to cancel a statement and report that
# How long to wait for a row that another transaction holds. A batch waits less, because every course waits with it.
LOCK_SECONDS = 1.0
BATCH_LOCK_SECONDS = 0.25
IDLE_SECONDS = (
    60.0  # in the middle of a transaction: then the server ends it, since a process that hangs would hold its rows for ever
)
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


class PostgresDatabase(Database):
    dialect = "postgresql"
    records_apart = True

    def __init__(self, url: DatabaseUrl, statement_seconds: float | None, connections: int, keys: KeyRing | None = None) -> None:
        limits, for_batches = {}, {}
        if statement_seconds:
            limits = {
                "statement_timeout": _milliseconds(statement_seconds),
                "lock_timeout": _milliseconds(LOCK_SECONDS),
                "idle_in_transaction_session_timeout": _milliseconds(IDLE_SECONDS),
            }
            for_batches = {"lock_timeout": _milliseconds(BATCH_LOCK_SECONDS)}
        self._address = PostgresAddress(url, statement_seconds and statement_seconds + GRACE_SECONDS, limits)
        self._engine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=self._address.connect,
            pool_size=connections,
            max_overflow=0,
            pool_timeout=POOL_SECONDS,
            pool_pre_ping=True,
            execution_options={client_keys.RING: keys},
        )
        self._snapshot = self._engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self._bindings = Bindings()
        self._bare = Connections(lambda: self._address.connect(**BY_KEY, **for_batches), connections, self._bindings)

    async def read(self, function: Callable[..., Result], *args: Any, organisations: Collection[str] = ()) -> Result:
        async with self._our_errors(), self._snapshot.connect() as connection, _invalidated(connection):
            await self._bind(connection, organisations)
            return await connection.run_sync(function, *args)

    async def write(self, function: Callable[..., Result], *args: Any, organisations: Collection[str] = ()) -> Result:
        async with self._our_errors(), self._engine.begin() as connection, _invalidated(connection):
            await self._bind(connection, organisations)
            return await connection.run_sync(function, *args)

    async def _bind(self, connection: AsyncConnection, organisations: Collection[str]) -> None:
        """Binds a connection to its organisations before its transaction begins, with the first statement: a rollback would undo that."""
        bare = (await connection.get_raw_connection()).driver_connection
        try:
            await self._bindings.bind(bare, organisations)
        except BaseException:
            await connection.invalidate()
            raise

    async def find(self, lookup: Lookup[Result], organisation: str | None, ids: Sequence[str]) -> dict[str, Result]:
        """A lookup without an organisation is a function's, which sees the same whatever its connection is bound to."""
        ours = of_organisation(organisation)
        return lookup.found("postgresql", await self._fetch_twice(ours or None, lookup.sql, *ours, ids))

    async def find_each(
        self, lookup: Lookup[Result], wanted: Mapping[str | None, Sequence[str]]
    ) -> dict[str | None, dict[str, Result]]:
        if len(wanted) < 2:
            return await super().find_each(lookup, wanted)
        pairs = [(organisation, row_id) for organisation, ids in wanted.items() for row_id in ids]
        organisations, row_ids = zip(*pairs, strict=True)
        rows = await self.fetch(lookup.sql_of_pairs, organisations, row_ids, organisations=set(organisations))
        found = lookup.found_each(rows)
        return {organisation: found.get(organisation, {}) for organisation in wanted}

    async def fetch(self, sql: Mapping[str, str], *args: Any, organisations: Collection[str] = ()) -> Sequence[DriverRow]:
        return await self._fetch_twice(organisations, sql, *args)

    async def _fetch_twice(self, organisations: Collection[str] | None, sql: Mapping[str, str], *args: Any) -> Sequence[DriverRow]:
        try:
            return await self._fetch(organisations, sql["postgresql"], *args)
        except Unreachable:  # the server may have been restarted since the connection was opened
            return await self._fetch(organisations, sql["postgresql"], *args)

    async def put(self, units: Sequence[Unit], events: Sequence[LoggedEvent]) -> list[bool]:
        return await batches.write_postgres(self._fetch, units, events)

    async def require_sessions(self) -> None:
        async with self._our_errors():
            await pooler.require_sessions(self._address.connect_plainly)

    async def listen(self, channel: str, heard: Callable[[str], None]) -> None:
        """Keeps a connection of its own, and opens another when it is lost."""
        while True:
            with suppress(*FAILURES):
                await self._listen(channel, heard)
            await asyncio.sleep(LISTEN_AGAIN_SECONDS)

    async def _listen(self, channel: str, heard: Callable[[str], None]) -> None:
        connection = await self._address.connect()
        lost = asyncio.Event()
        try:
            connection.add_termination_listener(lambda _connection: lost.set())
            await connection.add_listener(channel, lambda _connection, _pid, _channel, text: heard(text))
            await lost.wait()
        finally:
            connection.terminate()

    async def notify(self, channel: str, text: str) -> None:
        await self._fetch(None, "SELECT pg_notify($1, $2)", channel, text)

    async def _fetch(self, organisations: Collection[str] | None, sql: str, *args: Any) -> Sequence[DriverRow]:
        """Runs one statement as a transaction of its own."""
        try:
            return await self._bare.fetch(organisations, sql, *args)
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

        After a timeout the other connections are probably dead too, so all are replaced at once. So they are if another server may do
        what this one does not.
        """
        meant = _meaning(error)
        if isinstance(error, TimeoutError):
            await self._engine.dispose(close=False)
            self._bare.drop()
        elif meant and meant.elsewhere:
            await self._engine.dispose()
            self._bare.drop()
        if meant is None:
            raise error
        raise meant.raised() from error

    async def probe(self, organisation: str) -> None:
        await self._fetch((organisation,), PROBE["postgresql"], organisation)

    async def close(self) -> None:
        await self._bare.close()
        await self._engine.dispose()


@asynccontextmanager
async def _invalidated(connection: AsyncConnection) -> AsyncIterator[None]:
    """Discards the connection after a timeout: a late answer could be taken for that of the next statement.

    So it does if the driver has lost count of what it sent, as when the server ends a connection in the middle of something.
    """
    try:
        yield
    except (TimeoutError, sa.exc.InternalError):
        await connection.invalidate()
        raise


def _milliseconds(seconds: float) -> str:
    return str(int(seconds * 1000))


UNREACHABLE = Meaning(Unreachable, "The database server cannot be reached. Check that it runs, or try again later.")
UNTRUSTED = Meaning(
    DatabaseNotReady,
    "The database server's certificate is not trusted. Check sslrootcert in IPT_DATABASE_URL, and that the host is the certificate's.",
)
NO_TLS = Meaning(
    DatabaseNotReady, "The database server does not offer TLS, and sslmode asks for it. Turn TLS on there, or check the host."
)
OTHER_SESSION = Meaning(
    Unreachable, "No database server in IPT_DATABASE_URL is what target_session_attrs asks for. Try again.", elsewhere=True
)
NO_CONNECTION = Meaning(Busy, "All connections to the database are in use. Try again.")


def _meaning(error: Exception) -> Meaning | None:
    """What a driver's error means for the caller; None if it is an error of the statement or its values."""
    if isinstance(error, sa.exc.TimeoutError):
        return NO_CONNECTION
    if "row-level security" in str(error):
        return None  # a row of an organisation that the connection is not bound to: no grant would help
    if isinstance(error, sa.exc.DBAPIError):
        known = of_sqlstate(getattr(error.orig, "sqlstate", None))
        lost = error.connection_invalidated or isinstance(error.driver_exception, asyncpg.InternalClientError)
        return known or (AWAY if lost else None)
    if isinstance(error, asyncpg.PostgresError):
        return of_sqlstate(error.sqlstate)
    if isinstance(error, asyncpg.DataError | sa.exc.SQLAlchemyError):
        return None
    if isinstance(error, asyncpg.TargetServerAttributeNotMatched):
        return OTHER_SESSION
    return _of_connecting(error)


def _of_connecting(error: Exception) -> Meaning:
    if isinstance(error, ssl.SSLCertVerificationError):
        return UNTRUSTED
    if isinstance(error, ConnectionError) and "rejected SSL upgrade" in str(error):
        return NO_TLS
    return UNREACHABLE
