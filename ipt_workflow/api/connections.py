"""A client's connection: the server's HTTP protocol, with bounds on how much, how many and how long.

The server itself bounds no head, no trailer and no time. Its parser copies what it has of an unfinished line with every piece that
arrives, so a long line takes quadratic time. Here the bytes are counted before the parser gets them.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, cast

import httptools
import msgspec
from litestar.types import Receive
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from ipt_workflow.api.problems import PROBLEM_JSON, PROBLEMS
from ipt_workflow.api.whole_answers import Held

HEAD_BYTES_MAX = 65_536  # of a request: its line, its headers and what ends them; of its trailers as much
HEADERS_MAX = 100
PIECE_BYTES = 16_384  # what the parser gets at once
# What is still read of a request that has its answer, so that the client reads the answer first: if the connection were closed before, the
# answer could be lost on its way. It is more than the largest body that any setting allows.
LINGER_BYTES = 67_108_864
LINGER_SECONDS = 5
LEAVE_SECONDS = 8  # how long an answer may still take when the server stops; after ten the server cancels it, as an error
SPARE_CONNECTIONS = 8  # connections above the most that still get an answer; others are dropped without a word
RETRY_SECONDS = 5
Awaited = Literal["head", "body"]  # what the client owes next


class Limits(msgspec.Struct, frozen=True):
    """The most connections at once, and the seconds that a client may take for a head, for a body, and to read on in its answer."""

    connections: int
    head_seconds: int
    body_seconds: int
    answer_seconds: int


class Connection(HttpToolsProtocol):
    """One connection. The server calls `tick` once a second."""

    def __init__(self, *args: Any, limits: Limits, **named: Any) -> None:
        super().__init__(*args, **named)
        self.limits = limits
        self._awaited: Awaited | None = "head"
        self._answered = False  # the last answer is sent, and what still comes is discarded
        self._unfinished = 0  # bytes since the parser last finished a head, a chunk's head, a part of a body, or a message
        self._waited = 0  # ticks since the awaited part began
        self._stalled = 0  # ticks since the client last read
        self._leaving: int | None = None  # ticks since the server began to stop
        self._discarded = 0
        self._refusal = "malformed"

    @classmethod
    def within(cls, limits: Limits) -> Callable[..., "Connection"]:
        """Makes connections with these limits."""
        return partial(cls, limits=limits)

    # From the transport

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        held = Held(transport, self._linger)
        super().connection_made(cast(asyncio.Transport, held))
        above = len(self.connections) - self.limits.connections
        if above > 0 and (idle := next(filter(_is_idle, self.connections), None)):
            idle.transport.close()  # it makes room
        elif above > SPARE_CONNECTIONS:
            transport.abort()
        elif above > 0:
            self._answer("busy", "Too many connections are open.", (b"retry-after: %d\r\n" % RETRY_SECONDS,))

    def data_received(self, data: bytes) -> None:
        if len(data) > PIECE_BYTES:
            for first in range(0, len(data), PIECE_BYTES):
                self.data_received(data[first : first + PIECE_BYTES])
        elif self._answered:
            self._discard(len(data))
        else:
            self._unfinished += len(data)
            super().data_received(data)
            if self._unfinished > HEAD_BYTES_MAX and not self._answered:
                self._refuse_head()

    def resume_writing(self) -> None:
        self._stalled = 0
        super().resume_writing()

    @property
    def idle(self) -> bool:
        return self._awaited is None and self.cycle.response_complete and not self.transport.is_closing()

    # From the parser

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._awaited = "head"
        self._waited = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._awaited != "head":
            return  # a trailer is no header: whoever checked the headers has not seen it
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        if len(self.headers) > HEADERS_MAX or (self._unfinished > HEAD_BYTES_MAX and self._head_bytes() > HEAD_BYTES_MAX):
            self._refusal = "head-too-large"
            raise httptools.HttpParserError
        self._unfinished = 0
        self._waited = 0
        self._awaited = "body"
        super().on_headers_complete()

    def on_chunk_header(self) -> None:
        self._unfinished = 0

    def on_body(self, body: bytes) -> None:
        self._unfinished = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._unfinished = 0
        self._awaited = None
        super().on_message_complete()

    # From the server

    def tick(self) -> None:
        """Ends the connection of a client that takes too long."""
        self._waited += 1
        self._stalled = self._stalled + 1 if self.flow.write_paused else 0
        self._leaving = None if self._leaving is None else self._leaving + 1
        if self._stalled > self.limits.answer_seconds or (self._leaving or 0) > LEAVE_SECONDS:
            self.transport.abort()
        elif self._answered:
            if self._waited > LINGER_SECONDS:
                self.transport.abort()
        elif self._awaited == "head" and self._waited > self.limits.head_seconds:
            if self._unfinished:
                self._answer("timeout", "The head of the request did not arrive in time.")
            else:
                self.transport.abort()
        elif self._awaited == "body" and self._waited > self.limits.body_seconds and not self.flow.read_paused:
            self._answer("timeout", "The body of the request did not arrive in time.")

    def shutdown(self) -> None:
        """Called once when the server stops: the connection ends with its answer, or after LEAVE_SECONDS."""
        self._leaving = 0
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False
        else:
            self._awaited = None  # what has not arrived by now is not waited for
            self.transport.close()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - the server's words, in the place of which a problem is sent
        details = {"malformed": "This is not HTTP.", "head-too-large": _too_large()}
        self._answer(self._refusal, details[self._refusal])

    def _head_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _refuse_head(self) -> None:
        """For a head, trailers or a chunk's head that do not end."""
        long_url = self._awaited == "head" and len(self.url) > HEAD_BYTES_MAX // 2
        self._answer("uri-too-long" if long_url else "head-too-large", _too_large())

    def _answer(self, slug: str, detail: str, more: tuple[bytes, ...] = ()) -> None:
        """Answers without the application, and closes the connection; only closes it if another answer is under way."""
        running = self.cycle is not None and not self.cycle.response_complete
        if running and (self._awaited == "head" or self.cycle.response_started):
            self.transport.abort()
            return
        problem = PROBLEMS[slug]
        body = msgspec.json.encode(
            {"type": f"/problems/{slug}", "title": problem.title, "status": problem.status, "detail": detail, "instance": ""}
        )
        lines = [STATUS_LINE[problem.status], *(b"%b: %b\r\n" % line for line in self.server_state.default_headers), *more]
        lines += [b"content-type: %b\r\n" % PROBLEM_JSON.encode(), b"content-length: %d\r\n" % len(body)]
        lines += [b"cache-control: no-store\r\nx-content-type-options: nosniff\r\nconnection: close\r\n\r\n", body]
        self.transport.write(b"".join(lines))
        if running:
            self.cycle.disconnected = True  # nothing that the application still sends may follow this answer
            self.cycle.message_event.set()
        self._awaited = self._awaited or "body"
        self.transport.close()

    def _linger(self) -> bool:
        """Whether the connection stays open for reading although its answer is sent: the client may still be sending."""
        if self._awaited is None or self._answered:
            return False
        self._answered = True
        self._waited = 0
        self.flow.resume_reading()
        return True

    def _discard(self, size: int) -> None:
        self._discarded += size
        if self._discarded > LINGER_BYTES:
            self.transport.abort()


def _is_idle(connection: Any) -> bool:
    """Whether a connection is only kept for its next request."""
    return isinstance(connection, Connection) and connection.idle


def _too_large() -> str:
    return f"The head of a request, and its trailers, may have {HEAD_BYTES_MAX} bytes and {HEADERS_MAX} headers at most."


def exchange_of(receive: Receive) -> RequestResponseCycle | None:
    """The server's side of a request and its answer, by the function that the server gave for reading it; None without a connection.

    The scope does not hold it, since it holds the scope: no request should leave a cycle of references.
    """
    found = getattr(receive, "__self__", None)
    return found if isinstance(found, RequestResponseCycle) else None


def cut(exchange: RequestResponseCycle) -> None:
    """Ends an answer that cannot be continued, so that its reader does not take it for whole."""
    exchange.disconnected = True
    exchange.transport.abort()
