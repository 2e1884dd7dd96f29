"""Against requests that another site makes in a person's name: where a request comes from, and then a token in every form."""

import hashlib
import secrets
from urllib.parse import urlsplit

from litestar.config.csrf import CSRFConfig
from litestar.enums import ScopeType
from litestar.exceptions import PermissionDeniedException
from litestar.middleware import ASGIMiddleware, DefineMiddleware
from litestar.middleware.csrf import CSRFMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

from ipt_workflow.runtime.settings import Settings, listed

COOKIE = "__Host-csrf"
FIELD = "_csrf_token"
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
OWN = frozenset({"same-origin", "none"})  # `none`: the person typed the address


class OwnPages(ASGIMiddleware):
    """Refuses what changes something and comes from a page of another site, by the browser's own word for it."""

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        method = scope.get("method")
        if method not in SAFE and not _from_own_page(scope):
            raise PermissionDeniedException
        await next_app(scope, receive, send)


def _from_own_page(scope: Scope) -> bool:
    """Old browsers send no Sec-Fetch-Site: then the Origin must be that of the Host, if there is one."""
    headers = dict(scope["headers"])
    site, origin = headers.get(b"sec-fetch-site"), headers.get(b"origin")
    if site is not None:
        return site.decode("latin-1") in OWN
    return origin is None or urlsplit(origin.decode("latin-1")).netloc == headers.get(b"host", b"").decode("latin-1")


class TokenCheck(CSRFMiddleware):
    """Litestar's own check. It compares texts in constant time, which Python does for ASCII alone: any other token is nobody's."""

    def _decode_csrf_token(self, token: str) -> str | None:
        return super()._decode_csrf_token(token) if token.isascii() else None


def token_check(settings: Settings) -> DefineMiddleware:
    """The check by a cookie and a field of the form. Processes with the same `secret_keys` know each other's tokens."""
    keys = listed(settings.secret_keys)
    secret = hashlib.sha256(f"csrf {keys[0]}".encode()).hexdigest() if keys else secrets.token_hex(32)
    config = CSRFConfig(secret=secret, cookie_name=COOKIE, cookie_secure=True, cookie_httponly=True, cookie_samesite="lax")
    return DefineMiddleware(TokenCheck, config=config)
