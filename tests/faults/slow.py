"""Clients that are no help: they send a head or a body byte by byte, do not read their answer, or hang up in the middle of a request."""

import asyncio
import collections
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Self

PAUSE_SECONDS = 0.3  # between two bytes
AGAIN_SECONDS = 0.5  # until such a client comes back
BODY = b'{"trigger": "note", "data": {"text": "from a slow client"}}'


class SlowClients:
    """Some clients of each kind, within a `with` block. `answered` counts the statuses that they were sent away with."""

    def __init__(self, ports: list[int], token: str, course: str, *, each: int = 5) -> None:
        self.ports = ports
        self.course = course
        self.token = token
        self.each = each
        self.answered: collections.Counter[str] = collections.Counter()
        self._chance = random.Random(course)
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        kinds = (self._slow_head, self._slow_body, self._no_reader, self._hangs_up)
        self._tasks = [asyncio.create_task(self._again_and_again(kind)) for kind in kinds for _ in range(self.each)]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _again_and_again(self, behave: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> None:
        while True:
            with suppress(OSError):
                reader, writer = await asyncio.open_connection("127.0.0.1", self._chance.choice(self.ports))
                try:
                    await behave(reader, writer)
                finally:
                    writer.transport.abort()
            await asyncio.sleep(self._chance.uniform(0, AGAIN_SECONDS))

    def _head(self, method: str, path: str, *more: str) -> bytes:
        lines = [f"{method} {path} HTTP/1.1", "Host: ipt", f"Authorization: Bearer {self.token}", *more, "", ""]
        return "\r\n".join(lines).encode()

    def _writing(self) -> bytes:
        length = f"Content-Length: {len(BODY)}"
        return self._head("POST", f"/v1/courses/{self.course}/transitions", "Content-Type: application/json", length)

    async def _slow_head(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._dribble(reader, writer, self._head("GET", "/v1/courses") * 100)

    async def _slow_body(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(self._writing())
        await self._dribble(reader, writer, BODY[:-1])  # never whole, so never a note

    async def _no_reader(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Asks for much, reads a little of it, and waits."""
        writer.write(self._head("GET", f"/v1/courses/{self.course}/transitions?limit=200") * 50)
        await reader.read(64)
        await asyncio.sleep(self._chance.uniform(1, 20))

    async def _hangs_up(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        whole = self._writing() + BODY[:-1]
        writer.write(whole[: self._chance.randrange(1, len(whole))])
        await writer.drain()
        await asyncio.sleep(self._chance.uniform(0, 0.2))

    async def _dribble(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, raw: bytes) -> None:
        """Sends byte by byte until the service answers or closes the connection."""
        answer = asyncio.create_task(self._answer(reader))
        try:
            for number in range(len(raw)):
                writer.write(raw[number : number + 1])
                done, _ = await asyncio.wait([answer], timeout=PAUSE_SECONDS)
                if done:
                    return
        finally:
            answer.cancel()

    async def _answer(self, reader: asyncio.StreamReader) -> None:
        with suppress(OSError):
            if line := await reader.readline():
                self.answered[line.split()[1].decode()] += 1
