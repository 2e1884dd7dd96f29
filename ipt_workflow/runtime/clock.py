"""Clocks: the system's, and one that is set by hand."""

import datetime as dt
from typing import Protocol


class Clock(Protocol):
    def now(self) -> dt.datetime:
        """The present moment, with a time zone: UTC."""
        ...


class SystemClock:
    """The computer's own clock."""

    def now(self) -> dt.datetime:
        return dt.datetime.now(dt.UTC)


class VirtualClock:
    """A clock that moves only by hand: for rehearsals, demonstrations and tests."""

    def __init__(self, start: dt.datetime) -> None:
        self.set(start)

    def now(self) -> dt.datetime:
        return self._now

    def advance(self, by: dt.timedelta) -> None:
        self._now += by

    def set(self, to: dt.datetime) -> None:
        """Raises ValueError for a time without a zone, which Python would read in the computer's own."""
        if to.tzinfo is None:
            raise ValueError("a time needs a zone")
        self._now = to.astimezone(dt.UTC)
