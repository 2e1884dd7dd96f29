"""Claims of deliveries: a relay leases what is due, lane by lane, before it sends it, and holds no lock meanwhile.

A claim takes the first waiting deliveries of a lane, in order and without a gap. As long as a lane's first waiting delivery is leased,
no other relay can claim from the lane.
"""

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Any

import msgspec
import sqlalchemy as sa

from ipt_workflow.store.attention import WAITING
from ipt_workflow.store.courses import one_of
from ipt_workflow.store.schema import tables

delivery, subscription = tables.delivery, tables.subscription
PINGS = "ping"  # the lane of pings: they wait for nothing, and go to subscriptions that are paused or disabled as well
LANE_MAX = 16  # deliveries of a lane in one claim
_LAST = 2**31 - 1


class ClaimedDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery that this relay may send until its lease ends."""

    id: str
    subscription: str
    position: int
    lane: str
    attempts: int
    lease_id: str


def course_of(lane: str) -> str | None:
    """The course whose events a lane holds."""
    return None if lane in {"", PINGS} else lane


def find_by_key(connection: sa.Connection) -> None:
    """Lets the statements of this transaction use indexes alone. PostgreSQL keeps plans; one made while a table was small scans it whole."""
    if connection.dialect.name == "postgresql":
        connection.execute(_by_key)


def any_due(connection: sa.Connection, organisation: str, now: dt.datetime) -> bool:
    """Whether a claim may find something. The relay asks before it begins a transaction that writes."""
    return connection.execute(_subscriptions_due.limit(1), {"owner": organisation, "now": now}).first() is not None


def claim(
    connection: sa.Connection,
    organisation: str,
    *,
    now: dt.datetime,
    lease_until: dt.datetime,
    lease_id: str,
    lanes_max: int,
    lanes_of: Callable[[str], int],
) -> list[list[ClaimedDelivery]]:
    """Leases due deliveries of subscriptions that are active and not throttled, and due pings of all. Returns them by lane.

    Takes from at most `lanes_max` lanes, and from at most `lanes_of(subscription)` lanes of a subscription.
    """
    known = {"owner": organisation, "now": now}
    due = {row.id: (row.status, lanes_of(row.id)) for row in connection.execute(_subscriptions_due, known)}
    wanted = {each: most for each, (_, most) in due.items() if most > 0}
    if not wanted or lanes_max <= 0:
        return []
    heads = _heads(connection, known, {each: due[each][0] for each in wanted}, max(wanted.values()))
    chosen: list[str] = []
    for row in sorted(heads, key=lambda head: (head.next_at, head.position)):
        if len(chosen) < lanes_max and wanted[row.subscription_id] > 0:
            wanted[row.subscription_id] -= 1
            chosen.append(row.id)
    if connection.dialect.name == "postgresql":
        chosen = list(connection.execute(_lock_heads, {**known, "ids": chosen}).scalars())
    rows = connection.execute(_lanes_from[connection.dialect.name], {"owner": organisation, "ids": chosen})
    in_order = sorted(rows, key=lambda row: (row.subscription_id, row.lane, row.position))
    lanes = [_ready_rows(lane, now) for _, lane in groupby(in_order, key=lambda row: (row.subscription_id, row.lane))]
    leased = {"owner": organisation, "ids": [row.id for lane in lanes for row in lane]}
    connection.execute(_lease[connection.dialect.name], {**leased, "lease_id": lease_id, "lease_until": lease_until})
    return [[_claimed(row, lease_id) for row in lane] for lane in lanes]


def is_full(lanes: Sequence[Sequence[ClaimedDelivery]], lanes_max: int, lanes_of: Callable[[str], int]) -> bool:
    """Whether a claim with these limits may have left something that is due."""
    counts = Counter(lane[0].subscription for lane in lanes)
    full = len(lanes) >= lanes_max or any(count >= lanes_of(each) for each, count in counts.items())
    return full or any(len(lane) >= LANE_MAX for lane in lanes)


def _heads(connection: sa.Connection, known: dict[str, Any], statuses: dict[str, str], most: int) -> list[sa.Row[Any]]:
    """The first deliveries of lanes that may be claimed, at most `most` of each subscription."""
    if connection.dialect.name == "postgresql":
        return list(connection.execute(_heads_of_all, {**known, "ids": list(statuses), "most": most}))
    return [
        row
        for each, status in statuses.items()
        for row in connection.execute(_heads_of_one, {**known, "subscription": each, "status": status, "most": most})
    ]


def _ready_rows(lane: Iterable[sa.Row[Any]], now: dt.datetime) -> list[sa.Row[Any]]:
    """A lane's deliveries up to the first that is not due yet, or that another relay sends."""
    found = []
    for row in lane:
        if row.next_at > now or (row.leased_until and row.leased_until > now):
            break
        found.append(row)
    return found


def _claimed(row: sa.Row[Any], lease_id: str) -> ClaimedDelivery:
    return ClaimedDelivery(
        id=row.id,
        subscription=row.subscription_id,
        position=row.position,
        lane=row.lane,
        attempts=row.attempts,
        lease_id=lease_id,
    )


def release(connection: sa.Connection, organisation: str, claimed: Sequence[ClaimedDelivery]) -> None:
    """Ends the leases of deliveries that were not sent."""
    by_lease: dict[str, list[str]] = {}
    for each in claimed:
        by_lease.setdefault(each.lease_id, []).append(each.id)
    for lease_id, ids in by_lease.items():
        connection.execute(_release[connection.dialect.name], {"owner": organisation, "lease_id": lease_id, "ids": ids})


def within(organisation: Any, found: sa.FromClause) -> sa.ColumnElement[bool]:
    """The condition that a row is of the organisation, worded so that no index serves it.

    Ids are unique: what begins with a subscription's id finds few rows. While its statistics are old, PostgreSQL expects few rows of
    every index that begins with the organisation, and would take any of them.
    """
    same: sa.ColumnElement[bool] = found.c.organisation.concat("") == organisation
    return same


_OFF = ("enable_seqscan", "enable_bitmapscan", "enable_hashjoin", "enable_mergejoin", "enable_sort", "jit")
_SWITCHED = ", ".join(f"set_config('{name}', 'off', true)" for name in _OFF)
_by_key = sa.text(f"SELECT {_SWITCHED}")
_owner = sa.bindparam("owner", type_=sa.String)
_now = sa.bindparam("now", type_=delivery.c.next_at.type)
_active = sa.and_(
    subscription.c.status == "active", sa.or_(subscription.c.throttled_until.is_(None), subscription.c.throttled_until <= _now)
)


def _any_waiting(more: sa.ColumnElement[bool]) -> sa.Exists:
    own = (within(subscription.c.organisation, delivery), delivery.c.subscription_id == subscription.c.id)
    return sa.exists().where(*own, delivery.c.status == WAITING, more)


_subscriptions_due = sa.select(subscription.c.id, subscription.c.status).where(
    subscription.c.organisation == _owner,
    sa.or_(
        sa.and_(_active, _any_waiting(delivery.c.next_at <= _now)),
        sa.and_(subscription.c.status.in_(("paused", "disabled")), _any_waiting(delivery.c.lane == PINGS)),
    ),
)


def _first_and_due() -> tuple[sa.ColumnElement[bool], ...]:
    """Not leased, due, and the first waiting delivery of its lane."""
    waiting = delivery.alias("waiting")
    first = (
        sa.select(waiting.c.position)
        .where(
            within(delivery.c.organisation, waiting),
            waiting.c.subscription_id == delivery.c.subscription_id,
            waiting.c.lane == delivery.c.lane,
            waiting.c.status == WAITING,
        )
        .order_by(waiting.c.position)
        .limit(1)
    )  # a value, and no NOT EXISTS: PostgreSQL would make a join of that, over all deliveries
    free = sa.or_(delivery.c.leased_until.is_(None), delivery.c.leased_until <= _now)
    return free, delivery.c.next_at <= _now, delivery.c.position == first.scalar_subquery()


def _heads_of(subscription_id: Any, status: Any) -> sa.Select[Any]:
    return (
        sa.select(delivery.c.id, delivery.c.subscription_id, delivery.c.next_at, delivery.c.position)
        .where(within(_owner, delivery), delivery.c.subscription_id == subscription_id, delivery.c.status == WAITING)
        .where(*_first_and_due())
        .where(sa.or_(status == "active", delivery.c.lane == PINGS))
        .order_by(delivery.c.next_at, delivery.c.position)
        .limit(sa.bindparam("most", type_=sa.Integer))
    )


_heads_of_one = _heads_of(sa.bindparam("subscription", type_=sa.String), sa.bindparam("status", type_=sa.String))
_lateral = _heads_of(subscription.c.id, subscription.c.status).correlate(subscription).lateral("head")
_heads_of_all = (
    sa.select(_lateral)
    .select_from(subscription.join(_lateral, sa.true()))
    .where(subscription.c.organisation == _owner, one_of(subscription.c.id, "ids")["postgresql"])
)
_lock_heads = (
    sa.select(delivery.c.id)
    .where(delivery.c.organisation == _owner, one_of(delivery.c.id, "ids")["postgresql"])
    .where(delivery.c.status.concat("") == WAITING, *_first_and_due())  # found by the ids, not by an index of what waits
    .order_by(delivery.c.id)
    .with_for_update(skip_locked=True, of=delivery)
)


def _lanes() -> dict[str, sa.Select[Any]]:
    """The first waiting deliveries of lanes, at most LANE_MAX of each; `ids` are the first ones. Unordered.

    Each database has the form in which it is sure to begin with the `ids`.
    """
    head, after = delivery.alias("head"), delivery.alias("after")
    listed = one_of(head.c.id, "ids")

    def of_lane(each: sa.FromClause) -> tuple[sa.ColumnElement[bool], ...]:
        return (
            within(head.c.organisation, each),
            each.c.subscription_id == head.c.subscription_id,
            each.c.lane == head.c.lane,
            each.c.status == WAITING,
            each.c.position >= head.c.position,
        )

    names = ("id", "subscription_id", "lane", "position", "attempts", "next_at", "leased_until")
    in_order = sa.select(*(after.c[name] for name in names)).where(*of_lane(after)).order_by(after.c.position)
    lane = in_order.limit(LANE_MAX).correlate(head).lateral("lane")
    end = in_order.with_only_columns(after.c.position).limit(1).offset(LANE_MAX).scalar_subquery()
    return {
        "postgresql": sa.select(lane)
        .select_from(head.join(lane, sa.true()))
        .where(head.c.organisation == _owner, listed["postgresql"]),
        "sqlite": sa.select(*(delivery.c[name] for name in names))
        .select_from(head.join(delivery, sa.and_(*of_lane(delivery))))
        .where(head.c.organisation == _owner, listed["sqlite"], delivery.c.position < sa.func.coalesce(end, _LAST)),
    }


_lanes_from = _lanes()
_ours = {
    dialect: sa.update(delivery).where(delivery.c.organisation == _owner, listed)
    for dialect, listed in one_of(delivery.c.id, "ids").items()
}
_lease = {
    dialect: ours.values(
        lease=sa.bindparam("lease_id", type_=sa.String),
        leased_until=sa.bindparam("lease_until", type_=delivery.c.leased_until.type),
    )
    for dialect, ours in _ours.items()
}
_release = {
    dialect: ours.where(delivery.c.lease == sa.bindparam("lease_id", type_=sa.String)).values(lease=None, leased_until=None)
    for dialect, ours in _ours.items()
}
