"""Protocol definitions as they were when a clinic first used them."""

import datetime as dt
from collections.abc import Iterable

import msgspec
import sqlalchemy as sa

from ipt_workflow.store import structs
from ipt_workflow.store.schema.tables import protocol as table
from ipt_workflow.store.upserts import insert_or


class StoredProtocol(msgspec.Struct, frozen=True, kw_only=True):
    """A protocol's definition as JSON, with the digest of its file."""

    id: str
    version: int
    digest: str
    definition: bytes
    loaded_at: dt.datetime


def every(connection: sa.Connection, organisation: str) -> list[StoredProtocol]:
    statement = sa.select(*structs.columns(table, StoredProtocol)).where(table.c.organisation == organisation)
    return structs.read_all(connection, statement, StoredProtocol)


def definitions(connection: sa.Connection) -> list[bytes]:
    """Every definition that any organisation has used."""
    return list(connection.execute(sa.select(table.c.definition).distinct()).scalars())


def keep(connection: sa.Connection, organisation: str, definitions: Iterable[StoredProtocol]) -> list[StoredProtocol]:
    """Stores the definitions that are not stored yet, and returns every one that is: another process may store the same ones."""
    insert = insert_or(connection, table).on_conflict_do_nothing()
    for definition in definitions:
        connection.execute(insert, structs.row_of(organisation, definition))
    return every(connection, organisation)
