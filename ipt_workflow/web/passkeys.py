"""The pages on which people who are signed in look after their passkeys and recovery codes."""

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath

from ipt_workflow.api.services import services_of
from ipt_workflow.errors import CommandInvalid
from ipt_workflow.service.access.enrolment import Enrolment
from ipt_workflow.service.access.sessions import acting
from ipt_workflow.web.local_sign_in import JSON, enrolment_in, script, sentences, typed, typed_password, with_new_secret
from ipt_workflow.web.pages import PageRequest, page, redirect
from ipt_workflow.web.visitors import request_id, session_of


def _enrolment(request: PageRequest) -> Enrolment:
    return enrolment_in(request, services_of(request).clinic)


@get("/passkeys", include_in_schema=False)
async def passkeys(request: PageRequest) -> Response[bytes]:
    """With what somebody signs in."""
    return await _passkeys(request)


async def _passkeys(request: PageRequest, status: int = 200, messages: tuple[str, ...] = ()) -> Response[bytes]:
    service, person = _enrolment(request), session_of(request).person
    known = await service.mine(person)
    wanted = known.password_changed_at is not None and await service.has_passwords()
    secret = with_new_secret(person, wanted=wanted)
    return page(
        request, "passkeys.html", status, known=known, passkeys=service.has_passkeys, script=script(), messages=messages, **secret
    )


@post("/passkeys/options", include_in_schema=False, status_code=200)
async def options(request: PageRequest) -> Response[bytes]:
    """What the browser is asked to make."""
    asked = await _enrolment(request).ask_another(acting(session_of(request), "pages", request_id(request.scope)))
    return Response(msgspec.json.encode(asked), media_type=JSON)


@post("/passkeys", include_in_schema=False, status_code=303)
async def add(request: PageRequest) -> Response[None]:
    """The passkey that the browser made."""
    principal = acting(session_of(request), "pages", request_id(request.scope))
    await _enrolment(request).add_passkey(principal, await typed(request, "answer"))
    return redirect(request, "/passkeys")


@post("/passkeys/{passkey_id:str}/remove", include_in_schema=False, status_code=303)
async def remove(request: PageRequest, passkey_id: FromPath[str]) -> Response[None]:
    """Takes a passkey away. One stays."""
    await _enrolment(request).remove_passkey(acting(session_of(request), "pages", request_id(request.scope)), passkey_id)
    return redirect(request, "/passkeys")


@post("/password", include_in_schema=False, status_code=303)
async def password(request: PageRequest) -> Response[None] | Response[bytes]:
    """Another password, and another key for the app."""
    principal = acting(session_of(request), "pages", request_id(request.scope))
    try:
        await _enrolment(request).change_password(principal, await typed_password(request))
    except CommandInvalid as invalid:
        return await _passkeys(request, 422, sentences(invalid))
    return redirect(request, "/passkeys")


@post("/recovery-codes", include_in_schema=False, status_code=200)
async def recovery_codes(request: PageRequest) -> Response[bytes]:
    """Ten new recovery codes. The old ones no longer work."""
    codes = await _enrolment(request).new_codes(acting(session_of(request), "pages", request_id(request.scope)))
    return page(request, "codes.html", codes=codes, passkeys=False)


HANDLERS = (passkeys, options, add, remove, password, recovery_codes)
