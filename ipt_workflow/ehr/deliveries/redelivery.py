"""The verbs about deliveries: see them, and have them sent again: one, a range, or all that was missed."""

import datetime as dt
from collections.abc import Callable
from typing import Any

from ipt_workflow.access import policy
from ipt_workflow.access.principal import Principal
from ipt_workflow.ehr.deliveries import events, fan_out
from ipt_workflow.ehr.deliveries.bodies import DeliveryView, Replay, Replayed, delivery_view
from ipt_workflow.ehr.deliveries.subscriptions import found
from ipt_workflow.errors import CommandInvalid, Fault, NotFound
from ipt_workflow.service.clinic import Clinic, new_id
from ipt_workflow.store import deliveries
from ipt_workflow.store import events as stored
from ipt_workflow.store.deliveries import StoredSubscription

REPLAY_MAX = 10_000


class Deliveries:
    """The verbs over a clinic."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic

    async def page(
        self, principal: Principal, subscription_id: str, *, status: str | None, after: int, limit: int
    ) -> list[DeliveryView]:
        """What was and is to be delivered to a subscription, in order."""
        policy.require(principal, "read deliveries")
        await found(self.clinic, subscription_id)
        rows = await self.clinic.database.read(
            lambda c: deliveries.page(c, self.clinic.organisation, subscription_id, status=status, after=after, limit=limit)
        )
        await self.clinic.record(principal, "read", "deliveries", [row.course_id for row in rows if row.course_id])
        return [delivery_view(row) for row in rows]

    async def replay_one(self, principal: Principal, delivery_id: str) -> Replayed:
        """Has one delivery sent again, with the same id."""
        await self.clinic.require(principal, "manage subscriptions")
        row = await self.clinic.read(deliveries.find, delivery_id)
        if row is None or row.status == "cancelled":
            raise NotFound("There is no such delivery.")
        now = self.clinic.clock.now()
        count = await self.clinic.write(deliveries.again, row.subscription_id, [row.position], now)
        await self.clinic.record(principal, "delivery", f"delivery {delivery_id} replayed", [row.lane] if row.lane else [])
        return Replayed(deliveries=count, next=None)

    async def replay(self, principal: Principal, subscription_id: str, decode: Callable[[], Replay]) -> Replayed:
        """Has a range sent again, or all that was missed. What waits already goes on waiting."""
        await self.clinic.require(principal, "manage subscriptions")
        known = await found(self.clinic, subscription_id)
        told = decode()
        await fan_out.fan_out_all(self.clinic)
        first, last, missed = await self._range(told)
        count, reached = 0, first - 1
        while reached < min(last, first - 1 + REPLAY_MAX):
            page = await self.clinic.read(stored.after, reached, fan_out.BATCH)
            page = [each for each in page if each.position <= last]
            if not page:
                break
            reached = page[-1].position
            count += await self.clinic.database.write(self._again, known, page, missed)
        following = await self.clinic.read(stored.after, reached, 1) if reached < last else []
        action = f"subscription {subscription_id} replayed"
        await self.clinic.record(principal, "delivery", action)
        more = following and following[0].position <= last
        return Replayed(deliveries=count, next=events.webhook_id(following[0].id) if more else None)

    def _again(self, connection: Any, known: StoredSubscription, page: list[stored.StoredEvent], missed: bool) -> int:
        """Sets the events of a page waiting for the subscription, as far as it is told of them."""
        now, organisation = self.clinic.clock.now(), self.clinic.organisation
        wanted = [each for each in page if fan_out.is_told(known, each)]
        statuses = deliveries.known(connection, organisation, known.id, page[0].position, page[-1].position)
        new = [
            deliveries.new_delivery(organisation, new_id(), known.id, each.position, each.course or "", now)
            for each in wanted
            if each.position not in statuses
        ]
        if new:
            deliveries.insert(connection, new)
        there = [each.position for each in wanted if statuses.get(each.position) not in ({None, "delivered"} if missed else {None})]
        return len(new) + deliveries.again(connection, organisation, known.id, there, now)

    async def _range(self, told: Replay) -> tuple[int, int, bool]:
        """First and last place, and whether only what was missed is meant. Raises CommandInvalid."""
        if (told.since is None) == (told.first is None):
            raise CommandInvalid([Fault("", "must hold either since or first")])
        missed = told.since is not None if told.missed is None else told.missed
        if told.since is not None:
            kept_from = self.clinic.clock.now() - dt.timedelta(days=self.clinic.settings.delivery_days)
            if missed and told.since < kept_from:
                fault = f"lies before {kept_from.isoformat()}: what was delivered then is not known any more"
                raise CommandInvalid([Fault("since", fault)])
            first = await self.clinic.read(stored.first_since, told.since)
        else:
            first = await self._place("first", str(told.first))
        end, _ = await self.clinic.read(stored.last_position)
        return first, await self._place("last", told.last) if told.last else end, missed

    async def _place(self, name: str, event: str) -> int:
        found = await self.clinic.read(stored.position_of, event.removeprefix(events.ID_PREFIX))
        if found is None:
            raise CommandInvalid([Fault(name, "names no event")])
        return found
