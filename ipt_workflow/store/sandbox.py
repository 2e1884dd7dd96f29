"""The mark that makes a database a sandbox, the moves of its clock, and what is due when the clock moves."""

import datetime as dt

import msgspec
import sqlalchemy as sa

from ipt_workflow.store.attention import WAITING
from ipt_workflow.store.schema import tables

moves, course, reported = tables.sandbox_move, tables.course, tables.attention_told
event, delivery, subscription = tables.event, tables.delivery, tables.subscription
MICROSECOND = dt.timedelta(microseconds=1)
BY_TIME = ("attention", "disabled")  # the kinds of events that time alone brings about


class ClockMove(msgspec.Struct, frozen=True):
    """How far a sandbox's clock is ahead of the system's clock since a move, and where it was then."""

    ahead: dt.timedelta
    reached: dt.datetime


class EventCount(msgspec.Struct, frozen=True):
    """The number of events of a kind. `detail` is the kind of attention, or why a subscription was disabled."""

    kind: str
    detail: str
    count: int


def is_empty(connection: sa.Connection) -> bool:
    """Whether the database holds no table at all."""
    return not sa.inspect(connection).get_table_names()


def is_marked(connection: sa.Connection) -> bool:
    """Whether the database was made as a sandbox, at whatever revision it is."""
    return sa.inspect(connection).has_table(moves.name) and find(connection) is not None


def find(connection: sa.Connection) -> ClockMove | None:
    """The last move of the clock, by whatever organisation; None if the database was not made as a sandbox."""
    row = connection.execute(sa.select(moves).order_by(moves.c.nth.desc()).limit(1)).one_or_none()
    return ClockMove(row.ahead * MICROSECOND, row.reached) if row else None


def record(connection: sa.Connection, organisation: str, move: ClockMove) -> None:
    """Records a move of the clock. The first one marks the database."""
    last = connection.execute(sa.select(sa.func.coalesce(sa.func.max(moves.c.nth), 0))).scalar_one()
    row = {"organisation": organisation, "nth": last + 1, "ahead": move.ahead // MICROSECOND, "reached": move.reached}
    connection.execute(sa.insert(moves), row)


def next_due(connection: sa.Connection, organisation: str, after: dt.datetime, until: dt.datetime) -> dt.datetime | None:
    """The first moment between two at which a course begins to need attention, or must be scanned again."""
    columns = (*(course.c[f"{kind}_from"] for kind in tables.REPORTED), reported.c.next_at)
    found = [
        connection.execute(
            sa.select(sa.func.min(each)).where(each.table.c.organisation == organisation, each > after, each <= until)
        ).scalar()
        for each in columns
    ]
    return min((each for each in found if each is not None), default=None)


def brought_by_time(connection: sa.Connection, organisation: str, after: int) -> list[EventCount]:
    """The events behind a position that time brought about."""
    found = connection.execute(
        sa.select(event.c.kind, event.c.detail, sa.func.count())
        .where(event.c.organisation == organisation, event.c.position > after, event.c.kind.in_(BY_TIME))
        .group_by(event.c.kind, event.c.detail)
        .order_by(event.c.kind, event.c.detail)
    )
    return [EventCount(row.kind, row.detail or "", row[2]) for row in found]


def settled(connection: sa.Connection, organisation: str, now: dt.datetime) -> bool:
    """Whether every event is fanned out, and no delivery can be sent now or is being sent."""
    outbox = connection.execute(sa.select(tables.outbox.c.id).where(tables.outbox.c.organisation == organisation).limit(1))
    if outbox.first() is not None:
        return False
    before = delivery.alias("before")
    first_in_lane = ~sa.exists().where(
        before.c.organisation == organisation,
        before.c.subscription_id == delivery.c.subscription_id,
        before.c.lane == delivery.c.lane,
        before.c.status == WAITING,
        before.c.position < delivery.c.position,
    )
    can_send = sa.and_(
        subscription.c.organisation == delivery.c.organisation,
        subscription.c.id == delivery.c.subscription_id,
        subscription.c.status == "active",
        sa.or_(subscription.c.throttled_until.is_(None), subscription.c.throttled_until <= now),
    )
    due = (delivery.c.organisation == organisation, delivery.c.status == WAITING, delivery.c.next_at <= now, first_in_lane)
    found = connection.execute(sa.select(delivery.c.id).select_from(delivery.join(subscription, can_send)).where(*due).limit(1))
    return found.first() is None
