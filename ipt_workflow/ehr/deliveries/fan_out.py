"""Fan-out: numbers the events of the outbox, and creates a delivery for each subscription that receives them."""

from collections.abc import Sequence

from ipt_workflow.ehr.deliveries import events
from ipt_workflow.service.clinic import Clinic, new_id
from ipt_workflow.store import claims, deliveries, log, subscriptions
from ipt_workflow.store import events as stored_events
from ipt_workflow.store.claims import PINGS
from ipt_workflow.store.database import Connection
from ipt_workflow.store.deliveries import NewDelivery
from ipt_workflow.store.events import NumberedEvent, StoredEvent
from ipt_workflow.store.subscriptions import StoredSubscription

BATCH = 500  # events in one transaction
DELIVERIES_MAX = 2000  # about the number of deliveries that one transaction creates


async def fan_out_all(clinic: Clinic) -> int:
    """Empties the outbox. Returns the number of events.

    Call it before what must find every event that is published. If another process is fanning out, it waits for it.
    """
    total, numbered = 0, BATCH
    while numbered >= BATCH and await clinic.read(stored_events.waiting):
        numbered = await clinic.write(_number, BATCH)
        total += numbered
    return total


async def bring_up_to_date(clinic: Clinic) -> None:
    """Empties the outbox, and gives everything that waits for the log its position."""
    await fan_out_all(clinic)
    while await clinic.read(log.waiting):
        await clinic.write(_number, BATCH)


def _number(connection: Connection, organisation: str, limit: int) -> int:
    claims.find_by_key(connection)
    return fan_out_batch(connection, organisation, limit, wait=True)[0]


def fan_out_batch(
    connection: Connection, organisation: str, limit: int, wait: bool = False
) -> tuple[int, list[StoredSubscription]]:
    """Numbers at most `limit` events and inserts their deliveries, in the caller's transaction.

    While another process is fanning out, it numbers none; with `wait`, it waits for that process.

    Returns the number of events, and the subscriptions.
    """
    numbered = stored_events.number_events(connection, organisation, limit, wait=wait)
    # Subscriptions are read after that: one that was created before an event that is visible here is then visible as well.
    known = subscriptions.find_all(connection, organisation)
    if numbered and known:
        new = [each for event in stored_events.latest(connection, organisation, numbered) for each in _deliveries(known, event)]
        deliveries.insert(connection, organisation, new)
    return numbered, known


def _deliveries(known: Sequence[StoredSubscription], event: NumberedEvent) -> list[NewDelivery]:
    """One delivery for each subscription that receives the event. A disabled subscription gets none, and may replay it later."""
    return [
        NewDelivery(id=new_id(), subscription=each.id, position=event.position, lane=lane_of(event), due_at=event.created_at)
        for each in known
        if receives(each, event) and (each.status != "disabled" or event.kind == "ping")
    ]


def lane_of(event: NumberedEvent | StoredEvent) -> str:
    return PINGS if event.kind == "ping" else event.course or ""


def receives(subscription: StoredSubscription, event: NumberedEvent | StoredEvent) -> bool:
    """Whether a subscription receives an event, by type, scope and courses. Only its own subscription receives a ping."""
    if event.kind == "ping" or event.subscription == subscription.id:
        return event.kind == "ping" and event.subscription == subscription.id
    if event.course is not None and subscription.courses is not None and event.course not in subscription.courses:
        return False
    return events.type_for(event.kind, event.trigger, subscription.types, subscription.scope) is not None
