"""Calls to identity providers, EHRs and systems: their descriptions, keys and tokens, from checked addresses alone."""

import asyncio
import ssl
from collections.abc import Mapping

import msgspec

from ipt_workflow.ehr.deliveries.addresses import Reach
from ipt_workflow.ehr.deliveries.sender import AddressDenied, AnswerUnreadable, Connecting, NameUnknown, Resolve
from ipt_workflow.errors import ProviderUnusable

SECONDS = 10.0  # for one whole call
DENIED = "is at an address that this service may not call. An operator allows it with IPT_DELIVERY_NETWORKS and IPT_DELIVERY_PORTS"
PROVIDER = "The identity provider"


class Content(msgspec.Struct, frozen=True):
    """What came back. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Calls:
    """Makes calls and reads what comes back. `seconds` limits a whole call; default: SECONDS. Call `close` at the end."""

    def __init__(
        self,
        reach: Reach,
        seconds: float | None = None,
        *,
        resolve: Resolve | None = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._reach = reach
        self._seconds = SECONDS if seconds is None else seconds
        self._connections = Connecting(reach, resolve, ssl_context)

    async def call(self, method: str, url: str, headers: Mapping[str, str], body: bytes = b"") -> tuple[int, bytes]:
        """The status and content of a provider's response. Follows no redirect. Raises ProviderUnusable, which names no address."""
        found = await self.ask(PROVIDER, method, url, headers, body)
        return found.status, found.body

    async def ask(self, whom: str, method: str, url: str, headers: Mapping[str, str], body: bytes = b"") -> Content:
        """The same with the headers of the response, and of others than a provider: `whom` begins the sentence of an error."""
        if not self._reach.may_try(url):
            raise ProviderUnusable(f"{whom} {DENIED}.")
        try:
            posts = await self._connections.posts()
            async with asyncio.timeout(self._seconds):
                return Content(*await posts.call(method, url, headers, body))
        except AddressDenied:
            raise ProviderUnusable(f"{whom} {DENIED}.") from None
        except NameUnknown:
            raise ProviderUnusable(f"{whom} is at a name that has no address.") from None
        except TimeoutError:
            raise ProviderUnusable(f"{whom} did not answer in time.") from None
        except AnswerUnreadable:
            raise ProviderUnusable(f"{whom} gave an answer that cannot be read.") from None
        except OSError:
            raise ProviderUnusable(f"{whom} cannot be reached.") from None

    async def close(self) -> None:
        await self._connections.close()
