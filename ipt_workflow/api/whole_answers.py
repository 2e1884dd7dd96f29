"""Answers go out whole: the server writes the head of an answer and then its body, each of which would be a system call and a packet."""

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class Held:
    """A transport that holds what is written until more is, or until the loop comes round."""

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
        """Sends these, or what is held."""
        told, self._held = pieces or (self._held,), b""
        if any(told) and not self._transport.is_closing():
            self._transport.writelines(told)


class WholeAnswers(HttpToolsProtocol):
    """The server's protocol over such a transport."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(cast(asyncio.Transport, Held(transport)))
