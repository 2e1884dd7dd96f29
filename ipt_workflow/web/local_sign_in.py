"""The pages of people without an identity provider, before they are signed in: by passkey, code or password, and how they get them."""

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath

from ipt_workflow.access import passwords
from ipt_workflow.errors import CommandInvalid, SignInRefused
from ipt_workflow.service.access.attempts import SignInAttempts, SignInRequest
from ipt_workflow.service.access.enrolment import Enrolled, Enrolment, TypedPassword
from ipt_workflow.service.access.local_sign_in import LocalSignIn
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.web.answers import PASSWORD_FAULTS, said
from ipt_workflow.web.language import gettext
from ipt_workflow.web.pages import PageRequest, asset, page
from ipt_workflow.web.sign_in import signed_in, with_session
from ipt_workflow.web.visitors import address, caller_address, clinic_of, request_id, visitor

JSON = "application/json"


async def local_sign_in_of(request: PageRequest, organisation: str) -> LocalSignIn:
    clinic = await clinic_of(request, organisation)
    return LocalSignIn(clinic, SignInAttempts(clinic, clinic.installation.sign_in_limits), f"{address(request)}/o/{organisation}")


async def _enrolment_of(request: PageRequest, organisation: str) -> Enrolment:
    return enrolment_in(request, await clinic_of(request, organisation))


def enrolment_in(request: PageRequest, clinic: Clinic) -> Enrolment:
    attempts = SignInAttempts(clinic, clinic.installation.sign_in_limits)
    return Enrolment(clinic, attempts, f"{address(request)}/o/{clinic.organisation}")


async def from_where(request: PageRequest) -> SignInRequest:
    return SignInRequest(address=caller_address(request), request_id=request_id(request.scope), current=await visitor(request))


def script() -> str:
    """The digest in the address of the one script."""
    return asset("passkey.js").digest


async def typed(request: PageRequest, name: str) -> str:
    return str((await request.form()).get(name, ""))


async def typed_password(request: PageRequest) -> TypedPassword:
    names = ("password", "secret", "code")
    return TypedPassword(**{name: await typed(request, name) for name in names})


def sentences(invalid: CommandInvalid) -> tuple[str, ...]:
    known = (PASSWORD_FAULTS.get(each.message) for each in invalid.faults)
    return tuple(
        gettext(own) if own else f"The {each.where} {each.message}." for own, each in zip(known, invalid.faults, strict=True)
    )


def with_new_secret(person: str, *, wanted: bool) -> dict[str, str]:
    """A secret for somebody's app, where the organisation has passwords."""
    secret = passwords.new_secret() if wanted else ""
    return {"secret": secret, "secret_address": passwords.address(secret, person) if secret else ""}


@get("/o/{organisation:str}/sign-in/passkey", include_in_schema=False)
async def passkey(request: PageRequest, organisation: FromPath[str]) -> Response[bytes]:
    """Signs somebody in by a passkey."""
    await clinic_of(request, organisation)
    return page(request, "passkey.html", organisation=organisation, script=script())


@post("/o/{organisation:str}/sign-in/passkey/options", include_in_schema=False, status_code=200)
async def passkey_options(request: PageRequest, organisation: FromPath[str]) -> Response[bytes]:
    """What the browser is asked."""
    options = await (await local_sign_in_of(request, organisation)).ask()
    return Response(msgspec.json.encode(options), media_type=JSON)


@post("/o/{organisation:str}/sign-in/passkey", include_in_schema=False, status_code=303)
async def use_passkey(request: PageRequest, organisation: FromPath[str]) -> Response[None]:
    """The browser's answer."""
    service = await local_sign_in_of(request, organisation)
    return await signed_in(request, await service.by_passkey(await typed(request, "answer"), await from_where(request)))


@get("/o/{organisation:str}/sign-in/recovery-code", include_in_schema=False)
async def recovery_code(request: PageRequest, organisation: FromPath[str]) -> Response[bytes]:
    """Signs somebody in by one of their recovery codes."""
    await clinic_of(request, organisation)
    return page(request, "recovery_code.html", organisation=organisation, person="", messages=())


@post("/o/{organisation:str}/sign-in/recovery-code", include_in_schema=False, status_code=303)
async def use_recovery_code(request: PageRequest, organisation: FromPath[str]) -> Response[None] | Response[bytes]:
    """A recovery code that somebody typed."""
    service, person = await local_sign_in_of(request, organisation), await typed(request, "person")
    try:
        done = await service.by_recovery_code(person, await typed(request, "code"), await from_where(request))
    except SignInRefused as refused:
        return page(
            request,
            "recovery_code.html",
            400,
            organisation=organisation,
            person=person,
            messages=(said(refused, "sign-in-refused"),),
        )
    return await signed_in(request, done)


@get("/o/{organisation:str}/sign-in/password", include_in_schema=False)
async def password(request: PageRequest, organisation: FromPath[str]) -> Response[bytes]:
    """Signs somebody in by a password and a code of their app."""
    await (await local_sign_in_of(request, organisation)).require_passwords()
    return page(request, "password.html", organisation=organisation, person="", messages=())


@post("/o/{organisation:str}/sign-in/password", include_in_schema=False, status_code=303)
async def use_password(request: PageRequest, organisation: FromPath[str]) -> Response[None] | Response[bytes]:
    """A password and a code that somebody typed."""
    service, person = await local_sign_in_of(request, organisation), await typed(request, "person")
    given = (await typed(request, "password"), await typed(request, "code"))
    try:
        done = await service.by_password(person, *given, await from_where(request))
    except SignInRefused as refused:
        return page(
            request, "password.html", 400, organisation=organisation, person=person, messages=(said(refused, "sign-in-refused"),)
        )
    return await signed_in(request, done)


@get("/o/{organisation:str}/enrol", include_in_schema=False)
async def enrol(request: PageRequest, organisation: FromPath[str]) -> Response[bytes]:
    """What somebody's link offers. Looking at it does not use it."""
    return await _enrol(request, organisation, request.query_params.get("key", ""))


async def _enrol(
    request: PageRequest, organisation: str, key: str, status: int = 200, messages: tuple[str, ...] = ()
) -> Response[bytes]:
    service = await _enrolment_of(request, organisation)
    person = await service.linked_person(key)
    return page(
        request,
        "enrol.html",
        status,
        organisation=organisation,
        key=key,
        person=person,
        passkeys=service.has_passkeys,
        messages=messages,
        script=script(),
        **with_new_secret(person, wanted=await service.has_passwords()),
    )


@post("/o/{organisation:str}/enrol/passkey/options", include_in_schema=False, status_code=200)
async def enrol_options(request: PageRequest, organisation: FromPath[str]) -> Response[bytes]:
    """What the browser is asked to make."""
    service = await _enrolment_of(request, organisation)
    options = await service.ask(await service.linked_person(await typed(request, "key")))
    return Response(msgspec.json.encode(options), media_type=JSON)


@post("/o/{organisation:str}/enrol/passkey", include_in_schema=False, status_code=200)
async def enrol_passkey(request: PageRequest, organisation: FromPath[str]) -> Response[bytes]:
    """The passkey that the browser made."""
    service, key = await _enrolment_of(request, organisation), await typed(request, "key")
    return await _codes(
        request, await service.passkey_by_link(key, await typed(request, "answer"), await from_where(request)), passkeys=True
    )


@post("/o/{organisation:str}/enrol/password", include_in_schema=False, status_code=200)
async def enrol_password(request: PageRequest, organisation: FromPath[str]) -> Response[bytes]:
    """A new password, and a code of the app that keeps its second factor."""
    service, key = await _enrolment_of(request, organisation), await typed(request, "key")
    try:
        done = await service.password_by_link(key, await typed_password(request), await from_where(request))
    except CommandInvalid as invalid:
        return await _enrol(request, organisation, key, 422, sentences(invalid))
    return await _codes(request, done, passkeys=service.has_passkeys)


async def _codes(request: PageRequest, done: Enrolled, *, passkeys: bool) -> Response[bytes]:
    """The recovery codes of somebody who has enrolled, and their session."""
    return await with_session(request, page(request, "codes.html", codes=done.codes, passkeys=passkeys), done.signed_in)


OPEN_HANDLERS = (
    passkey,
    passkey_options,
    use_passkey,
    recovery_code,
    use_recovery_code,
    password,
    use_password,
    enrol,
    enrol_options,
    enrol_passkey,
    enrol_password,
)
