"""A witness over HTTP, as C2SP tlog-witness says: logs submit checkpoints, and monitors read what was cosigned last."""

import asyncio
import re
from collections.abc import Callable
from typing import Any

import msgspec

from ipt_workflow.errors import IptError
from ipt_workflow.service.audit.witness_state import Witness

BODY_BYTES_MAX = 65_536
BODY_SECONDS = 10.0
PLAIN, SIZE = "text/plain; charset=utf-8", "text/x.tlog.size"
ADD_CHECKPOINT = "/add-checkpoint"
_CHECKPOINT = re.compile(r"/([0-9a-f]{64})/checkpoint")


class WitnessReply(msgspec.Struct, frozen=True):
    """What is answered to one request."""

    status: int
    body: str = ""
    kind: str = PLAIN


class WitnessServer:
    """An ASGI application. It calls `report` with each reply to a submission before it is sent."""

    def __init__(self, witness: Witness, report: Callable[[WitnessReply], None]) -> None:
        self._witness = witness
        self._report = report

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http":
            await _send(send, await self._reply(scope["method"], scope["path"], receive))

    async def _reply(self, method: str, path: str, receive: Any) -> WitnessReply:
        found = _CHECKPOINT.fullmatch(path)
        try:
            if path == ADD_CHECKPOINT and method == "POST":
                reply = await self._cosigned(receive)
                self._report(reply)
                return reply
            if found and method in {"GET", "HEAD"}:
                note = self._witness.newest(found[1])
                return (
                    WitnessReply(200, str(note)) if note else WitnessReply(404, "This witness has cosigned nothing of this log.\n")
                )
        except (IptError, OSError):
            return WitnessReply(503, "The witness cannot use its file. Its operator finds out with `ipt-workflow witness show`.\n")
        known = found or path == ADD_CHECKPOINT
        return (
            WitnessReply(405, "POST adds a checkpoint, and GET reads one.\n") if known else WitnessReply(404, "Nothing is here.\n")
        )

    async def _cosigned(self, receive: Any) -> WitnessReply:
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await _body(receive)
            submitted = body.decode()
        except TimeoutError:
            return WitnessReply(408, "The submission took too long.\n")
        except UnicodeDecodeError:
            return WitnessReply(400, "The submission is not UTF-8.\n")
        if len(body) > BODY_BYTES_MAX:
            return WitnessReply(413, f"A submission has at most {BODY_BYTES_MAX} bytes.\n")
        answer = self._witness.answer(submitted)
        return WitnessReply(answer.status, answer.body, SIZE if answer.status == 409 else PLAIN)


async def _body(receive: Any) -> bytes:
    """The body, cut off soon after BODY_BYTES_MAX."""
    body = b""
    while len(body) <= BODY_BYTES_MAX:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body", False):
            break
    return body


async def _send(send: Any, reply: WitnessReply) -> None:
    body = reply.body.encode()
    headers = [(b"content-type", reply.kind.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _lifespan(receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
