"""Sends the head and the body of an answer together. The server writes them one by one, which costs two system calls and two packets."""

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class Held:
    """A transport that holds the first write until the next write, or until the loop's next turn."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
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

    def close(self) -> None:
        self._send()
        self._transport.close()

    def _send(self, *pieces: bytes) -> None:
        """Sends the pieces; without pieces, the held write."""
        ready, self._held = pieces or (self._held,), b""
        if any(ready) and not self._transport.is_closing():
            self._transport.writelines(ready)


class WholeAnswers(HttpToolsProtocol):
    """The server's HTTP protocol over a `Held` transport."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(cast(asyncio.Transport, Held(transport)))
