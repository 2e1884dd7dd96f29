"""The public keys that systems publish at URLs: fetched through the table of addresses, and kept for a while.

SMART lets nobody keep keys for longer than the answer's `Cache-Control` says. Whoever knows a client_id could cause fetches: so one at
a time goes out for each URL, and not more than one in FLOOR seconds.
"""

import asyncio
import re
import time
from collections.abc import Callable
from typing import Any

import msgspec

from ipt_workflow.access import key_sets
from ipt_workflow.ehr.calls import Calls
from ipt_workflow.errors import CommandInvalid, ProviderUnusable

FLOOR, USUAL, MOST = 10.0, 300.0, 3600.0  # seconds that keys are kept: at least, without a Cache-Control, at most
URLS_MAX = 1000
SYSTEM = "The system"
ACCEPT = {"accept": "application/json"}
_MAX_AGE = re.compile(r'max-age="?([0-9]{1,9})')
Keys = list[dict[str, Any]]


class KeptKeys(msgspec.Struct, frozen=True):
    """The answer of a URL: its keys, or why there are none. It was fetched `at`, and is good `until`, in seconds of the process."""

    keys: Keys
    failure: str | None
    at: float
    until: float


class PublishedKeys:
    """Keys by their URL. `seconds` is a clock that only goes forward."""

    def __init__(self, calls: Calls, seconds: Callable[[], float] = time.monotonic) -> None:
        self._calls = calls
        self._seconds = seconds
        self._kept: dict[str, KeptKeys] = {}
        self._fetching: dict[str, asyncio.Lock] = {}

    async def of(self, url: str, kid: str) -> Keys:
        """The keys at a URL; fetched anew if `kid` is not among those that are kept. Raises ProviderUnusable."""
        kept = self._kept.get(url)
        if kept is None or not self._serves(kept, kid):
            lock = self._fetching.setdefault(url, asyncio.Lock())
            async with lock:
                kept = self._kept.get(url)
                if kept is None or not self._serves(kept, kid):
                    kept = await self._fetched(url)
            if not lock.locked():
                self._fetching.pop(url, None)
        if kept.failure is not None:
            raise ProviderUnusable(kept.failure)
        return kept.keys

    def _serves(self, kept: KeptKeys, kid: str) -> bool:
        """Whether an answer that is kept will do. A young one does in any case."""
        now = self._seconds()
        known = any(each["kid"] == kid for each in kept.keys)
        return now < kept.at + FLOOR or (known and now < kept.until)

    async def _fetched(self, url: str) -> KeptKeys:
        keys: Keys = []
        failure, lasts = None, FLOOR
        try:
            answer = await self._calls.ask(SYSTEM, "GET", url, ACCEPT)
            if answer.status == 200:
                keys, lasts = key_sets.read(answer.body), _lasts(answer.headers.get("cache-control", ""))
            else:
                failure = f"{SYSTEM} answered {answer.status} where its keys should be."
        except ProviderUnusable as error:
            failure = str(error)
        except CommandInvalid:
            failure = f"{SYSTEM} gave an answer that is no JSON Web Key Set."
        now = self._seconds()
        if len(self._kept) >= URLS_MAX:
            self._kept.clear()
        self._kept[url] = kept = KeptKeys(keys, failure, now, now + lasts)
        return kept


def _lasts(cache_control: str) -> float:
    """How long an answer may be kept, in seconds."""
    said = cache_control.lower()
    if "no-store" in said or "no-cache" in said:
        return FLOOR
    age = _MAX_AGE.search(said)
    return min(max(float(age[1]), FLOOR), MOST) if age else USUAL
