"""A round of the relay, in one transaction: it writes the ends of attempts, fans events out, and claims what is due."""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence

import msgspec

from ipt_workflow.ehr.deliveries import fan_out
from ipt_workflow.service.clinic import new_id
from ipt_workflow.store import attempts, claims, cosignatures, log, subscriptions
from ipt_workflow.store import events as stored_events
from ipt_workflow.store.attempts import EndedAttempt
from ipt_workflow.store.claims import ClaimedDelivery
from ipt_workflow.store.database import Connection
from ipt_workflow.store.events import NewEvent, StoredEvent
from ipt_workflow.store.subscriptions import StoredKey, StoredSubscription
from ipt_workflow.store.units import LoggedEvent


class DisabledSubscription(msgspec.Struct, frozen=True, kw_only=True):
    """A subscription to disable, with the audit record of that."""

    id: str
    reason: str
    at: dt.datetime
    record: LoggedEvent


class RoundPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What to write, and how much to claim: from `lanes_max` lanes, and from `lanes_of(subscription)` lanes of each subscription."""

    now: dt.datetime
    lease_until: dt.datetime
    lanes_max: int
    lanes_of: Callable[[str], int]
    ended: Sequence[EndedAttempt] = ()
    released: Sequence[ClaimedDelivery] = ()
    disabled: Sequence[DisabledSubscription] = ()


class RoundOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What was written and claimed, with all that is needed to send it.

    `more`: the outbox may hold more events. `full`: more may be due than was claimed. `checkpoint` is the newest of the log, as a header.
    """

    written: list[EndedAttempt]
    disabled: list[DisabledSubscription]
    more: bool
    full: bool
    lanes: list[list[ClaimedDelivery]]
    events: Mapping[int, StoredEvent]
    subscriptions: Mapping[str, StoredSubscription]
    keys: Mapping[str, tuple[StoredKey, ...]]
    checkpoint: str | None


def run(connection: Connection, organisation: str, plan: RoundPlan, subscribers: int) -> RoundOutcome:
    """One round. `subscribers` is about how many deliveries an event comes to."""
    claims.find_by_key(connection)
    written = attempts.end(connection, organisation, plan.ended)
    claims.release(connection, organisation, plan.released)
    ended = {each.claimed.subscription for each in written}
    disabled = [each for each in plan.disabled if each.id in ended and _disable(connection, organisation, each)]
    limit = max(1, min(fan_out.BATCH, fan_out.DELIVERIES_MAX // max(1, subscribers)))
    numbered, found = fan_out.fan_out_batch(connection, organisation, limit)
    known = {each.id: each for each in found}
    lanes = claims.claim(
        connection,
        organisation,
        now=plan.now,
        lease_until=plan.lease_until,
        lease_id=new_id(),
        lanes_max=plan.lanes_max,
        lanes_of=lambda subscription_id: plan.lanes_of(subscription_id) if subscription_id in known else 0,
    )
    positions = {each.position for lane in lanes for each in lane}
    return RoundOutcome(
        written=written,
        disabled=disabled,
        more=numbered >= limit or log.is_behind(connection, organisation),
        full=claims.is_full(lanes, plan.lanes_max, plan.lanes_of),
        lanes=lanes,
        events=stored_events.at(connection, organisation, sorted(positions)) if positions else {},
        subscriptions=known,
        keys=subscriptions.keys_of_all(connection, organisation, plan.now) if lanes else {},
        checkpoint=cosignatures.newest_header(connection, organisation) if lanes else None,
    )


def anything(connection: Connection, organisation: str, now: dt.datetime) -> bool:
    """Whether a round may find something to do. The relay asks before it begins a transaction that writes."""
    waits = stored_events.waiting(connection, organisation) or log.waiting(connection, organisation)
    return waits or claims.any_due(connection, organisation, now)


def _disable(connection: Connection, organisation: str, each: DisabledSubscription) -> bool:
    """Disables a subscription, and tells the others. Returns False if it was not active."""
    if not subscriptions.disable(connection, organisation, each.id, each.reason):
        return False
    event = NewEvent(id=new_id(), kind="disabled", subscription=each.id, detail=each.reason, created_at=each.at)
    stored_events.publish(connection, organisation, event)
    attempts.log(connection, [each.record])
    return True
