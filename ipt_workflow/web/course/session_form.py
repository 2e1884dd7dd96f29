"""The note of a session as a form: what it begins with, and what was typed as the commands that record it together."""

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from ipt_workflow.course.course import Booking
from ipt_workflow.course.payloads import AssessRisk, RecordSession, SignSession
from ipt_workflow.course.triggers import Command, Override, row_of
from ipt_workflow.service.session_notes import SessionBasis
from ipt_workflow.values.types import ATTENDED, CANCELLED
from ipt_workflow.web.course.frames import CommandFrame
from ipt_workflow.web.course.scale_sheets import prefix, read_sheet, shows_risk
from ipt_workflow.web.course.sent import SentForm
from ipt_workflow.web.course.unwritten import FormCommand
from ipt_workflow.web.forms import Choice, FieldFault, Pairs, first_pairs, read
from ipt_workflow.web.language import gettext, moment, noted

RECORD, RISK, SIGN = "record.", "risk.", "sign."  # what the names of a part's fields begin with
ATTENDANCE, APPOINTMENT = "record.attendance", "appointment"
LATE = "2-late"  # how the form calls code 2 with late notice
REVIEW = noted("The answers ask for a risk review. Say how high the risk is, and what is done about it.")
UNBOOKED = noted("None of these")
HERE = {"together": 0}  # the session that the same form records


class NoteRead(msgspec.Struct, frozen=True):
    """The commands of a note, and everything that is wrong with it."""

    commands: tuple[FormCommand, ...]
    faults: tuple[FieldFault, ...]


def first_note(basis: SessionBasis, zone: ZoneInfo) -> dict[str, list[str]]:
    """What a note begins with: what can hardly be otherwise, and never whether the client came."""
    pairs = first_pairs(SignSession, {"focus": basis.areas[0] if basis.areas else None}, zone, SIGN)
    if basis.session:
        return pairs
    known = {"medium": basis.medium, "minutes": basis.minutes, "participants": basis.participants}
    pairs |= first_pairs(RecordSession, known, zone, RECORD)
    if basis.appointments:
        return pairs | {APPOINTMENT: [_moment(basis.appointments[0])]}
    return pairs | first_pairs(CommandFrame, {"occurred_at": basis.now}, zone)


def read_note(basis: SessionBasis, form: SentForm, zone: ZoneInfo) -> NoteRead:
    """What was typed, as the commands that record it. The session comes first and its signature last."""
    pairs = form.pairs
    recorded, faults = _recorded(basis, pairs, zone)
    at = basis.session.at if basis.session else recorded.command.occurred_at if recorded else None
    parts = [recorded] if recorded else []
    for scale in basis.scales:
        found = read_sheet(scale.instrument, pairs)
        faults += found.faults
        if found.data:
            parts.append(FormCommand(Command("record_measure", found.data, at), prefix(scale.instrument)))
    parts += _part("review_risk", AssessRisk, pairs, zone, RISK, at, faults)
    if basis.session or (recorded and recorded.command.data["attendance"] in ATTENDED):
        parts.append(_signed(basis, pairs, zone, faults))
    override, unexplained = form.override()
    return NoteRead(tuple(_overriding(each, override) for each in parts), (*faults, *unexplained))


def owes_review(basis: SessionBasis, pairs: Pairs) -> bool:
    """Whether the note has to say something of the risk: the course waits for a review, or the answers ask for one."""
    return basis.course.risk.open_since is not None or any(shows_risk(each.instrument, pairs) for each in basis.scales)


def appointments(basis: SessionBasis) -> tuple[Choice, ...]:
    """The appointments that the note may be about, as choices; with several, also none of them."""
    found = tuple(Choice(_moment(each), moment(each.scheduled_for)) for each in basis.appointments)
    return (*found, Choice("", gettext(UNBOOKED))) if len(found) > 1 else found


def appointment_of(basis: SessionBasis, pairs: Pairs) -> Booking | None:
    """The appointment that was chosen."""
    chosen = next(iter(pairs.get(APPOINTMENT, ())), "")
    return next((each for each in basis.appointments if _moment(each) == chosen), None)


def _recorded(basis: SessionBasis, pairs: Pairs, zone: ZoneInfo) -> tuple[FormCommand | None, list[FieldFault]]:
    """The session that is to be recorded; None if it is recorded already, or its fields have faults."""
    if basis.session:
        return None, []
    found, frame = read(RecordSession, _with_late(pairs), zone, RECORD), read(CommandFrame, pairs, zone)
    faults = [*found.faults, *frame.faults]
    if faults:
        return None, faults
    data, booked, when = found.data, appointment_of(basis, pairs), msgspec.convert(frame.data, CommandFrame)
    at = when.occurred_at or (_when(booked, data["attendance"], basis.now) if booked else None)
    if booked:
        data |= {"scheduled_for": booked.scheduled_for.isoformat(), **({"ref": booked.ref} if booked.ref else {})}
    if booked and booked.kind != "session":
        data |= {"kind": booked.kind}
    return FormCommand(Command("record_session", data, at, when.reason), RECORD), []


def _when(booked: Booking, attendance: str, now: dt.datetime) -> dt.datetime:
    """When an appointment took place that began in time: not in the future, unless it was called off."""
    return booked.scheduled_for if attendance in CANCELLED else min(booked.scheduled_for, now)


def _with_late(pairs: Pairs) -> Pairs:
    if list(pairs.get(ATTENDANCE, ())) != [LATE]:
        return pairs
    return {**pairs, ATTENDANCE: ["2"], "record.late_notice": ["true"]}


def _signed(basis: SessionBasis, pairs: Pairs, zone: ZoneInfo, faults: list[FieldFault]) -> FormCommand:
    session: Any = basis.session.seq if basis.session else HERE
    found = read(SignSession, {**pairs, f"{SIGN}session": ["1"]}, zone, SIGN)
    faults += found.faults
    return FormCommand(Command("sign_session", {**found.data, "session": session}), SIGN)


def _part(
    trigger: str,
    struct: type[msgspec.Struct],
    pairs: Pairs,
    zone: ZoneInfo,
    begins: str,
    at: dt.datetime | None,
    faults: list[FieldFault],
) -> list[FormCommand]:
    """The command of a part of the form; none if the part was left empty."""
    if not any(value.strip() for name, values in pairs.items() if name.startswith(begins) for value in values):
        return []
    found = read(struct, pairs, zone, begins)
    faults += found.faults
    return [FormCommand(Command(trigger, found.data, at), begins)]


def _overriding(part: FormCommand, override: Override | None) -> FormCommand:
    """The command, passing over those of the soft rules that are its own."""
    row = row_of(part.command.trigger)
    rules = tuple(each for each in override.rules if row and each in row.rules) if override else ()
    if not rules or override is None:
        return part
    return FormCommand(msgspec.structs.replace(part.command, override=Override(rules, override.reason)), part.prefix)


def _moment(booked: Booking) -> str:
    return booked.scheduled_for.isoformat()
