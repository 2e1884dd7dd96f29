"""The first and last step of every request, even if no route matches.

It sets the request id and the security headers, answers HEAD, writes the access log and measures the time. The application gets a scope
of its own: the server goes on reading the one it made, and must find there what the client sent.
"""

import re
import time
from typing import Any

import structlog
from litestar.types import ASGIApp, Message, Receive, Send

from ipt_workflow.api.callers import Callers
from ipt_workflow.api.connections import cut, exchange_of
from ipt_workflow.errors import IptError
from ipt_workflow.runtime import logs
from ipt_workflow.runtime.metrics import Metrics
from ipt_workflow.runtime.settings import Settings
from ipt_workflow.service.access.failures import AuthenticationFailures
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
    """The outermost ASGI application. It wraps `app`, and counts in `failures` who is answered with 401."""

    def __init__(self, app: ASGIApp, metrics: Metrics, settings: Settings, failures: AuthenticationFailures) -> None:
        self.app = app
        self.metrics = metrics
        self.failures = failures
        self._callers = Callers(settings.proxy_networks)
        self._names_addresses = settings.log_addresses
        self._log = logs.logger().bind()

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = _request_id(scope)
        method: str = scope["method"]
        own: Any = {**scope, "ipt_request_id": request_id}
        if method == "HEAD":
            own["method"] = "GET"
            own["ipt_head"] = True
            send = _without_body(send)
        status = 0
        exchange = exchange_of(receive)

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*_headers(message["headers"], request_id), *own.get("ipt_rate_limits", ())]
                if exchange is not None and exchange.more_body:
                    exchange.keep_alive = False  # the request has not arrived whole, so its connection ends with the answer
            await send(message)

        structlog.contextvars.bind_contextvars(request_id=request_id)  # the context belongs to this request's task alone
        try:
            await self.app(own, receive, send_with_headers)
        except Exception as error:
            if not status or exchange is None:
                raise
            cut(exchange)
            _log_cut(self._log, error)
        finally:
            self._record(own, method, status or 500, time.perf_counter() - started)

    def _record(self, scope: Any, method: str, status: int, seconds: float) -> None:
        if status == 401 or scope.get("ipt_unauthenticated"):
            self.failures.count(self._callers.address(scope))
        route = str(scope.get("path_template") or "unmatched")
        method = method if method in METHODS else "other"  # a made-up method would add a label to the metrics
        self.metrics.request(method, route, status).observe(seconds)
        if route not in {"/health/live", "/health/ready", "/metrics"}:
            principal = scope.get("ipt_principal")
            who = {"actor": principal.person, "role": principal.role} if principal else {}
            where = {"address": self._callers.address(scope)} if self._names_addresses else {}
            fields = {**scope.get("ipt_log", {}), **who, **where}
            self._log.info("request", method=method, route=route, status=status, duration_ms=round(seconds * 1000, 1), **fields)


def _without_body(send: Send) -> Send:
    """Sends the head of an answer, and at once its end. A length of 0 may be that of a body that was not made."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [line for line in message["headers"] if line != (b"content-length", b"0")]
            await send(message)
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    return sent


def _log_cut(log: structlog.typing.FilteringBoundLogger, error: Exception) -> None:
    """An answer that had begun was cut: as a service does that refuses to go on, or by an error."""
    cause: BaseException = error
    while (inner := cause.exceptions[0] if isinstance(cause, BaseExceptionGroup) else cause.__cause__) is not None:
        cause = inner
    write = log.warning if isinstance(cause, IptError) else log.error
    write("answer cut", exc_info=cause)


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
