"""A protocol as its file defines it: one Struct for each table of `config/protocols/*.toml`.

A protocol is data. Files name rules and give them numbers. They hold no expressions, and nothing in them is evaluated.
"""

import re
from functools import cached_property
from typing import Annotated, Any, Literal

import msgspec

from ipt_workflow.protocols.instruments import Aim, Evidence, Instrument
from ipt_workflow.values.types import Consenting, Format, Medium, Participant, Provider, RhythmForm, whole

SickRoleMode = Literal["full", "limited", "optional", "not_used"]


class Bounds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A range that includes both ends."""

    min: int
    max: int

    def __contains__(self, value: int) -> bool:
        return self.min <= value <= self.max

    def __str__(self) -> str:
        return f"{self.min} to {self.max}" if self.min != self.max else f"exactly {self.min}"


class ContractSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The range within which therapist and client may agree a contract without a supervisor."""

    weeks: Bounds
    sessions: Bounds
    cadence_days: int
    minutes: Bounds
    grace_days: int  # how long after the planned end a session may still be held
    gap_days: int  # a longer gap between attended sessions raises attention `overdue`
    ending_notice_sessions: int  # the ending should be discussed when this number of sessions remains
    ending_notice_days: int  # ... or this number of days before the planned end


class PhaseRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rule, with its parameters, that leaving this phase must meet in addition to the artefacts."""

    rule: str
    parameters: dict[str, int | str | bool] = {}


class PhaseSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One phase. Without `sessions_max` it may use all sessions of the contract that the other phases leave."""

    id: str
    title: str
    sessions_min: int
    sessions_max: int | None = None
    sessions_max_extended: int | None = None  # the cap after one `extend_phase`
    count: Literal["attended", "held"] = "attended"
    requires: tuple[str, ...] = ()  # artefacts, by the names in `rules.ARTEFACTS`
    soft: tuple[str, ...] = ()  # required artefacts whose absence may be overridden with a reason
    rules: tuple[PhaseRule, ...] = ()


class SickRoleSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    mode: SickRoleMode


class FocusSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    areas: tuple[str, ...]
    max: int  # counting the primary area
    discouraged: tuple[str, ...] = ()  # chosen only with a reason


class MeasureSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Instruments, pinned as `phq9@1`, that measure one aim. A reading of any of them satisfies a gate on the aim."""

    aim: Aim
    instruments: tuple[str, ...]
    baseline_days: int | None = None  # a reading taken more days before the start is no baseline


class GroupSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Sizes of a group whose members each have a course of their own."""

    members: Bounds
    minutes: Bounds
    pre_individual: Bounds  # individual meetings before the group's first session


class SupervisionSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether a supervisor must be named before the course starts."""

    required: Literal[True]


class ConsentSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The people whose consent to treatment must be on record before the course starts."""

    by: Annotated[tuple[Consenting, ...], msgspec.Meta(min_length=1)]


class ParticipantsSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who takes part in every session."""

    required: Annotated[tuple[Participant, ...], msgspec.Meta(min_length=1)]


class MediumSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The media through which sessions may be held, and the medium of a session that names none."""

    allowed: Annotated[tuple[Medium, ...], msgspec.Meta(min_length=1)]
    default: Medium | None = None  # in person


class RhythmSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The form that tracks the social rhythm, and the number of weeks it must cover before the first phase ends."""

    instrument: RhythmForm
    weeks: int


class AttentionSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a course asks for attention. A protocol without a number does not ask."""

    misses: int | None = None  # so many appointments missed one after the other raise `not_attending`
    check_session: int | None = None  # no improvement at this session raises `not_improving`
    outcome_days: int | None = None  # an appointment that has had no outcome for so many days raises `outcome_missing`
    transfer_days: int | None = None  # a transfer that the new therapist has not taken up for so many days raises `transfer_open`


class FollowupSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a course of this protocol brings, beside consent, from the course that it follows."""

    carries: Annotated[tuple[Literal["focus", "formulation", "rhythm"], ...], msgspec.Meta(min_length=1)]


class ReviewSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often a course without phases is reviewed."""

    every_days: int


class ProtocolFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole of one file."""

    id: Annotated[str, msgspec.Meta(pattern=whole("[a-z][a-z0-9-]{0,31}"))]
    version: Annotated[int, msgspec.Meta(ge=1)]
    title: str
    evidence: tuple[Evidence, ...]
    indications: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    format: Format
    provider: Provider
    ages: Bounds
    acute: bool
    contract: ContractSpec
    phases: Annotated[tuple[PhaseSpec, ...], msgspec.Meta(min_length=1)]
    sick_role: SickRoleSpec
    focus: FocusSpec
    measures: tuple[MeasureSpec, ...]
    group: GroupSpec | None = None
    supervision: SupervisionSpec | None = None
    consent: ConsentSpec | None = None
    participants: ParticipantsSpec | None = None
    medium: MediumSpec | None = None
    rhythm: RhythmSpec | None = None
    review: ReviewSpec | None = None
    attention: AttentionSpec | None = None
    followup: FollowupSpec | None = None


class Protocol(ProtocolFile, frozen=True, kw_only=True, dict=True):
    """A loaded protocol. `digest` is the SHA-256 (hex) of the JCS form of the TOML as written, without defaults."""

    digest: str
    source: dict[str, Any]  # the TOML as written
    instruments: dict[str, Instrument]  # every instrument known to the service, by `id@version`

    @property
    def key(self) -> str:
        """`ipt@1`."""
        return f"{self.id}@{self.version}"

    @cached_property
    def phase_ids(self) -> tuple[str, ...]:
        """The ids of its phases, in order. They are asked for by every trigger."""
        return tuple(phase.id for phase in self.phases)

    @cached_property
    def tables(self) -> tuple[str, ...]:
        """The names of the tables that a protocol may leave out, and that this one has."""
        return tuple(field.name for field in msgspec.structs.fields(self) if field.default is None and getattr(self, field.name))

    @property
    def first(self) -> PhaseSpec:
        return self.phases[0]

    @property
    def last(self) -> PhaseSpec:
        return self.phases[-1]

    def phase(self, phase_id: str) -> PhaseSpec:
        return self.phases[self.position(phase_id)]

    def position(self, phase_id: str) -> int:
        """The index of the phase, from 0. Raises KeyError for a phase that this protocol does not have."""
        for index, phase in enumerate(self.phases):
            if phase.id == phase_id:
                return index
        raise KeyError(phase_id)

    def next_phase(self, phase_id: str) -> PhaseSpec | None:
        after = self.position(phase_id) + 1
        return self.phases[after] if after < len(self.phases) else None

    @property
    def outcome_scales(self) -> tuple[str, ...] | None:
        """The symptom scales with which an outcome is compared, by `id@version`; None if there is none."""
        scales = {key: self.instruments[key] for key in self.instruments_for("symptoms")}
        return tuple(key for key, scale in scales.items() if scale.judges_outcome or scale.unwell_from is not None) or None

    def instruments_for(self, aim: Aim) -> tuple[str, ...]:
        return tuple(key for spec in self.measures if spec.aim == aim for key in spec.instruments)

    def baseline_days(self, instrument: str) -> int | None:
        """How many days before the start a reading of an instrument (`phq9@1`) may be its baseline. None: any number."""
        return next((spec.baseline_days for spec in self.measures if instrument in spec.instruments), None)


NEW = "new"  # before the first entry
REFERRED = "referred"
PAUSED = "paused"
COMPLETED = "completed"
ENDED_EARLY = "ended_early"
NOT_SUITABLE = "not_suitable"
ENDED = (COMPLETED, ENDED_EARLY, NOT_SUITABLE)
RESERVED_STATES = frozenset({NEW, REFERRED, PAUSED, *ENDED})
PHASE_ID = re.compile("[a-z][a-z0-9_]{0,31}")  # it becomes part of a trigger's name: begin_<phase>
