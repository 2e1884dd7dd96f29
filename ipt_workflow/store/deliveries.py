"""Deliveries. Who sends one holds its lease; no lock is held while it is sent."""

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from ipt_workflow.store.commits import rows
from ipt_workflow.store.schema import tables
from ipt_workflow.store.units import LoggedEvent

delivery, subscription, event = tables.delivery, tables.subscription, tables.event


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
    connection.execute(sa.insert(tables.audit_event), dict(told.row))
    touched = rows.subjects(told.row["organisation"], told)
    if touched:
        connection.execute(sa.insert(tables.audit_subject), touched)


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
