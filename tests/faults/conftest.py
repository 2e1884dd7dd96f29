"""Databases to damage, and the seeds. IPT_FAULT_SEEDS is their number (default 1), IPT_FAULT_FIRST the first (default 1)."""

import asyncio
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from faults.postgres import Server
from faults.service import Service, filled

SEEDS = int(os.environ.get("IPT_FAULT_SEEDS", "1"))
FIRST = int(os.environ.get("IPT_FAULT_FIRST", "1"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Allows a test the time that its seeds need."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.timeout(120 + 20 * SEEDS))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.write_line(f"fault seeds {FIRST} to {FIRST + SEEDS - 1}; one alone: IPT_FAULT_SEEDS=1 IPT_FAULT_FIRST=<seed>")


class Place:
    """A test's own database, the tokens in it, and a folder for its files."""

    def __init__(self, url: str, tokens: dict[str, str], folder: Path, server: Server | None = None) -> None:
        self.url = url
        self.tokens = tokens
        self.folder = folder
        self.server = server
        self.name = url.partition("@/")[2].partition("?")[0] if server else ""

    @property
    def file(self) -> Path:
        assert not self.server
        return Path(self.url.removeprefix("sqlite:///"))

    def service(self, url: str = "", name: str = "service", **settings: str) -> Service:
        """A service on this database, not started yet."""
        return Service(url or self.url, self.folder / f"{name}.log", **settings)

    async def rows(self, statement: str) -> list[tuple[object, ...]]:
        """The rows of a statement, from the database itself."""
        if self.server:
            return [tuple(row) for row in await self.server.run(statement, database=self.name)]
        with closing(sqlite3.connect(self.file, timeout=10)) as connection:
            return [tuple(row) for row in connection.execute(statement)]


@pytest.fixture(scope="session")
def seeds() -> range:
    return range(FIRST, FIRST + SEEDS)


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """One PostgreSQL server for each test process. Tests stop and start it; it runs between tests."""
    made = Server()
    yield made
    made.close()


@pytest.fixture(scope="session")
def filled_postgres(server: Server) -> dict[str, str]:
    return filled(asyncio.run(server.new_database(name="faults_filled")))


@pytest.fixture(scope="session")
def filled_sqlite(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    path = tmp_path_factory.mktemp("filled") / "ipt.db"
    return path, filled(f"sqlite:///{path}")


@pytest.fixture
def on_sqlite(filled_sqlite: tuple[Path, dict[str, str]], tmp_path: Path) -> Place:
    path, tokens = filled_sqlite
    shutil.copy(path, tmp_path / "ipt.db")
    return Place(f"sqlite:///{tmp_path}/ipt.db", tokens, tmp_path)


@pytest.fixture
def on_postgres(server: Server, filled_postgres: dict[str, str], tmp_path: Path) -> Place:
    return Place(asyncio.run(server.new_database("faults_filled")), filled_postgres, tmp_path, server)


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest) -> Place:
    """Runs a test on both databases."""
    found: Place = request.getfixturevalue("on_sqlite" if request.param == "sqlite" else "on_postgres")
    return found
