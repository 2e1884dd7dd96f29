"""Calls to identity providers and to the keys of systems: their descriptions, keys and tokens, from checked addresses alone."""

import asyncio
import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ipt_workflow.ehr.deliveries.addresses import Reach
from ipt_workflow.ehr.deliveries.sender import AddressDenied, AnswerUnreadable, NameUnknown, Resolve, load_posts, look_up
from ipt_workflow.errors import ProviderUnusable

if TYPE_CHECKING:
    from ipt_workflow.ehr.deliveries.posts import Posts

SECONDS = 10.0  # for one whole call
DENIED = "is at an address that this service may not call. An operator allows it with IPT_DELIVERY_NETWORKS and IPT_DELIVERY_PORTS"


class Calls:
    """Makes calls and reads what comes back. Call `close` at the end."""

    def __init__(self, reach: Reach, *, resolve: Resolve | None = None, ssl_context: ssl.SSLContext | None = None) -> None:
        self._reach = reach
        self._resolve = resolve or look_up
        self._ssl_context = ssl_context
        self._posts: Posts | None = None  # None until the first call
        self._opening = asyncio.Lock()

    async def call(self, method: str, url: str, headers: Mapping[str, str], body: bytes = b"") -> tuple[int, bytes]:
        """The status and content of a response. Follows no redirect. Raises ProviderUnusable, which names no address."""
        if not self._reach.may_try(url):
            raise ProviderUnusable(f"The identity provider {DENIED}.")
        try:
            posts = self._posts or await self._open()
            async with asyncio.timeout(SECONDS):
                return await posts.call(method, url, headers, body)
        except AddressDenied:
            raise ProviderUnusable(f"The identity provider {DENIED}.") from None
        except NameUnknown:
            raise ProviderUnusable("The name of the identity provider has no address.") from None
        except TimeoutError:
            raise ProviderUnusable("The identity provider did not answer in time.") from None
        except AnswerUnreadable:
            raise ProviderUnusable("The answer of the identity provider cannot be read.") from None
        except OSError:
            raise ProviderUnusable("The identity provider cannot be reached.") from None

    async def _open(self) -> "Posts":
        async with self._opening:
            if self._posts is None:
                kind, context = await asyncio.to_thread(load_posts, self._ssl_context)
                self._posts = kind(self._reach, self._resolve, context)
        return self._posts

    async def close(self) -> None:
        if self._posts:
            await self._posts.close()
