"""Deliveries: an event for one subscription each. `claims` and `attempts` hold what a relay does with them."""

import datetime as dt
from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from ipt_workflow.store.inserts import insert_all
from ipt_workflow.store.schema import tables

delivery, event = tables.delivery, tables.event


class NewDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """An event to deliver to one subscription. `lane` is the event's course, `claims.PINGS`, or empty: a lane is delivered in order."""

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


def insert(connection: sa.Connection, organisation: str, new: Sequence[NewDelivery]) -> None:
    insert_all(connection, delivery, [_row(organisation, each) for each in new])


_NOT_SENT = dict.fromkeys(("lease", "leased_until", "last_status", "last_problem", "last_at", "ended_at"))


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
        **_NOT_SENT,
    }


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


def unfinished(connection: sa.Connection, organisation: str) -> dict[str, dict[str, int]]:
    """How many deliveries of each subscription wait, and how many are dead letters: by subscription and status."""
    found: dict[str, dict[str, int]] = {}
    statement = (
        sa.select(delivery.c.subscription_id, delivery.c.status, sa.func.count())
        .where(delivery.c.organisation == organisation, delivery.c.status.in_(("waiting", "dead")))
        .group_by(delivery.c.subscription_id, delivery.c.status)
    )
    for subscription, status, count in connection.execute(statement):
        found.setdefault(subscription, {})[status] = count
    return found


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
