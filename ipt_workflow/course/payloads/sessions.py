"""Payloads about sessions, contacts and bookings."""

from typing import Annotated, Literal

from msgspec import Meta

from ipt_workflow.course.payloads.payload import Payload
from ipt_workflow.values.types import (
    AttendanceCode,
    Code,
    Codes,
    ExternalRef,
    Medium,
    Moment,
    Participant,
    SessionSeq,
    Text,
)

SERIES_MAX = 20  # bookings of one series: longer ones are booked later, when their times are known


class RecordSession(Payload, frozen=True, kw_only=True):
    attendance: AttendanceCode
    kind: Literal["session", "additional"] = "session"
    medium: Medium | None = None  # the protocol's default, else in person
    minutes: Annotated[int, Meta(ge=1, le=600)] | None = None
    participants: Annotated[tuple[Participant, ...], Meta(min_length=1, max_length=10)] = ("client",)
    scheduled_for: Moment | None = None
    day_only: bool = False  # only the day is known: `occurred_at` is any moment of it
    ref: ExternalRef | None = None
    late_notice: bool = False  # for a cancellation by the client: it came too late
    excused: bool = False  # for a miss: it never counts, even if the contract counts misses
    comment: Text | None = None


class SignSession(Payload, frozen=True, kw_only=True):
    session: SessionSeq
    focus: Code | None = None
    techniques: Codes = ()
    summary: Text | None = None
    mood_link: Text | None = None  # how the week's events and the mood went together


class AttestSession(Payload, frozen=True, kw_only=True):
    session: SessionSeq
    focus: Code | None = None
    summary: Text | None = None


class LinkSession(Payload, frozen=True, kw_only=True):
    """`ref` is required, unless the session is linked to one of a group."""

    session: SessionSeq
    ref: ExternalRef | None = None
    comment: Text | None = None


class RecordContact(Payload, frozen=True, kw_only=True):
    kind: Literal["crisis", "collateral", "engagement", "pre_group", "check_in", "follow_up", "attempt"]
    medium: Medium = "telephone"
    minutes: Annotated[int, Meta(ge=1, le=600)] | None = None
    participants: Annotated[tuple[Participant, ...], Meta(max_length=10)] = ()
    risk: bool = False  # the client was at risk: a review is owed
    summary: Text | None = None
    ref: ExternalRef | None = None


class BookSession(Payload, frozen=True, kw_only=True):
    scheduled_for: Moment
    ref: ExternalRef | None = None
    kind: Literal["session", "additional"] = "session"


class BookSeries(Payload, frozen=True, kw_only=True):
    """Sessions to come at one local time: the first at `scheduled_for`, each other one `every_days` days later.

    `refs` are the EHR's names for them, in order.
    """

    scheduled_for: Moment
    times: Annotated[int, Meta(ge=1, le=SERIES_MAX)]
    every_days: Annotated[int, Meta(ge=1, le=90)] = 7
    refs: Annotated[tuple[ExternalRef, ...], Meta(max_length=SERIES_MAX)] = ()


class AcknowledgeDeviation(Payload, frozen=True, kw_only=True):
    session: SessionSeq
