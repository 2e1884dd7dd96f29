"""Payloads about measures, the social rhythm and reviews."""

import datetime as dt
from typing import Annotated, Literal

from msgspec import Meta
from msgspec.structs import force_setattr

from ipt_workflow.course.payloads.payload import Payload
from ipt_workflow.values.types import (
    SEALED,
    ClockTime,
    Code,
    ExternalRef,
    Moment,
    RhythmForm,
    Text,
)


class RecordMeasure(Payload, frozen=True, kw_only=True):
    """Answers (None for a missing one), or a total, or the statement that it could not be obtained (with a reason).

    A total is in the scale's own points. It has decimals only where the scale has.
    """

    instrument: Code
    items: (
        Annotated[tuple[Annotated[int, Meta(ge=0, le=1000)] | None, ...], Meta(min_length=1, max_length=100, extra=SEALED)] | None
    ) = None
    total: Annotated[float, Meta(ge=0, le=100_000)] | None = None
    taken_at: Moment | None = None
    ref: ExternalRef | None = None
    not_obtained: bool = False

    def __post_init__(self) -> None:
        """A total that is whole is kept as a whole number, however JSON wrote it."""
        if isinstance(self.total, float) and self.total.is_integer():
            force_setattr(self, "total", int(self.total))


class RhythmDay(Payload, frozen=True, kw_only=True):
    """The times of one day's activities, and the mood from -5 to 5. Leave out activities that were not done."""

    on: dt.date
    times: Annotated[dict[Code, ClockTime], Meta(max_length=17, extra=SEALED)]
    mood: Annotated[int, Meta(ge=-5, le=5, extra=SEALED)] | None = None


class RecordRhythm(Payload, frozen=True, kw_only=True):
    """One week of the Social Rhythm Metric (domain.md 2.1). `week_of` is its first day. A week recorded again replaces the earlier one."""

    instrument: RhythmForm
    week_of: dt.date
    days: Annotated[tuple[RhythmDay, ...], Meta(min_length=1, max_length=7)]


class RhythmTarget(Payload, frozen=True, kw_only=True):
    """The intended time of an activity, and how many minutes early or late still meet it."""

    activity: Code
    time: ClockTime
    within_minutes: Annotated[int, Meta(ge=1, le=180)] = 45


class SetRhythmTarget(Payload, frozen=True, kw_only=True):
    """All targets in force from now on."""

    targets: Annotated[tuple[RhythmTarget, ...], Meta(min_length=1, max_length=17)]
    plan: Text | None = None


class RecordPrescriberReview(Payload, frozen=True, kw_only=True):
    """The findings of the prescriber of the client's medication. `on` is the day of the review."""

    on: dt.date | None = None
    findings: Text
    plan: Text | None = None


class RecordReview(Payload, frozen=True, kw_only=True):
    """The periodic review of a course without phases."""

    decision: Literal["continue", "more_often", "less_often", "end"]
    summary: Text | None = None
