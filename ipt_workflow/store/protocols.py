"""Protocol definitions as they were when a clinic first used them."""

import datetime as dt
from collections.abc import Iterable

import msgspec
import sqlalchemy as sa

from ipt_workflow.store.schema import tables


class StoredProtocol(msgspec.Struct, frozen=True, kw_only=True):
    """A definition as JSON, with the digest of its file."""

    id: str
    version: int
    digest: str
    definition: bytes
    loaded_at: dt.datetime


def every(connection: sa.Connection, organisation: str) -> list[StoredProtocol]:
    table = tables.protocol
    columns = [table.c[name] for name in StoredProtocol.__struct_fields__]
    rows = connection.execute(sa.select(*columns).where(table.c.organisation == organisation))
    return [StoredProtocol(**row._mapping) for row in rows]  # noqa: SLF001 - SQLAlchemy's public name for a row's columns


def keep(connection: sa.Connection, organisation: str, definitions: Iterable[StoredProtocol]) -> None:
    """Keeps the definitions that are not kept yet."""
    table = tables.protocol
    for each in definitions:
        key = (table.c.organisation == organisation, table.c.id == each.id, table.c.version == each.version)
        if not connection.execute(sa.select(table.c.digest).where(*key)).first():
            connection.execute(sa.insert(table), {"organisation": organisation, **msgspec.structs.asdict(each)})
