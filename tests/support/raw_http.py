"""Requests as bytes on a socket: what no well-behaved client sends."""

import json
import socket
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

SECONDS = 10


class RawAnswer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def problem(self) -> str:
        return str(json.loads(self.body)["type"]).removeprefix("/problems/")


class RawClient:
    """One connection."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        self.socket = socket.create_connection((address.hostname, address.port), timeout=SECONDS)
        self._read = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, *pieces: bytes) -> "RawClient":
        """Sends the pieces, as far as the server takes them."""
        try:
            for piece in pieces:
                self.socket.sendall(piece)
        except (BrokenPipeError, ConnectionResetError):
            pass
        return self

    def answer(self, method: str = "GET") -> RawAnswer:
        """The next answer. Raises EOFError if the connection ends before it does."""
        while b"\r\n\r\n" not in self._read:
            self._more()
        head, _, self._read = self._read.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        status = int(first.split(" ")[1])
        if status == 100:
            return self.answer(method)
        if method == "HEAD" or status in {204, 304}:
            return RawAnswer(status, headers, b"")
        if headers.get("transfer-encoding") == "chunked":
            return RawAnswer(status, headers, self._chunks())
        return RawAnswer(status, headers, self._exactly(int(headers["content-length"])))

    def answers(self) -> list[int]:
        """The statuses of all answers until the connection ends."""
        found = []
        while True:
            try:
                found.append(self.answer().status)
            except EOFError:
                return found

    def ends(self) -> bool:
        """Whether the server ends the connection, and sends nothing more."""
        try:
            return not self._read and not self.socket.recv(1)
        except ConnectionResetError:
            return True

    def _chunks(self) -> bytes:
        body = b""
        while True:
            while b"\r\n" not in self._read:
                self._more()
            size, _, self._read = self._read.partition(b"\r\n")
            piece = self._exactly(int(size, 16) + 2)[:-2]
            if not piece:
                return body
            body += piece

    def _exactly(self, size: int) -> bytes:
        while len(self._read) < size:
            self._more()
        found, self._read = self._read[:size], self._read[size:]
        return found

    def _more(self) -> None:
        try:
            more = self.socket.recv(65_536)
        except ConnectionResetError:
            more = b""
        if not more:
            raise EOFError
        self._read += more


def request(method: str, path: str, *headers: str, body: Any = None) -> bytes:
    """A request. `headers` are whole lines; a `body` that is not bytes is sent as JSON."""
    raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", "Host: ipt", *headers]
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(raw)}"]
    return "\r\n".join([*lines, "", ""]).encode() + raw


def exchange(url: str, *pieces: bytes, method: str = "GET") -> RawAnswer:
    """The first answer on a connection of its own."""
    with RawClient(url) as client:
        return client.send(*pieces).answer(method)
