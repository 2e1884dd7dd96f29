"""What follows from an attempt: delivered, another attempt later, a dead letter, a subscription disabled."""

import datetime as dt
import random
from collections.abc import Callable

import msgspec

from ipt_workflow.ehr.deliveries.sender import SendResult
from ipt_workflow.runtime.settings import Settings, listed
from ipt_workflow.store.attempts import AttemptResult
from ipt_workflow.store.subscriptions import StoredSubscription

GONE = 410
THROTTLED = frozenset({429, 502, 504})
JITTER = 0.1  # lengthens a wait by up to a tenth


class RetryPolicy:
    """The back-off after failed attempts. `chance` returns numbers from 0 to 1."""

    def __init__(self, settings: Settings, chance: Callable[[], float] = random.random) -> None:
        self._seconds = tuple(float(each) for each in listed(settings.delivery_retry_seconds))
        self._longest = dt.timedelta(hours=settings.delivery_disable_hours)
        self._chance = chance

    def after(self, attempts: int, retry_after: dt.timedelta | None) -> dt.timedelta | None:
        """The wait after N attempts, and at least the receiver's `Retry-After`; None after the last attempt."""
        if attempts > len(self._seconds):
            return None
        wait = dt.timedelta(seconds=self._seconds[attempts - 1] * (1 + JITTER * self._chance()))
        return max(wait, retry_after or wait)

    @property
    def first(self) -> dt.timedelta:
        return dt.timedelta(seconds=self._seconds[0])

    def result(self, known: StoredSubscription, attempts: int, sent: SendResult, now: dt.datetime) -> AttemptResult:
        """The result of the attempt after `attempts` earlier ones. A subscription that is not active gets one attempt: a ping."""
        active = known.status == "active"
        if sent.delivered:
            return AttemptResult(status="delivered", at=now, http_status=sent.status, counts=active)
        failed = AttemptResult(status="waiting", at=now, http_status=sent.status, problem=sent.problem, next_at=now, counts=active)
        wait = self.after(attempts + 1, sent.retry_after)
        if not active or (wait is None and sent.status != GONE):
            return msgspec.structs.replace(failed, status="dead", next_at=None)
        if wait is None or sent.status == GONE:
            return failed
        throttled = now + (sent.retry_after or self.first) if sent.status in THROTTLED else None
        return msgspec.structs.replace(failed, next_at=now + wait, throttled_until=throttled)

    def disable_reason(self, known: StoredSubscription, sent: SendResult, now: dt.datetime) -> str | None:
        """Why to disable the subscription: `gone`, `failing`, or None to keep its status."""
        if known.status != "active":
            return None
        if sent.status == GONE:
            return "gone"
        if sent.delivered or known.failing_since is None:
            return None
        return "failing" if now - known.failing_since >= self._longest else None
