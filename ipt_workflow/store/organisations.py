"""Organisations: created, changed, and read by their ids."""

import datetime as dt

import msgspec
import sqlalchemy as sa

from ipt_workflow.store import structs
from ipt_workflow.store.schema.tables import organisation as table
from ipt_workflow.store.upserts import insert_or


class StoredOrganisation(msgspec.Struct, frozen=True, kw_only=True):
    """A clinic. Without a `zone` its days are those of the setting `time_zone`. `version` grows with each change."""

    id: str
    title: str
    zone: str | None
    status: str
    settings: bytes
    version: int
    created_at: dt.datetime


def insert(connection: sa.Connection, new: StoredOrganisation) -> bool:
    """Inserts an organisation. Returns False if there is one with its id."""
    statement = insert_or(connection, table).on_conflict_do_nothing()
    return connection.execute(statement, msgspec.structs.asdict(new)).rowcount == 1


def find(connection: sa.Connection, organisation: str) -> StoredOrganisation | None:
    return structs.read_first(connection, _all().where(table.c.id == organisation), StoredOrganisation)


def every(connection: sa.Connection) -> list[StoredOrganisation]:
    return structs.read_all(connection, _all().order_by(table.c.id), StoredOrganisation)


def change(connection: sa.Connection, changed: StoredOrganisation) -> bool:
    """Writes an organisation that has the version after the stored one. Returns False if somebody else changed it meanwhile."""
    values = msgspec.structs.asdict(changed)
    statement = sa.update(table).where(table.c.id == changed.id, table.c.version == changed.version - 1)
    return connection.execute(statement.values(values)).rowcount == 1


def _all() -> sa.Select[tuple[object, ...]]:
    return sa.select(*structs.columns(table, StoredOrganisation))
