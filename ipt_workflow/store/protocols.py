"""Protocol definitions as they were when they were first used."""

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from ipt_workflow.store.schema import tables
from ipt_workflow.store.schema.tables import ProtocolRow


def stored_protocols(connection: sa.Connection, organisation: str) -> list[ProtocolRow]:
    table = tables.protocol
    rows = connection.execute(sa.select(table).where(table.c.organisation == organisation))
    return [ProtocolRow(**row._mapping) for row in rows]  # noqa: SLF001 - SQLAlchemy's public name for a row's columns


def keep_protocols(connection: sa.Connection, rows: Iterable[dict[str, Any]]) -> None:
    """Keeps the definitions that are not kept yet."""
    table = tables.protocol
    for row in rows:
        key = [table.c[name] == row[name] for name in ("organisation", "id", "version")]
        if not connection.execute(sa.select(table.c.digest).where(*key)).first():
            connection.execute(sa.insert(table), row)
