"""A fast path around the router for what a busy service gets most: triggers of one course, and signed notices of EHR systems.

Routing cost more than deciding the trigger (`docs/performance.md`). The path calls what the router's handlers call (`transitions.fired`,
`notices.received`), with the same authentication, the same limit and the same problem documents. All other requests go to the router, and
so do these with a query string.
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from litestar import Litestar, Request
from litestar.exceptions import ClientException
from litestar.types import Receive, Send

from ipt_workflow.api import notices, problems, transitions
from ipt_workflow.api.auth import authenticate
from ipt_workflow.api.requests import TooLarge

COURSE = re.compile(r"/v1/courses/([0-9a-f-]{36})/transitions")
SOURCE = re.compile(r"/v1/ehr/notices/([a-z0-9_-]{1,32})")
OF_COURSE, OF_SOURCE = "/v1/courses/{course_id}/transitions", "/v1/ehr/notices/{source}"
Answered = tuple[int, msgspec.Struct, Mapping[str, str]]  # status, content and headers


class FastRequest:
    """The parts of a request that firing a trigger, or taking a notice, needs."""

    def __init__(self, scope: Any, receive: Receive, path_params: Mapping[str, Any], limit: int) -> None:
        self.scope = scope
        self.app = scope["app"]
        self.path_params = path_params
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
        path = scope["path"] if scope["method"] == "POST" and not scope["query_string"] else ""
        course, source = COURSE.fullmatch(path), SOURCE.fullmatch(path)
        if course is None and source is None:
            await self.app(scope, receive, send)
            return
        scope["app"] = scope["litestar_app"] = self.app
        try:
            answered = await (self._fired(scope, receive, course[1]) if course else self._received(scope, receive, path))
        except Exception as error:  # noqa: BLE001 - like the router, it answers every error with a problem document
            await _answer(error, scope, receive, send)
            return
        status, content, headers = answered
        raw = msgspec.json.encode(content)
        lines = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        lines += [(b"content-type", b"application/json"), (b"content-length", str(len(raw)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": lines})
        await send({"type": "http.response.body", "body": raw, "more_body": False})

    async def _fired(self, scope: Any, receive: Receive, course_id: str) -> Answered:
        scope["path_template"] = OF_COURSE
        courses = self.app.state.courses
        pending = courses.clinic.courses.start(course_id)  # the database looks up course and token at the same time
        await authenticate(scope)
        request = FastRequest(scope, receive, {"course_id": course_id}, self._limit)
        content, headers = await transitions.fired(request, courses, course_id, pending)
        return 201, content, headers

    async def _received(self, scope: Any, receive: Receive, path: str) -> Answered:
        scope["path_template"] = OF_SOURCE
        source = path.rpartition("/")[2]
        request = FastRequest(scope, receive, {"source": source}, self._limit)
        return 202, await notices.received(request, source), {}


async def _answer(error: Exception, scope: Any, receive: Receive, send: Send) -> None:
    scope.setdefault("state", {})
    request: Request[Any, Any, Any] = Request(scope, receive, send)
    await problems.answer(request, error).to_asgi_response(None, request)(scope, receive, send)
