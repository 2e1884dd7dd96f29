"""Clocks: the system's, one that is set by hand, and a sandbox's."""

import datetime as dt
from typing import Protocol


class Clock(Protocol):
    def now(self) -> dt.datetime:
        """The present moment of the care that is recorded, with a time zone: UTC."""
        ...

    def real(self) -> dt.datetime:
        """The moment at which the clocks of other systems stand. Signatures are made and verified by it."""
        ...


class SystemClock:
    """The computer's own clock."""

    def now(self) -> dt.datetime:
        return dt.datetime.now(dt.UTC)

    def real(self) -> dt.datetime:
        return self.now()


class VirtualClock:
    """A clock that moves only by hand: for demonstrations and tests. Other systems are taken to have the same clock."""

    def __init__(self, start: dt.datetime) -> None:
        self.set(start)

    def now(self) -> dt.datetime:
        return self._now

    def real(self) -> dt.datetime:
        return self._now

    def advance(self, by: dt.timedelta) -> None:
        self._now += by

    def set(self, to: dt.datetime) -> None:
        """Raises ValueError for a time without a zone, which Python would read in the computer's own."""
        if to.tzinfo is None:
            raise ValueError("a time needs a zone")
        self._now = to.astimezone(dt.UTC)


class SandboxClock:
    """A clock that runs ahead of the system's clock, at the same pace. It can be moved forward, and never goes back.

    `reached` is a moment that it has shown before: it never shows an earlier one, even if the system's clock was set back.
    """

    def __init__(self, ahead: dt.timedelta, reached: dt.datetime, system: Clock | None = None) -> None:
        self.ahead = ahead
        self._reached = reached
        self._system = system or SystemClock()

    def now(self) -> dt.datetime:
        self._reached = max(self._reached, self.real() + self.ahead)
        return self._reached

    def real(self) -> dt.datetime:
        return self._system.now()

    def move(self, to: dt.datetime) -> None:
        """Moves forward to a moment. A moment that has passed changes nothing."""
        self.ahead = max(self.ahead, to - self.real())
