"""The identity providers of all organisations: their descriptions and keys, fetched when they are needed and kept for a while."""

import asyncio
import datetime as dt
from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

import msgspec
from joserfc.jwk import KeySet

from ipt_workflow.access import id_tokens, oidc
from ipt_workflow.access.id_tokens import KeyUnknown
from ipt_workflow.access.oidc import Description
from ipt_workflow.errors import ProviderUnusable, SignInRefused
from ipt_workflow.runtime.clock import Clock

Read = TypeVar("Read")
KEPT = dt.timedelta(hours=1)
AGAIN_AFTER = dt.timedelta(minutes=1)  # unknown keys are looked for, and a provider that failed is called, at most so often
JSON_HEADERS = {"Accept": "application/json"}
OK = 200


class Caller(Protocol):
    """Who calls a provider for us, at addresses that may be called. Raises ProviderUnusable."""

    async def call(self, method: str, url: str, headers: Mapping[str, str], body: bytes = b"") -> tuple[int, bytes]: ...


class KnownProvider(msgspec.Struct, frozen=True):
    """What a provider said of itself at a moment."""

    description: Description
    keys: KeySet
    at: dt.datetime


class Providers:
    """Knows every provider by its issuer. Of several who need one at once, one calls it."""

    def __init__(self, caller: Caller, clock: Clock) -> None:
        self.caller = caller
        self._clock = clock
        self._known: dict[str, KnownProvider] = {}
        self._failed: dict[str, tuple[dt.datetime, str]] = {}
        self._turns: dict[str, asyncio.Lock] = {}

    async def description(self, issuer: str) -> Description:
        """Raises ProviderUnusable."""
        return (await self._provider(issuer)).description

    async def read(self, issuer: str, reader: Callable[[KeySet], Read]) -> Read:
        """What `reader` makes of the provider's keys. For an unknown key the keys are fetched anew, at most once a minute.

        Raises SignInRefused or ProviderUnusable.
        """
        known = await self._provider(issuer)
        try:
            return reader(known.keys)
        except KeyUnknown:
            pass
        newer = await self._provider(issuer, AGAIN_AFTER)
        try:
            return reader(newer.keys)
        except KeyUnknown:
            raise SignInRefused("key", oidc.UNLIKE_OURS) from None

    async def _provider(self, issuer: str, at_most: dt.timedelta = KEPT) -> KnownProvider:
        """What a provider said of itself, at most so long ago."""
        async with self._turns.setdefault(issuer, asyncio.Lock()):
            now = self._clock.now()
            known = self._known.get(issuer)
            if known and known.at + at_most > now:
                return known
            failed = self._failed.get(issuer)
            if failed and failed[0] + AGAIN_AFTER > now:
                raise ProviderUnusable(failed[1])
            try:
                found = KnownProvider(*await self._fetched(issuer), now)
            except ProviderUnusable as error:
                self._failed[issuer] = (now, str(error))
                raise
            self._known[issuer] = found
            return found

    async def _fetched(self, issuer: str) -> tuple[Description, KeySet]:
        description = await self._got(oidc.discovery_url(issuer), lambda content: oidc.description_of(content, issuer))
        return description, await self._got(description.jwks_uri, id_tokens.keys_of)

    async def _got(self, url: str, read: Callable[[bytes], Read]) -> Read:
        status, content = await self.caller.call("GET", url, JSON_HEADERS)
        if status != OK:
            raise ProviderUnusable(f"The identity provider answered {status} where its description or keys should be.")
        return read(content)
