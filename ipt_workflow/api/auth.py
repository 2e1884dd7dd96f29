"""Bearer authentication: resolves a token to a principal before any handler runs."""

from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

from ipt_workflow.access.principal import Principal
from ipt_workflow.api.rate_limits import rate_limits
from ipt_workflow.api.requests import RequestParts
from ipt_workflow.errors import Unauthenticated
from ipt_workflow.service.access.tokens import Tokens


class Bearer(ASGIMiddleware):
    """Puts the principal into the scope. Raises Unauthenticated or QuotaExceeded."""

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        await authenticate(scope)
        await next_app(scope, receive, send)


async def authenticate(scope: Scope) -> None:
    """Puts the principal into the scope. Raises Unauthenticated or QuotaExceeded."""
    header = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"authorization"), "")
    scheme, _, token = header.partition(" ")
    tokens: Tokens = scope["litestar_app"].state.tokens
    request_id = str(scope.get("ipt_request_id") or "") or None
    try:
        principal = await tokens.authenticate(token.strip() if scheme.lower() == "bearer" else None, request_id)
    except Unauthenticated as error:
        raise rate_limits(scope).refused(scope, error) from None
    rate_limits(scope).admit(scope, tokens.clinic.organisation, str(principal.token))
    scope["ipt_principal"] = principal  # type: ignore[typeddict-unknown-key]


def principal_of(request: RequestParts) -> Principal:
    principal: Principal = request.scope["ipt_principal"]
    return principal
