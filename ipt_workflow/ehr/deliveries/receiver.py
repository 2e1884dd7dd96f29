"""A webhook receiver for rehearsals: it does what an EHR's receiver should do, and fails on request.

It verifies signatures, accepts every id once, and reports gaps in a course's sequence. It keeps only ids and numbers, in memory.
"""

import asyncio
import datetime as dt
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Literal

import msgspec

from ipt_workflow.ehr import signatures
from ipt_workflow.ehr.deliveries.bodies import CHECKPOINT
from ipt_workflow.ehr.signatures import SigningKey
from ipt_workflow.errors import SignatureInvalid
from ipt_workflow.journal.proof import ipt_verify
from ipt_workflow.journal.proof.ipt_verify import NotProved
from ipt_workflow.runtime.clock import Clock, SystemClock

BODY_BYTES_MAX = 65_536
IDS_MAX = 100_000
Outcome = Literal["received", "duplicate", "failed", "stalled", "gone", "unsigned", "malformed"]


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """The failures to rehearse: the first `fail` deliveries fail, the next `stall` get late answers. With `gone`, all get a 410."""

    fail: int = 0
    fail_status: int = 500
    retry_after: int | None = None
    stall: int = 0
    stall_seconds: float = 30.0
    gone: bool = False


class DeliveryReceipt(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one request. `missing` is the first and last missing sequence. `late`: a higher sequence came before.

    `log_size` is that of the log's checkpoint. `rewritten`: a checkpoint of the same size with another root came before.
    """

    outcome: Outcome
    status: int
    id: str | None = None
    type: str | None = None
    course: str | None = None
    sequence: int | None = None
    missing: tuple[int, int] | None = None
    late: bool = False
    log_size: int | None = None
    rewritten: bool = False
    data: dict[str, Any] | None = None


class ReceivedEnvelope(msgspec.Struct, frozen=True):
    """The envelope of every event."""

    type: str
    timestamp: dt.datetime
    data: dict[str, Any]


class Receiver:
    """An ASGI application. It calls `report` with each receipt before it answers."""

    def __init__(
        self,
        keys: Sequence[SigningKey],
        report: Callable[[DeliveryReceipt], None],
        trouble: Trouble | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._keys = keys
        self._report = report
        self._trouble = trouble or Trouble()
        self._clock = clock or SystemClock()
        self._count = 0
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._sequences: dict[str, int] = {}
        self._roots: OrderedDict[tuple[str, int], bytes] = OrderedDict()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        body = await _body(receive)
        if body is None:
            return
        if scope["method"] != "POST":
            await _respond(send, 405, {"allow": "POST"})
            return
        receipt, wait = self._take(scope, body)
        self._report(receipt)
        if wait:
            await asyncio.sleep(wait)
        retry_after = self._trouble.retry_after if receipt.outcome == "failed" else None
        await _respond(send, receipt.status, {} if retry_after is None else {"retry-after": str(retry_after)})

    def _take(self, scope: Any, body: bytes) -> tuple[DeliveryReceipt, float]:
        """The receipt of a request, and the seconds to wait before the response."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            signed = signatures.verify(headers, body, self._keys, self._clock.now())
            envelope = msgspec.json.decode(body, type=ReceivedEnvelope)
        except SignatureInvalid:
            return DeliveryReceipt(outcome="unsigned", status=401), 0
        except (msgspec.DecodeError, UnicodeDecodeError):
            return DeliveryReceipt(outcome="malformed", status=400, id=signed.id), 0
        course, sequence = _text(envelope.data.get("course")), envelope.data.get("sequence")
        receipt = DeliveryReceipt(
            outcome="received",
            status=204,
            id=signed.id,
            type=envelope.type,
            course=course,
            sequence=sequence if isinstance(sequence, int) else None,
            data=envelope.data,
        )
        return self._with_trouble(self._witnessed(receipt, headers.get(CHECKPOINT)))

    def _witnessed(self, receipt: DeliveryReceipt, header: str | None) -> DeliveryReceipt:
        """The receipt with what the log says of itself, compared with what it said before. Whoever has the log's key also checks its signature."""
        try:
            checkpoint = ipt_verify.read_checkpoint(ipt_verify.read_header(header or "").text)
        except NotProved:
            return receipt
        root = self._roots.setdefault((checkpoint.origin, checkpoint.size), checkpoint.root)
        if len(self._roots) > IDS_MAX:
            self._roots.popitem(last=False)
        return msgspec.structs.replace(receipt, log_size=checkpoint.size, rewritten=root != checkpoint.root)

    def _with_trouble(self, receipt: DeliveryReceipt) -> tuple[DeliveryReceipt, float]:
        trouble = self._trouble
        if trouble.gone:
            return msgspec.structs.replace(receipt, outcome="gone", status=410), 0
        self._count += 1
        if self._count <= trouble.fail:
            return msgspec.structs.replace(receipt, outcome="failed", status=trouble.fail_status), 0
        kept = self._keep(receipt)
        if self._count <= trouble.fail + trouble.stall:
            return msgspec.structs.replace(kept, outcome="stalled"), trouble.stall_seconds
        return kept, 0

    def _keep(self, receipt: DeliveryReceipt) -> DeliveryReceipt:
        """Accepts each id once, and compares the sequence with the course's highest so far."""
        assert receipt.id is not None
        if receipt.id in self._seen:
            return msgspec.structs.replace(receipt, outcome="duplicate")
        self._seen[receipt.id] = None
        if len(self._seen) > IDS_MAX:
            self._seen.popitem(last=False)
        if receipt.course is None or receipt.sequence is None:
            return receipt
        last = self._sequences.get(receipt.course)
        self._sequences[receipt.course] = max(receipt.sequence, last or 0)
        if last is None or receipt.sequence == last + 1:
            return receipt
        if receipt.sequence <= last:
            return msgspec.structs.replace(receipt, late=True)
        return msgspec.structs.replace(receipt, missing=(last + 1, receipt.sequence - 1))


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


async def _body(receive: Any) -> bytes | None:
    """The body, cut after BODY_BYTES_MAX and one byte; None if the sender disconnected before its end."""
    body = b""
    while len(body) <= BODY_BYTES_MAX:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if not message.get("more_body", False):
            break
    return body[: BODY_BYTES_MAX + 1]


async def _respond(send: Any, status: int, headers: dict[str, str]) -> None:
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": [*encoded, (b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


async def _lifespan(receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
