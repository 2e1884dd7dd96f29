"""SignInAttempts to sign in here, without an identity provider: how many there may be, and the record of those that failed.

Every failure has one answer and one record, whether or not the name is known, so that nobody learns names by trying.
"""

import datetime as dt
from typing import NoReturn

import msgspec

from ipt_workflow.access.principal import NOBODY
from ipt_workflow.errors import SignInRefused, SignInThrottled
from ipt_workflow.service.access.sign_in_limits import SignInLimits
from ipt_workflow.service.clinic import Clinic, new_id
from ipt_workflow.store.access import StoredSession
from ipt_workflow.store.units import LoggedEvent

UNKNOWN = "unknown"  # the person in the record of an attempt by somebody whom nobody knows: what they typed may be a password
NOT_ACCEPTED = "That did not let you in. Check what you typed, or use another way to sign in."


class SignInRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Where an attempt comes from. `current` is the session that the browser already has."""

    address: str
    request_id: str | None = None
    current: StoredSession | None = None


class SignInAttempts:
    """Counts and records the attempts of a clinic."""

    def __init__(self, clinic: Clinic, limits: SignInLimits) -> None:
        self.clinic = clinic
        self.limits = limits

    def begin(self, account: str, request: SignInRequest) -> None:
        """Counts an attempt at an account. Raises SignInThrottled."""
        wait = self.limits.throttle.attempt(self._named(account), request.address, self.limits.monotonic())
        if wait:
            raise SignInThrottled(dt.timedelta(seconds=wait))

    def succeeded(self, account: str, request: SignInRequest) -> None:
        self.limits.throttle.succeeded(self._named(account), request.address)

    async def failed(self, person: str | None, why: str, request: SignInRequest) -> NoReturn:
        """Records that somebody was not let in, and which check said so. Raises SignInRefused."""
        await self.clinic.committer.commit(
            LoggedEvent(
                organisation=self.clinic.organisation,
                id=new_id(),
                kind="sign_in",
                recorded_at=self.clinic.clock.now(),
                person=person or UNKNOWN,
                role=NOBODY,
                via="pages",
                action="sign-in refused",
                rules=(why,),
                request_id=request.request_id,
            )
        )
        self.clinic.metrics.authentication_failures.inc()
        raise SignInRefused(why, NOT_ACCEPTED)

    def _named(self, account: str) -> str:
        return f"{self.clinic.organisation}\n{account}"
