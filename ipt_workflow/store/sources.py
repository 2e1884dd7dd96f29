"""Sources of notices and their keys. Plain statements."""

import datetime as dt
from typing import Any

import msgspec
import sqlalchemy as sa

from ipt_workflow.store.schema import tables

source, key = tables.source, tables.source_key


class StoredSource(msgspec.Struct, frozen=True, kw_only=True):
    """An EHR system that may send notices.

    A source that `names_persons` is trusted to name who did something. Every visit of a source with `all_visits` belongs to IPT.
    `client_prefix` goes before the id of a FHIR Patient to make a client reference.
    """

    id: str
    names_persons: bool
    all_visits: bool
    client_prefix: str
    created_at: dt.datetime
    created_by: str
    disabled_at: dt.datetime | None = None


class StoredSourceKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key of a source. `secret` is sealed; of a bearer token it is the SHA-256 digest."""

    id: str
    source_id: str
    kind: str
    secret: str
    created_at: dt.datetime
    expires_at: dt.datetime | None = None


def _row(organisation: str, stored: StoredSource | StoredSourceKey) -> dict[str, Any]:
    """The fields have the names of the columns."""
    return {"organisation": organisation, **msgspec.structs.asdict(stored)}


def _columns(table: sa.Table) -> list[sa.Column[Any]]:
    return [column for column in table.columns if column.name != "organisation"]


_select_source, _select_key = sa.select(*_columns(source)), sa.select(*_columns(key))


def add(connection: sa.Connection, organisation: str, new: StoredSource, first: StoredSourceKey) -> bool:
    """Adds a source with its first key; False if the name is taken."""
    if find(connection, organisation, new.id):
        return False
    connection.execute(sa.insert(source), _row(organisation, new))
    connection.execute(sa.insert(key), _row(organisation, first))
    return True


def find(connection: sa.Connection, organisation: str, source_id: str) -> StoredSource | None:
    row = connection.execute(_select_source.where(source.c.organisation == organisation, source.c.id == source_id)).first()
    return StoredSource(**row._mapping) if row else None  # noqa: SLF001 - SQLAlchemy's public name for a row's columns


def every(connection: sa.Connection, organisation: str) -> list[StoredSource]:
    rows = connection.execute(_select_source.where(source.c.organisation == organisation).order_by(source.c.id))
    return [StoredSource(**row._mapping) for row in rows]  # noqa: SLF001


def keys(connection: sa.Connection, organisation: str, source_id: str, now: dt.datetime) -> list[StoredSourceKey]:
    """The keys of a source that have not expired, oldest first."""
    statement = _select_key.where(
        key.c.organisation == organisation, key.c.source_id == source_id, sa.or_(key.c.expires_at.is_(None), key.c.expires_at > now)
    )
    rows = connection.execute(statement.order_by(key.c.created_at, key.c.id))
    return [StoredSourceKey(**row._mapping) for row in rows]  # noqa: SLF001


def rotate(connection: sa.Connection, organisation: str, new: StoredSourceKey, until: dt.datetime) -> None:
    """Adds a key to its source. Other keys of its kind expire at `until`; expired keys are deleted."""
    of_source = (key.c.organisation == organisation, key.c.source_id == new.source_id)
    connection.execute(sa.delete(key).where(*of_source, key.c.expires_at <= new.created_at))
    ending = sa.update(key).where(*of_source, key.c.kind == new.kind, sa.or_(key.c.expires_at.is_(None), key.c.expires_at > until))
    connection.execute(ending.values(expires_at=until))
    connection.execute(sa.insert(key), _row(organisation, new))


def set_disabled(connection: sa.Connection, organisation: str, source_id: str, at: dt.datetime | None) -> bool:
    """Disables a source from `at` on, or enables it (None); False if there is no such source."""
    where = (source.c.organisation == organisation, source.c.id == source_id)
    return connection.execute(sa.update(source).where(*where).values(disabled_at=at)).rowcount == 1
