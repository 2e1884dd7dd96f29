"""The pages about what goes out: subscriptions, what was delivered to them, what failed and why, and sending it again."""

from typing import Annotated, Any, get_args

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath
from msgspec import Meta

from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.services import services_of
from ipt_workflow.ehr.deliveries import events
from ipt_workflow.ehr.deliveries.bodies import (
    Courses,
    NewSubscription,
    Replay,
    Rotation,
    Scheme,
    Scope,
    SubscriptionChange,
    Types,
    Url,
)
from ipt_workflow.errors import CommandInvalid
from ipt_workflow.store.schema.tables import DELIVERY_STATUSES
from ipt_workflow.values.faults import shaped
from ipt_workflow.values.types import Moment, SharingPurpose
from ipt_workflow.web.admin.submission import PAGE, Sheet, asked, first, page_of, refused, send, show
from ipt_workflow.web.forms import FormField, option_text
from ipt_workflow.web.language import _, gettext, n_, noted
from ipt_workflow.web.pages import PageRequest, page, redirect

ALL = "/admin/subscriptions"
STATUSES = {"active": noted("sending"), "paused": noted("paused"), "disabled": noted("stopped by the service")}
REASONS = {"gone": noted("the receiver said that it is gone"), "failing": noted("nothing was taken for days")}
DELIVERED = {
    "waiting": noted("waiting"),
    "delivered": noted("delivered"),
    "dead": noted("given up"),
    "withheld": noted("withheld: the client does not consent to this, or processing is restricted"),
    "cancelled": noted("cancelled"),
}
PROBLEMS = {
    "status": noted("the receiver answered with an error"),
    "address": noted("the address is not allowed"),
    "name": noted("the name was not found"),
    "connection": noted("no connection"),
    "timeout": noted("no answer in time"),
    "answer": noted("the answer could not be read"),
}
SCOPES = {"thin": noted("Ids alone"), "clinical": noted("With what happened")}
PURPOSES: tuple[SharingPurpose, ...] = get_args(SharingPurpose)
BY_NAME = noted("For quality, public health and research only courses are sent whose clients consent to that by name.")
SCHEMES = {"v1": noted("By a shared secret (v1)"), "v1a": noted("By a key pair (v1a)")}


class SubscriptionForm(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked to subscribe."""

    url: Url
    types: Types
    courses: Courses | None = None
    scope: Scope
    purpose: SharingPurpose
    signatures: Annotated[tuple[Scheme, ...], Meta(min_length=1, max_length=2)]


class SubscriptionChangeForm(msgspec.Struct, frozen=True, kw_only=True):
    """What may be changed of a subscription."""

    url: Url
    types: Types
    courses: Courses | None = None
    scope: Scope
    purpose: SharingPurpose


class OverlapForm(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked to replace the keys of a subscription."""

    overlap_hours: Annotated[int, Meta(ge=0, le=168)]


class ReplayForm(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked to send everything since a moment again."""

    since: Moment
    all_of_it: bool = False


def _place(subscription_id: str) -> str:
    return f"{ALL}/{subscription_id}"


def purpose_text(code: str) -> str:
    return gettext(option_text("sharing_purpose", code))


def _said(words: dict[str, str]) -> list[tuple[str, str]]:
    return [(code, _(text)) for code, text in words.items()]


def _terms() -> tuple[FormField, ...]:
    types = _("One a line. Such as %(types)s.", types=", ".join(events.DEFAULT_TYPES))
    return (
        asked("url", "text", _("Address of the receiver"), required=True),
        asked("types", "lines", _("Types of events"), types, required=True),
        asked("scope", "radios", _("What is sent"), required=True, options=_said(SCOPES)),
        asked(
            "purpose", "radios", _("What for"), _(BY_NAME), required=True, options=[(each, purpose_text(each)) for each in PURPOSES]
        ),
        asked("courses", "lines", _("Courses"), _("Ids, one a line. Left empty, it is for all courses.")),
    )


def _new() -> Sheet:
    signed = asked("signatures", "ticks", _("How deliveries are signed"), required=True, options=_said(SCHEMES))
    return Sheet(
        struct=SubscriptionForm,
        title=_("Subscribe"),
        action=f"{ALL}/new",
        button=_("Subscribe"),
        back=(ALL, _("Subscriptions")),
        fields=(*_terms(), signed),
    )


def _change(subscription_id: str) -> Sheet:
    return Sheet(
        struct=SubscriptionChangeForm,
        title=_("Change a subscription"),
        action=f"{_place(subscription_id)}/change",
        button=_("Save"),
        back=(_place(subscription_id), _("Subscription")),
        fields=_terms(),
        cleared={"courses": None},
        intro=_("It also applies to deliveries that already wait."),
    )


def _rotation(subscription_id: str) -> Sheet:
    return Sheet(
        struct=OverlapForm,
        title=_("Replace the keys"),
        action=f"{_place(subscription_id)}/keys",
        button=_("Replace the keys"),
        back=(_place(subscription_id), _("Subscription")),
        fields=(asked("overlap_hours", "whole", _("Hours for which the old keys sign as well"), required=True),),
    )


def _replay(subscription_id: str) -> Sheet:
    return Sheet(
        struct=ReplayForm,
        title=_("Send again"),
        action=f"{_place(subscription_id)}/replay",
        button=_("Send again"),
        back=(_place(subscription_id), _("Subscription")),
        fields=(
            asked("since", "moment", _("Everything since"), required=True),
            asked("all_of_it", "tick", _("Also what was delivered")),
        ),
    )


@get(ALL, include_in_schema=False)
async def subscriptions(request: PageRequest) -> Response[bytes]:
    """The subscriptions, with how many of their deliveries wait or were given up."""
    principal, services = principal_of(request), services_of(request)
    shown, more = page_of(await services.subscriptions.page(principal, request.query_params.get("after", ""), PAGE + 1))
    counts = await services.deliveries.unfinished(principal)
    return page(
        request, "admin/subscriptions.html", subscriptions=shown, more=more, counts=counts, statuses=STATUSES, reasons=REASONS
    )


@get(f"{ALL}/new", include_in_schema=False)
async def new(request: PageRequest) -> Response[bytes]:
    """The form that subscribes."""
    await services_of(request).clinic.require(principal_of(request), "manage subscriptions")
    return show(
        request, _new(), {"types": ["\n".join(events.DEFAULT_TYPES)], "scope": ["thin"], "purpose": ["TREAT"], "signatures": ["v1"]}
    )


@post(f"{ALL}/new", include_in_schema=False, status_code=200)
async def subscribe(request: PageRequest) -> Response[bytes]:
    """Subscribes. The secret is shown this once."""

    async def work(data: dict[str, object]) -> Response[bytes]:
        made = await services_of(request).subscriptions.create(principal_of(request), lambda: shaped(NewSubscription, data))
        return _shown(request, made.subscription.id, made.secret)

    await services_of(request).clinic.require(principal_of(request), "manage subscriptions")
    return await send(request, _new(), work)


def _shown(request: PageRequest, subscription_id: str, secret: str | None) -> Response[bytes]:
    says, back = _("The receiver checks deliveries with this secret.") if secret else _("It has new keys."), _("Subscription")
    return page(request, "admin/secret.html", title=_("New keys"), says=says, secret=secret, back=(_place(subscription_id), back))


@get(f"{ALL}/{{subscription_id:str}}", include_in_schema=False)
async def subscription(request: PageRequest, subscription_id: FromPath[str]) -> Response[bytes]:
    """A subscription with its deliveries in the order of their events: those of one status, or all."""
    principal, services, query = principal_of(request), services_of(request), request.query_params
    found = await services.subscriptions.one(principal, subscription_id)
    status = query.get("status") if query.get("status") in DELIVERY_STATUSES else None
    after = int(query["after"]) if query.get("after", "").isdecimal() and len(query["after"]) < 16 else 0
    listed = await services.deliveries.page(principal, subscription_id, status=status, after=after, limit=PAGE + 1)
    shown, more = page_of(listed)
    known: dict[str, Any] = {
        "statuses": STATUSES,
        "reasons": REASONS,
        "delivered": DELIVERED,
        "problems": PROBLEMS,
        "scopes": SCOPES,
        "purpose": purpose_text(found.purpose),
    }
    return page(request, "admin/subscription.html", subscription=found, deliveries=shown, more=more, status_shown=status, **known)


@get(f"{ALL}/{{subscription_id:str}}/change", include_in_schema=False)
async def changing(request: PageRequest, subscription_id: FromPath[str]) -> Response[bytes]:
    """The form that changes a subscription."""
    found, sheet = await services_of(request).subscriptions.one(principal_of(request), subscription_id), _change(subscription_id)
    return show(request, sheet, first(found, sheet))


@post(f"{ALL}/{{subscription_id:str}}/change", include_in_schema=False, status_code=303)
async def change(request: PageRequest, subscription_id: FromPath[str]) -> Response[bytes]:
    """Changes a subscription."""
    principal, known = principal_of(request), services_of(request).subscriptions
    await known.one(principal, subscription_id)

    async def work(data: dict[str, object]) -> Response[None]:
        await known.change(principal, subscription_id, lambda: shaped(SubscriptionChange, data))
        return redirect(request, _place(subscription_id))

    return await send(request, _change(subscription_id), work)


@get(f"{ALL}/{{subscription_id:str}}/keys", include_in_schema=False)
async def rotating(request: PageRequest, subscription_id: FromPath[str]) -> Response[bytes]:
    """The form that replaces the keys."""
    await services_of(request).subscriptions.one(principal_of(request), subscription_id)
    return show(request, _rotation(subscription_id), {"overlap_hours": ["24"]})


@post(f"{ALL}/{{subscription_id:str}}/keys", include_in_schema=False, status_code=200)
async def rotate(request: PageRequest, subscription_id: FromPath[str]) -> Response[bytes]:
    """Replaces the keys. The secret is shown this once."""
    principal, known = principal_of(request), services_of(request).subscriptions
    await known.one(principal, subscription_id)

    async def work(data: dict[str, object]) -> Response[bytes]:
        made = await known.rotate(principal, subscription_id, lambda: shaped(Rotation, data))
        return _shown(request, subscription_id, made.secret)

    return await send(request, _rotation(subscription_id), work)


@get(f"{ALL}/{{subscription_id:str}}/replay", include_in_schema=False)
async def replaying(request: PageRequest, subscription_id: FromPath[str]) -> Response[bytes]:
    """The form that sends everything since a moment again."""
    await services_of(request).subscriptions.one(principal_of(request), subscription_id)
    return show(request, _replay(subscription_id), {})


@post(f"{ALL}/{{subscription_id:str}}/replay", include_in_schema=False, status_code=200)
async def replay(request: PageRequest, subscription_id: FromPath[str]) -> Response[bytes]:
    """Sends what was missed since a moment again, or all of it. The page says how much waits now."""
    principal, services = principal_of(request), services_of(request)
    await services.subscriptions.one(principal, subscription_id)

    async def work(data: dict[str, object]) -> Response[bytes]:
        wanted = {"since": data["since"], "missed": not data.get("all_of_it")}
        done = await services.deliveries.replay(principal, subscription_id, lambda: shaped(Replay, wanted))
        says = n_("%(num)s delivery waits to be sent again.", "%(num)s deliveries wait to be sent again.", done.deliveries)
        if done.next:
            says += " " + _("There are more. Send again from a later moment when these are gone.")
        back = (_place(subscription_id), _("Subscription"))
        return page(request, "admin/secret.html", title=_("Sent again"), says=says, secret=None, back=back)

    return await send(request, _replay(subscription_id), work)


@post(f"{ALL}/{{subscription_id:str}}/deliveries/{{delivery_id:str}}/replay", include_in_schema=False, status_code=303)
async def replay_one(request: PageRequest, subscription_id: FromPath[str], delivery_id: FromPath[str]) -> Response[None]:
    """Sends one delivery again."""
    await services_of(request).deliveries.replay_one(principal_of(request), delivery_id)
    return redirect(request, _place(subscription_id))


@post(f"{ALL}/{{subscription_id:str}}/ping", include_in_schema=False, status_code=303)
async def ping(request: PageRequest, subscription_id: FromPath[str]) -> Response[None]:
    """Sends a test."""
    await services_of(request).subscriptions.ping(principal_of(request), subscription_id)
    return redirect(request, _place(subscription_id))


@post(f"{ALL}/{{subscription_id:str}}/pause", include_in_schema=False, status_code=303)
async def pause(request: PageRequest, subscription_id: FromPath[str]) -> Response[Any]:
    """Stops deliveries for a while."""
    try:
        await services_of(request).subscriptions.pause(principal_of(request), subscription_id)
    except CommandInvalid as invalid:
        return refused(request, invalid, (_place(subscription_id), _("Subscription")))
    return redirect(request, _place(subscription_id))


@post(f"{ALL}/{{subscription_id:str}}/resume", include_in_schema=False, status_code=303)
async def resume(request: PageRequest, subscription_id: FromPath[str]) -> Response[None]:
    """Starts deliveries again."""
    await services_of(request).subscriptions.resume(principal_of(request), subscription_id)
    return redirect(request, _place(subscription_id))


@post(f"{ALL}/{{subscription_id:str}}/delete", include_in_schema=False, status_code=303)
async def delete(request: PageRequest, subscription_id: FromPath[str]) -> Response[None]:
    """Deletes a subscription."""
    await services_of(request).subscriptions.delete(principal_of(request), subscription_id)
    return redirect(request, ALL)


HANDLERS = (
    subscriptions, new, subscribe, subscription, changing, change, rotating, rotate, replaying, replay, replay_one, ping, pause, resume,
    delete,
)  # fmt: skip
