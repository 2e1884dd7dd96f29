"""Payloads about focus and contract."""

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
    """The problem area. Grief names the person lost. A dispute has a stage and a living person, a transition an old and a new role."""

    primary: Code
    secondary: Code | None = None
    further: Codes = ()  # if the protocol allows more than two areas
    people: Codes = ()  # by their `id` in the inventory
    rationale: Text | None = None
    stage: Stage | None = None
    old_role: Text | None = None
    new_role: Text | None = None
    others_do_not_fit: bool = False  # for interpersonal deficits: the other areas were considered


class SetDisputeStage(Payload, frozen=True, kw_only=True):
    stage: Literal["renegotiation", "impasse", "dissolution", "resolved"]
    comment: Text | None = None


class AgreeContract(Payload, frozen=True, kw_only=True):
    sessions: Annotated[int, Meta(ge=1, le=200)]
    weeks: Annotated[int, Meta(ge=1, le=260)]
    cadence_days: Annotated[int, Meta(ge=1, le=90)] = 7
    missed_count: bool = False
    pause_stops_clock: bool = False
    goals: Annotated[tuple[Text, ...], Meta(min_length=1, max_length=5)]
    client_agrees: bool
    therapist_agrees: bool
    crisis_plan: Text | None = None


class AmendContract(Payload, frozen=True, kw_only=True):
    """Give only the terms that change."""

    sessions: Annotated[int, Meta(ge=1, le=200)] | None = None
    weeks: Annotated[int, Meta(ge=1, le=260)] | None = None
    cadence_days: Annotated[int, Meta(ge=1, le=90)] | None = None
    missed_count: bool | None = None
    pause_stops_clock: bool | None = None
    goals: Annotated[tuple[Text, ...], Meta(min_length=1, max_length=5)] | None = None
    client_agrees: bool
    therapist_agrees: bool
