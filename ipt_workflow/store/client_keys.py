"""The keys of clients' texts as they are stored, and the texts that are read with them.

The engine of a database carries the process's key ring. So whoever reads texts gets them opened, and knows nothing of keys.
"""

import datetime as dt
from collections.abc import Collection, Iterable
from typing import Any

import sqlalchemy as sa

from ipt_workflow.access.client_keys import ClientKey, KeyRing, key_of
from ipt_workflow.errors import SecretUnreadable
from ipt_workflow.store.schema.tables import client_key as table
from ipt_workflow.store.schema.tables import course

RING = "client_keys"  # the execution option of an engine
GONE = "The key of a stored text is missing: restore the table client_key from its own backup."
Text = tuple[Any, Any]  # salt and document as they are stored, or opened


def opened(connection: sa.Connection, organisation: str, texts: Iterable[Text]) -> list[Text]:
    """Salts and documents, opened. Those under a shredded key are None, as erased ones are.

    What somebody has altered stays as it is, so that its digest tells. Raises SecretUnreadable for a key that is missing.
    """
    found = [(salt, sealed, key_of(sealed)) for salt, sealed in texts]
    ids = {key_id for *_, key_id in found if key_id}
    if not ids:
        return [(salt, sealed) for salt, sealed, _ in found]
    keys = _keys(connection, organisation, ids)
    return [_opened(salt, sealed, keys[key_id]) if key_id else (salt, sealed) for salt, sealed, key_id in found]


def _opened(nonce: Any, stored: bytes, key: ClientKey | None) -> Text:
    if key is None:
        return None, None
    return (key.open(nonce, stored) if isinstance(nonce, str) else None) or (nonce, stored)


def _keys(connection: sa.Connection, organisation: str, ids: Collection[str]) -> dict[str, ClientKey | None]:
    """The keys with these ids, opened; None for those that were shredded."""
    ring = ring_of(connection)
    keys: dict[str, ClientKey | None] = {key_id: ring.held(key_id) for key_id in ids}
    unknown = [key_id for key_id, key in keys.items() if key is None]
    rows = connection.execute(_by_id, {"organisation": organisation, "ids": unknown}).all() if unknown else ()
    if len(rows) < len(unknown):
        raise SecretUnreadable(GONE)
    return keys | {row.id: ring.unwrap(row.id, row.wrapped) if row.wrapped else None for row in rows}


def ring_of(connection: sa.Connection) -> KeyRing:
    ring: KeyRing = connection.get_execution_options().get(RING) or KeyRing(())
    return ring


def find(connection: sa.Connection, organisation: str, key_id: str) -> ClientKey | None:
    """A key, opened; None if it was shredded."""
    return _keys(connection, organisation, [key_id])[key_id]


def of_course(connection: sa.Connection, organisation: str, course_id: str) -> ClientKey | None:
    """The key under which texts of a course are sealed now; None if it has none."""
    found = connection.execute(sa.select(current(organisation, sa.literal(course_id)))).scalar()
    return find(connection, organisation, found) if found else None


def add(connection: sa.Connection, organisation: str, course_id: str, key: ClientKey, at: dt.datetime) -> None:
    """Stores a new key of a course."""
    row = {"organisation": organisation, "id": key.id, "course_id": course_id, "wrapped": key.wrapped, "made_at": at}
    connection.execute(_insert, row)


def current(organisation: Any, course_id: sa.ColumnElement[Any]) -> sa.ScalarSelect[Any]:
    """The id of the key that a course has now: the last one that was not shredded."""
    theirs = (table.c.organisation == organisation, table.c.course_id == course_id, table.c.wrapped.is_not(None))
    return sa.select(sa.func.max(table.c.id)).where(*theirs).correlate(course).scalar_subquery()


_by_id = sa.select(table.c.id, table.c.wrapped).where(
    table.c.organisation == sa.bindparam("organisation"), table.c.id.in_(sa.bindparam("ids", expanding=True))
)
_insert = sa.insert(table)
