"""Sending one delivery: one POST, to an address that was checked, with an end to everything.

The name is looked up here, every address it has is judged, and the connection is made to an address that was judged: nothing can be
pointed elsewhere in between. `Host` and the name in TLS stay the URL's. No redirect is followed, no proxy of the environment is asked,
and of an answer nothing is kept but its status and when to try again.
"""

import asyncio
import datetime as dt
import email.utils
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Literal

import httpcore
import msgspec

from ipt_workflow.ehr.deliveries.addresses import Reach

RESPONSE_BYTES_MAX = 65_536
CONNECTIONS_MAX = 100
IDLE_SECONDS = 30.0
RETRY_AFTER_MAX = dt.timedelta(hours=24)
Problem = Literal["status", "address", "name", "connection", "timeout", "answer"]
Resolve = Callable[[str, int], Awaitable[list[str]]]
_SECONDS = re.compile(r"[0-9]{1,9}")


class SendResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one attempt. `problem` is None where the answer was a 2xx; `retry_after` is what the answer asked for."""

    status: int | None = None
    problem: Problem | None = None
    retry_after: dt.timedelta | None = None

    @property
    def delivered(self) -> bool:
        return self.problem is None


class AddressDenied(Exception):
    """A name leads, or also leads, where deliveries may not go."""


class NameUnknown(Exception):
    """A name leads nowhere."""


class DeliverySender:
    """Sends. `close` it when done. `timeout` is the end of one whole attempt, in seconds."""

    def __init__(
        self, reach: Reach, timeout: float, *, resolve: Resolve | None = None, ssl_context: ssl.SSLContext | None = None
    ) -> None:
        self._reach = reach
        self._timeout = timeout
        self._resolve = resolve or look_up
        self._ssl_context = ssl_context
        self._pool: httpcore.AsyncConnectionPool | None = None  # until something is sent

    async def send(self, url: str, headers: Mapping[str, str], body: bytes, now: dt.datetime) -> SendResult:
        """One attempt. `now` is what a `Retry-After` that names a date is compared with."""
        if not self._reach.may_try(url):
            return SendResult(problem="address")
        try:
            async with asyncio.timeout(self._timeout):
                return await self._send(url, headers, body, now)
        except AddressDenied:
            return SendResult(problem="address")
        except NameUnknown:
            return SendResult(problem="name")
        except (TimeoutError, httpcore.TimeoutException):
            return SendResult(problem="timeout")
        except (httpcore.RemoteProtocolError, httpcore.LocalProtocolError):
            return SendResult(problem="answer")
        except (httpcore.NetworkError, OSError):
            return SendResult(problem="connection")

    async def _send(self, url: str, headers: Mapping[str, str], body: bytes, now: dt.datetime) -> SendResult:
        told = [(name.encode("ascii"), value.encode("ascii")) for name, value in headers.items()]
        limits = dict.fromkeys(("connect", "read", "write", "pool"), self._timeout)
        self._pool = self._pool or self._connections()
        async with self._pool.stream("POST", url, headers=told, content=body, extensions={"timeout": limits}) as answer:
            await _drain(answer)
            ok = 200 <= answer.status <= 299
            return SendResult(
                status=answer.status, problem=None if ok else "status", retry_after=None if ok else retry_after(answer.headers, now)
            )

    def _connections(self) -> httpcore.AsyncConnectionPool:
        """Made for the first delivery and not at the start, of which reading the authorities' certificates would take a twentieth."""
        return httpcore.AsyncConnectionPool(
            ssl_context=self._ssl_context or ssl.create_default_context(),
            max_connections=CONNECTIONS_MAX,
            keepalive_expiry=IDLE_SECONDS,
            network_backend=CheckedNetwork(self._reach, self._resolve),
        )

    async def close(self) -> None:
        if self._pool:
            await self._pool.aclose()


async def _drain(answer: httpcore.Response) -> None:
    """Reads an answer to its end, or as far as it is worth; leaving early closes the connection."""
    read = 0
    async for chunk in answer.aiter_stream():
        read += len(chunk)
        if read > RESPONSE_BYTES_MAX:
            return


def retry_after(headers: Iterable[tuple[bytes, bytes]], now: dt.datetime) -> dt.timedelta | None:
    """`Retry-After` in seconds or as a date, at most a day; None where there is none that can be read."""
    text = next((value.decode("latin-1").strip() for name, value in headers if name.lower() == b"retry-after"), "")
    if _SECONDS.fullmatch(text):
        return min(dt.timedelta(seconds=int(text)), RETRY_AFTER_MAX)
    try:
        at = email.utils.parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    wait = (at if at.tzinfo else at.replace(tzinfo=dt.UTC)) - now
    return min(max(wait, dt.timedelta()), RETRY_AFTER_MAX)


class CheckedNetwork(httpcore.AsyncNetworkBackend):
    """Connects to addresses that were judged, and to no other. Raises AddressDenied or NameUnknown."""

    def __init__(self, reach: Reach, resolve: Resolve) -> None:
        self._reach = reach
        self._resolve = resolve
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the interface's
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """All addresses of the host are judged before the first is tried: one that is denied denies them all."""
        addresses = await self._resolve(host, port)
        if not addresses:
            raise NameUnknown
        if not all(self._reach.allows(address) for address in addresses):
            raise AddressDenied
        for address in addresses[:-1]:
            try:
                return await self._network.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await self._network.connect_tcp(addresses[-1], port, timeout, local_address, socket_options)

    async def sleep(self, seconds: float) -> None:
        await self._network.sleep(seconds)


async def look_up(host: str, port: int) -> list[str]:
    """Every address of a host, as the system knows it; none where it knows none."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError):
        return []
    return list(dict.fromkeys(str(each[4][0]) for each in found))
