"""Deliveries and who they are for. Who sends one holds its lease; no lock is held while it is sent."""

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from ipt_workflow.store.commits import rows
from ipt_workflow.store.schema import tables
from ipt_workflow.store.units import LoggedEvent

delivery, subscription, key, event = tables.delivery, tables.subscription, tables.subscription_key, tables.event


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


class Claimed(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery that is ours to send until its lease ends."""

    id: str
    subscription: str
    position: int
    lane: str
    attempts: int
    lease: str


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an attempt. `next_at` is when it is tried again, where it is still `waiting`."""

    status: str
    at: dt.datetime
    http_status: int | None = None
    problem: str | None = None
    next_at: dt.datetime | None = None
    throttled_until: dt.datetime | None = None
    attempted: bool = True


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


def new_delivery(
    organisation: str, delivery_id: str, subscription_id: str, position: int, lane: str, now: dt.datetime
) -> dict[str, Any]:
    return {
        "organisation": organisation,
        "id": delivery_id,
        "subscription_id": subscription_id,
        "position": position,
        "lane": lane,
        "status": "waiting",
        "attempts": 0,
        "next_at": now,
    }


def insert(connection: sa.Connection, new: Sequence[dict[str, Any]]) -> None:
    if new:
        connection.execute(sa.insert(delivery), new)


def any_due(connection: sa.Connection, organisation: str, now: dt.datetime) -> bool:
    """Whether anything might be claimed: asked before a transaction that writes is begun."""
    due = sa.select(delivery.c.id).where(
        delivery.c.organisation == organisation, delivery.c.status == "waiting", delivery.c.next_at <= now
    )
    return connection.execute(due.limit(1)).first() is not None


def claim(
    connection: sa.Connection, organisation: str, *, now: dt.datetime, until: dt.datetime, lease: str, limit: int, each: int
) -> list[Claimed]:
    """Leases deliveries that are due: the first of their lane, of a subscription that is active and not throttled.

    At most `limit`, and of one subscription never more than `each` at a time over all relays.
    """
    busy = _busy(connection, organisation, now)
    full = [subscription_id for subscription_id, count in busy.items() if count >= each]
    ready = _ready(organisation, now)
    found = connection.execute(
        sa.select(delivery.c.id, delivery.c.subscription_id)
        .select_from(_of_active(now))
        .where(*ready, delivery.c.subscription_id.not_in(full))
        .order_by(delivery.c.next_at, delivery.c.position)
        .limit(limit * each)
    )
    chosen: list[str] = []
    for row in found:
        if busy[row.subscription_id] < each and len(chosen) < limit:
            busy[row.subscription_id] += 1
            chosen.append(row.id)
    if not chosen:
        return []
    statement = sa.select(delivery).where(*ready, delivery.c.id.in_(chosen)).order_by(delivery.c.next_at, delivery.c.position)
    taken = connection.execute(statement.with_for_update(skip_locked=True, of=delivery)).all()
    connection.execute(
        sa.update(delivery)
        .where(delivery.c.organisation == organisation, delivery.c.id.in_([row.id for row in taken]))
        .values(lease=lease, leased_until=until)
    )
    return [
        Claimed(
            id=row.id, subscription=row.subscription_id, position=row.position, lane=row.lane, attempts=row.attempts, lease=lease
        )
        for row in taken
    ]


def _of_active(now: dt.datetime) -> Any:
    return delivery.join(
        subscription,
        sa.and_(
            subscription.c.organisation == delivery.c.organisation,
            subscription.c.id == delivery.c.subscription_id,
            subscription.c.status == "active",
            sa.or_(subscription.c.throttled_until.is_(None), subscription.c.throttled_until <= now),
        ),
    )


def _ready(organisation: str, now: dt.datetime) -> tuple[sa.ColumnElement[bool], ...]:
    before = delivery.alias("before")
    return (
        delivery.c.organisation == organisation,
        delivery.c.status == "waiting",
        delivery.c.next_at <= now,
        sa.or_(delivery.c.leased_until.is_(None), delivery.c.leased_until <= now),
        ~sa.exists().where(
            before.c.organisation == organisation,
            before.c.subscription_id == delivery.c.subscription_id,
            before.c.lane == delivery.c.lane,
            before.c.status == "waiting",
            before.c.position < delivery.c.position,
        ),
    )


def _busy(connection: sa.Connection, organisation: str, now: dt.datetime) -> Counter[str]:
    statement = (
        sa.select(delivery.c.subscription_id, sa.func.count().label("count"))
        .where(delivery.c.organisation == organisation, delivery.c.status == "waiting", delivery.c.leased_until > now)
        .group_by(delivery.c.subscription_id)
    )
    return Counter({row.subscription_id: row.count for row in connection.execute(statement)})


def end(connection: sa.Connection, organisation: str, claimed: Claimed, ended: Ended, records: Sequence[LoggedEvent]) -> bool:
    """Writes what became of an attempt, with its records for the audit log. False where the lease was lost meanwhile: then nothing is written."""
    values: dict[str, Any] = {"status": ended.status, "lease": None, "leased_until": None}
    if ended.attempted:
        values |= {
            "attempts": claimed.attempts + 1,
            "last_status": ended.http_status,
            "last_problem": ended.problem,
            "last_at": ended.at,
        }
    values |= {"next_at": ended.next_at} if ended.next_at else {"ended_at": ended.at}
    changed = connection.execute(
        sa.update(delivery)
        .where(delivery.c.organisation == organisation, delivery.c.id == claimed.id, delivery.c.lease == claimed.lease)
        .values(**values)
    )
    if changed.rowcount != 1:
        return False
    if ended.attempted:
        _note_health(connection, organisation, claimed.subscription, ended)
    for each in records:
        record(connection, each)
    return True


def record(connection: sa.Connection, told: LoggedEvent) -> None:
    """Writes an event of the audit log in the caller's transaction; those that have none of their own go through the committer."""
    connection.execute(sa.insert(tables.audit_event), rows.audit_event(told))
    touched = rows.subjects(told)
    if touched:
        connection.execute(sa.insert(tables.audit_subject), touched)


def disable(connection: sa.Connection, organisation: str, subscription_id: str, reason: str) -> bool:
    """Sends it nothing any more. False where it was not active."""
    changed = connection.execute(
        sa.update(subscription)
        .where(subscription.c.organisation == organisation, subscription.c.id == subscription_id, subscription.c.status == "active")
        .values(status="disabled", reason=reason)
    )
    return changed.rowcount == 1


def _note_health(connection: sa.Connection, organisation: str, subscription_id: str, ended: Ended) -> None:
    """Since when a subscription fails without one success; once it succeeds again, all that waits for it is due."""
    of_it = (subscription.c.organisation == organisation, subscription.c.id == subscription_id)
    if ended.status != "delivered":
        since = sa.func.coalesce(
            subscription.c.failing_since, sa.bindparam("at", ended.at, type_=subscription.c.failing_since.type)
        )
        connection.execute(sa.update(subscription).where(*of_it).values(failing_since=since, throttled_until=ended.throttled_until))
        return
    recovered = connection.execute(
        sa.update(subscription).where(*of_it, subscription.c.failing_since.is_not(None)).values(failing_since=None)
    )
    if recovered.rowcount:
        connection.execute(
            sa.update(delivery)
            .where(
                delivery.c.organisation == organisation,
                delivery.c.subscription_id == subscription_id,
                delivery.c.status == "waiting",
                delivery.c.next_at > ended.at,
            )
            .values(next_at=ended.at)
        )


def page(
    connection: sa.Connection, organisation: str, subscription_id: str, *, status: str | None, after: int, limit: int
) -> list[Any]:
    """A subscription's deliveries in order, each with its event's id, kind, course and seq."""
    joined = delivery.join(event, sa.and_(event.c.organisation == delivery.c.organisation, event.c.position == delivery.c.position))
    statement = (
        sa.select(delivery, event.c.id.label("event_id"), event.c.kind, event.c.course_id, event.c.seq, event.c.created_at)
        .select_from(joined)
        .where(delivery.c.organisation == organisation, delivery.c.subscription_id == subscription_id, delivery.c.position > after)
    )
    if status:
        statement = statement.where(delivery.c.status == status)
    return list(connection.execute(statement.order_by(delivery.c.position).limit(limit)))


def find(connection: sa.Connection, organisation: str, delivery_id: str) -> Any | None:
    return connection.execute(
        sa.select(delivery).where(delivery.c.organisation == organisation, delivery.c.id == delivery_id)
    ).first()


def again(connection: sa.Connection, organisation: str, subscription_id: str, positions: Sequence[int], now: dt.datetime) -> int:
    """Sets deliveries that have ended waiting again, as if never tried. Returns how many."""
    changed = connection.execute(
        sa.update(delivery)
        .where(
            delivery.c.organisation == organisation,
            delivery.c.subscription_id == subscription_id,
            delivery.c.position.in_(positions),
            delivery.c.status != "waiting",
        )
        .values(status="waiting", attempts=0, next_at=now, ended_at=None)
    )
    return changed.rowcount


def known(connection: sa.Connection, organisation: str, subscription_id: str, first: int, last: int) -> dict[int, str]:
    """The statuses of a subscription's deliveries in a range of places, both ends included."""
    found = connection.execute(
        sa.select(delivery.c.position, delivery.c.status).where(
            delivery.c.organisation == organisation,
            delivery.c.subscription_id == subscription_id,
            delivery.c.position.between(first, last),
        )
    )
    return {row.position: row.status for row in found}


def counts(connection: sa.Connection, organisation: str) -> dict[str, int]:
    """How many deliveries have each status."""
    found = connection.execute(
        sa.select(delivery.c.status, sa.func.count()).where(delivery.c.organisation == organisation).group_by(delivery.c.status)
    )
    return {row[0]: row[1] for row in found}


def prune(connection: sa.Connection, organisation: str, before: dt.datetime) -> int:
    """Removes deliveries that ended well, or were called off, before a moment. Dead letters stay until they are replayed."""
    removed = connection.execute(
        sa.delete(delivery).where(
            delivery.c.organisation == organisation,
            delivery.c.status.in_(("delivered", "cancelled")),
            delivery.c.ended_at < before,
        )
    )
    return removed.rowcount
