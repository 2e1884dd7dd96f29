"""The verbs about subscriptions: create one, see them, change, rotate, ping, pause, resume, delete.

A body is decoded after access, and after what it is about was found.
"""

import datetime as dt
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import UNSET

from ipt_workflow.access import policy
from ipt_workflow.access.principal import Principal
from ipt_workflow.ehr import signing
from ipt_workflow.ehr.deliveries import events, fan_out
from ipt_workflow.ehr.deliveries.addresses import reach_of
from ipt_workflow.ehr.deliveries.bodies import (
    NewSubscription,
    Rotation,
    ShownSecret,
    SubscriptionChange,
    SubscriptionView,
    key_view,
)
from ipt_workflow.ehr.secrets import SecretBox
from ipt_workflow.errors import CommandInvalid, Fault, NotFound
from ipt_workflow.runtime.settings import listed
from ipt_workflow.service.clinic import Clinic, new_id
from ipt_workflow.store import courses as stored_courses
from ipt_workflow.store import events as stored
from ipt_workflow.store import subscriptions as stored_subscriptions
from ipt_workflow.store.subscriptions import StoredSubscription

NO_SUBSCRIPTION = "There is no such subscription."


class Subscriptions:
    """The verbs over a clinic."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic
        self._reach = reach_of(clinic.settings)
        self._safe = SecretBox(listed(clinic.settings.secret_keys))

    async def create(self, principal: Principal, decode: Callable[[], NewSubscription]) -> ShownSecret:
        await self.clinic.require(principal, "manage subscriptions")
        new = decode()
        await self._check(new.url, new.types, new.courses, new.scope)
        now, subscription_id = self.clinic.clock.now(), new_id()
        row = {
            "organisation": self.clinic.organisation,
            "id": subscription_id,
            **_columns(url=new.url, types=new.types, courses=new.courses, scope=new.scope),
            "status": "active",
            "created_at": now,
            "created_by": principal.person,
        }
        keys, secret = self._mint(subscription_id, new.signatures, now)
        await fan_out.fan_out_all(self.clinic)  # what happened before is not for it
        await self.clinic.database.write(stored_subscriptions.insert_subscription, row, keys)
        await self.clinic.record(principal, "config", f"subscription {subscription_id} created")
        return ShownSecret(subscription=await self._view(subscription_id), secret=secret)

    async def page(self, principal: Principal, after: str, limit: int) -> list[SubscriptionView]:
        policy.require(principal, "manage subscriptions")
        found = await self.clinic.read(stored_subscriptions.subscriptions, after, limit)
        return [await self._with_keys(each) for each in found]

    async def one(self, principal: Principal, subscription_id: str) -> SubscriptionView:
        policy.require(principal, "manage subscriptions")
        return await self._view(subscription_id)

    async def change(
        self, principal: Principal, subscription_id: str, decode: Callable[[], SubscriptionChange]
    ) -> SubscriptionView:
        await self.clinic.require(principal, "manage subscriptions")
        known = await self._find(subscription_id)
        told = decode()
        given = {name: value for name in told.__struct_fields__ if (value := getattr(told, name)) is not UNSET}
        as_it_will_be = msgspec.structs.replace(known, **given)
        await self._check(as_it_will_be.url, as_it_will_be.types, given.get("courses"), as_it_will_be.scope)
        if given:
            await self._set(principal, subscription_id, "changed", **_columns(**given))
        return await self._view(subscription_id)

    async def rotate(self, principal: Principal, subscription_id: str, decode: Callable[[], Rotation]) -> ShownSecret:
        """New keys of the same kinds. Until the overlap ends, every delivery carries signatures of the old ones too."""
        await self.clinic.require(principal, "manage subscriptions")
        await self._find(subscription_id)
        told, now = decode(), self.clinic.clock.now()
        old = await self.clinic.read(stored_subscriptions.keys, subscription_id, now)
        keys, secret = self._mint(subscription_id, tuple(dict.fromkeys(key.scheme for key in old)), now)
        until = now + dt.timedelta(hours=told.overlap_hours)
        await self.clinic.write(stored_subscriptions.rotate, subscription_id, keys, now, until)
        await self.clinic.record(principal, "config", f"subscription {subscription_id} rotated")
        return ShownSecret(subscription=await self._view(subscription_id), secret=secret)

    async def ping(self, principal: Principal, subscription_id: str) -> str:
        """Has a `subscription.ping` delivered. Returns the id it comes with."""
        await self.clinic.require(principal, "manage subscriptions")
        await self._find(subscription_id)
        row = {"id": new_id(), "kind": "ping", "subscription_id": subscription_id, "created_at": self.clinic.clock.now()}
        await self.clinic.write(stored.put, row)
        await self.clinic.record(principal, "config", f"subscription {subscription_id} pinged")
        return events.webhook_id(str(row["id"]))

    async def pause(self, principal: Principal, subscription_id: str) -> SubscriptionView:
        """Nothing is sent until it is resumed; what happens meanwhile waits."""
        await self.clinic.require(principal, "manage subscriptions")
        known = await self._find(subscription_id)
        if known.status == "disabled":
            raise CommandInvalid([Fault("status", "is disabled, and nothing is sent; resume it first")])
        await self._set(principal, subscription_id, "paused", status="paused")
        return await self._view(subscription_id)

    async def resume(self, principal: Principal, subscription_id: str) -> SubscriptionView:
        """Sends again, also where it was disabled: what waited goes first, what happened meanwhile may be replayed."""
        await self.clinic.require(principal, "manage subscriptions")
        await self._find(subscription_id)
        healthy = {"status": "active", "reason": None, "failing_since": None, "throttled_until": None}
        await self._set(principal, subscription_id, "resumed", **healthy)
        return await self._view(subscription_id)

    async def delete(self, principal: Principal, subscription_id: str) -> None:
        await self.clinic.require(principal, "manage subscriptions")
        await self._find(subscription_id)
        now = self.clinic.clock.now()
        await self.clinic.write(stored_subscriptions.delete, subscription_id, now)
        await self.clinic.record(principal, "config", f"subscription {subscription_id} deleted")

    async def _check(self, url: str, types: tuple[str, ...], courses: tuple[str, ...] | None, scope: str) -> None:
        """Raises CommandInvalid with every fault."""
        faults: list[Fault] = []
        try:
            self._reach.check(url)
        except CommandInvalid as error:
            faults += error.faults
        told = [(i, events.fault_in_type(name, scope)) for i, name in enumerate(types)]
        faults += [Fault(f"types[{i}]", fault) for i, fault in told if fault]
        if courses:
            known = await self.clinic.read(stored_courses.known_courses, courses)
            faults += [Fault(f"courses[{i}]", "names no course") for i, each in enumerate(courses) if each not in known]
        if faults:
            raise CommandInvalid(faults)

    def _mint(self, subscription_id: str, schemes: tuple[str, ...], now: dt.datetime) -> tuple[list[dict[str, Any]], str | None]:
        """New keys as rows, and the secret that is shown once."""
        rows, shown = [], None
        for scheme in dict.fromkeys(schemes):
            secret = signing.mint_shared() if scheme == "v1" else signing.mint_private()
            key = signing.read_key(secret)
            shown = secret if scheme == "v1" else shown
            rows.append(
                {
                    "organisation": self.clinic.organisation,
                    "id": new_id(),
                    "subscription_id": subscription_id,
                    "scheme": scheme,
                    "secret": self._safe.seal(secret),
                    "public": key.public if isinstance(key, signing.PrivateKey) else None,
                    "created_at": now,
                }
            )
        return rows, shown

    async def _set(self, principal: Principal, subscription_id: str, what: str, **values: Any) -> None:
        await self.clinic.database.write(
            lambda c: stored_subscriptions.change(c, self.clinic.organisation, subscription_id, **values)
        )
        await self.clinic.record(principal, "config", f"subscription {subscription_id} {what}")

    async def _find(self, subscription_id: str) -> StoredSubscription:
        return await found(self.clinic, subscription_id)

    async def _view(self, subscription_id: str) -> SubscriptionView:
        return await self._with_keys(await self._find(subscription_id))

    async def _with_keys(self, known: StoredSubscription) -> SubscriptionView:
        keys = await self.clinic.read(stored_subscriptions.keys, known.id, self.clinic.clock.now())
        told = {name: getattr(known, name) for name in SubscriptionView.__struct_fields__ if name != "keys"}
        return SubscriptionView(**told, keys=tuple(key_view(key) for key in keys))


async def found(clinic: Clinic, subscription_id: str) -> StoredSubscription:
    """A subscription that was not deleted. Raises NotFound."""
    known = await clinic.read(stored_subscriptions.one, subscription_id)
    if known is None:
        raise NotFound(NO_SUBSCRIPTION)
    return known


def _columns(**given: Any) -> dict[str, Any]:
    """The columns of what is given; lists as JSON."""
    lists = {"types", "courses"}
    return {
        name: msgspec.json.encode(value).decode() if name in lists and value is not None else value for name, value in given.items()
    }
