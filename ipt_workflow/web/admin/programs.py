"""The pages about programs: the tokens that were made, and the systems that prove by a key who they are."""

from typing import Annotated, Literal

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath
from msgspec import Meta

from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.services import services_of
from ipt_workflow.course.triggers import Role
from ipt_workflow.ehr.smart.systems import NewSystem, SystemChange, SystemId
from ipt_workflow.errors import CommandMalformed
from ipt_workflow.runtime.documents import json_value
from ipt_workflow.service.access.tokens import NewToken
from ipt_workflow.values.faults import shaped
from ipt_workflow.values.types import Person
from ipt_workflow.web.admin.submission import PAGE, Sheet, asked, first, page_of, role_options, send, show
from ipt_workflow.web.forms import FormField
from ipt_workflow.web.language import _
from ipt_workflow.web.navigation import ROLES
from ipt_workflow.web.pages import PageRequest, page, redirect

TOKENS, SYSTEMS = "/admin/tokens", "/admin/systems"
Keys = Annotated[str, Meta(max_length=20_000)]
Address = Annotated[str, Meta(max_length=2000)]


class TokenForm(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked to make a token."""

    name: Person
    role: Role
    subject: Person | None = None
    days: Annotated[int, Meta(ge=1, le=3650)] | None = None
    source: Annotated[str, Meta(max_length=32)] | None = None
    scopes: tuple[str, ...] | None = None


class SystemForm(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked to register a system. `jwks` is JSON."""

    id: SystemId
    name: Person | None = None
    role: Literal["ehr", "auditor"]
    scopes: tuple[str, ...]
    jwks_url: Address | None = None
    jwks: Keys | None = None
    source: Annotated[str, Meta(max_length=32)] | None = None


class SystemChangeForm(msgspec.Struct, frozen=True, kw_only=True):
    """What may be changed of a system. New keys replace the old ones."""

    name: Person
    scopes: tuple[str, ...]
    jwks_url: Address | None = None
    jwks: Keys | None = None


def _new_token() -> Sheet:
    return Sheet(
        struct=TokenForm,
        title=_("Make a token"),
        action=f"{TOKENS}/new",
        button=_("Make the token"),
        back=(TOKENS, _("Tokens")),
        fresh=True,
        fields=(
            asked("name", "text", _("Name"), _("What it is for, such as north-ehr."), required=True),
            asked("role", "radios", _("Role"), required=True, options=role_options(*ROLES)),
            asked("subject", "text", _("Person"), _("The id of who acts with it. Left empty, it is the name.")),
            asked("days", "whole", _("Days until it expires")),
            asked("source", "text", _("Source"), _("For an EHR: the source whose messages it may read about.")),
            asked("scopes", "lines", _("Scopes"), _("They narrow what the role allows, one a line, such as system/Encounter.rs.")),
        ),
    )


@get(TOKENS, include_in_schema=False)
async def tokens(request: PageRequest) -> Response[bytes]:
    """Every token, without its text."""
    found = await services_of(request).tokens.list(principal_of(request))
    return page(request, "admin/tokens.html", tokens=found, now=services_of(request).clinic.clock.now())


@get(f"{TOKENS}/new", include_in_schema=False)
async def new_token(request: PageRequest) -> Response[bytes]:
    """The form that makes a token."""
    await services_of(request).clinic.require(principal_of(request), "manage tokens")
    return show(request, _new_token(), {})


@post(f"{TOKENS}/new", include_in_schema=False, status_code=200)
async def make_token(request: PageRequest) -> Response[bytes]:
    """Makes a token, whose text is shown this once."""

    async def work(data: dict[str, object]) -> Response[bytes]:
        made = await services_of(request).tokens.create(principal_of(request), shaped(NewToken, data))
        says = _("A program that sends this token acts as %(person)s.", person=made.subject)
        return page(request, "admin/secret.html", title=_("A new token"), says=says, secret=made.token, back=(TOKENS, _("Tokens")))

    await services_of(request).clinic.require(principal_of(request), "manage tokens")
    return await send(request, _new_token(), work)


@post(f"{TOKENS}/{{token_id:str}}/revoke", include_in_schema=False, status_code=303)
async def revoke_token(request: PageRequest, token_id: FromPath[str]) -> Response[None]:
    """Revokes a token at once."""
    await services_of(request).tokens.revoke(principal_of(request), token_id)
    return redirect(request, TOKENS)


def _key_fields() -> tuple[FormField, FormField]:
    return (
        asked("jwks_url", "text", _("Address of its public keys"), _("Either this, or the keys themselves.")),
        asked("jwks", "area", _("Public keys"), _("A key set as JSON (JWKS).")),
    )


def _scopes() -> FormField:
    return asked("scopes", "lines", _("Scopes"), _("What it may do, one a line, such as system/Encounter.rs."), required=True)


def _new_system() -> Sheet:
    return Sheet(
        struct=SystemForm,
        title=_("Register a system"),
        action=f"{SYSTEMS}/new",
        button=_("Register"),
        back=(SYSTEMS, _("Systems")),
        fresh=True,
        fields=(
            asked("id", "text", _("Id"), _("Small letters, digits, - and _. It is never given to another system."), required=True),
            asked("name", "text", _("Name")),
            asked("role", "radios", _("Role"), required=True, options=role_options("ehr", "auditor")),
            _scopes(),
            *_key_fields(),
            asked("source", "text", _("Source"), _("For an EHR: the source whose messages it may read about.")),
        ),
    )


def _change_system(system_id: str) -> Sheet:
    return Sheet(
        struct=SystemChangeForm,
        title=_("Change a system"),
        action=f"{SYSTEMS}/{system_id}",
        button=_("Save"),
        back=(SYSTEMS, _("Systems")),
        fresh=True,
        fields=(asked("name", "text", _("Name"), required=True), _scopes(), *_key_fields()),
        intro=_(
            "Its access tokens end, so that it asks for a new one. New keys replace the old ones; left empty, the old ones stay."
        ),
        template="admin/system.html",
    )


@get(SYSTEMS, include_in_schema=False)
async def systems(request: PageRequest) -> Response[bytes]:
    """The systems that were registered, also those that were revoked."""
    found = await services_of(request).systems.page(principal_of(request), request.query_params.get("after", ""), PAGE + 1)
    shown, more = page_of(found)
    return page(request, "admin/systems.html", systems=shown, more=more)


@get(f"{SYSTEMS}/new", include_in_schema=False)
async def new_system(request: PageRequest) -> Response[bytes]:
    """The form that registers a system."""
    await services_of(request).clinic.require(principal_of(request), "manage systems")
    return show(request, _new_system(), {})


@post(f"{SYSTEMS}/new", include_in_schema=False, status_code=303)
async def register(request: PageRequest) -> Response[bytes]:
    """Registers a system."""

    async def work(data: dict[str, object]) -> Response[None]:
        made = await services_of(request).systems.add(principal_of(request), lambda: shaped(NewSystem, _with_keys(data)))
        return redirect(request, f"{SYSTEMS}/{made.id}")

    await services_of(request).clinic.require(principal_of(request), "manage systems")
    return await send(request, _new_system(), work)


def _with_keys(data: dict[str, object]) -> dict[str, object]:
    """The keys as JSON. What is no JSON stays a text, in which the verb finds the fault."""
    if "jwks" not in data:
        return data
    try:
        return {**data, "jwks": json_value(str(data["jwks"]).encode())}
    except CommandMalformed:
        return data


@get(f"{SYSTEMS}/{{system_id:str}}", include_in_schema=False)
async def system(request: PageRequest, system_id: FromPath[str]) -> Response[bytes]:
    """A system, and the form that changes it."""
    found, sheet = await services_of(request).systems.one(principal_of(request), system_id), _change_system(system_id)
    known = first(msgspec.structs.replace(found, jwks_url=None), sheet)
    return show(request, msgspec.structs.replace(sheet, context={"system": found}), known)


@post(f"{SYSTEMS}/{{system_id:str}}", include_in_schema=False, status_code=303)
async def change_system(request: PageRequest, system_id: FromPath[str]) -> Response[bytes]:
    """Changes a system."""
    found = await services_of(request).systems.one(principal_of(request), system_id)

    async def work(data: dict[str, object]) -> Response[None]:
        await services_of(request).systems.change(principal_of(request), system_id, lambda: shaped(SystemChange, _with_keys(data)))
        return redirect(request, f"{SYSTEMS}/{system_id}")

    return await send(request, msgspec.structs.replace(_change_system(system_id), context={"system": found}), work)


@post(f"{SYSTEMS}/{{system_id:str}}/revoke", include_in_schema=False, status_code=303)
async def revoke_system(request: PageRequest, system_id: FromPath[str]) -> Response[None]:
    """Revokes a system at once."""
    await services_of(request).systems.revoke(principal_of(request), system_id)
    return redirect(request, f"{SYSTEMS}/{system_id}")


HANDLERS = (
    tokens, new_token, make_token, revoke_token, systems, new_system, register, system, change_system, revoke_system,
)  # fmt: skip
