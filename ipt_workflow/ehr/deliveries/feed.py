"""The same events to be read instead of received: after an event, or from a snapshot of a course on."""

import msgspec

from ipt_workflow.access import policy
from ipt_workflow.access.principal import Principal
from ipt_workflow.ehr.deliveries import events, fan_out
from ipt_workflow.ehr.deliveries.events import FeedEvent
from ipt_workflow.ehr.deliveries.subscriptions import found
from ipt_workflow.errors import CommandInvalid, Fault
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.service.reads import CourseReads
from ipt_workflow.service.views import CourseView
from ipt_workflow.store import events as stored
from ipt_workflow.store.events import StoredEvent
from ipt_workflow.store.subscriptions import StoredSubscription


class FeedPage(msgspec.Struct, frozen=True, kw_only=True):
    """Events in their order. `next` is what to ask `after` at once, null where this was all; `last` what to ask `after` later on."""

    items: list[FeedEvent]
    next: str | None
    last: str | None


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A course to go on from: what it is after the entry `sequence`, whose hash is `head`; events with a higher sequence follow.

    `last` is an event after which all that this does not hold will be found.
    """

    course: str
    sequence: int
    head: str
    last: str | None
    state: CourseView


class Feed:
    """The verbs over a clinic."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic

    async def page(self, principal: Principal, after: str | None, limit: int, subscription_id: str | None = None) -> FeedPage:
        """Events after one, thin; or those that a subscription is told of, as it is told of them."""
        policy.require(principal, "read events")
        subscription = await found(self.clinic, subscription_id) if subscription_id else None
        await fan_out.fan_out_all(self.clinic)
        told = await self.clinic.read(stored.after, await self._place(after), limit + 1)
        shown = [(each, item) for each in told[:limit] if (item := _item(each, principal, subscription))]
        await self.clinic.record(principal, "read", "events", [each.course for each, _ in shown if each.course])
        last = events.webhook_id(told[:limit][-1].id) if told else after
        return FeedPage(items=[item for _, item in shown], next=last if len(told) > limit else None, last=last)

    async def snapshot(self, principal: Principal, course_id: str) -> Snapshot:
        """A course as it is, with where to go on from."""
        await self.clinic.visible(principal, course_id)
        _, last = await self.clinic.read(stored.last_position)
        view = await CourseReads(self.clinic).course(principal, course_id)
        return Snapshot(
            course=view.id, sequence=view.version, head=view.head, last=events.webhook_id(last) if last else None, state=view
        )

    async def _place(self, after: str | None) -> int:
        if after is None:
            return 0
        place = await self.clinic.read(stored.position_of, after.removeprefix(events.ID_PREFIX))
        if place is None:
            raise CommandInvalid([Fault("after", "names no event; leave it out to begin with the first")])
        return place


def _item(told: StoredEvent, principal: Principal, subscription: StoredSubscription | None) -> FeedEvent | None:
    """An event as it is shown; None where it is not. EHR systems are not shown a course that is not to be shared any more."""
    if principal.role == "ehr" and not told.shared:
        return None
    types, scope = (subscription.types, subscription.scope) if subscription else (events.DEFAULT_TYPES, events.THIN)
    if subscription and not fan_out.is_told(subscription, told):
        return None
    event = events.render(told, types, scope)
    return FeedEvent(id=events.webhook_id(told.id), type=event.type, timestamp=event.timestamp, data=event.data) if event else None
