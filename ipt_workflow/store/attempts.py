"""The ends of attempts to deliver, many in one transaction: results, audit records, and the health of subscriptions."""

import datetime as dt
from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from ipt_workflow.store.attention import WAITING
from ipt_workflow.store.claims import ClaimedDelivery
from ipt_workflow.store.commits import rows
from ipt_workflow.store.courses import one_of
from ipt_workflow.store.inserts import insert_all
from ipt_workflow.store.schema import tables
from ipt_workflow.store.units import LoggedEvent

delivery, subscription = tables.delivery, tables.subscription
OUTAGE = dt.timedelta(seconds=60)  # a shorter time without a success is no outage of a subscription


class AttemptResult(msgspec.Struct, frozen=True, kw_only=True):
    """The delivery's new status after an attempt. `next_at` is the time of the next attempt, while it is `waiting`.

    `attempted` is False if the relay sent nothing. `counts` is False if the subscription's health does not depend on it.
    """

    status: str
    at: dt.datetime
    http_status: int | None = None
    problem: str | None = None
    next_at: dt.datetime | None = None
    throttled_until: dt.datetime | None = None
    attempted: bool = True
    counts: bool = True


class EndedAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt that ended, with its audit record if the delivery ended with it."""

    claimed: ClaimedDelivery
    result: AttemptResult
    record: LoggedEvent | None = None


def end(connection: sa.Connection, organisation: str, ended: Sequence[EndedAttempt]) -> list[EndedAttempt]:
    """Writes the results of attempts with their audit records. Returns those whose lease was not lost.

    Of others it writes only the record of a delivery that was accepted: it disclosed the course all the same.
    """
    if not ended:
        return []
    dialect = connection.dialect.name
    known = {"owner": organisation, "ids": [each.claimed.id for each in ended]}
    leases = {row.id: row.lease for row in connection.execute(_leases[dialect], known)}
    ours = [each for each in ended if leases.get(each.claimed.id) == each.claimed.lease_id]
    for same in _by_result(ours):
        ids = [each.claimed.id for each in same]
        connection.execute(_end[dialect], {"owner": organisation, "ids": ids, **_values(same)})
    held = {each.claimed.id for each in ours}
    log(
        connection,
        [each.record for each in ended if each.record and (each.claimed.id in held or each.result.status == "delivered")],
    )
    _update_health(connection, organisation, ours)
    return ours


def log(connection: sa.Connection, records: Sequence[LoggedEvent]) -> None:
    """Writes audit records in the caller's transaction. A record without a transaction of its own goes through the committer."""
    new = rows.of_events(records)
    for table in (tables.audit_event, tables.audit_subject, tables.log_outbox):
        insert_all(connection, table, new[table])


def _by_result(ended: Sequence[EndedAttempt]) -> list[list[EndedAttempt]]:
    """Attempts whose rows change in the same way: one statement writes them."""
    alike: dict[tuple[Any, ...], list[EndedAttempt]] = {}
    for each in ended:
        result = each.result
        key = (result.status, result.attempted, result.http_status, result.problem, result.next_at)
        alike.setdefault(key, []).append(each)
    return list(alike.values())


def _values(alike: Sequence[EndedAttempt]) -> dict[str, Any]:
    result, at = alike[0].result, max(each.result.at for each in alike)
    return {
        "new_status": result.status,
        "sent": int(result.attempted),
        "http_status": result.http_status,
        "problem": result.problem,
        "at": at,
        "again_at": result.next_at,
        "end_at": None if result.next_at else at,
    }


def _update_health(connection: sa.Connection, organisation: str, ended: Sequence[EndedAttempt]) -> None:
    """Sets since when subscriptions fail without a success.

    After the first success that ends an outage, what failed during it is due at once, and its last attempt does not count.
    """
    failing = {row.id: row.failing_since for row in connection.execute(_failing, {"owner": organisation})}
    for each in sorted(ended, key=lambda one: one.claimed.subscription):  # always in the same order: else two relays may deadlock
        result, subscription_id = each.result, each.claimed.subscription
        known = {"owner": organisation, "subscription": subscription_id, "at": result.at}
        if not (result.attempted and result.counts):
            continue
        if result.status != "delivered":
            connection.execute(_failed, {**known, "until": result.throttled_until})
            failing.setdefault(subscription_id, result.at)
        elif subscription_id in failing:
            since = failing.pop(subscription_id)
            connection.execute(_succeeded, known)
            if result.at - since >= OUTAGE:
                connection.execute(_due_again, {**known, "since": since})


_owner = sa.bindparam("owner", type_=sa.String)
_moment = delivery.c.next_at.type
_at = sa.bindparam("at", type_=_moment)
_listed = one_of(delivery.c.id, "ids")
_leases = {
    dialect: sa.select(delivery.c.id, delivery.c.lease)
    .where(delivery.c.organisation == _owner, listed)
    .order_by(delivery.c.id)
    .with_for_update()
    for dialect, listed in _listed.items()
}
_sent = sa.bindparam("sent", type_=sa.Integer)


def _if_sent(value: sa.BindParameter[Any], column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    return sa.case((_sent == 1, value), else_=column)


_end = {
    dialect: sa.update(delivery)
    .where(delivery.c.organisation == _owner, listed)
    .values(
        status=sa.bindparam("new_status", type_=sa.String),
        attempts=delivery.c.attempts + _sent,
        last_status=_if_sent(sa.bindparam("http_status", type_=sa.Integer), delivery.c.last_status),
        last_problem=_if_sent(sa.bindparam("problem", type_=sa.String), delivery.c.last_problem),
        last_at=_if_sent(_at, delivery.c.last_at),
        next_at=sa.func.coalesce(sa.bindparam("again_at", type_=_moment), delivery.c.next_at),
        ended_at=sa.bindparam("end_at", type_=_moment),
        lease=None,
        leased_until=None,
    )
    for dialect, listed in _listed.items()
}
_own = (subscription.c.organisation == _owner, subscription.c.id == sa.bindparam("subscription", type_=sa.String))
_until = sa.bindparam("until", type_=_moment)
_hold = subscription.c.throttled_until
_later_hold = sa.case((_until.is_(None), _hold), (sa.or_(_hold.is_(None), _hold < _until), _until), else_=_hold)  # never shortened
_failed = (
    sa.update(subscription)
    .where(*_own)
    .values(failing_since=sa.func.coalesce(subscription.c.failing_since, _at), throttled_until=_later_hold)
)
_failing = sa.select(subscription.c.id, subscription.c.failing_since).where(
    subscription.c.organisation == _owner, subscription.c.failing_since.is_not(None)
)
_succeeded = sa.update(subscription).where(*_own).values(failing_since=None)
_due_again = (
    sa.update(delivery)
    .where(
        delivery.c.organisation == _owner,
        delivery.c.subscription_id == sa.bindparam("subscription", type_=sa.String),
        delivery.c.status == WAITING,
        delivery.c.next_at > _at,
        delivery.c.last_at >= sa.bindparam("since", type_=_moment),
    )
    .values(next_at=_at, attempts=delivery.c.attempts - 1)
)
