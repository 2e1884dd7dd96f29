"""A fast path for `POST /v1/courses/{id}/transitions`, around the router.

A busy service gets little else, and routing cost more than deciding the trigger (`docs/performance.md`). The path calls what the
router's handler calls (`transitions.fired`), with the same authentication, the same limit and the same problem documents. All other
requests go to the router, and so does a trigger with a query string.
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from litestar import Litestar, Request
from litestar.exceptions import ClientException
from litestar.types import Receive, Send

from ipt_workflow.api import problems, transitions
from ipt_workflow.api.auth import authenticate
from ipt_workflow.api.requests import TooLarge

PATH = re.compile(r"/v1/courses/([0-9a-f-]{36})/transitions")
TEMPLATE = "/v1/courses/{course_id}/transitions"


class FastRequest:
    """The parts of a request that firing a trigger needs."""

    def __init__(self, scope: Any, receive: Receive, course_id: str, limit: int) -> None:
        self.scope = scope
        self.path_params: Mapping[str, Any] = {"course_id": course_id}
        self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        self._receive = receive
        self._limit = limit

    @property
    def method(self) -> str:
        return str(self.scope["method"])

    async def body(self) -> bytes:
        """Raises TooLarge, or ClientException if the client disconnects."""
        raw, more = b"", True
        while more:
            event: Any = await self._receive()
            if event["type"] == "http.disconnect":
                raise ClientException("The client disconnected before the whole body arrived.")
            raw, more = raw + event.get("body", b""), event.get("more_body", False)
            if len(raw) > self._limit:
                raise TooLarge
        return raw


class FastRoute:
    """An ASGI application in front of the router `app`. `body_bytes_max` is the largest body it accepts."""

    def __init__(self, app: Litestar, body_bytes_max: int) -> None:
        self.app = app
        self._limit = body_bytes_max

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        match = PATH.fullmatch(scope["path"]) if scope["method"] == "POST" and not scope["query_string"] else None
        if match is None:
            await self.app(scope, receive, send)
            return
        scope["app"] = scope["litestar_app"] = self.app
        scope["path_template"] = TEMPLATE
        courses = self.app.state.courses
        pending = courses.clinic.courses.start(match[1])  # the database looks up course and token at the same time
        try:
            await authenticate(scope)
            request = FastRequest(scope, receive, match[1], self._limit)
            content, headers = await transitions.fired(request, courses, match[1], pending)
        except Exception as error:  # noqa: BLE001 - like the router, it answers every error with a problem document
            await _answer(error, scope, receive, send)
            return
        raw = msgspec.json.encode(content)
        lines = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        lines += [(b"content-type", b"application/json"), (b"content-length", str(len(raw)).encode())]
        await send({"type": "http.response.start", "status": 201, "headers": lines})
        await send({"type": "http.response.body", "body": raw, "more_body": False})


async def _answer(error: Exception, scope: Any, receive: Receive, send: Send) -> None:
    scope.setdefault("state", {})
    request: Request[Any, Any, Any] = Request(scope, receive, send)
    await problems.answer(request, error).to_asgi_response(None, request)(scope, receive, send)
