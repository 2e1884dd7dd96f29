"""Before any handler runs: the clinic to which a request belongs, and who sends it."""

from typing import Any

from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

from ipt_workflow.access.principal import Principal
from ipt_workflow.api.rate_limits import rate_limits
from ipt_workflow.api.requests import RequestParts
from ipt_workflow.api.scopes import require_route
from ipt_workflow.api.services import FrontDesk, front_desk
from ipt_workflow.ehr.notices.sources import NOT_AUTHENTIC
from ipt_workflow.errors import SignatureInvalid, Unauthenticated
from ipt_workflow.service.clinic import Clinic


class Bearer(ASGIMiddleware):
    """Puts the principal and their clinic's services into the scope. Raises Unauthenticated, QuotaExceeded or ScopeMissing."""

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        await authenticate(scope)
        await next_app(scope, receive, send)


class Anybody(ASGIMiddleware):
    """For what is open to all: puts the first clinic's services into the scope. Nothing there belongs to a clinic."""

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        scope["ipt_services"] = front_desk(scope).first  # type: ignore[typeddict-unknown-key]
        await next_app(scope, receive, send)


class Addressed(ASGIMiddleware):
    """For signed messages: puts the services of the address's organisation into the scope. Raises SignatureInvalid or QuotaExceeded."""

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        await address_clinic(scope)
        await next_app(scope, receive, send)


async def authenticate(scope: Any) -> Clinic:
    """Puts the principal and their clinic's services into the scope.

    Raises Unauthenticated, QuotaExceeded, or ScopeMissing if the principal's scopes do not cover the route.
    """
    desk, limits = front_desk(scope), rate_limits(scope)
    request_id = str(scope.get("ipt_request_id") or "") or None
    try:
        clinic, principal = await desk.credentials.identify(_token(scope), request_id)
    except Unauthenticated as error:
        raise limits.refused(scope, error) from None
    scope["ipt_principal"] = principal
    limits.admit(scope, clinic.organisation, str(principal.token or principal.session))
    scope["ipt_services"] = desk.of(clinic)
    await require_route(clinic, scope["ipt_principal"], scope)
    return clinic


def likely_clinic(scope: Any) -> Clinic | None:
    """The clinic to which a request most likely belongs. It proves nothing."""
    return front_desk(scope).credentials.likely(_token(scope))


async def address_clinic(scope: Any) -> None:
    """Puts the services of the address's organisation into the scope. Old addresses name none and mean the first.

    Raises SignatureInvalid, so that nobody learns which organisations there are, or QuotaExceeded.
    """
    desk: FrontDesk = front_desk(scope)
    named = scope.get("ipt_organisation")
    clinic = await desk.clinics.of(named) if named else desk.clinics.first
    if clinic is None or not desk.clinics.is_active(clinic.organisation):
        raise rate_limits(scope).refused(scope, SignatureInvalid(NOT_AUTHENTIC))
    scope["ipt_services"] = desk.of(clinic)


def _token(scope: Any) -> str:
    header = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"authorization"), "")
    scheme, _, token = header.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def principal_of(request: RequestParts) -> Principal:
    principal: Principal = request.scope["ipt_principal"]
    return principal
