"""Payloads about what client and therapist agree: focus and contract."""

from typing import Annotated, Literal

from msgspec import Meta

from ipt_workflow.course.payloads.payload import Payload
from ipt_workflow.values.types import (
    Code,
    Codes,
    Stage,
    Text,
)


class SelectFocus(Payload, frozen=True, kw_only=True):
    """The problem area. Grief points at a person who died, a dispute has a stage, a transition an old and a new role."""

    primary: Code
    secondary: Code | None = None
    further: Codes = ()  # where the protocol allows more than two areas
    people: Codes = ()
    rationale: Text | None = None
    stage: Stage | None = None
    old_role: Text | None = None
    new_role: Text | None = None
    others_do_not_fit: bool = False  # of interpersonal deficits: the other areas were considered


class SetDisputeStage(Payload, frozen=True, kw_only=True):
    stage: Literal["renegotiation", "impasse", "dissolution", "resolved"]
    comment: Text | None = None


class AgreeContract(Payload, frozen=True, kw_only=True):
    sessions: Annotated[int, Meta(ge=1, le=100)]
    weeks: Annotated[int, Meta(ge=1, le=260)]
    cadence_days: Annotated[int, Meta(ge=1, le=90)] = 7
    missed_count: bool = False
    pause_stops_clock: bool = False
    goals: Annotated[tuple[Text, ...], Meta(min_length=1, max_length=5)]
    client_agrees: bool
    therapist_agrees: bool
    crisis_plan: Text | None = None


class AmendContract(Payload, frozen=True, kw_only=True):
    """Only what changes is given."""

    sessions: Annotated[int, Meta(ge=1, le=100)] | None = None
    weeks: Annotated[int, Meta(ge=1, le=260)] | None = None
    cadence_days: Annotated[int, Meta(ge=1, le=90)] | None = None
    missed_count: bool | None = None
    pause_stops_clock: bool | None = None
    goals: Annotated[tuple[Text, ...], Meta(min_length=1, max_length=5)] | None = None
    client_agrees: bool
    therapist_agrees: bool
