"""Subscriptions and the keys that sign their deliveries."""

import datetime as dt
from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from msgspec import UNSET, UnsetType

from ipt_workflow.store import events, structs
from ipt_workflow.store.attention import WAITING
from ipt_workflow.store.lookups import Lookup
from ipt_workflow.store.schema import tables
from ipt_workflow.values.types import SharingPurpose

delivery, subscription, key = tables.delivery, tables.subscription, tables.subscription_key
_LISTS = ("types", "courses")  # columns that hold a JSON list


class StoredSubscription(msgspec.Struct, frozen=True, kw_only=True):
    """A subscription. `courses` is None for all courses of the organisation."""

    id: str
    url: str
    types: tuple[str, ...]
    courses: tuple[str, ...] | None
    scope: str
    purpose: SharingPurpose = "TREAT"
    status: str
    reason: str | None = None
    created_at: dt.datetime
    created_by: str
    failing_since: dt.datetime | None = None
    throttled_until: dt.datetime | None = None


class SubscriptionUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of a subscription that change. Fields that are not set keep their values."""

    url: str | UnsetType = UNSET
    types: tuple[str, ...] | UnsetType = UNSET
    courses: tuple[str, ...] | UnsetType | None = UNSET
    scope: str | UnsetType = UNSET
    purpose: SharingPurpose | UnsetType = UNSET


class StoredKey(msgspec.Struct, frozen=True, kw_only=True):
    """A signing key. `secret` is sealed; `public` is None for a key that both sides share."""

    id: str
    scheme: str
    secret: str
    public: str | None
    created_at: dt.datetime
    expires_at: dt.datetime | None = None


class SubscriptionTerms(msgspec.Struct, frozen=True):
    """What decides whether and in what form a subscription receives an event."""

    url: str
    types: tuple[str, ...]
    courses: tuple[str, ...] | None
    scope: str
    purpose: str
    status: str


def terms_of(known: StoredSubscription) -> SubscriptionTerms:
    return SubscriptionTerms(known.url, known.types, known.courses, known.scope, known.purpose, known.status)


def _terms(_id: str, url: str, types: str, courses: str | None, *more: str) -> SubscriptionTerms:
    listed = tuple(msgspec.json.decode(courses)) if courses is not None else None
    return SubscriptionTerms(url, tuple(msgspec.json.decode(types)), listed, *more)


TERMS = Lookup([subscription.c[name] for name in ("id", *SubscriptionTerms.__struct_fields__)], _terms)


def insert(connection: sa.Connection, organisation: str, new: StoredSubscription, new_keys: Sequence[StoredKey]) -> str | None:
    """Inserts a subscription. If another has the same terms, inserts nothing and returns the id of that one."""
    same = _same(connection, organisation, new)
    if same:
        return same
    connection.execute(sa.insert(subscription), {"organisation": organisation, **_columns(new)})
    _insert_keys(connection, organisation, new.id, new_keys)
    return None


def _same(connection: sa.Connection, organisation: str, new: StoredSubscription) -> str | None:
    """The id of another subscription with the same terms. Until the transaction ends, nobody else can make one."""
    events.lock_task(connection, organisation, events.SUBSCRIBING, wait=True)
    others = (each for each in find_all(connection, organisation) if each.id != new.id)
    return next((each.id for each in others if _compared(each) == _compared(new)), None)


def _compared(known: StoredSubscription) -> tuple[object, ...]:
    courses = None if known.courses is None else frozenset(known.courses)
    return (known.url, frozenset(known.types), courses, known.scope, known.purpose)


def find_all(connection: sa.Connection, organisation: str, after: str = "", limit: int | None = None) -> list[StoredSubscription]:
    """The subscriptions that are not deleted, oldest first."""
    statement = sa.select(subscription).where(
        subscription.c.organisation == organisation, subscription.c.id > after, subscription.c.status != "deleted"
    )
    return [_subscription(row) for row in connection.execute(statement.order_by(subscription.c.id).limit(limit))]


def find(connection: sa.Connection, organisation: str, subscription_id: str) -> StoredSubscription | None:
    """The subscription; None if there is none, or if it is deleted."""
    row = connection.execute(
        sa.select(subscription).where(
            subscription.c.organisation == organisation, subscription.c.id == subscription_id, subscription.c.status != "deleted"
        )
    ).first()
    return _subscription(row) if row else None


def _subscription(row: Any) -> StoredSubscription:
    values = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for a row's columns
    values.pop("organisation")
    values["types"] = tuple(msgspec.json.decode(row.types))
    values["courses"] = None if row.courses is None else tuple(msgspec.json.decode(row.courses))
    return StoredSubscription(**values)


def _columns(fields: StoredSubscription | SubscriptionUpdate) -> dict[str, Any]:
    """The columns of the fields that are set."""
    values = {name: value for name, value in msgspec.structs.asdict(fields).items() if value is not UNSET}
    lists = {name: msgspec.json.encode(values[name]).decode() for name in _LISTS if values.get(name) is not None}
    return {**values, **lists}


def keys(connection: sa.Connection, organisation: str, subscription_id: str, now: dt.datetime) -> list[StoredKey]:
    """The keys that have not expired, newest first."""
    statement = sa.select(*structs.columns(key, StoredKey)).where(
        key.c.organisation == organisation,
        key.c.subscription_id == subscription_id,
        sa.or_(key.c.expires_at.is_(None), key.c.expires_at > now),
    )
    return structs.read_all(connection, statement.order_by(key.c.created_at.desc(), key.c.id.desc()), StoredKey)


def keys_of_all(connection: sa.Connection, organisation: str, now: dt.datetime) -> dict[str, tuple[StoredKey, ...]]:
    """The keys of all subscriptions that have not expired, newest first, by subscription."""
    return _keys_by_owner(
        connection, key.c.organisation == organisation, sa.or_(key.c.expires_at.is_(None), key.c.expires_at > now)
    )


def keys_of_many(
    connection: sa.Connection, organisation: str, ids: Sequence[str], now: dt.datetime
) -> dict[str, tuple[StoredKey, ...]]:
    """The same of several subscriptions. One without keys is left out."""
    unexpired = sa.or_(key.c.expires_at.is_(None), key.c.expires_at > now)
    return _keys_by_owner(connection, key.c.organisation == organisation, key.c.subscription_id.in_(ids), unexpired)


def _keys_by_owner(connection: sa.Connection, *conditions: sa.ColumnElement[bool]) -> dict[str, tuple[StoredKey, ...]]:
    statement = (
        sa.select(key.c.subscription_id, *structs.columns(key, StoredKey))
        .where(*conditions)
        .order_by(key.c.subscription_id, key.c.created_at.desc(), key.c.id.desc())
    )
    found: dict[str, tuple[StoredKey, ...]] = {}
    for owner, *values in connection.execute(statement):
        found[owner] = (*found.get(owner, ()), StoredKey(**dict(zip(StoredKey.__struct_fields__, values, strict=True))))
    return found


def rotate_keys(
    connection: sa.Connection,
    organisation: str,
    subscription_id: str,
    new_keys: Sequence[StoredKey],
    now: dt.datetime,
    overlap_until: dt.datetime,
) -> None:
    """Adds new keys. Older keys expire at `overlap_until` at the latest; expired keys are removed."""
    own = (key.c.organisation == organisation, key.c.subscription_id == subscription_id)
    connection.execute(sa.delete(key).where(*own, key.c.expires_at <= now))
    connection.execute(
        sa.update(key)
        .where(*own, sa.or_(key.c.expires_at.is_(None), key.c.expires_at > overlap_until))
        .values(expires_at=overlap_until)
    )
    connection.execute(sa.delete(key).where(*own, key.c.expires_at <= now))
    _insert_keys(connection, organisation, subscription_id, new_keys)


def _insert_keys(connection: sa.Connection, organisation: str, subscription_id: str, new_keys: Sequence[StoredKey]) -> None:
    owner = {"organisation": organisation, "subscription_id": subscription_id}
    connection.execute(sa.insert(key), [{**owner, **msgspec.structs.asdict(each)} for each in new_keys])


def update(connection: sa.Connection, organisation: str, subscription_id: str, changed: SubscriptionUpdate) -> str | None:
    """Changes a subscription. If another has the same terms, changes nothing and returns the id of that one."""
    known = find(connection, organisation, subscription_id)
    if known:
        given = {name: value for name, value in msgspec.structs.asdict(changed).items() if value is not UNSET}
        new = msgspec.structs.replace(known, **given)
        same = _same(connection, organisation, new) if _compared(new) != _compared(known) else None
        if same:
            return same
    _set(connection, organisation, subscription_id, **_columns(changed))
    return None


def pause(connection: sa.Connection, organisation: str, subscription_id: str) -> None:
    _set(connection, organisation, subscription_id, status="paused")


def resume(connection: sa.Connection, organisation: str, subscription_id: str) -> None:
    """Makes it active, and forgets its failures."""
    _set(connection, organisation, subscription_id, status="active", reason=None, failing_since=None, throttled_until=None)


def disable(connection: sa.Connection, organisation: str, subscription_id: str, reason: str) -> bool:
    """Stops deliveries to a subscription. Returns False if it was not active."""
    changed = connection.execute(
        sa.update(subscription)
        .where(subscription.c.organisation == organisation, subscription.c.id == subscription_id, subscription.c.status == "active")
        .values(status="disabled", reason=reason)
    )
    return changed.rowcount == 1


def delete(connection: sa.Connection, organisation: str, subscription_id: str, now: dt.datetime) -> None:
    """Marks it as deleted, removes its keys, and cancels its waiting deliveries."""
    _set(connection, organisation, subscription_id, status="deleted")
    connection.execute(sa.delete(key).where(key.c.organisation == organisation, key.c.subscription_id == subscription_id))
    connection.execute(
        sa.update(delivery)
        .where(delivery.c.organisation == organisation, delivery.c.subscription_id == subscription_id, delivery.c.status == WAITING)
        .values(status="cancelled", ended_at=now, lease=None, leased_until=None)
    )


def _set(connection: sa.Connection, organisation: str, subscription_id: str, **values: Any) -> None:
    connection.execute(
        sa.update(subscription)
        .where(
            subscription.c.organisation == organisation, subscription.c.id == subscription_id, subscription.c.status != "deleted"
        )
        .values(**values)
    )
