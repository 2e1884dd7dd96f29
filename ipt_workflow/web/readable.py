"""What a form may be before anybody reads it: pairs as browsers write them, not too many of them, and no NUL."""

from typing import Any

from litestar import Request
from litestar.enums import RequestEncodingType, ScopeType
from litestar.exceptions import HTTPException
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

from ipt_workflow.api.request_reader import TooLarge
from ipt_workflow.api.requests import UnsupportedMediaType
from ipt_workflow.web.forgery import SAFE

PAIRS_MAX = 10_000  # an inventory of fifty people has a tenth of it


class ReadableForm(ASGIMiddleware):
    """Refuses every other form. No page sends a file, so that none is taken; no text has a NUL, and PostgreSQL takes none."""

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        if scope.get("method") not in SAFE:
            await _require(Request(scope, receive))
        await next_app(scope, receive, send)


async def _require(request: Request[Any, Any, Any]) -> None:
    if request.content_type[0] not in {"", RequestEncodingType.URL_ENCODED}:
        raise UnsupportedMediaType
    body = await request.body()
    if body.count(b"&") >= PAIRS_MAX:
        raise TooLarge
    if b"\x00" in body or b"%00" in body:
        raise HTTPException(status_code=400)
