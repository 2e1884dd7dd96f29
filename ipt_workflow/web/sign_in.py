"""The pages before somebody is signed in. Their paths name the organisation, since no credential does yet."""

import re
import secrets
from typing import Any, TypeVar

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath

from ipt_workflow.access.oidc import public_keys
from ipt_workflow.access.passkeys import relying_party
from ipt_workflow.api.rate_limits import OpenToAll
from ipt_workflow.errors import NotFound, ProviderUnusable, SignInRefused
from ipt_workflow.service.access.sessions import SignedIn
from ipt_workflow.service.access.sign_in import NO_SIGN_IN
from ipt_workflow.service.access.sign_in_links import SignInLinks, is_this_machine
from ipt_workflow.web import forgery, interrupted
from ipt_workflow.web.pages import PageRequest, cookie, no_cookie, page, redirect
from ipt_workflow.web.visitors import (
    BROWSER_COOKIE,
    COOKIE,
    address,
    browser_of,
    clinic_of,
    end_session_before,
    request_id,
    sign_in_of,
    visitor,
    wanted_page,
)

BEGUN_SECONDS = 600
NO_ADDRESS = (
    "This service does not know its own address, so no identity provider can send you back. Its operator sets IPT_PUBLIC_URL."
)
PARAMETERS = ("state", "code", "iss", "error")
Content = TypeVar("Content")
_BROWSER = re.compile(r"[A-Za-z0-9_-]{43}")
NO_STORE = {"Cache-Control": "no-store"}


@get("/o/{organisation:str}/sign-in", include_in_schema=False)
async def choice(request: PageRequest, organisation: FromPath[str]) -> Response[bytes]:
    """The ways of signing in to an organisation."""
    clinic = await clinic_of(request, organisation)
    settings = await (await sign_in_of(request, organisation)).settings()
    known: dict[str, Any] = {
        "oidc": settings.oidc,
        "passkeys": relying_party(address(request)) is not None,
        "passwords": settings.passwords,
        "kept": interrupted.KEPT in request.query_params,
    }
    return page(request, "sign_in.html", organisation=organisation, title=await clinic.title(), **known)


@get("/o/{organisation:str}/sign-in/start", include_in_schema=False)
async def start(request: PageRequest, organisation: FromPath[str]) -> Response[None]:
    """Sends the browser to the organisation's identity provider."""
    return await begin(request, organisation)


async def begin(request: PageRequest, organisation: str, *, again: bool = False) -> Response[None]:
    """Sends the browser to the identity provider. `again`: so that the person of its session proves once more who they are."""
    settings = request.app.state.settings
    if not settings.public_url and not settings.development:
        raise SignInRefused("address", NO_ADDRESS)
    browser, session = new_browser(request), await visitor(request) if again else None
    return sent_away(await (await sign_in_of(request, organisation)).begin(browser, session), browser)


def new_browser(request: PageRequest) -> str:
    """The secret by which an answer must come back with this browser: the one it has, or a new one."""
    known = browser_of(request)
    return known if _BROWSER.fullmatch(known) else secrets.token_urlsafe(32)


def sent_away(url: str, browser: str) -> Response[None]:
    """Sends the browser to others, with its secret."""
    return Response(
        None, status_code=303, headers={"Location": url}, cookies=[cookie(BROWSER_COOKIE, browser, max_age=BEGUN_SECONDS)]
    )


@get("/o/{organisation:str}/sign-in/callback", include_in_schema=False)
async def callback(request: PageRequest, organisation: FromPath[str]) -> Response[None]:
    """The identity provider's answer, which the browser brings."""
    query = {name: request.query_params[name] for name in PARAMETERS if name in request.query_params}
    current = await visitor(request)
    done = await (await sign_in_of(request, organisation)).complete(query, browser_of(request), current, request_id(request.scope))
    return await signed_in(request, done)


async def signed_in(request: PageRequest, done: SignedIn, path: str | None = None) -> Response[None]:
    """Gives the browser its new session, and goes where it was going. What else it knew before somebody signed in is forgotten."""
    response = await with_session(request, redirect(request, path or wanted_page(request)), done)
    response.cookies.append(no_cookie(interrupted.COOKIE))
    return response


async def with_session(request: PageRequest, response: Response[Content], done: SignedIn) -> Response[Content]:
    """An answer that gives the browser its new session. The one that it had ends."""
    await end_session_before(request)
    response.cookies.extend([cookie(COOKIE, done.secret.cookie), no_cookie(BROWSER_COOKIE), no_cookie(forgery.COOKIE)])
    return response


@get("/o/{organisation:str}/sign-in/link", include_in_schema=False)
async def link(request: PageRequest, organisation: FromPath[str]) -> Response[bytes]:
    """Asks before a one-time link is used: a program that looks at links must not use it up."""
    _require_this_machine(request)
    key = request.query_params.get("key", "")
    person = await SignInLinks(await clinic_of(request, organisation)).person(key)
    return page(request, "link.html", organisation=organisation, key=key, person=person)


@post("/o/{organisation:str}/sign-in/link", include_in_schema=False, status_code=303)
async def use_link(request: PageRequest, organisation: FromPath[str]) -> Response[None]:
    """Signs a person in by a one-time link."""
    _require_this_machine(request)
    form = await request.form()
    links = SignInLinks(await clinic_of(request, organisation))
    done = await links.use(str(form.get("key", "")), request_id(request.scope))
    return await signed_in(request, done)


def _require_this_machine(request: PageRequest) -> None:
    """Links work only from the machine that the service runs on. Raises NotFound."""
    if not is_this_machine(str((request.scope.get("client") or ("",))[0])):
        raise NotFound(NO_SIGN_IN)


@get("/o/{organisation:str}/signed-out", include_in_schema=False)
async def signed_out(request: PageRequest, organisation: FromPath[str]) -> Response[bytes]:
    """Says that nobody is signed in here any more."""
    await clinic_of(request, organisation)
    return page(request, "signed_out.html", organisation=organisation, provider=None)


@get("/o/{organisation:str}/sign-in/keys", include_in_schema=False)
async def keys(request: PageRequest, organisation: FromPath[str]) -> Response[bytes]:
    """The public keys with which an identity provider checks who asks it (`private_key_jwt`)."""
    found = await (await sign_in_of(request, organisation)).private_key()
    if found is None:
        raise NotFound(NO_SIGN_IN)
    return Response(msgspec.json.encode(public_keys(found)), media_type="application/jwk-set+json")


@post("/o/{organisation:str}/sign-in/back-channel", include_in_schema=False, status_code=200, middleware=[OpenToAll()])
async def back_channel(request: PageRequest, organisation: FromPath[str]) -> Response[Any]:
    """An identity provider says that somebody signed out there. It sends no cookie: its signed token says who it is."""
    form = await request.form()
    try:
        await (await sign_in_of(request, organisation)).back_channel(str(form.get("logout_token", "")), request_id(request.scope))
    except (SignInRefused, ProviderUnusable) as error:
        return Response({"error": "invalid_request", "error_description": str(error)}, status_code=400, headers=NO_STORE)
    except NotFound as error:
        return Response({"error": "invalid_request", "error_description": str(error)}, status_code=404, headers=NO_STORE)
    return Response(None, status_code=200, headers=NO_STORE)


OPEN_HANDLERS = (choice, start, callback, link, use_link, signed_out, keys)
UNFORGEABLE_HANDLERS = (back_channel,)
