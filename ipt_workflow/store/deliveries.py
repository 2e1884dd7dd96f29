"""Deliveries. A relay leases a delivery before it sends it, and holds no lock meanwhile."""

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


class NewDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """An event to deliver to one subscription. `lane` is the event's course, or empty: a lane is delivered in order."""

    id: str
    subscription: str
    position: int
    lane: str
    due_at: dt.datetime


class StoredDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery, as far as a replay needs it."""

    subscription: str
    position: int
    lane: str
    status: str


class ListedDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery with its event's id, kind, course and seq. `problem` says why the last attempt failed."""

    id: str
    event: str
    kind: str
    course: str | None
    seq: int | None
    status: str
    attempts: int
    last_at: dt.datetime | None
    http_status: int | None
    problem: str | None
    next_at: dt.datetime
    ended_at: dt.datetime | None
    position: int


class ClaimedDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery that this relay may send until its lease ends."""

    id: str
    subscription: str
    position: int
    lane: str
    attempts: int
    lease_id: str


class AttemptResult(msgspec.Struct, frozen=True, kw_only=True):
    """The delivery's new status after an attempt. `next_at` is the time of the next attempt, while it is `waiting`.

    `attempted` is False if the relay sent nothing.
    """

    status: str
    at: dt.datetime
    http_status: int | None = None
    problem: str | None = None
    next_at: dt.datetime | None = None
    throttled_until: dt.datetime | None = None
    attempted: bool = True


def insert(connection: sa.Connection, organisation: str, new: Sequence[NewDelivery]) -> None:
    if new:
        connection.execute(sa.insert(delivery), [_row(organisation, each) for each in new])


def _row(organisation: str, new: NewDelivery) -> dict[str, Any]:
    return {
        "organisation": organisation,
        "id": new.id,
        "subscription_id": new.subscription,
        "position": new.position,
        "lane": new.lane,
        "status": "waiting",
        "attempts": 0,
        "next_at": new.due_at,
    }


def any_due(connection: sa.Connection, organisation: str, now: dt.datetime) -> bool:
    """Whether a claim may find something. The relay asks before it begins a transaction that writes."""
    due = sa.select(delivery.c.id).where(
        delivery.c.organisation == organisation, delivery.c.status == "waiting", delivery.c.next_at <= now
    )
    return connection.execute(due.limit(1)).first() is not None


def claim(
    connection: sa.Connection,
    organisation: str,
    *,
    now: dt.datetime,
    lease_until: dt.datetime,
    lease_id: str,
    max_total: int,
    max_per_subscription: int,
) -> list[ClaimedDelivery]:
    """Leases due deliveries: the first of each lane, for subscriptions that are active and not throttled.

    Leases at most `max_total`. All relays together hold at most `max_per_subscription` leases of one subscription.
    """
    leased = _leased_by_subscription(connection, organisation, now)
    full = [subscription_id for subscription_id, count in leased.items() if count >= max_per_subscription]
    ready = _ready(organisation, now)
    found = connection.execute(
        sa.select(delivery.c.id, delivery.c.subscription_id)
        .select_from(_with_active_subscription(now))
        .where(*ready, delivery.c.subscription_id.not_in(full))
        .order_by(delivery.c.next_at, delivery.c.position)
        .limit(max_total * max_per_subscription)
    )
    chosen: list[str] = []
    for row in found:
        if leased[row.subscription_id] < max_per_subscription and len(chosen) < max_total:
            leased[row.subscription_id] += 1
            chosen.append(row.id)
    if not chosen:
        return []
    statement = sa.select(delivery).where(*ready, delivery.c.id.in_(chosen)).order_by(delivery.c.next_at, delivery.c.position)
    locked = connection.execute(statement.with_for_update(skip_locked=True, of=delivery)).all()
    connection.execute(
        sa.update(delivery)
        .where(delivery.c.organisation == organisation, delivery.c.id.in_([row.id for row in locked]))
        .values(lease=lease_id, leased_until=lease_until)
    )
    return [
        ClaimedDelivery(
            id=row.id,
            subscription=row.subscription_id,
            position=row.position,
            lane=row.lane,
            attempts=row.attempts,
            lease_id=lease_id,
        )
        for row in locked
    ]


def _with_active_subscription(now: dt.datetime) -> sa.FromClause:
    joined: sa.FromClause = delivery.join(
        subscription,
        sa.and_(
            subscription.c.organisation == delivery.c.organisation,
            subscription.c.id == delivery.c.subscription_id,
            subscription.c.status == "active",
            sa.or_(subscription.c.throttled_until.is_(None), subscription.c.throttled_until <= now),
        ),
    )
    return joined


def _ready(organisation: str, now: dt.datetime) -> tuple[sa.ColumnElement[bool], ...]:
    """Due, not leased, and the first waiting delivery of its lane."""
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


def _leased_by_subscription(connection: sa.Connection, organisation: str, now: dt.datetime) -> Counter[str]:
    statement = (
        sa.select(delivery.c.subscription_id, sa.func.count().label("count"))
        .where(delivery.c.organisation == organisation, delivery.c.status == "waiting", delivery.c.leased_until > now)
        .group_by(delivery.c.subscription_id)
    )
    return Counter({row.subscription_id: row.count for row in connection.execute(statement)})


def end_attempt(
    connection: sa.Connection,
    organisation: str,
    claimed: ClaimedDelivery,
    result: AttemptResult,
    records: Sequence[LoggedEvent],
) -> bool:
    """Writes the result of an attempt with its audit records. Writes nothing and returns False if the lease was lost."""
    values: dict[str, Any] = {"status": result.status, "lease": None, "leased_until": None}
    if result.attempted:
        values |= {
            "attempts": claimed.attempts + 1,
            "last_status": result.http_status,
            "last_problem": result.problem,
            "last_at": result.at,
        }
    values |= {"next_at": result.next_at} if result.next_at else {"ended_at": result.at}
    changed = connection.execute(
        sa.update(delivery)
        .where(delivery.c.organisation == organisation, delivery.c.id == claimed.id, delivery.c.lease == claimed.lease_id)
        .values(**values)
    )
    if changed.rowcount != 1:
        return False
    if result.attempted:
        _update_health(connection, organisation, claimed.subscription, result)
    for each in records:
        record(connection, each)
    return True


def record(connection: sa.Connection, logged: LoggedEvent) -> None:
    """Writes an audit record in the caller's transaction. A record without a transaction of its own goes through the committer."""
    connection.execute(sa.insert(tables.audit_event), rows.audit_event(logged))
    touched = rows.subjects(logged)
    if touched:
        connection.execute(sa.insert(tables.audit_subject), touched)


def _update_health(connection: sa.Connection, organisation: str, subscription_id: str, result: AttemptResult) -> None:
    """Sets since when a subscription fails without a success. After its first success, all its waiting deliveries are due."""
    own = (subscription.c.organisation == organisation, subscription.c.id == subscription_id)
    if result.status != "delivered":
        since = sa.func.coalesce(
            subscription.c.failing_since, sa.bindparam("at", result.at, type_=subscription.c.failing_since.type)
        )
        connection.execute(sa.update(subscription).where(*own).values(failing_since=since, throttled_until=result.throttled_until))
        return
    recovered = connection.execute(
        sa.update(subscription).where(*own, subscription.c.failing_since.is_not(None)).values(failing_since=None)
    )
    if recovered.rowcount:
        connection.execute(
            sa.update(delivery)
            .where(
                delivery.c.organisation == organisation,
                delivery.c.subscription_id == subscription_id,
                delivery.c.status == "waiting",
                delivery.c.next_at > result.at,
            )
            .values(next_at=result.at)
        )


def page(
    connection: sa.Connection, organisation: str, subscription_id: str, *, status: str | None, after: int, limit: int
) -> list[ListedDelivery]:
    """A subscription's deliveries after a position, in order. `status` limits the list to one status."""
    joined = delivery.join(event, sa.and_(event.c.organisation == delivery.c.organisation, event.c.position == delivery.c.position))
    statement = (
        sa.select(delivery, event.c.id.label("event_id"), event.c.kind, event.c.course_id, event.c.seq)
        .select_from(joined)
        .where(delivery.c.organisation == organisation, delivery.c.subscription_id == subscription_id, delivery.c.position > after)
    )
    if status:
        statement = statement.where(delivery.c.status == status)
    return [_listed(row) for row in connection.execute(statement.order_by(delivery.c.position).limit(limit))]


def _listed(row: Any) -> ListedDelivery:
    return ListedDelivery(
        id=row.id,
        event=row.event_id,
        kind=row.kind,
        course=row.course_id,
        seq=row.seq,
        status=row.status,
        attempts=row.attempts,
        last_at=row.last_at,
        http_status=row.last_status,
        problem=row.last_problem,
        next_at=row.next_at,
        ended_at=row.ended_at,
        position=row.position,
    )


def find(connection: sa.Connection, organisation: str, delivery_id: str) -> StoredDelivery | None:
    row = connection.execute(
        sa.select(delivery).where(delivery.c.organisation == organisation, delivery.c.id == delivery_id)
    ).first()
    if row is None:
        return None
    return StoredDelivery(subscription=row.subscription_id, position=row.position, lane=row.lane, status=row.status)


def requeue(connection: sa.Connection, organisation: str, subscription_id: str, positions: Sequence[int], now: dt.datetime) -> int:
    """Makes ended deliveries wait again, with no attempts counted. Returns how many."""
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


def statuses(connection: sa.Connection, organisation: str, subscription_id: str, first: int, last: int) -> dict[int, str]:
    """The statuses of a subscription's deliveries, by position, from `first` to `last` inclusive."""
    found = connection.execute(
        sa.select(delivery.c.position, delivery.c.status).where(
            delivery.c.organisation == organisation,
            delivery.c.subscription_id == subscription_id,
            delivery.c.position.between(first, last),
        )
    )
    return {row.position: row.status for row in found}


def counts(connection: sa.Connection, organisation: str) -> dict[str, int]:
    """The number of deliveries by status."""
    found = connection.execute(
        sa.select(delivery.c.status, sa.func.count()).where(delivery.c.organisation == organisation).group_by(delivery.c.status)
    )
    return {row[0]: row[1] for row in found}


def prune(connection: sa.Connection, organisation: str, before: dt.datetime) -> int:
    """Removes deliveries that were delivered or cancelled before a moment. Dead letters stay until they are replayed."""
    removed = connection.execute(
        sa.delete(delivery).where(
            delivery.c.organisation == organisation,
            delivery.c.status.in_(("delivered", "cancelled")),
            delivery.c.ended_at < before,
        )
    )
    return removed.rowcount
