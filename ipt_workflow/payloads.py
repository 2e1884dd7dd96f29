"""The data each trigger carries: one Struct each.

A field is *structural* (codes, dates, counts, flags: what the fold reads) or *sealed* (free text and clinical content). Of a
sealed field the journal's hashed bytes keep only that it was given; see `structure`. A *reference* is the EHR's name for the
client: it is exchanged for an opaque id before anything is decided and never stored with an entry.
"""

import datetime as dt
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from ipt_workflow.values.types import (
    LIST_MAX,
    SEALED,
    Attendance,
    ClientRef,
    ClockTime,
    Code,
    Codes,
    Consenting,
    ConsentScope,
    Count,
    EndedEarly,
    ExternalRef,
    Format,
    HistoryPart,
    Medium,
    Moment,
    NotTakenOn,
    Participant,
    Person,
    Provider,
    RhythmForm,
    RiskLevel,
    Seq,
    Stage,
    Text,
    Texts,
)


class Payload(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What every trigger's data has in common: unknown fields are refused."""


class Nothing(Payload, frozen=True, kw_only=True):
    """This trigger carries no data."""


class Refer(Payload, frozen=True, kw_only=True):
    source: Annotated[str, Meta(min_length=1, max_length=200, extra=SEALED)]
    indication: Code | None = None
    age_band: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_+-]{1,16}$")] | None = None


class AdoptedContract(Payload, frozen=True, kw_only=True):
    sessions: Annotated[int, Meta(ge=1, le=100)]
    weeks: Annotated[int, Meta(ge=1, le=260)]
    cadence_days: Annotated[int, Meta(ge=1, le=90)] = 7
    missed_count: bool = False
    pause_stops_clock: bool = False


class AdoptedFocus(Payload, frozen=True, kw_only=True):
    primary: Code
    secondary: Code | None = None


class Adopt(Payload, frozen=True, kw_only=True):
    """A course begun elsewhere. `attended` counts sessions by phase; `artefacts` names what the supervisor has seen."""

    source: Annotated[str, Meta(min_length=1, max_length=200, extra=SEALED)]
    phase: Code
    attended: Annotated[dict[Code, Count], Meta(max_length=10)]
    artefacts: Codes = ()
    sick_role: Literal["pending", "assigned_full", "assigned_limited", "declined", "waived"] = "pending"
    focus: AdoptedFocus | None = None
    contract: AdoptedContract | None = None
    first_session_on: dt.date | None = None
    consent: tuple[ConsentScope, ...] = ()
    indication: Code | None = None
    age_band: Annotated[str, Meta(pattern=r"^[A-Za-z0-9_+-]{1,16}$")] | None = None


class Start(Payload, frozen=True, kw_only=True):
    """How the therapy will be given is checked against the protocol where it is told; a required supervisor is named here."""

    suitability: Literal["suitable", "suitable_with_reservations"] = "suitable"
    exclusions_checked: Codes = ()
    format: Format | None = None
    provider: Provider | None = None
    supervisor: Person | None = None
    comment: Text | None = None


class Decline(Payload, frozen=True, kw_only=True):
    end_code: NotTakenOn
    onward_plan: Text


class Complete(Payload, frozen=True, kw_only=True):
    outcome: Literal["remission", "response", "partial_response", "no_response", "deterioration", "not_known"]
    end_code: Literal["46", "96"] = "46"
    comment: Text | None = None


class Pause(Payload, frozen=True, kw_only=True):
    planned_return: dt.date


class EndEarly(Payload, frozen=True, kw_only=True):
    end_code: EndedEarly
    last_contact: dt.date
    risk_status: RiskLevel
    attempts: Count  # how often the client was tried to be reached
    onward_plan: Text | None = None


class RecordSession(Payload, frozen=True, kw_only=True):
    attendance: Attendance
    kind: Literal["session", "additional"] = "session"
    medium: Medium = "face_to_face"
    minutes: Annotated[int, Meta(ge=1, le=600)] | None = None
    participants: Annotated[tuple[Participant, ...], Meta(min_length=1, max_length=10)] = ("client",)
    scheduled_for: Moment | None = None
    ref: ExternalRef | None = None
    late_notice: bool = False  # of a cancellation by the client: it came too late to be one
    excused: bool = False  # of a miss: it is not to count, whatever the contract says
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
    session: Seq
    ref: ExternalRef


class RecordContact(Payload, frozen=True, kw_only=True):
    kind: Literal["crisis", "collateral", "engagement", "pre_group", "check_in", "follow_up", "attempt"]
    medium: Medium = "telephone"
    minutes: Annotated[int, Meta(ge=1, le=600)] | None = None
    participants: Annotated[tuple[Participant, ...], Meta(max_length=10)] = ()
    summary: Text | None = None
    ref: ExternalRef | None = None


class BookSession(Payload, frozen=True, kw_only=True):
    scheduled_for: Moment
    ref: ExternalRef | None = None
    kind: Literal["session", "additional"] = "session"


class AcknowledgeDeviation(Payload, frozen=True, kw_only=True):
    session: Seq


class RecordEvaluation(Payload, frozen=True, kw_only=True):
    """The diagnostic evaluation (domain.md 1.3 A1). A diagnosis makes it complete."""

    diagnosis: Text | None = None
    criteria: Text | None = None
    severity: Text | None = None
    differential: Text | None = None
    risk_screen: Text | None = None
    medication_need: Text | None = None


class RecordHistory(Payload, frozen=True, kw_only=True):
    """The psychiatric history (domain.md 1.3 A2). A part that could not be had is named in `not_obtained`."""

    onset: Text | None = None
    previous_episodes: Text | None = None
    past_treatment: Text | None = None
    family_history: Text | None = None
    medical_and_substance: Text | None = None
    medication: Text | None = None
    suicide_history: Text | None = None
    not_obtained: tuple[HistoryPart, ...] = ()


class InventoryPerson(Payload, frozen=True, kw_only=True):
    """One person of the interpersonal inventory (domain.md 1.5). `id` is a label within this course, not a name."""

    id: Code
    deceased: bool = False
    name: Text | None = None
    relationship: Text | None = None
    closeness: Text | None = None
    expectations: Text | None = None
    satisfying: Text | None = None
    conflicts: Text | None = None
    wanted_change: Text | None = None
    change_near_onset: Text | None = None
    support: Text | None = None
    died_on: Annotated[dt.date, Meta(extra=SEALED)] | None = None


class RecordInventory(Payload, frozen=True, kw_only=True):
    """The interpersonal inventory with the seed's four sections. Versions add up: gates read their union."""

    people: Annotated[tuple[InventoryPerson, ...], Meta(max_length=LIST_MAX)] = ()
    current_relationships: Text | None = None
    capacity_for_intimacy: Text | None = None
    social_patterns: Text | None = None
    changes_in_relationships: Text | None = None


class TimelineEvent(Payload, frozen=True, kw_only=True):
    when: Text
    event: Text
    symptom_change: Text | None = None


class RecordTimeline(Payload, frozen=True, kw_only=True):
    events: Annotated[tuple[TimelineEvent, ...], Meta(min_length=1, max_length=LIST_MAX)]


class Vulnerabilities(Payload, frozen=True, kw_only=True):
    attachment_style: Text | None = None
    genetic_vulnerability: Text | None = None
    personality: Text | None = None
    temperament: Text | None = None


class RecordFormulation(Payload, frozen=True, kw_only=True):
    """The interpersonal formulation on the seed's triad: crisis, biosocial vulnerabilities, social support."""

    crisis: Text | None = None
    vulnerabilities: Vulnerabilities | None = None
    social_support: Text | None = None
    plain_words: Text | None = None  # how the problem area and the illness belong together, as told to the client


class AcceptFormulation(Payload, frozen=True, kw_only=True):
    version: Seq
    response: Literal["accepts", "in_part", "declines"]
    words: Text | None = None


class Exemption(Payload, frozen=True, kw_only=True):
    obligation: Text
    until: dt.date


class AssignSickRole(Payload, frozen=True, kw_only=True):
    """The sick role's four parts (Parsons 1951; domain.md 1.4): named illness, no blame, exemptions that end, recovery work."""

    mode: Literal["full", "limited"]
    illness_named: Text
    no_blame: bool
    exemptions: Annotated[tuple[Exemption, ...], Meta(max_length=LIST_MAX)] = ()
    recovery_work: Texts
    response: Literal["accepts", "ambivalent", "declines"]
    told_others: Text | None = None


class UpdateSickRole(Payload, frozen=True, kw_only=True):
    mode: Literal["full", "limited"] | None = None
    exemptions: Annotated[tuple[Exemption, ...], Meta(max_length=LIST_MAX)] = ()
    recovery_work: Texts | None = None
    response: Literal["accepts", "ambivalent", "declines"] | None = None
    told_others: Text | None = None


class RelinquishSickRole(Payload, frozen=True, kw_only=True):
    taken_up_again: Texts | None = None


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


class RecordMeasure(Payload, frozen=True, kw_only=True):
    """Answers (None where one is missing), or a total, or the truth that it could not be obtained (with a reason)."""

    instrument: Code
    items: (
        Annotated[tuple[Annotated[int, Meta(ge=0, le=1000)] | None, ...], Meta(min_length=1, max_length=100, extra=SEALED)] | None
    ) = None
    total: Annotated[int, Meta(ge=0, le=100_000)] | None = None
    taken_at: Moment | None = None
    ref: ExternalRef | None = None
    not_obtained: bool = False


class RhythmDay(Payload, frozen=True, kw_only=True):
    """When things were done on one day, and the mood from -5 to 5. What was not done is left out."""

    on: dt.date
    times: Annotated[dict[Code, ClockTime], Meta(max_length=17, extra=SEALED)]
    mood: Annotated[int, Meta(ge=-5, le=5, extra=SEALED)] | None = None


class RecordRhythm(Payload, frozen=True, kw_only=True):
    """One week of the Social Rhythm Metric (domain.md 2.1). `week_of` is its first day; a week told again stands in place of the first."""

    instrument: RhythmForm
    week_of: dt.date
    days: Annotated[tuple[RhythmDay, ...], Meta(min_length=1, max_length=7)]


class RhythmTarget(Payload, frozen=True, kw_only=True):
    """The time at which an activity is aimed for, and how many minutes early or late still meet it."""

    activity: Code
    time: ClockTime
    within_minutes: Annotated[int, Meta(ge=1, le=180)] = 45


class SetRhythmTarget(Payload, frozen=True, kw_only=True):
    """All targets that hold from now on."""

    targets: Annotated[tuple[RhythmTarget, ...], Meta(min_length=1, max_length=17)]
    plan: Text | None = None


class RecordPrescriberReview(Payload, frozen=True, kw_only=True):
    """What the prescriber of the client's medication found. `on` is the day of the review."""

    on: dt.date | None = None
    findings: Text
    plan: Text | None = None


class RecordReview(Payload, frozen=True, kw_only=True):
    """The periodic review of a course without phases."""

    decision: Literal["continue", "more_often", "less_often", "end"]
    summary: Text | None = None


class AnnounceEnding(Payload, frozen=True, kw_only=True):
    ending_on: dt.date | None = None
    feelings: Text | None = None


class RecordGains(Payload, frozen=True, kw_only=True):
    gains: Texts
    unresolved: Text | None = None


class RecordIndependence(Payload, frozen=True, kw_only=True):
    does_alone: Texts


class PlanForRecurrence(Payload, frozen=True, kw_only=True):
    """The seed's three parts; none may be empty."""

    anticipate: Texts
    identify: Texts
    manage: Texts


class DecideContinuation(Payload, frozen=True, kw_only=True):
    decision: Literal["none", "continuation", "maintenance", "alternative", "referral"]
    plan: Text | None = None


class AssessRisk(Payload, frozen=True, kw_only=True):
    level: RiskLevel
    plan: Text | None = None
    told: Texts | None = None


class Consent(Payload, frozen=True, kw_only=True):
    scope: ConsentScope
    who: Consenting = "client"
    comment: Text | None = None


class ReferOn(Payload, frozen=True, kw_only=True):
    target: Text
    urgent: bool = False
    plan: Text | None = None


class Note(Payload, frozen=True, kw_only=True):
    text: Text


class Transfer(Payload, frozen=True, kw_only=True):
    therapist: Person
    handover: Text


class ChangeProtocol(Payload, frozen=True, kw_only=True):
    protocol: Code
    protocol_version: Seq | None = None


class MigrateProtocol(Payload, frozen=True, kw_only=True):
    """Another version of the protocol that the course has."""

    protocol: Code
    protocol_version: Seq


class RelinkClient(Payload, frozen=True, kw_only=True):
    kind: Literal["merge", "unmerge", "wrong_client"]
    client_ref: ClientRef


class OpenFollowup(Payload, frozen=True, kw_only=True):
    protocol: Code
    protocol_version: Seq | None = None
    therapist: Person | None = None


class Amend(Payload, frozen=True, kw_only=True):
    """`void`, or what the superseded entry should have said: `data` is a merge patch (RFC 7396) on it."""

    supersedes: Seq
    void: bool = False
    data: dict[str, Any] | None = None
    occurred_at: Moment | None = None
