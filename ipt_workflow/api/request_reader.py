"""The one reader of requests, for the router and the fast path: headers that mean one thing, and a body within its limits."""

from collections.abc import Mapping
from typing import Any

from litestar.exceptions import ClientException, HTTPException
from litestar.types import Receive

from ipt_workflow.ehr.notices.fhir_hooks import DELETED_RESOURCE, INTERACTION
from ipt_workflow.ehr.notices.sources import X_SIGNATURE_HEADER
from ipt_workflow.ehr.signatures import ID, SIGNATURE, TIMESTAMP
from ipt_workflow.errors import Busy, CommandMalformed

# A second line of one of these could mean one thing to a proxy and another to this service.
SINGLE = frozenset(
    {
        "authorization", "content-length", "content-type", "host", "idempotency-key", "if-match", ID, TIMESTAMP, SIGNATURE, X_SIGNATURE_HEADER,
        INTERACTION, DELETED_RESOURCE,
    }
)  # fmt: skip
LISTS = frozenset({"accept", "if-none-match", "prefer", "x-forwarded-for"})  # several lines of one are one list (RFC 9110, 5.3)
SMALL = 65_536  # bytes of a body that count nowhere: the server holds as many of every connection
HeaderLines = list[tuple[bytes, bytes]]


class TooLarge(HTTPException):
    status_code = 413


class Disconnected(ClientException):
    """The client hung up before its body had arrived."""


class BodyMemory:
    """How many bytes of large bodies a process holds at once: at most `most`."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.taken = 0

    def take(self, size: int) -> None:
        """Raises Busy."""
        if self.taken + size > self.most:
            raise Busy("Too many large bodies are being read at once. Send it again a little later.")
        self.taken += size

    def give_back(self, size: int) -> None:
        self.taken -= size


class Incoming:
    """One request. `limit` is the largest body that its path takes.

    Its scope gets the headers as they are read here, so that whoever reads the scope reads the same. Raises CommandMalformed for a
    header that comes twice and may not.
    """

    def __init__(self, scope: Any, receive: Receive, limit: int, memory: BodyMemory) -> None:
        lines: HeaderLines = scope["headers"]
        named = dict(lines)
        if len(named) < len(lines):
            scope["headers"] = lines = _single(lines)
        self.scope = scope
        self.headers: Mapping[str, str] = {name.decode("latin-1"): value.decode("latin-1") for name, value in lines}
        self.path_params: Mapping[str, Any] = {}
        self._receive = receive
        self._limit = limit
        self._memory = memory
        self._body: bytes | None = None
        self._held = 0

    @property
    def app(self) -> Any:
        return self.scope["app"]

    @property
    def method(self) -> str:
        return str(self.scope["method"])

    async def body(self) -> bytes:
        """Raises TooLarge, Disconnected or Busy."""
        if self._body is None:
            announced = self.headers.get("content-length", "")
            if announced.isdigit() and int(announced) > self._limit:
                raise TooLarge
            self._body = await self._read()
        return self._body

    async def _read(self) -> bytes:
        raw: bytes | bytearray = b""
        while True:
            event: Any = await self._receive()
            if event["type"] == "http.disconnect":
                raise Disconnected("The client disconnected before the whole body arrived.")
            piece, more = event.get("body", b""), event.get("more_body", False)
            self._check(len(raw) + len(piece))
            if not (raw or more):
                return bytes(piece)
            raw = raw or bytearray()
            raw += piece  # in place: joining bytes anew for every piece would take quadratic time
            if not more:
                return bytes(raw)

    def _check(self, size: int) -> None:
        """Raises TooLarge, or Busy, for a body that has grown to this size."""
        if size > self._limit:
            raise TooLarge
        if size > SMALL:
            self._memory.take(size - SMALL - self._held)
            self._held = size - SMALL

    def close(self) -> None:
        """Gives back the memory of its body, and leaves no cycle of references behind."""
        self._memory.give_back(self._held)
        self._held = 0
        self.scope.pop("ipt_incoming", None)


def _single(lines: HeaderLines) -> HeaderLines:
    """The headers with one line for each name. Of names that are not read here, the first line stays."""
    values: dict[bytes, bytes] = {}
    for name, value in lines:
        text = name.decode("latin-1")
        if name not in values:
            values[name] = value
        elif text in LISTS:
            values[name] += b", " + value
        elif text in SINGLE:
            raise CommandMalformed(f"The header {text} comes more than once. Send it once.")
    return list(values.items())


def is_head(request: Any) -> bool:
    """Whether only the head of the answer is sent. What takes long then need not be done."""
    return bool(request.scope.get("ipt_head"))


def incoming_of(request: Any) -> Incoming:
    """The request as it is read here; `request` is the router's, or is it already."""
    found: Incoming = request.scope["ipt_incoming"]
    return found
