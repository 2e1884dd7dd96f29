"""From the outbox to events, and from events to deliveries: who is to be told of what."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from ipt_workflow.ehr.deliveries import events
from ipt_workflow.service.clinic import Clinic, new_id
from ipt_workflow.store import deliveries, subscriptions
from ipt_workflow.store import events as stored
from ipt_workflow.store.events import NumberedEvent, StoredEvent
from ipt_workflow.store.subscriptions import StoredSubscription

BATCH = 500


async def fan_out_all(clinic: Clinic) -> int:
    """Gives everything in the outbox its place among the events, with the deliveries it asks for. Returns how many events.

    Whoever wants to read events or deliver them does this first. Where another hand is at it, it is left to that hand.
    """
    total, placed = 0, BATCH
    while placed == BATCH and await clinic.read(stored.waiting):
        placed = await clinic.write(fan_out_batch, BATCH)
        total += placed
    return total


def fan_out_batch(connection: sa.Connection, organisation: str, limit: int) -> int:
    """One batch, in one transaction."""
    stored.begin_task(connection, organisation, "place")
    placed = stored.number_events(connection, organisation, limit)
    known = subscriptions.subscriptions(connection, organisation) if placed else []
    if known:
        fanned = [
            row for event in stored.latest(connection, organisation, placed) for row in _deliveries(organisation, known, event)
        ]
        deliveries.insert(connection, fanned)
    return placed


def _deliveries(organisation: str, known: Sequence[StoredSubscription], event: NumberedEvent) -> list[dict[str, Any]]:
    """One for each subscription that is told. What is disabled is told nothing, and may ask for it later."""
    return [
        deliveries.new_delivery(organisation, new_id(), each.id, event.position, event.course or "", event.created_at)
        for each in known
        if is_told(each, event) and (each.status != "disabled" or event.kind == "ping")
    ]


def is_told(each: StoredSubscription, event: NumberedEvent | StoredEvent) -> bool:
    """Whether a subscription asked to be told of an event: by its type, scope and courses. A ping is for the one it is about alone."""
    if event.kind == "ping" or event.subscription == each.id:
        return event.kind == "ping" and event.subscription == each.id
    if event.course is not None and each.courses is not None and event.course not in each.courses:
        return False
    return events.type_for(event.kind, event.trigger, each.types, each.scope) is not None
