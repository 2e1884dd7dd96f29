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
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Literal

import msgspec

from ipt_workflow.ehr.deliveries.addresses import Reach

if TYPE_CHECKING:
    from ipt_workflow.ehr.deliveries.posts import Posts

RETRY_AFTER_MAX = dt.timedelta(hours=24)
Problem = Literal["status", "address", "name", "connection", "timeout", "answer"]
Resolve = Callable[[str, int], Awaitable[list[str]]]
_SECONDS = re.compile(r"[0-9]{1,9}")


class AddressDenied(Exception):
    """At least one address of the name is not allowed."""


class NameUnknown(Exception):
    """The name has no address."""


class AnswerUnreadable(Exception):
    """What came back is no HTTP response, or not a whole one."""


class SendResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one attempt. `problem` is None after a 2xx response. `retry_after` is the response's `Retry-After`."""

    status: int | None = None
    problem: Problem | None = None
    retry_after: dt.timedelta | None = None

    @property
    def delivered(self) -> bool:
        return self.problem is None


class DeliverySender:
    """Sends deliveries. `timeout` limits one whole attempt, in seconds. Call `close` at the end."""

    def __init__(
        self, reach: Reach, timeout: float, *, resolve: Resolve | None = None, ssl_context: ssl.SSLContext | None = None
    ) -> None:
        self._reach = reach
        self._timeout = timeout
        self._connections = Connecting(reach, resolve, ssl_context)

    async def send(self, url: str, headers: Mapping[str, str], body: bytes, now: dt.datetime) -> SendResult:
        """Makes one attempt. `now` is subtracted from a `Retry-After` that is a date."""
        if not self._reach.may_try(url):
            return SendResult(problem="address")
        try:
            posts = await self._connections.posts()
            async with asyncio.timeout(self._timeout):
                status, wait = await posts.post(url, headers, body)
        except AddressDenied:
            return SendResult(problem="address")
        except NameUnknown:
            return SendResult(problem="name")
        except TimeoutError:
            return SendResult(problem="timeout")
        except AnswerUnreadable:
            return SendResult(problem="answer")
        except OSError:
            return SendResult(problem="connection")
        if 200 <= status <= 299:
            return SendResult(status=status)
        return SendResult(status=status, problem="status", retry_after=retry_after(wait, now))

    async def close(self) -> None:
        await self._connections.close()


class Connecting:
    """Opens connections when they are first needed. Call `close` at the end."""

    def __init__(self, reach: Reach, resolve: Resolve | None = None, ssl_context: ssl.SSLContext | None = None) -> None:
        self._reach = reach
        self._resolve = resolve or look_up
        self._ssl_context = ssl_context
        self._posts: Posts | None = None
        self._opening = asyncio.Lock()

    async def posts(self) -> "Posts":
        """Loads the HTTP library and the certificates for the first request: every start would pay for them."""
        if self._posts is None:
            async with self._opening:
                if self._posts is None:
                    kind, context = await asyncio.to_thread(load_posts, self._ssl_context)
                    self._posts = kind(self._reach, self._resolve, context)
        return self._posts

    async def close(self) -> None:
        if self._posts:
            await self._posts.close()


def load_posts(context: ssl.SSLContext | None) -> tuple[type["Posts"], ssl.SSLContext]:
    """The HTTP library and the certificates that it trusts, unless a `context` is given."""
    from ipt_workflow.ehr.deliveries.posts import Posts  # noqa: PLC0415 - loaded only if something is sent

    return Posts, context or ssl.create_default_context()


def retry_after(text: str, now: dt.datetime) -> dt.timedelta | None:
    """The wait that a `Retry-After` requests, in seconds or as a date; at most a day. None if it cannot be read."""
    text = text.strip()
    if _SECONDS.fullmatch(text):
        return min(dt.timedelta(seconds=int(text)), RETRY_AFTER_MAX)
    try:
        at = email.utils.parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    wait = (at if at.tzinfo else at.replace(tzinfo=dt.UTC)) - now
    return min(max(wait, dt.timedelta()), RETRY_AFTER_MAX)


async def look_up(host: str, port: int) -> list[str]:
    """Every address that the system's resolver knows for a host; empty for an unknown host."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError):
        return []
    return list(dict.fromkeys(str(each[4][0]) for each in found))
