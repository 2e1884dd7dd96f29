"""Sources of notices and their keys. Plain statements."""

import datetime as dt

import msgspec
import sqlalchemy as sa

from ipt_workflow.store import structs
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


_select_source = sa.select(*structs.columns(source, StoredSource))
_select_key = sa.select(*structs.columns(key, StoredSourceKey))


def add(connection: sa.Connection, organisation: str, new: StoredSource, first: StoredSourceKey) -> bool:
    """Adds a source with its first key; False if the name is taken."""
    if find(connection, organisation, new.id):
        return False
    connection.execute(sa.insert(source), structs.row_of(organisation, new))
    connection.execute(sa.insert(key), structs.row_of(organisation, first))
    return True


def find(connection: sa.Connection, organisation: str, source_id: str) -> StoredSource | None:
    where = (source.c.organisation == organisation, source.c.id == source_id)
    return structs.read_first(connection, _select_source.where(*where), StoredSource)


def every(connection: sa.Connection, organisation: str) -> list[StoredSource]:
    statement = _select_source.where(source.c.organisation == organisation).order_by(source.c.id)
    return structs.read_all(connection, statement, StoredSource)


def keys(connection: sa.Connection, organisation: str, source_id: str, now: dt.datetime) -> list[StoredSourceKey]:
    """The keys of a source that have not expired, oldest first."""
    statement = _select_key.where(
        key.c.organisation == organisation, key.c.source_id == source_id, sa.or_(key.c.expires_at.is_(None), key.c.expires_at > now)
    )
    return structs.read_all(connection, statement.order_by(key.c.created_at, key.c.id), StoredSourceKey)


def rotate(connection: sa.Connection, organisation: str, new: StoredSourceKey, until: dt.datetime) -> None:
    """Adds a key to its source. Other keys of its kind expire at `until`; expired keys are deleted."""
    of_source = (key.c.organisation == organisation, key.c.source_id == new.source_id)
    connection.execute(sa.delete(key).where(*of_source, key.c.expires_at <= new.created_at))
    ending = sa.update(key).where(*of_source, key.c.kind == new.kind, sa.or_(key.c.expires_at.is_(None), key.c.expires_at > until))
    connection.execute(ending.values(expires_at=until))
    connection.execute(sa.insert(key), structs.row_of(organisation, new))


def set_disabled(connection: sa.Connection, organisation: str, source_id: str, at: dt.datetime | None) -> bool:
    """Disables a source from `at` on, or enables it (None); False if there is no such source."""
    where = (source.c.organisation == organisation, source.c.id == source_id)
    return connection.execute(sa.update(source).where(*where).values(disabled_at=at)).rowcount == 1
