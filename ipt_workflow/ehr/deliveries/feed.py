"""The event feed, and course snapshots to continue from: the same events as the webhooks, for reading."""

import msgspec

from ipt_workflow.access.principal import Principal
from ipt_workflow.ehr.deliveries import events, fan_out
from ipt_workflow.ehr.deliveries.events import FeedEvent
from ipt_workflow.ehr.deliveries.subscriptions import find_subscription
from ipt_workflow.errors import CommandInvalid, Fault
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.service.reads import CourseReads
from ipt_workflow.service.views import CourseView
from ipt_workflow.store import cosignatures
from ipt_workflow.store import events as stored_events
from ipt_workflow.store.events import StoredEvent
from ipt_workflow.store.subscriptions import StoredSubscription


class FeedPage(msgspec.Struct, frozen=True, kw_only=True):
    """Events in order. Send `next` as `after` to get the next page; it is null on the last page. Send `last` as `after` later on."""

    items: list[FeedEvent]
    next: str | None
    last: str | None


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A course after its entry `sequence`, whose hash is `head`. Events with a higher sequence follow.

    Read the feed after the event `last` to find everything that is newer.
    """

    course: str
    sequence: int
    head: str
    last: str | None
    state: CourseView


class Feed:
    """A clinic's event feed."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic

    async def page(self, principal: Principal, after: str | None, limit: int, subscription_id: str | None = None) -> FeedPage:
        """Events after `after`, in thin form. With a subscription: only its events, in the form it receives them."""
        await self.clinic.require(principal, "read events")
        subscription = await find_subscription(self.clinic, subscription_id) if subscription_id else None
        await fan_out.fan_out_all(self.clinic)
        found = await self.clinic.read(stored_events.after, await self._position(after), limit + 1)
        page = found[:limit]
        unseen = await self.clinic.unseen(principal, list({each.course for each in page if each.course}))
        seen = [each for each in page if each.course not in unseen]
        shown = [(each, item) for each in seen if (item := _item(each, principal, subscription))]
        await self.clinic.log(principal, "read", "events", [each.course for each, _ in shown if each.course])
        last = events.webhook_id(page[-1].id) if page else after
        return FeedPage(items=[item for _, item in shown], next=last if len(found) > limit else None, last=last)

    async def checkpoint(self) -> str | None:
        """The newest checkpoint of the log, as a header. None if there is none."""
        return await self.clinic.read(cosignatures.newest_header)

    async def snapshot(self, principal: Principal, course_id: str) -> Snapshot:
        """A course, and the event to continue after."""
        await self.clinic.visible_course(principal, course_id)
        # The event is read first: what happens between the two reads is then in the feed as well, and not lost.
        _, last = await self.clinic.read(stored_events.last_position)
        view = await CourseReads(self.clinic).course(principal, course_id)
        return Snapshot(
            course=view.id, sequence=view.version, head=view.head, last=events.webhook_id(last) if last else None, state=view
        )

    async def _position(self, after: str | None) -> int:
        if after is None:
            return 0
        position = await self.clinic.read(stored_events.position_of, after.removeprefix(events.ID_PREFIX))
        if position is None:
            raise CommandInvalid([Fault("after", "names no event; leave it out to begin with the first")])
        return position


def _item(stored: StoredEvent, principal: Principal, subscription: StoredSubscription | None) -> FeedEvent | None:
    """The event as the reader sees it; None if it is hidden. Of a course that is no longer shared, an EHR sees just that."""
    purpose = subscription.purpose if subscription else "TREAT"
    if principal.role == "ehr" and not events.may_go_out(stored, purpose):
        return None
    types, scope = (subscription.types, subscription.scope) if subscription else (events.DEFAULT_TYPES, events.THIN)
    if subscription and not fan_out.receives(subscription, stored):
        return None
    event = events.render(stored, types, scope)
    return (
        FeedEvent(id=events.webhook_id(stored.id), type=event.type, timestamp=event.timestamp, data=event.data) if event else None
    )
