"""How many requests a credential, an organisation and an address may send to this process.

A request that proves who sends it counts for its credential and its organisation, never for its address: neighbours behind one address or
one proxy cannot keep each other out. What proves nothing counts for its address: routes open to all, and credentials that are refused.
Health routes are not limited. Every answer says what its credential has left (draft-ietf-httpapi-ratelimit-headers).
"""

import math
import time
from typing import Any

from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

from ipt_workflow.access.throttles import Buckets
from ipt_workflow.api.callers import Callers
from ipt_workflow.errors import QuotaExceeded, Unauthenticated
from ipt_workflow.runtime.metrics import Metrics
from ipt_workflow.runtime.settings import Settings

Header = tuple[bytes, bytes]
OF_POLICIES, OF_LIMIT = b"ratelimit-policy", b"ratelimit"


class RatePolicy:
    """One policy: what it counts by, and how much. Without a limit, `buckets` is None."""

    def __init__(self, name: str, count: int, seconds: int) -> None:
        self.name = name
        self.buckets = Buckets(count, seconds) if count else None
        self.text = f'"{name}";q={count};w={seconds}' if count else ""
        soon = math.ceil(seconds / count) if count else 0  # by then there is one more to take
        self._limit = f'"{name}";r=%d;t={soon}'.encode()

    def take(self, key: str, now: float) -> float:
        """Takes one. Returns 0, or the seconds until there is one to take."""
        return self.buckets.take(key, now) if self.buckets is not None else 0.0

    def left(self, key: str, now: float) -> tuple[Header, ...]:
        """The header that says what is left."""
        return ((OF_LIMIT, self._limit % self.buckets.left(key, now)),) if self.buckets is not None else ()


class RateLimits:
    """The limits of one process. They are kept in memory: of several processes each counts for itself."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        seconds = settings.rate_limit_seconds
        self._callers = Callers(settings.proxy_networks)
        self._refused = metrics.rate_limited
        self.credentials = RatePolicy("credential", settings.rate_limit_credential, seconds)
        self.organisations = RatePolicy("organisation", settings.rate_limit_organisation, seconds)
        self.addresses = RatePolicy("address", settings.rate_limit_address, seconds)
        self._of_proven = _policies(self.credentials, self.organisations)
        self._of_anybody = _policies(self.addresses)

    def admit(self, scope: Any, organisation: str, credential: str) -> None:
        """Counts a request that proved who sent it. Raises QuotaExceeded."""
        now, key = time.monotonic(), f"{organisation} {credential}"
        if wait := self.credentials.take(key, now):
            raise self._exceeded(scope, self.credentials, wait, self._of_proven)
        if wait := self.organisations.take(organisation, now):
            raise self._exceeded(scope, self.organisations, wait, self._of_proven)
        scope["ipt_rate_limits"] = self._of_proven + self.credentials.left(key, now)

    def admit_anybody(self, scope: Any) -> None:
        """Counts a request that need not prove who sent it. Raises QuotaExceeded."""
        now, key = time.monotonic(), self._callers.network(scope)
        if wait := self.addresses.take(key, now):
            raise self._exceeded(scope, self.addresses, wait, self._of_anybody)
        scope["ipt_rate_limits"] = self._of_anybody + self.addresses.left(key, now)

    def refused(self, scope: Any, error: Unauthenticated) -> Unauthenticated | QuotaExceeded:
        """Counts a credential that was refused. Returns the error to raise."""
        scope["ipt_unauthenticated"] = True
        try:
            self.admit_anybody(scope)
        except QuotaExceeded as exceeded:
            return exceeded
        return error

    def _exceeded(self, scope: Any, policy: RatePolicy, wait: float, headers: tuple[Header, ...]) -> QuotaExceeded:
        seconds = math.ceil(wait)
        scope["ipt_rate_limits"] = (*headers, (OF_LIMIT, f'"{policy.name}";r=0;t={seconds}'.encode()))
        self._refused.labels(policy.name).inc()
        return QuotaExceeded(policy.name, seconds)


def _policies(*policies: RatePolicy) -> tuple[Header, ...]:
    items = [each.text for each in policies if each.text]
    return ((OF_POLICIES, ", ".join(items).encode()),) if items else ()


class OpenToAll(ASGIMiddleware):
    """Before a route that asks for no credential. Raises QuotaExceeded."""

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        rate_limits(scope).admit_anybody(scope)
        await next_app(scope, receive, send)


def rate_limits(scope: Any) -> RateLimits:
    found: RateLimits = scope["litestar_app"].state.rate_limits
    return found
