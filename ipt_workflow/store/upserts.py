"""Inserts that may find their row there. Each database has its own."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

DIALECTS: dict[str, Any] = {"sqlite": sqlite, "postgresql": postgresql}


def insert_or(connection: sa.Connection, table: sa.Table) -> Any:
    """An insert with `on_conflict_do_nothing` and `on_conflict_do_update`."""
    return DIALECTS[connection.dialect.name].insert(table)
