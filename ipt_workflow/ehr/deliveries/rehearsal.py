"""Moves a sandbox's clock, and does what time brings about: the attention scan, and deliveries."""

import asyncio
import datetime as dt
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec

from ipt_workflow.access.principal import Principal
from ipt_workflow.ehr.deliveries import events, timers
from ipt_workflow.ehr.deliveries.relay import Relay
from ipt_workflow.errors import CommandInvalid, Fault
from ipt_workflow.runtime.clock import SandboxClock
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.store import deliveries, sandbox
from ipt_workflow.store import events as stored_events
from ipt_workflow.store.sandbox import ClockMove, EventCount
from ipt_workflow.values.faults import IN_YEARS, YEARS
from ipt_workflow.values.types import Moment

PATIENCE_SECONDS = 30.0  # for deliveries under way; those that last longer go on after the answer
LOOK_SECONDS = 0.02
DURATION = re.compile(
    r"P(?!\Z)(?:(?P<weeks>[0-9]{1,5})W)?(?:(?P<days>[0-9]{1,6})D)?"
    r"(?:T(?=[0-9])(?:(?P<hours>[0-9]{1,7})H)?(?:(?P<minutes>[0-9]{1,9})M)?(?:(?P<seconds>[0-9]{1,9})S)?)?"
)
TYPES = {"attention": events.ATTENTION, "disabled": events.DISABLED}


class MoveClock(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body that moves the clock forward: `advance`, an ISO 8601 duration such as P7D or PT36H, or `to`, a moment."""

    advance: str | None = None
    to: Moment | None = None


class SandboxTime(msgspec.Struct, frozen=True, kw_only=True):
    """The sandbox's present moment, and how far it is ahead of real time. It runs on at the pace of real time."""

    now: dt.datetime
    ahead: dt.timedelta


class PublishedByTime(msgspec.Struct, frozen=True, kw_only=True):
    """The number of events of a type. `kind` is the kind of attention, or the reason why a subscription was disabled."""

    type: str
    kind: str
    count: int


class MovedTime(msgspec.Struct, frozen=True, kw_only=True):
    """A move of the clock and what it brought about.

    `deliveries` is the number of deliveries by status after the move. If `settled` is false, some were still being sent.
    """

    before: dt.datetime
    now: dt.datetime
    published: list[PublishedByTime]
    deliveries: dict[str, int]
    settled: bool


class Rehearsal:
    """The clock of a sandbox, as callers read and move it, and its relay.

    While the clock moves, the relay rests: a lease that it held would end in the middle of sending.
    """

    def __init__(self, clinic: Clinic, clock: SandboxClock) -> None:
        self.clinic = clinic
        self._clock = clock
        self._moving = asyncio.Lock()

    @asynccontextmanager
    async def relaying(self) -> AsyncIterator[None]:
        """Delivers webhooks until the block ends."""
        self._start()
        try:
            yield
        finally:
            async with self._moving:
                await self._rest()

    def _start(self) -> None:
        self._stop = asyncio.Event()
        self._relay = asyncio.create_task(Relay(self.clinic).run(self._stop))

    async def _rest(self) -> None:
        """Returns when the deliveries under way are finished."""
        self._stop.set()
        await self._relay

    async def time(self, principal: Principal) -> SandboxTime:
        await self.clinic.require(principal, "read the sandbox clock")
        return SandboxTime(now=self._clock.now(), ahead=self._clock.ahead)

    async def move(self, principal: Principal, decode: Callable[[], MoveClock]) -> MovedTime:
        """Moves the clock through every moment at which a course begins to need attention, then delivers what is due.

        Raises CommandInvalid for a body that does not move it forward.
        """
        await self.clinic.require(principal, "move the sandbox clock")
        body = decode()
        async with self._moving:
            before = self._clock.now()
            to = _target(body, before)
            await self.clinic.write(sandbox.record, ClockMove(to - self._clock.real(), to))
            await self.clinic.log(principal, "config", f"clock moved to {to:%Y-%m-%dT%H:%M:%SZ}")
            position, _ = await self.clinic.read(stored_events.last_position)
            try:
                await self._rest()
                await self._pass(to)
            finally:
                self._start()
            settled = await self._settled()
            published = await self.clinic.read(sandbox.brought_by_time, position)
            counts = await self.clinic.read(deliveries.counts)
            return MovedTime(
                before=before, now=self._clock.now(), published=[*map(_published, published)], deliveries=counts, settled=settled
            )

    async def _pass(self, to: dt.datetime) -> None:
        """Moves the clock, and scans at every moment at which a course begins to need attention."""
        while (due := await self.clinic.read(sandbox.next_due, self._clock.now(), to)) is not None:
            self._clock.move(due)
            await timers.scan(self.clinic)
        self._clock.move(to)

    async def _settled(self) -> bool:
        """Waits until nothing can be sent. Returns False if that takes longer than PATIENCE_SECONDS."""
        until = time.monotonic() + PATIENCE_SECONDS
        while not (settled := await self.clinic.read(sandbox.settled, self._clock.now())) and time.monotonic() < until:
            await asyncio.wait({self._relay}, timeout=LOOK_SECONDS)
        return settled


def _published(found: EventCount) -> PublishedByTime:
    return PublishedByTime(type=TYPES[found.kind], kind=found.detail, count=found.count)


def _target(body: MoveClock, now: dt.datetime) -> dt.datetime:
    """Where the clock is to stand. Raises CommandInvalid."""
    if (body.advance is None) == (body.to is None):
        raise CommandInvalid([Fault("", "must hold either advance (such as P7D) or to (such as 2026-03-01T09:00:00Z)")])
    where = "to" if body.advance is None else "advance"
    try:
        to = (body.to or now + _duration(body.advance or "")).astimezone(dt.UTC)
    except OverflowError:
        raise CommandInvalid([Fault(where, IN_YEARS)]) from None
    if to <= now:
        raise CommandInvalid(
            [Fault(where, "must move the clock forward: it never goes back. GET /sandbox/clock shows where it stands")]
        )
    if to.year not in YEARS:
        raise CommandInvalid([Fault(where, IN_YEARS)])
    return to


def _duration(text: str) -> dt.timedelta:
    """Raises CommandInvalid. Months and years are no durations: their length depends on the date."""
    match = DURATION.fullmatch(text)
    if match is None:
        raise CommandInvalid(
            [Fault("advance", "must be an ISO 8601 duration in weeks, days, hours, minutes or seconds, such as P7D or PT36H")]
        )
    return dt.timedelta(**{unit: int(count) for unit, count in match.groupdict().items() if count})
