"""In front of the router: reads the request, and takes a fast path for what a busy service gets most.

That is triggers of one course, and signed notices of EHR systems. Routing cost more than deciding the trigger (`docs/performance.md`).
The path calls what the router's handlers call (`transitions.fired`, `notices.received`), with the same reader (`Incoming`), the same
authentication and the same problem documents. All other requests go to the router, and so do these with a query string.
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from litestar import Litestar, Request
from litestar.types import Receive, Send

from ipt_workflow.api import hook_answers, notices, problems, transitions
from ipt_workflow.api.auth import address_clinic, authenticate, likely_clinic
from ipt_workflow.api.request_reader import BodyMemory, Incoming
from ipt_workflow.api.services import services_of
from ipt_workflow.runtime.settings import Settings

COURSE = re.compile(r"/v1/courses/([0-9a-f-]{36})/transitions")
SOURCE = re.compile(r"/v1/ehr/notices/([a-z0-9_-]{1,32})")
ADDRESSED = re.compile(r"(/v1/ehr/(?:notices|fhir))/([a-z0-9_-]{1,64})(/[a-z0-9_-]{1,32}(?:/[A-Z].*)?)")  # with an organisation
OF_COURSE, OF_SOURCE = "/v1/courses/{course_id}/transitions", "/v1/ehr/notices/{source}"
Answered = tuple[int, msgspec.Struct, Mapping[str, str]]  # status, content and headers


class FastRoute:
    """An ASGI application in front of the router `app`."""

    def __init__(self, app: Litestar, settings: Settings) -> None:
        self.app = app
        self._settings = settings
        self._memory = BodyMemory(settings.bodies_bytes_max)

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        scope["app"] = scope["litestar_app"] = self.app
        addressed = ADDRESSED.fullmatch(scope["path"])
        if addressed:  # to the router, the organisation is no part of an address
            scope["path"], scope["ipt_organisation"] = addressed[1] + addressed[3], addressed[2]
        try:
            request = scope["ipt_incoming"] = Incoming(scope, receive, self._limit(scope["path"]), self._memory)
        except Exception as error:  # noqa: BLE001 - like the router, it answers every error with a problem document
            await _answer(error, scope, receive, send)
            return
        try:
            await self._routed(request, receive, send)
        finally:
            request.close()

    def _limit(self, path: str) -> int:
        return self._settings.notice_bytes_max if path.startswith(hook_answers.PREFIX) else self._settings.body_bytes_max

    async def _routed(self, request: Incoming, receive: Receive, send: Send) -> None:
        scope = request.scope
        path = scope["path"] if scope["method"] == "POST" and not scope["query_string"] else ""
        course, source = COURSE.fullmatch(path), SOURCE.fullmatch(path)
        if course is None and source is None:
            await self.app(scope, receive, send)
            return
        try:
            answered = await (self._fired(request, course[1]) if course else self._received(request, path))
        except Exception as error:  # noqa: BLE001 - as above
            await _answer(error, scope, receive, send)
            return
        status, content, headers = answered
        raw = msgspec.json.encode(content)
        lines = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        lines += [(b"content-type", b"application/json"), (b"content-length", str(len(raw)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": lines})
        await send({"type": "http.response.body", "body": raw, "more_body": False})

    async def _fired(self, request: Incoming, course_id: str) -> Answered:
        request.scope["path_template"] = OF_COURSE
        likely = likely_clinic(request.scope)
        pending = likely.courses.start(course_id) if likely else None  # the database looks up course and token at the same time
        clinic = await authenticate(request.scope)
        if pending is None or clinic is not likely:
            pending = clinic.courses.start(course_id)
        request.path_params = {"course_id": course_id}
        content, headers = await transitions.fired(request, services_of(request).courses, course_id, pending)
        return 201, content, headers

    async def _received(self, request: Incoming, path: str) -> Answered:
        request.scope["path_template"] = OF_SOURCE
        source = path.rpartition("/")[2]
        request.path_params = {"source": source}
        await address_clinic(request.scope)
        return 202, await notices.received(request, source), {}


async def _answer(error: Exception, scope: Any, receive: Receive, send: Send) -> None:
    scope.setdefault("state", {})
    request: Request[Any, Any, Any] = Request(scope, receive, send)
    await problems.answer(request, error).to_asgi_response(None, request)(scope, receive, send)
