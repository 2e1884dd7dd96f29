"""The pages about what comes in: the EHR systems that send notices, their keys, and how many notices wait for somebody."""

from typing import Annotated

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath
from msgspec import Meta

from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.services import services_of
from ipt_workflow.ehr.notices.sources import (
    OVERLAP_HOURS,
    OVERLAP_HOURS_MAX,
    Given,
    KeyKind,
    Name,
    NewSource,
    OtherVisits,
    SourceChange,
    SourceRotation,
    Sources,
)
from ipt_workflow.values.faults import shaped
from ipt_workflow.values.types import AN_IDENTITY
from ipt_workflow.web.admin.submission import PAGE, Sheet, asked, first, page_of, send, show
from ipt_workflow.web.forms import FormField
from ipt_workflow.web.language import _, noted
from ipt_workflow.web.pages import PageRequest, page, redirect

ALL = "/admin/sources"
KINDS = {
    "standard-webhooks": noted("Signed by Standard Webhooks"),
    "x-signature": noted("Signed in the header X-Signature"),
    "bearer": noted("With a bearer token"),
}
OTHERS = {"wait": noted("They wait for somebody"), "ignore": noted("They are ignored")}


class SourceForm(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked to register a source."""

    id: Name
    kind: KeyKind
    secret: Given | None = None
    client_prefix: Annotated[str, AN_IDENTITY, Meta(max_length=64)] | None = None
    names_persons: bool = False
    all_visits: bool = False
    other_visits: OtherVisits = "wait"


class SourceChangeForm(msgspec.Struct, frozen=True, kw_only=True):
    """What may be changed of a source."""

    names_persons: bool = False
    all_visits: bool = False
    other_visits: OtherVisits


class SourceKeyForm(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked to give a source a new key."""

    kind: KeyKind
    secret: Given | None = None
    overlap_hours: Annotated[int, Meta(ge=0, le=OVERLAP_HOURS_MAX)]


def _sources(request: PageRequest) -> Sources:
    return services_of(request).notices.sources


def _place(source_id: str) -> str:
    return f"{ALL}/{source_id}"


def _kinds() -> list[tuple[str, str]]:
    return [(code, _(text)) for code, text in KINDS.items()]


def _settings() -> tuple[FormField, ...]:
    return (
        asked("names_persons", "tick", _("It names the persons who act as they are known here")),
        asked("all_visits", "tick", _("Each of its visits is a session, whatever kind it names")),
        asked(
            "other_visits",
            "radios",
            _("Visits of other kinds"),
            required=True,
            options=[(code, _(text)) for code, text in OTHERS.items()],
        ),
    )


def _secret() -> FormField:
    return asked("secret", "text", _("Its own secret or public key"), _("Left empty, a secret is made and shown once."))


def _new() -> Sheet:
    return Sheet(
        struct=SourceForm,
        title=_("Register a source"),
        action=f"{ALL}/new",
        button=_("Register"),
        back=(ALL, _("Sources")),
        fields=(
            asked("id", "text", _("Id"), _("Small letters, digits, - and _."), required=True),
            asked("kind", "radios", _("How its messages prove who sent them"), required=True, options=_kinds()),
            _secret(),
            asked("client_prefix", "text", _("What its references to clients begin with")),
            *_settings(),
        ),
    )


def _change(source_id: str) -> Sheet:
    return Sheet(
        struct=SourceChangeForm,
        title=_("Settings"),
        action=_place(source_id),
        button=_("Save"),
        back=(ALL, _("Sources")),
        fields=_settings(),
        template="admin/source.html",
    )


def _key(source_id: str) -> Sheet:
    return Sheet(
        struct=SourceKeyForm,
        title=_("A new key"),
        action=f"{_place(source_id)}/key",
        button=_("Make the key"),
        back=(_place(source_id), source_id),
        fields=(
            asked("kind", "radios", _("How its messages prove who sent them"), required=True, options=_kinds()),
            _secret(),
            asked("overlap_hours", "whole", _("Hours for which older keys stay valid"), required=True),
        ),
    )


@get(ALL, include_in_schema=False)
async def sources(request: PageRequest) -> Response[bytes]:
    """The sources, and how many of their notices wait."""
    principal, known = principal_of(request), _sources(request)
    shown, more = page_of(await known.page(principal, request.query_params.get("after", ""), PAGE + 1))
    return page(request, "admin/sources.html", sources=shown, more=more, waiting=await known.waiting(principal), kinds=KINDS)


@get(f"{ALL}/new", include_in_schema=False)
async def new(request: PageRequest) -> Response[bytes]:
    """The form that registers a source."""
    await services_of(request).clinic.require(principal_of(request), "manage sources")
    return show(request, _new(), {"other_visits": ["wait"]})


@post(f"{ALL}/new", include_in_schema=False, status_code=200)
async def register(request: PageRequest) -> Response[bytes]:
    """Registers a source. A secret that was made is shown this once."""

    async def work(data: dict[str, object]) -> Response[bytes]:
        made = await _sources(request).add(principal_of(request), lambda: shaped(NewSource, data))
        return _shown(request, made.source.id, made.secret)

    await services_of(request).clinic.require(principal_of(request), "manage sources")
    return await send(request, _new(), work)


def _shown(request: PageRequest, source_id: str, secret: str | None) -> Response[bytes]:
    says = _("%(source)s has a new key.", source=source_id)
    return page(request, "admin/secret.html", title=_("A new key"), says=says, secret=secret, back=(_place(source_id), source_id))


@get(f"{ALL}/{{source_id:str}}", include_in_schema=False)
async def source(request: PageRequest, source_id: FromPath[str]) -> Response[bytes]:
    """A source with its keys, and the form that changes its settings."""
    found = await _sources(request).one(principal_of(request), source_id)
    sheet = msgspec.structs.replace(_change(source_id), context={"source": found, "kinds": KINDS})
    return show(request, sheet, first(found, sheet))


@post(f"{ALL}/{{source_id:str}}", include_in_schema=False, status_code=303)
async def change(request: PageRequest, source_id: FromPath[str]) -> Response[bytes]:
    """Changes the settings of a source."""
    found = await _sources(request).one(principal_of(request), source_id)

    async def work(data: dict[str, object]) -> Response[None]:
        await _sources(request).change(principal_of(request), source_id, lambda: shaped(SourceChange, data))
        return redirect(request, _place(source_id))

    ticks = {"names_persons": False, "all_visits": False}
    sheet = msgspec.structs.replace(_change(source_id), context={"source": found, "kinds": KINDS}, cleared=ticks)
    return await send(request, sheet, work)


@get(f"{ALL}/{{source_id:str}}/key", include_in_schema=False)
async def new_key(request: PageRequest, source_id: FromPath[str]) -> Response[bytes]:
    """The form that gives a source a new key."""
    found = await _sources(request).one(principal_of(request), source_id)
    return show(request, _key(source_id), {"kind": [found.keys[-1].kind], "overlap_hours": [str(OVERLAP_HOURS)]})


@post(f"{ALL}/{{source_id:str}}/key", include_in_schema=False, status_code=200)
async def rotate(request: PageRequest, source_id: FromPath[str]) -> Response[bytes]:
    """Gives a source a new key. A secret that was made is shown this once."""
    await _sources(request).one(principal_of(request), source_id)

    async def work(data: dict[str, object]) -> Response[bytes]:
        made = await _sources(request).rotate(principal_of(request), source_id, lambda: shaped(SourceRotation, data))
        return _shown(request, source_id, made.secret)

    return await send(request, _key(source_id), work)


@post(f"{ALL}/{{source_id:str}}/disable", include_in_schema=False, status_code=303)
async def disable(request: PageRequest, source_id: FromPath[str]) -> Response[None]:
    """Refuses every message of a source from now on."""
    await _sources(request).disable(principal_of(request), source_id)
    return redirect(request, _place(source_id))


@post(f"{ALL}/{{source_id:str}}/enable", include_in_schema=False, status_code=303)
async def enable(request: PageRequest, source_id: FromPath[str]) -> Response[None]:
    """Takes messages of a source again."""
    await _sources(request).enable(principal_of(request), source_id)
    return redirect(request, _place(source_id))


HANDLERS = (sources, new, register, source, change, new_key, rotate, disable, enable)
