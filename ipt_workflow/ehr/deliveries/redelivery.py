"""Deliveries to read and to replay: one, a range, or everything that was missed."""

import datetime as dt
from collections.abc import Callable

from ipt_workflow.access.principal import Principal
from ipt_workflow.ehr.deliveries import events, fan_out
from ipt_workflow.ehr.deliveries.bodies import DeliveryView, Replay, Replayed, delivery_view
from ipt_workflow.ehr.deliveries.subscriptions import find_subscription
from ipt_workflow.errors import CommandInvalid, Fault, NotFound
from ipt_workflow.service.clinic import Clinic, new_id
from ipt_workflow.store import deliveries as stored_deliveries
from ipt_workflow.store import events as stored_events
from ipt_workflow.store.claims import course_of
from ipt_workflow.store.database import Connection
from ipt_workflow.store.deliveries import NewDelivery
from ipt_workflow.store.events import StoredEvent
from ipt_workflow.store.subscriptions import StoredSubscription

REPLAY_MAX = 10_000


class Deliveries:
    """A clinic's deliveries."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic

    async def page(
        self, principal: Principal, subscription_id: str, *, status: str | None, after: int, limit: int
    ) -> list[DeliveryView]:
        """A subscription's deliveries after a position, in order."""
        await self.clinic.require(principal, "read deliveries")
        await find_subscription(self.clinic, subscription_id)
        listed = await self.clinic.read(stored_deliveries.page, subscription_id, status=status, after=after, limit=limit)
        await self.clinic.log(principal, "read", "deliveries", [each.course for each in listed if each.course])
        return [delivery_view(each) for each in listed]

    async def unfinished(self, principal: Principal) -> dict[str, dict[str, int]]:
        """How many deliveries wait and how many are dead letters, by subscription and status."""
        await self.clinic.require(principal, "read deliveries")
        return await self.clinic.read(stored_deliveries.unfinished)

    async def replay_one(self, principal: Principal, delivery_id: str) -> Replayed:
        """Sends one delivery again, with the same id."""
        await self.clinic.require(principal, "manage subscriptions")
        delivery = await self.clinic.read(stored_deliveries.find, delivery_id)
        if delivery is None or delivery.status == "cancelled":
            raise NotFound("There is no such delivery.")
        now = self.clinic.clock.now()
        count = await self.clinic.write(stored_deliveries.requeue, delivery.subscription, [delivery.position], now)
        self.clinic.committer.signal(self.clinic.organisation)
        courses = [course] if (course := course_of(delivery.lane)) else []
        await self.clinic.log(principal, "delivery", f"delivery {delivery_id} replayed", courses)
        return Replayed(deliveries=count, next=None)

    async def replay(self, principal: Principal, subscription_id: str, decode: Callable[[], Replay]) -> Replayed:
        """Sends a range again, or everything that was missed. Deliveries that wait already keep waiting."""
        await self.clinic.require(principal, "manage subscriptions")
        subscription = await find_subscription(self.clinic, subscription_id)
        body = decode()
        await fan_out.fan_out_all(self.clinic)
        first, last, missed = await self._range(body)
        count, reached = 0, first - 1
        while reached < min(last, first - 1 + REPLAY_MAX):
            page = await self.clinic.read(stored_events.after, reached, fan_out.BATCH)
            page = [each for each in page if each.position <= last]
            if not page:
                break
            reached = page[-1].position
            count += await self.clinic.write(self._requeue, subscription, page, missed)
        self.clinic.committer.signal(self.clinic.organisation)
        following = await self.clinic.read(stored_events.after, reached, 1) if reached < last else []
        await self.clinic.log(principal, "delivery", f"subscription {subscription_id} replayed")
        more = following and following[0].position <= last
        return Replayed(deliveries=count, next=events.webhook_id(following[0].id) if more else None)

    def _requeue(
        self, connection: Connection, organisation: str, subscription: StoredSubscription, page: list[StoredEvent], missed: bool
    ) -> int:
        """Makes the deliveries of a page of events wait; with `missed`, only those not delivered. Returns how many."""
        now = self.clinic.clock.now()
        received = [each for each in page if fan_out.receives(subscription, each)]
        statuses = stored_deliveries.statuses(connection, organisation, subscription.id, page[0].position, page[-1].position)
        new = [
            NewDelivery(id=new_id(), subscription=subscription.id, position=each.position, lane=fan_out.lane_of(each), due_at=now)
            for each in received
            if each.position not in statuses
        ]
        stored_deliveries.insert(connection, organisation, new)
        skipped = {None, "delivered"} if missed else {None}
        ended = [each.position for each in received if statuses.get(each.position) not in skipped]
        return len(new) + stored_deliveries.requeue(connection, organisation, subscription.id, ended, now)

    async def _range(self, body: Replay) -> tuple[int, int, bool]:
        """The first and the last position, and whether to replay only what was missed. Raises CommandInvalid."""
        if (body.since is None) == (body.first is None):
            raise CommandInvalid([Fault("", "must hold either since or first")])
        missed = body.since is not None if body.missed is None else body.missed
        if body.since is not None:
            kept_from = self.clinic.clock.now() - dt.timedelta(days=self.clinic.settings.delivery_days)
            if missed and body.since < kept_from:
                fault = f"must not be before {kept_from.isoformat()}: older records are removed; send missed: false to replay all events"
                raise CommandInvalid([Fault("since", fault)])
            first = await self.clinic.read(stored_events.first_since, body.since)
        else:
            first = await self._position("first", str(body.first))
        end, _ = await self.clinic.read(stored_events.last_position)
        return first, await self._position("last", body.last) if body.last else end, missed

    async def _position(self, field: str, webhook_id: str) -> int:
        found = await self.clinic.read(stored_events.position_of, webhook_id.removeprefix(events.ID_PREFIX))
        if found is None:
            raise CommandInvalid([Fault(field, "names no event; take the id of an event from the feed")])
        return found
