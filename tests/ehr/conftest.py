"""Both databases, each with its tables, and nothing in them."""

from pathlib import Path

import databases
import pytest


@pytest.fixture
def postgres_url(postgres: str) -> str:
    """An empty PostgreSQL database, without tables."""
    return databases.create(postgres)


@pytest.fixture
def database_url(server: str | None, tmp_path: Path) -> str:
    """A migrated database of the test's own: each test runs on both."""
    return databases.empty(tmp_path, server).database_url
