"""Subscriptions and their keys."""

import datetime as dt
from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from ipt_workflow.store.schema import tables

delivery, subscription, key = tables.delivery, tables.subscription, tables.subscription_key


class StoredSubscription(msgspec.Struct, frozen=True, kw_only=True):
    """A subscription as its row has it."""

    id: str
    url: str
    types: tuple[str, ...]
    courses: tuple[str, ...] | None
    scope: str
    status: str
    reason: str | None
    created_at: dt.datetime
    created_by: str
    failing_since: dt.datetime | None
    throttled_until: dt.datetime | None


class StoredKey(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    scheme: str
    secret: str
    public: str | None
    created_at: dt.datetime
    expires_at: dt.datetime | None


def insert_subscription(connection: sa.Connection, row: dict[str, Any], keys: Sequence[dict[str, Any]]) -> None:
    connection.execute(sa.insert(subscription), row)
    connection.execute(sa.insert(key), list(keys))


def subscriptions(
    connection: sa.Connection, organisation: str, after: str = "", limit: int | None = None
) -> list[StoredSubscription]:
    """Those that were not deleted, in the order they were made."""
    statement = sa.select(subscription).where(
        subscription.c.organisation == organisation, subscription.c.id > after, subscription.c.status != "deleted"
    )
    return [_subscription(row) for row in connection.execute(statement.order_by(subscription.c.id).limit(limit))]


def one(connection: sa.Connection, organisation: str, subscription_id: str) -> StoredSubscription | None:
    row = connection.execute(
        sa.select(subscription).where(
            subscription.c.organisation == organisation, subscription.c.id == subscription_id, subscription.c.status != "deleted"
        )
    ).first()
    return _subscription(row) if row else None


def _subscription(row: Any) -> StoredSubscription:
    told = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for a row's columns
    told.pop("organisation")
    told["types"] = tuple(msgspec.json.decode(row.types))
    told["courses"] = None if row.courses is None else tuple(msgspec.json.decode(row.courses))
    return StoredSubscription(**told)


def keys(connection: sa.Connection, organisation: str, subscription_id: str, now: dt.datetime) -> list[StoredKey]:
    """Keys that have not expired, newest first."""
    statement = sa.select(key).where(
        key.c.organisation == organisation,
        key.c.subscription_id == subscription_id,
        sa.or_(key.c.expires_at.is_(None), key.c.expires_at > now),
    )
    return [
        StoredKey(
            id=row.id,
            scheme=row.scheme,
            secret=row.secret,
            public=row.public,
            created_at=row.created_at,
            expires_at=row.expires_at,
        )
        for row in connection.execute(statement.order_by(key.c.created_at.desc(), key.c.id.desc()))
    ]


def rotate(
    connection: sa.Connection,
    organisation: str,
    subscription_id: str,
    new: Sequence[dict[str, Any]],
    now: dt.datetime,
    until: dt.datetime,
) -> None:
    """New keys; those before them are good until `until` at most, and those that are good no more are removed."""
    of_it = (key.c.organisation == organisation, key.c.subscription_id == subscription_id)
    connection.execute(sa.delete(key).where(*of_it, key.c.expires_at <= now))
    connection.execute(
        sa.update(key).where(*of_it, sa.or_(key.c.expires_at.is_(None), key.c.expires_at > until)).values(expires_at=until)
    )
    connection.execute(sa.delete(key).where(*of_it, key.c.expires_at <= now))
    connection.execute(sa.insert(key), list(new))


def change(connection: sa.Connection, organisation: str, subscription_id: str, **values: Any) -> bool:
    """Whether there was such a subscription."""
    changed = connection.execute(
        sa.update(subscription)
        .where(
            subscription.c.organisation == organisation, subscription.c.id == subscription_id, subscription.c.status != "deleted"
        )
        .values(**values)
    )
    return changed.rowcount == 1


def delete(connection: sa.Connection, organisation: str, subscription_id: str, now: dt.datetime) -> None:
    """Marks it deleted, removes its keys, and cancels what waits for it."""
    change(connection, organisation, subscription_id, status="deleted")
    connection.execute(sa.delete(key).where(key.c.organisation == organisation, key.c.subscription_id == subscription_id))
    connection.execute(
        sa.update(delivery)
        .where(
            delivery.c.organisation == organisation, delivery.c.subscription_id == subscription_id, delivery.c.status == "waiting"
        )
        .values(status="cancelled", ended_at=now, lease=None, leased_until=None)
    )


def disable(connection: sa.Connection, organisation: str, subscription_id: str, reason: str) -> bool:
    """Sends it nothing any more. False where it was not active."""
    changed = connection.execute(
        sa.update(subscription)
        .where(subscription.c.organisation == organisation, subscription.c.id == subscription_id, subscription.c.status == "active")
        .values(status="disabled", reason=reason)
    )
    return changed.rowcount == 1
