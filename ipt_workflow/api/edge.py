"""The first and last step of every request, even if no route matches.

It sets the request id and the security headers, answers HEAD, writes the access log and measures the time.
"""

import re
import time
from typing import Any

import structlog
from litestar.types import ASGIApp, Message, Receive, Send

from ipt_workflow.runtime import logs
from ipt_workflow.runtime.metrics import Metrics
from ipt_workflow.service.clinic import new_id

REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
NO_PAGE = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")


class Edge:
    """The outermost ASGI application. It wraps `app`."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics
        self._log = logs.logger().bind()

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = _request_id(scope)
        method: str = scope["method"]
        scope["ipt_request_id"] = request_id
        if method == "HEAD":
            scope["method"] = "GET"
        status = 500

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = _headers(message["headers"], request_id)
            if method == "HEAD" and message["type"] == "http.response.body":
                message = {"type": "http.response.body", "body": b"", "more_body": message.get("more_body", False)}
            await send(message)

        structlog.contextvars.bind_contextvars(request_id=request_id)  # the context belongs to this request's task alone
        try:
            await self.app(scope, receive, send_with_headers)
        finally:
            self._record(scope, method, status, time.perf_counter() - started)

    def _record(self, scope: Any, method: str, status: int, seconds: float) -> None:
        route = str(scope.get("path_template") or "unmatched")
        method = method if method in METHODS else "other"  # a made-up method would add a label to the metrics
        self.metrics.request(method, route, status).observe(seconds)
        if route not in {"/health/live", "/health/ready", "/metrics"}:
            principal = scope.get("ipt_principal")
            who = {"actor": principal.person, "role": principal.role} if principal else {}
            fields = {**scope.get("ipt_log", {}), **who}
            self._log.info("request", method=method, route=route, status=status, duration_ms=round(seconds * 1000, 1), **fields)


def _request_id(scope: Any) -> str:
    """The caller's request id if it matches REQUEST_ID, otherwise a new one."""
    header = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
    return header.decode() if REQUEST_ID.fullmatch(header) else new_id()


def _headers(headers: Any, request_id: str) -> list[tuple[bytes, bytes]]:
    present = {name.lower() for name, _ in headers}
    complete = [*headers, *HEADERS, (b"x-request-id", request_id.encode())]
    if b"content-security-policy" not in present:
        complete.append(NO_PAGE)
    if b"cache-control" not in present:
        complete.append((b"cache-control", b"no-store"))
    return complete
