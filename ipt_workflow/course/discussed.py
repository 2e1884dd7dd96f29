"""The little of a course's snapshot that tells when supervision discussed it last: an agenda is made of hundreds of courses."""

import datetime as dt

import msgspec

from ipt_workflow.protocols.definition import ENDED


class HeldAt(msgspec.Struct, frozen=True):
    """When a discussion was held."""

    at: dt.datetime


class Discussed(msgspec.Struct, frozen=True, kw_only=True):
    """What to decode a snapshot as."""

    state: str
    phase: str | None = None
    opened_at: dt.datetime
    started_at: dt.datetime | None = None
    discussions: tuple[HeldAt, ...] = ()

    @property
    def undiscussed_since(self) -> dt.datetime | None:
        """Since when nobody has discussed the course in supervision: the last time, or else its start. None unless it runs."""
        if self.state in ENDED or self.phase is None:
            return None
        begun = self.started_at or self.opened_at
        return max(begun, self.discussions[-1].at) if self.discussions else begun
