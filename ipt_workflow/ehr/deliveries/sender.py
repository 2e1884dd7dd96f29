"""Sends one delivery: one POST to a checked address, with a limit on time and size.

The sender looks up the name, checks every address, and connects to a checked address. So the name cannot change its address in
between. `Host` and the name in TLS are the URL's. The sender follows no redirect, and uses no proxy from the environment. It keeps
only the response's status and `Retry-After`.
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
    """The result of one attempt. `problem` is None after a 2xx response. `retry_after` is the response's `Retry-After`."""

    status: int | None = None
    problem: Problem | None = None
    retry_after: dt.timedelta | None = None

    @property
    def delivered(self) -> bool:
        return self.problem is None


class AddressDenied(Exception):
    """At least one address of the name is not allowed."""


class NameUnknown(Exception):
    """The name has no address."""


class DeliverySender:
    """Sends deliveries. `timeout` limits one whole attempt, in seconds. Call `close` at the end."""

    def __init__(
        self, reach: Reach, timeout: float, *, resolve: Resolve | None = None, ssl_context: ssl.SSLContext | None = None
    ) -> None:
        self._reach = reach
        self._timeout = timeout
        self._resolve = resolve or look_up
        self._ssl_context = ssl_context
        self._pool: httpcore.AsyncConnectionPool | None = None  # None until the first delivery

    async def send(self, url: str, headers: Mapping[str, str], body: bytes, now: dt.datetime) -> SendResult:
        """Makes one attempt. `now` is subtracted from a `Retry-After` that is a date."""
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
        encoded = [(name.encode("ascii"), value.encode("ascii")) for name, value in headers.items()]
        limits = dict.fromkeys(("connect", "read", "write", "pool"), self._timeout)
        self._pool = self._pool or self._connections()
        async with self._pool.stream("POST", url, headers=encoded, content=body, extensions={"timeout": limits}) as response:
            await _drain(response)
            ok = 200 <= response.status <= 299
            return SendResult(
                status=response.status,
                problem=None if ok else "status",
                retry_after=None if ok else retry_after(response.headers, now),
            )

    def _connections(self) -> httpcore.AsyncConnectionPool:
        """Created for the first delivery, because reading the certificates would take a twentieth of the start-up time."""
        return httpcore.AsyncConnectionPool(
            ssl_context=self._ssl_context or ssl.create_default_context(),
            max_connections=CONNECTIONS_MAX,
            keepalive_expiry=IDLE_SECONDS,
            network_backend=CheckedNetwork(self._reach, self._resolve),
        )

    async def close(self) -> None:
        if self._pool:
            await self._pool.aclose()


async def _drain(response: httpcore.Response) -> None:
    """Reads a response to its end, or to RESPONSE_BYTES_MAX. Stopping early closes the connection."""
    read = 0
    async for chunk in response.aiter_stream():
        read += len(chunk)
        if read > RESPONSE_BYTES_MAX:
            return


def retry_after(headers: Iterable[tuple[bytes, bytes]], now: dt.datetime) -> dt.timedelta | None:
    """The wait that `Retry-After` requests, in seconds or as a date; at most a day. None without a readable header."""
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
    """Connects to checked addresses only. Raises AddressDenied or NameUnknown."""

    def __init__(self, reach: Reach, resolve: Resolve) -> None:
        self._reach = reach
        self._resolve = resolve
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's interface
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Checks all addresses of the host before it tries the first. One denied address denies the host."""
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
    """Every address that the system's resolver knows for a host; empty for an unknown host."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError):
        return []
    return list(dict.fromkeys(str(each[4][0]) for each in found))
