"""A receiver of webhooks that does nothing but count, in a process of its own.

    python -m bench.receiver PORT

It answers every POST with 204. `GET /arrivals` answers `{count, first, last, at}` and forgets them: `at` holds when each event arrived,
under `course/sequence`, in seconds of the machine's monotonic clock.
"""

import asyncio
import http.client
import json
import sys
import time
from typing import Any, cast

import uvloop

from bench.processes import HOST

TAKEN = b"HTTP/1.1 204 No Content\r\n\r\n"


class Arrivals:
    """What all connections have received."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.bodies: list[bytes] = []

    def report(self) -> dict[str, Any]:
        at = {}
        for moment, body in zip(self.times, self.bodies, strict=True):
            data = json.loads(body)["data"]
            at.setdefault(f"{data.get('course')}/{data.get('sequence')}", moment)
        found = {"count": len(self.times), "first": min(self.times, default=0), "last": max(self.times, default=0), "at": at}
        self.times, self.bodies = [], []
        return found


class Taking(asyncio.Protocol):
    """One connection."""

    def __init__(self, arrivals: Arrivals) -> None:
        self.arrivals = arrivals
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].lower()
            length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
            body, rest = self.buffer[end + 4 : end + 4 + length], self.buffer[end + 4 + length :]
            if len(body) < length:
                return
            self.buffer = rest
            self._answer(head, body)

    def _answer(self, head: bytes, body: bytes) -> None:
        if head.startswith(b"get /count"):
            self._report({"count": len(self.arrivals.times)})
        elif head.startswith(b"get "):
            self._report(self.arrivals.report())
        else:
            self.arrivals.times.append(time.monotonic())
            self.arrivals.bodies.append(body)
            self.transport.write(TAKEN)

    def _report(self, found: dict[str, Any]) -> None:
        text = json.dumps(found).encode()
        self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text))


def asked(port: int, path: str) -> dict[str, Any]:
    """What a receiver answers to a GET."""
    connection = http.client.HTTPConnection(HOST, port, timeout=30)
    connection.request("GET", path)
    found: dict[str, Any] = json.loads(connection.getresponse().read())
    connection.close()
    return found


async def receive(port: int) -> None:
    arrivals = Arrivals()
    server = await asyncio.get_running_loop().create_server(lambda: Taking(arrivals), HOST, port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(receive(int(sys.argv[1])))
