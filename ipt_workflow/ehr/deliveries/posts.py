"""Requests to checked addresses, on connections that are kept alive. Only this module knows the HTTP library."""

import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import aiohttp
import yarl
from aiohttp.abc import AbstractResolver, ResolveResult

from ipt_workflow.ehr.deliveries.addresses import Reach
from ipt_workflow.ehr.deliveries.sender import AddressDenied, AnswerUnreadable, NameUnknown, Resolve

RESPONSE_BYTES_MAX = 65_536
CONTENT_BYTES_MAX = 262_144  # of a response that is read: keys and descriptions of identity providers
CONNECTIONS_MAX = 100
IDLE_SECONDS = 4.0  # less than servers commonly wait, so that they do not close a connection just as it is used again


class Posts:
    """Open connections. Limits no time: the caller does. Make it in the loop that uses it, and call `close` at the end."""

    def __init__(self, reach: Reach, resolve: Resolve, ssl_context: ssl.SSLContext) -> None:
        self._reach = reach
        connector = aiohttp.TCPConnector(
            resolver=CheckedResolver(reach, resolve),
            socket_factory=self._socket,
            use_dns_cache=False,
            ssl=ssl_context,
            limit=CONNECTIONS_MAX,
            keepalive_timeout=IDLE_SECONDS,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(),
            auto_decompress=False,
            trust_env=False,
        )

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, str]:
        """The response's status, and its `Retry-After` or an empty text. Follows no redirect.

        Raises AddressDenied, NameUnknown, AnswerUnreadable, or OSError if there is no connection.
        """
        target = yarl.URL(url, encoded=True)  # as it was registered
        with _our_errors():
            async with self._session.post(target, data=body, headers=headers, allow_redirects=False) as response:
                await _drain(response)
                return response.status, response.headers.get("Retry-After", "")

    async def call(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, Mapping[str, str], bytes]:
        """The response's status, headers by their names in lower case, and content. Follows no redirect.

        Raises the same as `post`, and AnswerUnreadable for a long response.
        """
        target = yarl.URL(url, encoded=True)
        with _our_errors():
            async with self._session.request(method, target, data=body, headers=headers, allow_redirects=False) as response:
                content = await response.content.read(CONTENT_BYTES_MAX + 1)
                while len(content) <= CONTENT_BYTES_MAX and (more := await response.content.readany()):
                    content += more
                if len(content) > CONTENT_BYTES_MAX:
                    response.close()
                    raise AnswerUnreadable
                return response.status, {name.lower(): value for name, value in response.headers.items()}, content

    def _socket(self, address: aiohttp.AddrInfoType) -> socket.socket:
        """A socket to an address, whichever way it came: the library does not look up an address that stands in a URL."""
        family, kind, protocol, _, target = address
        if not self._reach.allows(str(target[0])):
            raise AddressDenied
        return socket.socket(family, kind, protocol)

    async def close(self) -> None:
        await self._session.close()


@contextmanager
def _our_errors() -> Iterator[None]:
    try:
        yield
    except (aiohttp.ClientResponseError, aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError) as error:
        raise AnswerUnreadable from error
    except aiohttp.ClientError as error:
        raise OSError from error


async def _drain(response: aiohttp.ClientResponse) -> None:
    """Reads a response to its end, or to RESPONSE_BYTES_MAX. Stopping early closes the connection."""
    read = 0
    async for chunk in response.content.iter_any():
        read += len(chunk)
        if read > RESPONSE_BYTES_MAX:
            response.close()
            return


class CheckedResolver(AbstractResolver):
    """Resolves names whose addresses are all allowed. Raises AddressDenied or NameUnknown."""

    def __init__(self, reach: Reach, look_up: Resolve) -> None:
        self._reach = reach
        self._look_up = look_up

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002 - the library's interface
    ) -> list[ResolveResult]:
        """Checks all addresses of the host before the first is tried. One denied address denies the host."""
        addresses = await self._look_up(host, port)
        if not addresses:
            raise NameUnknown
        if not all(self._reach.allows(address) for address in addresses):
            raise AddressDenied
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in addresses
        ]

    async def close(self) -> None:
        """There is nothing to close."""
