"""Subscriptions: create, read, change, rotate keys, ping, pause, resume, delete.

A method decodes the body after it has checked access and found the subscription.
"""

import datetime as dt
from collections.abc import Callable

import msgspec
from msgspec import UNSET

from ipt_workflow.access.principal import Principal
from ipt_workflow.access.secret_box import SecretBox
from ipt_workflow.ehr import signatures
from ipt_workflow.ehr.deliveries import events, fan_out
from ipt_workflow.ehr.deliveries.addresses import reach_of
from ipt_workflow.ehr.deliveries.bodies import (
    NewSubscription,
    Rotation,
    ShownSecret,
    SubscriptionChange,
    SubscriptionView,
    subscription_view,
)
from ipt_workflow.errors import CommandInvalid, Fault, NotFound, SubscriptionExists
from ipt_workflow.runtime.settings import listed
from ipt_workflow.service.clinic import Clinic, new_id
from ipt_workflow.store import courses as stored_courses
from ipt_workflow.store import events as stored_events
from ipt_workflow.store import subscriptions as stored_subscriptions
from ipt_workflow.store.events import NewEvent
from ipt_workflow.store.subscriptions import StoredKey, StoredSubscription, SubscriptionUpdate


class Subscriptions:
    """A clinic's subscriptions."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic
        self._reach = reach_of(clinic.settings)
        self._secrets = SecretBox(listed(clinic.settings.secret_keys))

    async def create(self, principal: Principal, decode: Callable[[], NewSubscription]) -> ShownSecret:
        """Raises SubscriptionExists if another has the same URL, types, courses and scope."""
        await self.clinic.require(principal, "manage subscriptions")
        body = decode()
        await self._check(body.url, body.types, body.courses, body.scope)
        now = self.clinic.clock.now()
        new = StoredSubscription(
            id=new_id(),
            url=body.url,
            types=body.types,
            courses=body.courses,
            scope=body.scope,
            purpose=body.purpose,
            status="active",
            created_at=now,
            created_by=principal.person,
        )
        keys, secret = self._mint(body.signatures, now)
        await fan_out.fan_out_all(self.clinic)  # a subscription receives no event from before it was created
        existing = await self.clinic.write(stored_subscriptions.insert, new, keys)
        if existing:
            raise SubscriptionExists(existing)
        await self._record(principal, new.id, "created")
        return ShownSecret(subscription=await self._view(new.id), secret=secret)

    async def page(self, principal: Principal, after: str, limit: int) -> list[SubscriptionView]:
        await self.clinic.require(principal, "manage subscriptions")
        found = await self.clinic.read(stored_subscriptions.find_all, after, limit)
        keys = await self.clinic.read(stored_subscriptions.keys_of_many, [each.id for each in found], self.clinic.clock.now())
        return [subscription_view(each, keys.get(each.id, ())) for each in found]

    async def one(self, principal: Principal, subscription_id: str) -> SubscriptionView:
        await self.clinic.require(principal, "manage subscriptions")
        return await self._view(subscription_id)

    async def change(
        self, principal: Principal, subscription_id: str, decode: Callable[[], SubscriptionChange]
    ) -> SubscriptionView:
        await self.clinic.require(principal, "manage subscriptions")
        known = await find_subscription(self.clinic, subscription_id)
        body = decode()
        given = {name: value for name, value in msgspec.structs.asdict(body).items() if value is not UNSET}
        changed = msgspec.structs.replace(known, **given)
        await self._check(changed.url, changed.types, given.get("courses"), changed.scope)
        if given:
            existing = await self.clinic.write(stored_subscriptions.update, subscription_id, SubscriptionUpdate(**given))
            if existing:
                raise SubscriptionExists(existing)
            await self._record(principal, subscription_id, "changed")
        return await self._view(subscription_id)

    async def rotate(self, principal: Principal, subscription_id: str, decode: Callable[[], Rotation]) -> ShownSecret:
        """Replaces the keys by new keys of the same kinds. During the overlap, the old keys sign every delivery as well."""
        await self.clinic.require(principal, "manage subscriptions")
        await find_subscription(self.clinic, subscription_id)
        body, now = decode(), self.clinic.clock.now()
        old = await self.clinic.read(stored_subscriptions.keys, subscription_id, now)
        keys, secret = self._mint(tuple(key.scheme for key in old), now)
        overlap_until = now + dt.timedelta(hours=body.overlap_hours)
        await self.clinic.write(stored_subscriptions.rotate_keys, subscription_id, keys, now, overlap_until)
        await self._record(principal, subscription_id, "rotated")
        return ShownSecret(subscription=await self._view(subscription_id), secret=secret)

    async def ping(self, principal: Principal, subscription_id: str) -> str:
        """Publishes a `subscription.ping`. Returns its webhook id. One that is paused or disabled gets one attempt, and stays so."""
        await self.clinic.require(principal, "manage subscriptions")
        await find_subscription(self.clinic, subscription_id)
        event = NewEvent(id=new_id(), kind="ping", subscription=subscription_id, created_at=self.clinic.clock.now())
        await self.clinic.write(stored_events.publish, event)
        self.clinic.committer.signal(self.clinic.organisation)
        await self._record(principal, subscription_id, "pinged")
        return events.webhook_id(event.id)

    async def pause(self, principal: Principal, subscription_id: str) -> SubscriptionView:
        """Stops deliveries until the subscription is resumed. Meanwhile its deliveries wait."""
        await self.clinic.require(principal, "manage subscriptions")
        known = await find_subscription(self.clinic, subscription_id)
        if known.status == "disabled":
            raise CommandInvalid([Fault("status", "is disabled, and nothing is sent; resume it first")])
        await self.clinic.write(stored_subscriptions.pause, subscription_id)
        await self._record(principal, subscription_id, "paused")
        return await self._view(subscription_id)

    async def resume(self, principal: Principal, subscription_id: str) -> SubscriptionView:
        """Starts deliveries again after a pause, or after the subscription was disabled. Waiting deliveries go first."""
        await self.clinic.require(principal, "manage subscriptions")
        await find_subscription(self.clinic, subscription_id)
        await self.clinic.write(stored_subscriptions.resume, subscription_id)
        self.clinic.committer.signal(self.clinic.organisation)
        await self._record(principal, subscription_id, "resumed")
        return await self._view(subscription_id)

    async def delete(self, principal: Principal, subscription_id: str) -> None:
        await self.clinic.require(principal, "manage subscriptions")
        await find_subscription(self.clinic, subscription_id)
        await self.clinic.write(stored_subscriptions.delete, subscription_id, self.clinic.clock.now())
        await self._record(principal, subscription_id, "deleted")

    async def _check(self, url: str, types: tuple[str, ...], courses: tuple[str, ...] | None, scope: str) -> None:
        """Raises CommandInvalid with every fault."""
        faults: list[Fault] = []
        try:
            self._reach.check(url)
        except CommandInvalid as error:
            faults += error.faults
        faults += [Fault(f"types[{i}]", fault) for i, name in enumerate(types) if (fault := events.fault_in_type(name, scope))]
        if courses:
            known = await self.clinic.read(stored_courses.known_courses, courses)
            faults += [
                Fault(f"courses[{i}]", "names no course of this organisation")
                for i, each in enumerate(courses)
                if each not in known
            ]
        if faults:
            raise CommandInvalid(faults)

    def _mint(self, schemes: tuple[str, ...], now: dt.datetime) -> tuple[list[StoredKey], str | None]:
        """One new key for each scheme, and the secret to show once."""
        keys: list[StoredKey] = []
        shown = None
        for scheme in dict.fromkeys(schemes):
            secret = signatures.mint_shared() if scheme == "v1" else signatures.mint_private()
            key = signatures.read_key(secret)
            shown = secret if scheme == "v1" else shown
            public = key.public if isinstance(key, signatures.PrivateKey) else None
            keys.append(StoredKey(id=new_id(), scheme=scheme, secret=self._secrets.seal(secret), public=public, created_at=now))
        return keys, shown

    async def _record(self, principal: Principal, subscription_id: str, verb: str) -> None:
        await self.clinic.log(principal, "config", f"subscription {subscription_id} {verb}")

    async def _view(self, subscription_id: str) -> SubscriptionView:
        return await self._with_keys(await find_subscription(self.clinic, subscription_id))

    async def _with_keys(self, known: StoredSubscription) -> SubscriptionView:
        keys = await self.clinic.read(stored_subscriptions.keys, known.id, self.clinic.clock.now())
        return subscription_view(known, keys)


async def find_subscription(clinic: Clinic, subscription_id: str) -> StoredSubscription:
    """A subscription that is not deleted. Raises NotFound."""
    known = await clinic.read(stored_subscriptions.find, subscription_id)
    if known is None:
        raise NotFound("There is no such subscription.")
    return known
