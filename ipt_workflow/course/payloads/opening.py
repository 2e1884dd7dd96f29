"""Payloads that open, adopt, start or decline a course."""

import datetime as dt
from typing import Annotated, Literal

from msgspec import Meta

from ipt_workflow.course.payloads.payload import Payload
from ipt_workflow.values.types import (
    SEALED,
    Code,
    Codes,
    ConsentScope,
    Count,
    Format,
    NotTakenOn,
    Person,
    Provider,
    Text,
    whole,
)


class Refer(Payload, frozen=True, kw_only=True):
    source: Annotated[str, Meta(min_length=1, max_length=200, extra=SEALED)]
    indication: Code | None = None
    age_band: Annotated[str, Meta(pattern=whole(r"[A-Za-z0-9_+-]{1,16}"))] | None = None


class AdoptedContract(Payload, frozen=True, kw_only=True):
    sessions: Annotated[int, Meta(ge=1, le=200)]
    weeks: Annotated[int, Meta(ge=1, le=260)]
    cadence_days: Annotated[int, Meta(ge=1, le=90)] = 7
    missed_count: bool = False
    pause_stops_clock: bool = False


class AdoptedFocus(Payload, frozen=True, kw_only=True):
    primary: Code
    secondary: Code | None = None


class Adopt(Payload, frozen=True, kw_only=True):
    """A course that began elsewhere. `attended` counts sessions by phase. `artefacts` names the documents the supervisor has seen.

    `paused_days` are days of breaks since the first session. They stop the clock where the contract lets pauses stop it.
    """

    source: Annotated[str, Meta(min_length=1, max_length=200, extra=SEALED)]
    phase: Code
    attended: Annotated[dict[Code, Count], Meta(max_length=10)]
    artefacts: Codes = ()
    sick_role: Literal["pending", "assigned_full", "assigned_limited", "declined", "waived"] = "pending"
    focus: AdoptedFocus | None = None
    contract: AdoptedContract | None = None
    first_session_on: dt.date | None = None
    paused_days: Annotated[int, Meta(ge=0, le=1820)] = 0
    consent: tuple[ConsentScope, ...] = ()
    indication: Code | None = None
    age_band: Annotated[str, Meta(pattern=whole(r"[A-Za-z0-9_+-]{1,16}"))] | None = None


class Start(Payload, frozen=True, kw_only=True):
    """`format` and `provider` are checked against the protocol if they are given. `supervisor` is needed if the protocol requires one."""

    suitability: Literal["suitable", "suitable_with_reservations"] = "suitable"
    exclusions_checked: Codes = ()
    format: Format | None = None
    provider: Provider | None = None
    supervisor: Person | None = None
    comment: Text | None = None


class Decline(Payload, frozen=True, kw_only=True):
    end_code: NotTakenOn
    onward_plan: Text
