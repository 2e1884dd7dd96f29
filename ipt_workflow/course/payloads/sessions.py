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
    Seq,
    Text,
)


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
    session: Seq
    focus: Code | None = None
    techniques: Codes = ()
    summary: Text | None = None


class AttestSession(Payload, frozen=True, kw_only=True):
    session: Seq
    focus: Code | None = None
    summary: Text | None = None


class LinkSession(Payload, frozen=True, kw_only=True):
    """`ref` is required, unless the session is linked to one of a group."""

    session: Seq
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


class AcknowledgeDeviation(Payload, frozen=True, kw_only=True):
    session: Seq
