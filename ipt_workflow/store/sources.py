"""Sources of notices and their keys. Plain statements. A message finds its source by `lookups.SOURCES`."""

import datetime as dt
from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from msgspec import UNSET, UnsetType

from ipt_workflow.store import structs
from ipt_workflow.store.schema import tables
from ipt_workflow.store.upserts import insert_or

source, key = tables.source, tables.source_key


class StoredSource(msgspec.Struct, frozen=True, kw_only=True):
    """An EHR system that may send notices.

    A source that `names_persons` is trusted to name who did something. Every visit of a source with `all_visits` belongs to IPT.
    `other_visits` says what becomes of a visit that nothing marks as IPT: `wait` or `ignore`.
    `client_prefix` goes before the id of a FHIR Patient to make a client reference. `digest_key` keys every digest of content that is
    kept of its messages. It never leaves the service.
    """

    id: str
    names_persons: bool
    all_visits: bool
    other_visits: str = "wait"
    digest_key: bytes
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


class SourceUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of a source that change. Those that are not set keep their values."""

    names_persons: bool | UnsetType = UNSET
    all_visits: bool | UnsetType = UNSET
    other_visits: str | UnsetType = UNSET


class KeyedSource(msgspec.Struct, frozen=True):
    """A source with all its keys, also those that have expired since the last rotation."""

    source: StoredSource
    keys: tuple[StoredSourceKey, ...]


_SOURCE_COLUMNS, _KEY_COLUMNS = structs.columns(source, StoredSource), structs.columns(key, StoredSourceKey)
WITH_KEYS_COLUMNS = [*_SOURCE_COLUMNS, *_KEY_COLUMNS]
WITH_KEYS = source.outerjoin(key, sa.and_(key.c.organisation == source.c.organisation, key.c.source_id == source.c.id))


def keyed_source(rows: Sequence[Sequence[Any]]) -> KeyedSource:
    """A source from the values of WITH_KEYS_COLUMNS: one row for each key, or one without a key."""
    width = len(_SOURCE_COLUMNS)
    found = StoredSource(**dict(zip(StoredSource.__struct_fields__, rows[0][:width], strict=True)))
    keys_of = [dict(zip(StoredSourceKey.__struct_fields__, row[width:], strict=True)) for row in rows]
    return KeyedSource(found, tuple(StoredSourceKey(**each) for each in keys_of if each["id"] is not None))


_select_source = sa.select(*_SOURCE_COLUMNS)
_select_key = sa.select(*_KEY_COLUMNS)


def add(connection: sa.Connection, organisation: str, new: StoredSource, first: StoredSourceKey) -> bool:
    """Adds a source with its first key; False if the name is taken."""
    adding = insert_or(connection, source).values(structs.row_of(organisation, new)).on_conflict_do_nothing()
    if connection.execute(adding).rowcount == 0:
        return False
    connection.execute(sa.insert(key), structs.row_of(organisation, first))
    return True


def find(connection: sa.Connection, organisation: str, source_id: str) -> StoredSource | None:
    where = (source.c.organisation == organisation, source.c.id == source_id)
    return structs.read_first(connection, _select_source.where(*where), StoredSource)


def every(connection: sa.Connection, organisation: str, after: str = "", limit: int | None = None) -> list[StoredSource]:
    """The sources after a name, in the order of their names."""
    statement = _select_source.where(source.c.organisation == organisation, source.c.id > after)
    return structs.read_all(connection, statement.order_by(source.c.id).limit(limit), StoredSource)


def keys(connection: sa.Connection, organisation: str, source_id: str, now: dt.datetime) -> list[StoredSourceKey]:
    """The keys of a source that have not expired, oldest first."""
    statement = _select_key.where(
        key.c.organisation == organisation, key.c.source_id == source_id, sa.or_(key.c.expires_at.is_(None), key.c.expires_at > now)
    )
    return structs.read_all(connection, statement.order_by(key.c.created_at, key.c.id), StoredSourceKey)


def keys_of_many(
    connection: sa.Connection, organisation: str, ids: Sequence[str], now: dt.datetime
) -> dict[str, list[StoredSourceKey]]:
    """The keys of several sources that have not expired, oldest first, by source."""
    statement = _select_key.where(
        key.c.organisation == organisation, key.c.source_id.in_(ids), sa.or_(key.c.expires_at.is_(None), key.c.expires_at > now)
    )
    found: dict[str, list[StoredSourceKey]] = {each: [] for each in ids}
    for each in structs.read_all(connection, statement.order_by(key.c.created_at, key.c.id), StoredSourceKey):
        found[each.source_id].append(each)
    return found


def rotate(connection: sa.Connection, organisation: str, new: StoredSourceKey, until: dt.datetime) -> None:
    """Adds a key to its source. Other keys of its kind expire at `until`; expired keys are deleted."""
    of_source = (key.c.organisation == organisation, key.c.source_id == new.source_id)
    connection.execute(sa.delete(key).where(*of_source, key.c.expires_at <= new.created_at))
    ending = sa.update(key).where(*of_source, key.c.kind == new.kind, sa.or_(key.c.expires_at.is_(None), key.c.expires_at > until))
    connection.execute(ending.values(expires_at=until))
    connection.execute(sa.insert(key), structs.row_of(organisation, new))


def update(connection: sa.Connection, organisation: str, source_id: str, changed: SourceUpdate) -> None:
    """Changes at least one setting of a source."""
    values = {name: value for name, value in msgspec.structs.asdict(changed).items() if value is not UNSET}
    where = (source.c.organisation == organisation, source.c.id == source_id)
    connection.execute(sa.update(source).where(*where).values(**values))


def set_disabled(connection: sa.Connection, organisation: str, source_id: str, at: dt.datetime | None) -> bool:
    """Disables a source from `at` on, or enables it (None); False if there is no such source."""
    where = (source.c.organisation == organisation, source.c.id == source_id)
    return connection.execute(sa.update(source).where(*where).values(disabled_at=at)).rowcount == 1
