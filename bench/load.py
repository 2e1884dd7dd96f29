"""The load generator, a process of its own. Keep-alive connections over raw sockets send one request after another.

    python -m bench.load < job.json > result.json
    python -m bench.load --echo PORT     answers every request with a fixed 201, to measure the generator's own ceiling

A job is `{targets: [port, …], clients, seconds, warm_up, requests}`. Connections are spread over the targets evenly.
`requests` is `{paths, body, headers, courses, keyed, varied, signed, tokens}`. Each request draws a path, and one of the bearer tokens, at random, and replaces `{course}` in it by
a random number from 1 to `courses`. With `keyed`, each request has its own idempotency key. With `varied`, `$course`, `$name` (unique) and
`$now` in the body are replaced as well. `signed` is a secret of Standard Webhooks with which each request is signed.
The answer is `{requests, per_second, p50_ms, p99_ms, max_ms, seconds, bad: {status: count}, first_bad}`. Requests of the warm-up are not
counted, but their errors are.
"""

import argparse
import asyncio
import functools
import itertools
import json
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any, cast

import uvloop

from bench.figures import percentile
from bench.requests import HOST, requests

GRACE = 30.0  # seconds to wait for answers after the last request
CLOSED = "connection closed"


class Tally:
    """The answers that all connections of a job received."""

    def __init__(self, counts_from: float, ends: float) -> None:
        self.counts_from = counts_from
        self.ends = ends
        self.latencies: list[float] = []
        self.bad: Counter[str] = Counter()
        self.first_bad: bytes | None = None
        self.last = counts_from

    def answered(self, status: bytes, sent: float, now: float, answer: bytes) -> None:
        if not status.startswith(b"2"):
            self.bad[status.decode()] += 1
            self.first_bad = self.first_bad or answer
        elif sent >= self.counts_from:
            self.latencies.append(now - sent)
            self.last = now


class Connection(asyncio.Protocol):
    """One client. It opens a new connection if the server closes the old one after an answer, as a server may."""

    def __init__(self, port: int, requests: Iterator[bytes], tally: Tally, done: asyncio.Future[None]) -> None:
        self.port, self.requests, self.tally, self.done = port, requests, tally, done
        self.buffer = b""
        self.sent = 0.0
        self.waiting = False
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._send()

    def _send(self) -> None:
        assert self.transport is not None
        now = time.perf_counter()
        if now >= self.tally.ends:
            self._finish()
            return
        self.sent, self.waiting = now, True
        self.transport.write(next(self.requests))

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        length = _length(self.buffer)
        if length is None or len(self.buffer) < length:
            return
        answer, self.buffer, self.waiting = self.buffer[:length], self.buffer[length:], False
        self.tally.answered(answer[9:12], self.sent, time.perf_counter(), answer)
        if not _closes(answer):
            self._send()

    def connection_lost(self, _exc: Exception | None) -> None:
        if self.done.done():
            return
        if self.waiting:
            self.tally.bad[CLOSED] += 1
        asyncio.ensure_future(self._open()).add_done_callback(self._opened)

    async def _open(self) -> None:
        self.buffer, self.waiting = b"", False
        await asyncio.get_running_loop().create_connection(lambda: self, HOST, self.port)

    def _opened(self, opening: asyncio.Future[None]) -> None:
        if opening.exception() is not None:
            self.tally.bad["connection refused"] += 1
            self._finish()

    def _finish(self) -> None:
        if not self.done.done():
            self.done.set_result(None)
        if self.transport:
            self.transport.close()


def _length(answer: bytes) -> int | None:
    """The length of the whole answer; None if headers or chunks are still missing."""
    end = answer.find(b"\r\n\r\n")
    if end < 0:
        return None
    headers = answer[:end].lower()
    at = headers.find(b"\r\ncontent-length:")
    if at >= 0:
        return end + 4 + int(headers[at + 17 :].split(b"\r\n", 1)[0])
    if b"\r\ntransfer-encoding: chunked" in headers:
        return len(answer) if answer.endswith(b"\r\n0\r\n\r\n") else None
    return end + 4


def _closes(answer: bytes) -> bool:
    return b"\r\nconnection: close" in answer[: answer.find(b"\r\n\r\n")].lower()


async def load(job: dict[str, Any]) -> dict[str, Any]:
    """Runs a job."""
    loop = asyncio.get_running_loop()
    started = time.perf_counter() + 0.05
    tally = Tally(started + job["warm_up"], started + job["warm_up"] + job["seconds"])
    source = requests(job["requests"], uuid.uuid4().hex)
    futures = []
    for port in itertools.islice(itertools.cycle(job["targets"]), job["clients"]):
        done: asyncio.Future[None] = loop.create_future()
        futures.append(done)
        await loop.create_connection(functools.partial(Connection, port, source, tally, done), HOST, port)
    _, late = await asyncio.wait(futures, timeout=job["warm_up"] + job["seconds"] + GRACE)
    if late:
        tally.bad["no answer"] += len(late)
    return _result(tally)


def _result(tally: Tally) -> dict[str, Any]:
    milliseconds = [each * 1000 for each in tally.latencies]
    seconds = max(tally.ends, tally.last) - tally.counts_from
    figures: dict[str, Any] = {"requests": len(milliseconds), "seconds": seconds, "per_second": len(milliseconds) / seconds}
    if milliseconds:
        figures |= {"p50_ms": percentile(milliseconds, 0.5), "p99_ms": percentile(milliseconds, 0.99), "max_ms": max(milliseconds)}
    first = tally.first_bad.decode(errors="replace") if tally.first_bad else None
    return {**figures, "bad": dict(tally.bad), "first_bad": first}


class Echo(asyncio.Protocol):
    """Answers everything with a fixed 201."""

    ANSWER = b'HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{"ok":true}'

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, _data: bytes) -> None:
        self.transport.write(self.ANSWER)


async def echo(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Echo, HOST, port)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.load", description="The bench's load generator.")
    parser.add_argument("--echo", type=int, metavar="PORT", help="answer every request with a fixed 201 instead")
    arguments = parser.parse_args()
    if arguments.echo:
        uvloop.run(echo(arguments.echo))
    else:
        json.dump(uvloop.run(load(json.load(sys.stdin))), sys.stdout)


if __name__ == "__main__":
    main()
