"""Who looks at a page: the session of the browser's cookie. A bearer token opens no page."""

import re
from typing import Any
from zoneinfo import ZoneInfo

from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

from ipt_workflow.access.sessions import of_cookie
from ipt_workflow.api import addresses
from ipt_workflow.api.callers import Callers
from ipt_workflow.api.rate_limits import rate_limits
from ipt_workflow.api.services import front_desk, services_of
from ipt_workflow.errors import NotFound, Unauthenticated
from ipt_workflow.service.access import sessions
from ipt_workflow.service.access.sessions import SignInSessions, acting
from ipt_workflow.service.access.sign_in import NO_SIGN_IN, SignIn
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.store.access import StoredSession
from ipt_workflow.web import interrupted, language
from ipt_workflow.web.pages import PageRequest

COOKIE = "__Host-ipt"
_ORGANISATION = re.compile(r"[a-z0-9_-]{1,64}")
BROWSER_COOKIE = "__Host-ipt-sign-in"


class Visitor(ASGIMiddleware):
    """Puts the session and its principal into the scope. Raises Unauthenticated or QuotaExceeded."""

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        state: Any = scope
        limits = rate_limits(scope)
        try:
            clinic, session = await _identified(scope)
        except Unauthenticated as error:
            refused = limits.refused(scope, error)
            state["ipt_kept"] = refused is error and await interrupted.keep(
                scope, receive, of_cookie(_cookies(scope).get(COOKIE, ""))
            )
            raise refused from None
        limits.admit(scope, clinic.organisation, session.id)
        state["ipt_services"] = front_desk(scope).of(clinic)
        state["ipt_session"] = session
        await _read_by(state, clinic, session)
        state["ipt_principal"] = acting(session, "pages", request_id(scope))
        await next_app(scope, receive, send)


async def _read_by(state: Any, clinic: Clinic, session: StoredSession) -> None:
    """Says who reads the page: their name, and the language and zone that they have chosen."""
    known = await clinic.preferences.get(session.person)
    state["ipt_name"] = known.name if known else session.person
    language.read_by(known.language if known else None, ZoneInfo(known.zone) if known and known.zone else clinic.zone)


async def _identified(scope: Any) -> tuple[Clinic, StoredSession]:
    return await sessions.identify(front_desk(scope).clinics, of_cookie(_cookies(scope).get(COOKIE, "")))


async def visitor(request: PageRequest) -> StoredSession | None:
    """The session of the browser, on pages that are open to all. None if it has none."""
    try:
        return (await _identified(request.scope))[1]
    except Unauthenticated:
        return None


async def end_session_before(request: PageRequest) -> None:
    """Ends the session that a browser had before somebody signed in there anew, whoever's and of whichever organisation it was."""
    try:
        clinic, session = await _identified(request.scope)
        await SignInSessions(clinic).end(acting(session, "pages", request_id(request.scope)), session.id)
    except (Unauthenticated, NotFound):  # it had none, or the new one has followed it
        pass


def session_of(request: PageRequest) -> StoredSession:
    found: StoredSession = request.scope["ipt_session"]  # type: ignore[typeddict-item]
    return found


def _cookies(scope: Any) -> dict[str, str]:
    """The cookies of a request. Two of one name mean none: the other may be anybody's."""
    pairs = [
        each.strip().partition("=")
        for name, value in scope["headers"]
        if name == b"cookie"
        for each in value.decode("latin-1").split(";")
    ]
    names = [name for name, _, _ in pairs]
    return {name: value for name, _, value in pairs if names.count(name) == 1}


def browser_of(request: PageRequest) -> str:
    """The secret of the browser that began a sign-in; empty if it has none."""
    return _cookies(request.scope).get(BROWSER_COOKIE, "")


def wanted_page(request: PageRequest) -> str:
    """Where the browser was going when it had to sign in."""
    return interrupted.wanted(_cookies(request.scope).get(interrupted.COOKIE, ""))


def request_id(scope: Any) -> str | None:
    return str(scope.get("ipt_request_id") or "") or None


def caller_address(request: PageRequest) -> str:
    """Where a request comes from, for what is counted by address: of IPv6 the network, of which one caller may have every address."""
    return Callers(request.app.state.settings.proxy_networks).network(request.scope)


async def clinic_of(request: PageRequest, organisation: str) -> Clinic:
    """The clinic that a path names before somebody is signed in. Raises NotFound, also for a suspended one."""
    clinics = front_desk(request.scope).clinics
    clinic = await clinics.of(organisation) if _ORGANISATION.fullmatch(organisation) else None
    if clinic is None or not clinics.is_active(organisation):
        raise NotFound(NO_SIGN_IN)
    return clinic


async def sign_in_of(request: PageRequest, organisation: str) -> SignIn:
    clinic = await clinic_of(request, organisation)
    return SignIn(clinic, request.app.state.providers, f"{address(request)}/o/{organisation}")


def sessions_of(request: PageRequest) -> SignInSessions:
    return services_of(request).sessions


def address(request: PageRequest) -> str:
    """The address of this service, as providers and browsers reach it."""
    return addresses.of_pages(request)
