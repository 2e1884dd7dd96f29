"""Subscriptions and their deliveries."""

import msgspec
from litestar import Response, delete, get, patch, post
from litestar.params import FromPath, FromQuery

from ipt_workflow.api import requests
from ipt_workflow.api.addresses import public
from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.courses import After, listed
from ipt_workflow.api.requests import ApiRequest, limit_of, one_of, page, read_body
from ipt_workflow.api.services import services_of
from ipt_workflow.ehr.deliveries.bodies import (
    DeliveryView,
    NewSubscription,
    Replay,
    Replayed,
    Rotation,
    ShownSecret,
    SubscriptionChange,
    SubscriptionView,
)
from ipt_workflow.ehr.deliveries.redelivery import Deliveries
from ipt_workflow.ehr.deliveries.subscriptions import Subscriptions
from ipt_workflow.store.schema.tables import DELIVERY_STATUSES


class AfterPosition(msgspec.Struct, frozen=True):
    """The cursor of a list of deliveries."""

    position: int = 0


class SubscriptionList(msgspec.Struct, frozen=True):
    items: list[SubscriptionView]
    next: str | None


class DeliveryList(msgspec.Struct, frozen=True):
    items: list[DeliveryView]
    next: str | None


class Pinged(msgspec.Struct, frozen=True):
    """The `webhook-id` of the ping."""

    id: str


def _subscriptions(request: ApiRequest) -> Subscriptions:
    found: Subscriptions = services_of(request).subscriptions
    return found


def _deliveries(request: ApiRequest) -> Deliveries:
    found: Deliveries = services_of(request).deliveries
    return found


@post("/v1/subscriptions", summary="Subscribe", tags=["subscriptions"])
async def subscribe(request: ApiRequest) -> Response[ShownSecret]:
    """Delivers events to a URL from now on. Only this response shows the secret.

    409 if a subscription with the same URL, types, courses and scope exists, whatever its status; `subscription` is its id.
    """
    body = await read_body(request)
    shown = await _subscriptions(request).create(principal_of(request), lambda: body.shape(NewSubscription))
    location = public(request, f"/v1/subscriptions/{shown.subscription.id}")
    return Response(shown, status_code=201, headers={"Location": location})


@get("/v1/subscriptions", summary="Subscriptions", tags=["subscriptions"])
async def subscriptions(
    request: ApiRequest, limit: FromQuery[int | None] = None, cursor: FromQuery[str | None] = None
) -> Response[SubscriptionList]:
    """The organisation's subscriptions, without their secrets."""
    size, after = limit_of(request, limit), requests.cursor(cursor, After, After())
    found = await _subscriptions(request).page(principal_of(request), after.id, size + 1)
    items, after_text = page(found, size, lambda each: After(each.id))
    return listed(request, SubscriptionList(items, after_text))


@get("/v1/subscriptions/{subscription_id:str}", summary="One subscription", tags=["subscriptions"])
async def subscription(request: ApiRequest, subscription_id: FromPath[str]) -> SubscriptionView:
    """A subscription, without its secret."""
    return await _subscriptions(request).one(principal_of(request), subscription_id)


@patch("/v1/subscriptions/{subscription_id:str}", summary="Change a subscription", tags=["subscriptions"])
async def change(request: ApiRequest, subscription_id: FromPath[str]) -> SubscriptionView:
    """Fields that are left out keep their values. The changed subscription also applies to deliveries that already wait.

    409 if another subscription has the same URL, types, courses and scope; `subscription` is its id.
    """
    body = await read_body(request)
    return await _subscriptions(request).change(principal_of(request), subscription_id, lambda: body.shape(SubscriptionChange))


@delete("/v1/subscriptions/{subscription_id:str}", summary="Delete a subscription", tags=["subscriptions"])
async def unsubscribe(request: ApiRequest, subscription_id: FromPath[str]) -> None:
    """Stops deliveries, cancels those that wait, and removes the keys."""
    await _subscriptions(request).delete(principal_of(request), subscription_id)


@post("/v1/subscriptions/{subscription_id:str}/rotate", summary="Rotate a secret", tags=["subscriptions"])
async def rotate(request: ApiRequest, subscription_id: FromPath[str]) -> Response[ShownSecret]:
    """Replaces the keys. During the overlap, the old keys sign every delivery as well. Only this response shows the new secret."""
    body = await read_body(request)
    return Response(
        await _subscriptions(request).rotate(principal_of(request), subscription_id, lambda: body.shape(Rotation)), status_code=201
    )


@post("/v1/subscriptions/{subscription_id:str}/ping", summary="Ping a subscription", tags=["subscriptions"], status_code=202)
async def ping(request: ApiRequest, subscription_id: FromPath[str]) -> Pinged:
    """Sends a `subscription.ping`. The list of deliveries shows its result.

    A paused or disabled subscription gets it too, in one attempt, and stays paused or disabled.
    """
    return Pinged(await _subscriptions(request).ping(principal_of(request), subscription_id))


@post("/v1/subscriptions/{subscription_id:str}/pause", summary="Pause a subscription", tags=["subscriptions"], status_code=200)
async def pause(request: ApiRequest, subscription_id: FromPath[str]) -> SubscriptionView:
    """Stops deliveries until the subscription is resumed. Meanwhile its deliveries wait."""
    return await _subscriptions(request).pause(principal_of(request), subscription_id)


@post("/v1/subscriptions/{subscription_id:str}/resume", summary="Resume a subscription", tags=["subscriptions"], status_code=200)
async def resume(request: ApiRequest, subscription_id: FromPath[str]) -> SubscriptionView:
    """Starts deliveries again after a pause, or after the subscription was disabled. Replay the events it missed while disabled."""
    return await _subscriptions(request).resume(principal_of(request), subscription_id)


@post("/v1/subscriptions/{subscription_id:str}/replay", summary="Replay a subscription", tags=["subscriptions"], status_code=202)
async def replay(request: ApiRequest, subscription_id: FromPath[str]) -> Replayed:
    """Sends a range of events again, or everything that was missed."""
    body = await read_body(request)
    return await _deliveries(request).replay(principal_of(request), subscription_id, lambda: body.shape(Replay))


@get("/v1/subscriptions/{subscription_id:str}/deliveries", summary="A subscription's deliveries", tags=["subscriptions"])
async def deliveries(
    request: ApiRequest,
    subscription_id: FromPath[str],
    status: FromQuery[str | None] = None,
    limit: FromQuery[int | None] = None,
    cursor: FromQuery[str | None] = None,
) -> Response[DeliveryList]:
    """Deliveries in the order of their events. `status=waiting` lists those that wait, `status=dead` the dead letters."""
    size, after = limit_of(request, limit), requests.cursor(cursor, AfterPosition, AfterPosition())
    found = await _deliveries(request).page(
        principal_of(request),
        subscription_id,
        status=one_of("status", status, DELIVERY_STATUSES),
        after=after.position,
        limit=size + 1,
    )
    items, after_text = page(found, size, lambda each: AfterPosition(each.position))
    return listed(request, DeliveryList(items, after_text))


@post("/v1/deliveries/{delivery_id:str}/replay", summary="Replay a delivery", tags=["subscriptions"], status_code=202)
async def replay_one(request: ApiRequest, delivery_id: FromPath[str]) -> Replayed:
    """Sends one delivery again, with the same `webhook-id`."""
    return await _deliveries(request).replay_one(principal_of(request), delivery_id)


HANDLERS = (
    subscribe,
    subscriptions,
    subscription,
    change,
    unsubscribe,
    rotate,
    ping,
    pause,
    resume,
    replay,
    deliveries,
    replay_one,
)
