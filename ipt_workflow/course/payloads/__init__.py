"""The data that each trigger carries: one Struct each, by clinical subject.

A field is *structural* or *sealed*. The fold reads structural fields: codes, dates, counts and flags. Free text and clinical content
are sealed. The journal hashes only that a sealed field was given; see `course.structural`. A *reference* is the EHR's name for the
client. It is exchanged for an opaque id before anything is decided, and is never stored with an entry.
"""

from ipt_workflow.course.payloads.agreement import AgreeContract, AmendContract, SelectFocus, SetDisputeStage
from ipt_workflow.course.payloads.ending import (
    AnnounceEnding,
    Complete,
    DecideContinuation,
    EndEarly,
    Pause,
    PlanForRecurrence,
    RecordAbsence,
    RecordGains,
    RecordIndependence,
)
from ipt_workflow.course.payloads.first_phase import (
    AcceptFormulation,
    AssignSickRole,
    Exemption,
    InventoryPerson,
    RecordEvaluation,
    RecordFormulation,
    RecordHistory,
    RecordInventory,
    RecordTimeline,
    RelinquishSickRole,
    TimelineEvent,
    UpdateSickRole,
    Vulnerabilities,
)
from ipt_workflow.course.payloads.measures import (
    RecordMeasure,
    RecordPrescriberReview,
    RecordReview,
    RecordRhythm,
    RhythmDay,
    RhythmTarget,
    SetRhythmTarget,
)
from ipt_workflow.course.payloads.opening import Adopt, AdoptedContract, AdoptedFocus, Decline, Refer, Start
from ipt_workflow.course.payloads.payload import Nothing, Payload
from ipt_workflow.course.payloads.record import Amend, ChangeProtocol, MigrateProtocol, Note, OpenFollowup, RelinkClient, Transfer
from ipt_workflow.course.payloads.safety import AssessRisk, Consent, ReferOn
from ipt_workflow.course.payloads.sessions import (
    AcknowledgeDeviation,
    AttestSession,
    BookSeries,
    BookSession,
    LinkSession,
    RecordContact,
    RecordSession,
    SignSession,
)

__all__ = [
    "AcceptFormulation",
    "AcknowledgeDeviation",
    "Adopt",
    "AdoptedContract",
    "AdoptedFocus",
    "AgreeContract",
    "Amend",
    "AmendContract",
    "AnnounceEnding",
    "AssessRisk",
    "AssignSickRole",
    "AttestSession",
    "BookSeries",
    "BookSession",
    "ChangeProtocol",
    "Complete",
    "Consent",
    "DecideContinuation",
    "Decline",
    "EndEarly",
    "Exemption",
    "InventoryPerson",
    "LinkSession",
    "MigrateProtocol",
    "Note",
    "Nothing",
    "OpenFollowup",
    "Pause",
    "Payload",
    "PlanForRecurrence",
    "RecordAbsence",
    "RecordContact",
    "RecordEvaluation",
    "RecordFormulation",
    "RecordGains",
    "RecordHistory",
    "RecordIndependence",
    "RecordInventory",
    "RecordMeasure",
    "RecordPrescriberReview",
    "RecordReview",
    "RecordRhythm",
    "RecordSession",
    "RecordTimeline",
    "Refer",
    "ReferOn",
    "RelinkClient",
    "RelinquishSickRole",
    "RhythmDay",
    "RhythmTarget",
    "SelectFocus",
    "SetDisputeStage",
    "SetRhythmTarget",
    "SignSession",
    "Start",
    "TimelineEvent",
    "Transfer",
    "UpdateSickRole",
    "Vulnerabilities",
]
