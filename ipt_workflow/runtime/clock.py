"""Where the time comes from: the system, or a clock that is set by hand."""

import datetime as dt
from typing import Protocol


class Clock(Protocol):
    def now(self) -> dt.datetime:
        """The present moment, aware and in UTC."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> dt.datetime:
        return dt.datetime.now(dt.UTC)


class VirtualClock:
    """A clock that stands still until it is moved: for rehearsals, demonstrations and tests."""

    def __init__(self, start: dt.datetime) -> None:
        self.set(start)

    def now(self) -> dt.datetime:
        return self._now

    def advance(self, by: dt.timedelta) -> None:
        self._now += by

    def set(self, to: dt.datetime) -> None:
        """Raises ValueError for a time without a zone, which would be read in the machine's own."""
        if to.tzinfo is None:
            raise ValueError("a time needs a zone")
        self._now = to.astimezone(dt.UTC)
