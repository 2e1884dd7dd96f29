"""Every trigger, declared once: its sources, destination, data, roles and rules.

The API schema, forms, documentation, diagram and options all read this table. Sources and destinations name the part that a state plays,
since each protocol names its own phases. `states` turns them into one protocol's states.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal

import msgspec

from ipt_workflow.course import payloads
from ipt_workflow.protocols.definition import (
    COMPLETED,
    ENDED,
    ENDED_EARLY,
    NEW,
    NOT_SUITABLE,
    PAUSED,
    REFERRED,
    Protocol,
)
from ipt_workflow.values import types

Role = Literal["therapist", "supervisor", "ehr", "admin", "auditor", "operator"]

THERAPIST: tuple[Role, ...] = ("therapist",)
SUPERVISOR: tuple[Role, ...] = ("supervisor",)
CLINICIANS: tuple[Role, ...] = ("therapist", "supervisor")
THERAPIST_OR_EHR: tuple[Role, ...] = ("therapist", "ehr")
CLINICIANS_OR_EHR: tuple[Role, ...] = ("therapist", "supervisor", "ehr")
ALL_WRITERS: tuple[Role, ...] = ("therapist", "supervisor", "ehr", "admin")
PROPOSERS = CLINICIANS  # who may propose a command, if they may fire its trigger

PHASE = ("phase",)
LATER = ("later",)
REFERRED_OR_PHASE = (REFERRED, "phase")
OPEN = (REFERRED, "phase", PAUSED)
AFTER_START = ("phase", PAUSED, *ENDED)
ANY = (REFERRED, "phase", PAUSED, *ENDED)


class Override(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Soft rules that the actor passes over, and the reason."""

    rules: tuple[str, ...]
    reason: types.Text


class Command(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A request to fire a trigger on a course. `data` is decoded by the trigger's payload."""

    trigger: str
    data: dict[str, Any] = {}
    occurred_at: types.Moment | None = None
    reason: types.Text | None = None
    override: Override | None = None


class Together(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Several commands that are decided and committed as one.

    Where a command names the entry of an earlier one, it may name its place: `{"session": {"together": 0}}`.
    """

    together: tuple[Command, ...]


class Trigger(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table.

    `sources` and `to` name parts that states play, and `to` is None if the state stays. A protocol lacks a trigger if it has no
    state for its sources, or not the table that it `needs`.
    """

    name: str
    does: str
    sources: tuple[str, ...]
    to: str | None = None
    payload: type[payloads.Payload] = payloads.Nothing
    roles: tuple[Role, ...]
    rules: tuple[str, ...] = ()
    needs: str | None = None  # a table of the protocol file
    reason_required: bool = False
    never_blocked: bool = False  # it waits for no paperwork, and an entry that came later never stops it
    amendable: bool = True
    amended_with_supervisor: bool = False  # also by the person who recorded it
    about_record: bool = False  # it counts when it is recorded, and is judged on the course as it is then
    corrects: bool = False  # it changes what earlier entries mean, so the whole course is folded again
    supersedes: bool = False  # it acts in the place of the entries that it names
    movable: bool = False  # its entry moves to another course if it was about another client
    fired_alone: bool = False  # never together with other triggers, since it touches more than one course's facts
    concerns_client: bool = False  # an EHR's notice of it is fired on every course of the client, unless it names one
    names_protocol: bool = False
    changes_protocol: bool = False
    detour: bool = False  # never proposed as a way to reach a state
    paperwork: bool = True  # the gate writes it when a refusal names it as a remedy

    @property
    def changes_state(self) -> bool:
        return self.to is not None

    @property
    def course_decides(self) -> bool:
        """Whether the course, not the protocol, decides where this leads: back to where it was, or to the phase that was adopted."""
        return self.to in {"remembered", "adopted"}


def _t(name: str, does: str, sources: tuple[str, ...], roles: tuple[Role, ...], **more: Any) -> Trigger:
    return Trigger(name=name, does=does, sources=sources, roles=roles, **more)


# The protocol adds to these: `requires` and `rules` of the phase that `begin_<phase>` leaves.
LEAVING_A_PHASE = ("phase_sessions_met", "no_acute_risk", "consent_not_withdrawn", "no_unsigned_session", "no_open_deviation")
BEGIN_PREFIX = "begin_"

TABLE: tuple[Trigger, ...] = (
    _t("refer", "Opens a course for a client.", (NEW,), ALL_WRITERS, to=REFERRED,
       payload=payloads.Refer, rules=("one_active_course",)),
    _t("adopt", "Takes over a course begun elsewhere, at the phase it has reached.", (NEW,), SUPERVISOR, to="adopted",
       payload=payloads.Adopt,
       rules=("one_active_course", "adopted_phase_exists"), reason_required=True),
    _t("start", "Begins the first phase.", (REFERRED,), THERAPIST, to="first", payload=payloads.Start,
       rules=("consent_given", "therapist_assigned", "supervisor_named", "indication_fits", "age_fits", "format_fits", "provider_fits")),
    _t("decline", "Ends a course that is not suitable, with a plan for what comes instead.", (REFERRED, "first"), CLINICIANS, to=NOT_SUITABLE,
       payload=payloads.Decline, rules=("declined_by_therapist",), reason_required=True, amendable=False, detour=True),
    _t("begin_<phase>", "Leaves the phase for the next one.", ("previous",), THERAPIST, to="next", rules=LEAVING_A_PHASE),
    _t("complete", "Ends the last phase as agreed.", ("last",), THERAPIST, to=COMPLETED, payload=payloads.Complete,
       rules=("final_held", "final_attended", "no_acute_risk", "consent_not_withdrawn", "no_unsigned_session", "no_open_deviation",
              "outcome_fits_measures"), amendable=False),
    _t("pause", "Interrupts the course until a planned return.", PHASE, THERAPIST, to=PAUSED,
       payload=payloads.Pause, reason_required=True,
       detour=True),
    _t("resume", "Goes back to the phase the pause interrupted.", (PAUSED,), THERAPIST, to="remembered"),
    _t("record_absence", "Records an absence that is over. It counts as a pause and a return.", PHASE, THERAPIST,
       payload=payloads.RecordAbsence,
       rules=("absence_over",), reason_required=True),
    _t("end_early", "Ends the course before its work is done.", OPEN, THERAPIST, to=ENDED_EARLY,
       payload=payloads.EndEarly, rules=("end_code_fits",), reason_required=True,
       never_blocked=True, amendable=False, detour=True),
    _t("reopen", "Takes back an ending that was an error.", ENDED, SUPERVISOR, to="remembered", reason_required=True,
       rules=("reopen_window", "one_active_course"), amendable=False, corrects=True),
    _t("record_session", "Records a session that was held, missed or cancelled.", OPEN, THERAPIST_OR_EHR,
       payload=payloads.RecordSession,
       rules=("attendance_fits_state", "phase_session_cap", "contract_session_cap", "session_already_recorded", "overlaps_session",
              "within_planned_end", "participants_present", "medium_allowed"), paperwork=False, movable=True),
    _t("sign_session", "The therapist who gave a session signs its record.", AFTER_START, THERAPIST, payload=payloads.SignSession,
       rules=("session_signable", "own_session", "focus_area_allowed", "risk_reviewed"), about_record=True, paperwork=False),
    _t("attest_session", "A supervisor signs the session of a therapist who has left.", AFTER_START, SUPERVISOR,
       payload=payloads.AttestSession,
       rules=("session_signable", "focus_area_allowed", "risk_reviewed"), reason_required=True, about_record=True, paperwork=False),
    _t("link_session", "Gives a session another of the EHR's names, or links it to the session of its group.", ANY, THERAPIST_OR_EHR, payload=payloads.LinkSession,
       rules=("session_known", "session_already_recorded", "phase_session_cap", "contract_session_cap", "within_planned_end")),
    _t("record_contact", "Records a contact that is not a session.", ANY, CLINICIANS_OR_EHR,
       payload=payloads.RecordContact, never_blocked=True, movable=True),
    _t("book_session", "Books a session to come.", OPEN, THERAPIST_OR_EHR, payload=payloads.BookSession, movable=True),
    _t("book_series", "Books sessions to come, at one time of the day, week by week.", OPEN, THERAPIST_OR_EHR,
       payload=payloads.BookSeries,
       rules=("bookings_in_contract",)),
    _t("acknowledge_deviation", "A supervisor acknowledges a session held beyond a cap.", OPEN, SUPERVISOR,
       payload=payloads.AcknowledgeDeviation,
       rules=("deviation_open",), reason_required=True, about_record=True, paperwork=False),
    _t("record_evaluation", "Records the diagnostic evaluation.", REFERRED_OR_PHASE, THERAPIST, payload=payloads.RecordEvaluation, movable=True),
    _t("record_history", "Records the psychiatric history.", REFERRED_OR_PHASE, THERAPIST, payload=payloads.RecordHistory, movable=True),
    _t("record_inventory", "Records the interpersonal inventory.", REFERRED_OR_PHASE, THERAPIST, payload=payloads.RecordInventory, movable=True),
    _t("record_timeline", "Records how life events and symptoms followed each other.", REFERRED_OR_PHASE, THERAPIST,
       payload=payloads.RecordTimeline, movable=True),
    _t("record_formulation", "Records the interpersonal formulation.", REFERRED_OR_PHASE, THERAPIST,
       payload=payloads.RecordFormulation),
    _t("accept_formulation", "Records the client's response to the formulation.", PHASE, THERAPIST,
       payload=payloads.AcceptFormulation,
       rules=("formulation_known",)),
    _t("assign_sick_role", "Gives the client the sick role.", ("first",), THERAPIST, payload=payloads.AssignSickRole,
       rules=("evaluation_recorded", "sick_role_used", "sick_role_explained", "sick_role_mode_fits")),
    _t("update_sick_role", "Changes mode, exemptions, recovery work or the client's response.", PHASE, THERAPIST,
       payload=payloads.UpdateSickRole,
       rules=("sick_role_assigned",)),
    _t("waive_sick_role", "Waives the sick role.", ("first",), CLINICIANS, reason_required=True, rules=("waiver_agreed",)),
    _t("relinquish_sick_role", "The client gives up the sick role.", LATER, THERAPIST, payload=payloads.RelinquishSickRole,
       rules=("sick_role_assigned",)),
    _t("select_focus", "Chooses the problem area.", ("first",), THERAPIST, payload=payloads.SelectFocus,
       rules=("inventory_recorded", "focus_area_allowed", "focus_count", "focus_grounded", "focus_encouraged")),
    _t("change_focus", "Changes the problem area.", LATER, THERAPIST, payload=payloads.SelectFocus,
       rules=("inventory_recorded", "focus_area_allowed", "focus_count", "focus_grounded", "focus_encouraged", "formulation_renewed",
              "focus_change_in_time")),
    _t("set_dispute_stage", "Records the stage of the role dispute.", PHASE, THERAPIST, payload=payloads.SetDisputeStage,
       rules=("dispute_stage_legal",)),
    _t("agree_contract", "Agrees the number of sessions and weeks and how misses count.", ("first",), THERAPIST,
       payload=payloads.AgreeContract,
       rules=("both_agree", "contract_in_range", "contract_fits_phases")),
    _t("amend_contract", "Renegotiates the contract.", ("phase", PAUSED), THERAPIST,
       payload=payloads.AmendContract, reason_required=True,
       rules=("contract_agreed", "both_agree", "contract_in_range", "contract_fits_phases"), paperwork=False),
    _t("extend_phase", "Raises the phase's session cap, once.", PHASE, CLINICIANS, reason_required=True,
       rules=("extension_allowed", "supervisor_agrees"), paperwork=False),
    _t("record_measure", "Records a scale, or that it could not be obtained.", ANY, THERAPIST_OR_EHR,
       payload=payloads.RecordMeasure, never_blocked=True, movable=True),
    _t("record_rhythm", "Records a week of the social rhythm.", ANY, THERAPIST_OR_EHR,
       payload=payloads.RecordRhythm, never_blocked=True, needs="rhythm", movable=True),
    _t("set_rhythm_target", "Sets the times that the client aims for.", PHASE, THERAPIST,
       payload=payloads.SetRhythmTarget, needs="rhythm",
       rules=("rhythm_known",)),
    _t("record_prescriber_review", "Records that the prescriber has reviewed the medication.", OPEN, THERAPIST_OR_EHR,
       payload=payloads.RecordPrescriberReview, movable=True),
    _t("record_review", "Reviews a course without phases.", PHASE, THERAPIST, payload=payloads.RecordReview, needs="review"),
    _t("announce_ending", "Raises the ending with the client.", ("before_last_or_last",), THERAPIST,
       payload=payloads.AnnounceEnding),
    _t("record_gains", "Reviews what the client has gained.", ("last",), THERAPIST, payload=payloads.RecordGains),
    _t("record_independence", "Records what the client now does without the therapist.", ("last",), THERAPIST,
       payload=payloads.RecordIndependence),
    _t("plan_for_recurrence", "Plans how to anticipate, identify and manage a recurrence.", ("last",), THERAPIST,
       payload=payloads.PlanForRecurrence),
    _t("decide_continuation", "Decides what follows the acute course.", ("last",), THERAPIST, payload=payloads.DecideContinuation),
    _t("raise_risk", "Raises a risk.", ANY, CLINICIANS_OR_EHR,
       payload=payloads.AssessRisk, never_blocked=True, amended_with_supervisor=True, movable=True),
    _t("review_risk", "Reviews the risk.", ANY, CLINICIANS,
       payload=payloads.AssessRisk, never_blocked=True, amended_with_supervisor=True, movable=True, rules=("lower_risk_explained",)),
    _t("record_consent", "Records a consent.", ANY, THERAPIST_OR_EHR,
       payload=payloads.Consent, never_blocked=True, amended_with_supervisor=True),
    _t("withdraw_consent", "Records that a consent is withdrawn.", ANY, THERAPIST_OR_EHR,
       payload=payloads.Consent, never_blocked=True,
       amended_with_supervisor=True, concerns_client=True),
    _t("refer_on", "Refers the client to somebody else as well.", ANY, CLINICIANS, payload=payloads.ReferOn, never_blocked=True, movable=True),
    _t("note", "Adds a note.", ANY, CLINICIANS, payload=payloads.Note, never_blocked=True, movable=True),
    _t("record_supervision", "Records that the course was discussed in supervision.", ANY, CLINICIANS,
       payload=payloads.RecordSupervision, never_blocked=True, movable=True),
    _t("transfer", "Gives the course to another therapist.", OPEN, CLINICIANS,
       payload=payloads.Transfer, reason_required=True, paperwork=False),
    _t("change_protocol", "Goes on under another protocol or version.", (REFERRED, "first"), CLINICIANS,
       payload=payloads.ChangeProtocol,
       reason_required=True, rules=("protocol_differs", "supervisor_agrees", "one_active_course"),
       amendable=False, fired_alone=True, names_protocol=True, changes_protocol=True),
    _t("migrate_protocol", "Goes on under another version of the same protocol.", OPEN, SUPERVISOR,
       payload=payloads.MigrateProtocol,
       reason_required=True, rules=("same_protocol_family", "protocol_differs", "carries_over", "one_active_course"),
       amendable=False, fired_alone=True, names_protocol=True, changes_protocol=True),
    _t("relink_client", "Moves the course to another client record.", ANY, SUPERVISOR,
       payload=payloads.RelinkClient, reason_required=True,
       rules=("client_differs", "one_active_course"), amendable=False, fired_alone=True, concerns_client=True),
    _t("open_followup", "Opens a linked course after this one.", (COMPLETED, ENDED_EARLY), THERAPIST, payload=payloads.OpenFollowup,
       rules=("continuation_decided", "one_active_course"), amendable=False, fired_alone=True, names_protocol=True),
    _t("amend", "Corrects an entry, or makes it void.", ANY, CLINICIANS_OR_EHR, payload=payloads.Amend, reason_required=True,
       rules=("entry_amendable", "amendment_agreed", "overlaps_session", "later_entries_hold"), corrects=True, supersedes=True,
       paperwork=False),
    _t("move_entries", "Moves entries about another client to that client's course.", ANY, CLINICIANS, payload=payloads.MoveEntries,
       reason_required=True, rules=("entries_movable", "move_agreed", "other_course_accepts", "later_entries_hold"), amendable=False,
       corrects=True, supersedes=True, fired_alone=True, paperwork=False),
)  # fmt: skip

BY_NAME = {trigger.name: trigger for trigger in TABLE}
PATTERN = BY_NAME["begin_<phase>"]


def _named(column: Callable[[Trigger], bool]) -> frozenset[str]:
    return frozenset(row.name for row in TABLE if column(row))


OPENINGS = _named(lambda row: row.sources == (NEW,))
ENDINGS = _named(lambda row: row.to in ENDED)
CORRECTIONS = _named(lambda row: row.corrects)
NOT_AMENDABLE = _named(lambda row: not row.amendable)
AMENDED_WITH_SUPERVISOR = _named(lambda row: row.amended_with_supervisor)
ABOUT_RECORD = _named(lambda row: row.about_record)
SUPERSEDING = _named(lambda row: row.supersedes)
MOVABLE = _named(lambda row: row.movable)
FIRED_ALONE = _named(lambda row: row.fired_alone)
CONCERNING_CLIENT = _named(lambda row: row.concerns_client)
NAMING_PROTOCOL = _named(lambda row: row.names_protocol)
MOVES = _named(lambda row: row.changes_protocol)
PAPERWORK = _named(lambda row: row.paperwork and not row.changes_state)


def row_of(name: str) -> Trigger | None:
    """The table's row for a trigger's name, under any protocol."""
    return PATTERN if name.startswith(BEGIN_PREFIX) else BY_NAME.get(name)


def begins_phase(name: str) -> bool:
    """Whether a trigger begins a phase, which happens once in a course."""
    return name == "start" or name.startswith(BEGIN_PREFIX)


def leaves_phase(name: str) -> bool:
    """Whether a trigger is a gate: it leaves a phase for the next one, or completes the last."""
    return name == "complete" or name.startswith(BEGIN_PREFIX)


def find(name: str, protocol: Protocol) -> Trigger | None:
    """The table's row for a trigger's name under this protocol; `begin_<phase>` for every phase but the first."""
    return _find(name, protocol.phase_ids, protocol.tables)


@lru_cache(maxsize=4096)
def _find(name: str, phases: tuple[str, ...], tables: tuple[str, ...]) -> Trigger | None:
    if name.startswith(BEGIN_PREFIX):
        return PATTERN if name[len(BEGIN_PREFIX) :] in phases[1:] else None
    row = BY_NAME.get(name)
    return row if row is not None and _is_there(row, len(phases), tables) else None


def names(protocol: Protocol) -> tuple[str, ...]:
    """Every trigger's name under this protocol, in the table's order."""
    return _names(protocol.phase_ids, protocol.tables)


@lru_cache(maxsize=1024)
def _names(phases: tuple[str, ...], tables: tuple[str, ...]) -> tuple[str, ...]:
    begins = [BEGIN_PREFIX + phase for phase in phases[1:]]
    there = [row for row in TABLE if _is_there(row, len(phases), tables)]
    return tuple(name for row in there for name in (begins if row is PATTERN else [row.name]))


def _is_there(row: Trigger, phases: int, tables: tuple[str, ...]) -> bool:
    """Whether a protocol of so many phases, and of these tables, has a state to start from, and the table that the trigger needs."""
    return (row.needs is None or row.needs in tables) and (row.sources != LATER or phases > 1)


def sources(protocol: Protocol, name: str) -> tuple[str, ...]:
    """The states in which a trigger may happen under this protocol; none if the protocol does not have it."""
    return _sources(name, protocol.phase_ids, protocol.tables)


@lru_cache(maxsize=4096)
def _sources(name: str, phases: tuple[str, ...], tables: tuple[str, ...]) -> tuple[str, ...]:
    row = _find(name, phases, tables)
    if row is None:
        return ()
    if "previous" in row.sources:
        return (phases[phases.index(name[len(BEGIN_PREFIX) :]) - 1],)
    found: list[str] = []
    for part in row.sources:
        played = PARTS.get(part)
        found += [part] if played is None else phases[played]
    return tuple(found)


# The phases that play each part. Every other part is the name of a state.
PARTS = {
    "first": slice(0, 1),
    "later": slice(1, None),
    "phase": slice(None),
    "last": slice(-1, None),
    "before_last_or_last": slice(-2, None),
}


def destination(protocol: Protocol, trigger: Trigger, name: str) -> str | None:
    """The state that a trigger leads to; None if the state stays; `remembered` or `adopted` if the course decides."""
    if trigger.to == "first":
        return protocol.first.id
    if trigger.to == "next":
        return name[len(BEGIN_PREFIX) :]
    return trigger.to


def may_lie_ahead(trigger: str, structural: dict[str, Any]) -> bool:
    """Bookings and cancellations may have a time in the future."""
    return trigger == "book_session" or (trigger == "record_session" and structural["attendance"] in types.CANCELLED)
