"""Sends the head and the body of an answer together. The server writes them one by one, which costs two system calls and two packets."""

import asyncio
from collections.abc import Callable
from typing import Any


class Held:
    """A transport that holds the first write until the next write, or until the loop's next turn.

    If `lingers` returns True when it is closed, it stays open for reading.
    """

    def __init__(self, transport: asyncio.Transport, lingers: Callable[[], bool] = lambda: False) -> None:
        self._transport = transport
        self._lingers = lingers
        self._closing = False
        self._loop = asyncio.get_running_loop()
        self._held = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not data:
            return
        if self._held:
            self._send(self._held, data)
        else:
            self._held = data
            self._loop.call_soon(self._send)

    def is_closing(self) -> bool:
        return self._closing or self._transport.is_closing()

    def close(self) -> None:
        self._send()
        self._closing = True
        if self._lingers() and self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()

    def _send(self, *pieces: bytes) -> None:
        """Sends the pieces; without pieces, the held write."""
        ready, self._held = pieces or (self._held,), b""
        if any(ready) and not self._transport.is_closing():
            self._transport.writelines(ready)
