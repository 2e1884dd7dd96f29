"""Sources and their keys. Plain statements."""

import datetime as dt
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from ipt_workflow.store.schema import tables
from ipt_workflow.store.schema.tables import SourceKeyRow, SourceRow

source, key = tables.source, tables.source_key


def add(connection: sa.Connection, row: dict[str, Any], keys: Sequence[dict[str, Any]]) -> bool:
    """Adds a source; False where its name is taken."""
    taken = connection.execute(
        sa.select(source.c.id).where(source.c.organisation == row["organisation"], source.c.id == row["id"])
    ).first()
    if taken:
        return False
    connection.execute(sa.insert(source), row)
    connection.execute(sa.insert(key), list(keys))
    return True


def find(connection: sa.Connection, organisation: str, source_id: str) -> SourceRow | None:
    row = connection.execute(sa.select(source).where(source.c.organisation == organisation, source.c.id == source_id)).first()
    return SourceRow(**row._mapping) if row else None  # noqa: SLF001 - SQLAlchemy's public name for a row's columns


def every(connection: sa.Connection, organisation: str) -> list[SourceRow]:
    rows = connection.execute(sa.select(source).where(source.c.organisation == organisation).order_by(source.c.id))
    return [SourceRow(**row._mapping) for row in rows]  # noqa: SLF001


def keys(connection: sa.Connection, organisation: str, source_id: str, now: dt.datetime) -> list[SourceKeyRow]:
    """The keys of a source that have not expired, oldest first."""
    statement = sa.select(key).where(
        key.c.organisation == organisation, key.c.source_id == source_id, sa.or_(key.c.expires_at.is_(None), key.c.expires_at > now)
    )
    rows = connection.execute(statement.order_by(key.c.created_at, key.c.id))
    return [SourceKeyRow(**row._mapping) for row in rows]  # noqa: SLF001


def rotate(connection: sa.Connection, organisation: str, source_id: str, new: dict[str, Any], until: dt.datetime) -> None:
    """Puts a key beside the others of its kind, which end at `until`; what has expired is removed."""
    theirs = (key.c.organisation == organisation, key.c.source_id == source_id)
    connection.execute(sa.delete(key).where(*theirs, key.c.expires_at <= new["created_at"]))
    ending = sa.update(key).where(*theirs, key.c.kind == new["kind"], sa.or_(key.c.expires_at.is_(None), key.c.expires_at > until))
    connection.execute(ending.values(expires_at=until))
    connection.execute(sa.insert(key), new)


def change(connection: sa.Connection, organisation: str, source_id: str, values: dict[str, Any]) -> bool:
    where = (source.c.organisation == organisation, source.c.id == source_id)
    return connection.execute(sa.update(source).where(*where).values(values)).rowcount == 1
