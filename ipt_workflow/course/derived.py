"""The data that the machine adds to a command, so that the fold needs no protocol, no instrument and no clock."""

import datetime as dt
from collections.abc import Callable
from itertools import zip_longest
from typing import Any

import msgspec

from ipt_workflow.course import carry_over, counters
from ipt_workflow.course.commands import Prepared, instrument_key
from ipt_workflow.course.course import Course
from ipt_workflow.course.payloads import BookSeries, RecordAbsence, RecordMeasure, RecordRhythm
from ipt_workflow.course.rules import Context, moved_entries
from ipt_workflow.protocols import instruments, rhythm
from ipt_workflow.protocols.definition import Protocol

TERMS = ("sessions", "weeks", "cadence_days", "missed_count", "pause_stops_clock")
Derive = Callable[[Protocol, Course | None, Prepared, Context], dict[str, Any]]


def derive(protocol: Protocol, course: Course | None, prepared: Prepared, context: Context) -> dict[str, Any]:
    """The structural data of an entry: the command's own, and the data derived from the course at that place."""
    deriver = DERIVERS.get(prepared.name)
    own = deriver(protocol, course, prepared, context) if deriver else {}
    return {**prepared.data, **own, **prepared.kept} if own or prepared.kept else prepared.data


def _opening(protocol: Protocol, _course: Course | None, _prepared: Prepared, context: Context) -> dict[str, Any]:
    opening = {
        "client": context.client,
        "protocol": protocol.id,
        "protocol_version": protocol.version,
        "protocol_digest": protocol.digest,
        "acute": protocol.acute,
        "therapist": context.therapist,
        "linked_from": context.linked_from,
        "carried": msgspec.to_builtins(context.carried) or None,
    }
    return {name: value for name, value in opening.items() if value is not None}


def _start(protocol: Protocol, _course: Course | None, _prepared: Prepared, _context: Context) -> dict[str, Any]:
    return {"phase": protocol.first.id}


def _session(protocol: Protocol, course: Course | None, prepared: Prepared, context: Context) -> dict[str, Any]:
    """The protocol's medium if none is named, and who gave the session.

    That is the therapist who records it or whom a trusted EHR names, else the course's; or the group's session.
    """
    default = protocol.medium.default if protocol.medium else None
    derived = {"medium": default} if default and "medium" not in prepared.data else {}
    if context.group_session:
        return {**derived, **_link(protocol, course, prepared, context)}
    giver = context.actor.person if context.actor.gives_sessions else course and course.therapist
    return {**derived, "given_by": giver} if giver else derived


def _absence(_protocol: Protocol, _course: Course | None, prepared: Prepared, context: Context) -> dict[str, Any]:
    """The moments at which the absence began and ended: midnights in the organisation's time zone."""
    payload = prepared.payload
    assert isinstance(payload, RecordAbsence)
    began_at, ended_at = (counters.midnight(day, context.zone) for day in (payload.since, payload.until))
    return {"began_at": began_at.isoformat(), "ended_at": ended_at.isoformat()}


def _series(_protocol: Protocol, _course: Course | None, prepared: Prepared, context: Context) -> dict[str, Any]:
    """The bookings of a series. Their local time stays the same when clocks are changed."""
    payload = prepared.payload
    assert isinstance(payload, BookSeries)
    first = payload.scheduled_for.astimezone(context.zone)
    bookings = []
    for number, ref in zip_longest(range(payload.times), payload.refs[: payload.times]):
        local = dt.datetime.combine(first.date() + number * dt.timedelta(days=payload.every_days), first.time(), context.zone)
        named = {"ref": ref} if ref else {}
        bookings.append({"scheduled_for": local.astimezone(dt.UTC).isoformat(), **named})
    return {"bookings": bookings}


def _link(_protocol: Protocol, _course: Course | None, _prepared: Prepared, context: Context) -> dict[str, Any]:
    """The group's session, if the link is to one: as `record_session` would have it."""
    group = context.group_session
    if group is None:
        return {}
    return {"given_by": group.given_by, "group_session": group.id, "group_held": group.held, **_held_before(context)}


def _held_before(context: Context) -> dict[str, Any]:
    """What the group had held before the client joined, so that the course counts from joining."""
    return {"held_before": msgspec.to_builtins(context.held_before)} if context.held_before else {}


def _formulation(_protocol: Protocol, course: Course | None, _prepared: Prepared, context: Context) -> dict[str, Any]:
    """Versions are numbered in the order in which they are recorded, including late entries."""
    recorded = [fact.data["version"] for fact in context.history if fact.trigger == "record_formulation"]
    return {"version": max([course.formulations if course else 0, *recorded]) + 1}


def _contract(protocol: Protocol, course: Course | None, prepared: Prepared, context: Context) -> dict[str, Any]:
    """The whole contract. One with fewer sessions than the group's, of a client who joined late, counts from joining."""
    agreed = course.contract if course and prepared.name == "amend_contract" else None
    terms = {name: getattr(agreed, name) for name in TERMS} if agreed else {}
    terms |= {name: value for name in TERMS if (value := getattr(prepared.payload, name)) is not None}
    joined_late = context.held_before or (course and course.held_before)
    least = protocol.contract.sessions.min
    if joined_late and terms.get("sessions", least) < least:  # an amendment may find no contract: a rule refuses it
        terms["from_joining"] = True
    return {"terms": terms, **_held_before(context)}


def _measure(protocol: Protocol, _course: Course | None, prepared: Prepared, _context: Context) -> dict[str, Any]:
    payload = prepared.payload
    assert isinstance(payload, RecordMeasure)
    key = instrument_key(protocol, payload.instrument)
    assert key is not None  # `prepare` has checked it
    taken_at = (payload.taken_at or prepared.at).astimezone(dt.UTC)
    derived: dict[str, Any] = {"instrument": key, "taken_at": taken_at.isoformat()}
    if payload.items is not None:
        score = instruments.score(protocol.instruments[key], payload.items)
        derived["risk"] = score.risk
        if score.total is not None:
            derived["total"] = score.total
    days = protocol.baseline_days(key)
    if days is not None and ("total" in derived or payload.total is not None):
        derived["baseline_days"] = days
    return derived


def _review_of_risk(_protocol: Protocol, _course: Course | None, prepared: Prepared, _context: Context) -> dict[str, Any]:
    """Whether a reason was given: the rule about a lower level reads it."""
    return {"explained": True} if prepared.reason else {}


def _rhythm(_protocol: Protocol, course: Course | None, prepared: Prepared, _context: Context) -> dict[str, Any]:
    """How regular the week was, and how often it met the targets in force then. The times themselves stay sealed."""
    payload = prepared.payload
    assert isinstance(payload, RecordRhythm)
    days = [day.times for day in payload.days]
    found = rhythm.regularity(days)
    aims = course.rhythm.targets if course else ()
    met, aimed = rhythm.met(days, {aim.activity: (aim.time, aim.within_minutes) for aim in aims})
    return {"hits": found.hits, "activities": found.activities, "met": met, "aimed": aimed}


def _move(protocol: Protocol, course: Course | None, prepared: Prepared, context: Context) -> dict[str, Any]:
    """The new protocol, and what carries over: to its first phase, or for another version to the phases of the same names."""
    target = context.target
    assert target is not None  # the clinic has found the protocol that the command names
    assert course is not None  # a move never opens a course
    return carry_over.entry_data(course, protocol, target, context, to_first=prepared.name == "change_protocol")


def _relink_client(_protocol: Protocol, _course: Course | None, _prepared: Prepared, context: Context) -> dict[str, Any]:
    return {"client": context.client}


def _open_followup(_protocol: Protocol, _course: Course | None, _prepared: Prepared, context: Context) -> dict[str, Any]:
    target = context.target
    assert target is not None
    return {"protocol": target.id, "protocol_version": target.version, "course": context.course_id}


def _move_entries(_protocol: Protocol, _course: Course | None, prepared: Prepared, context: Context) -> dict[str, Any]:
    """The number of every moved entry here and in the other course, and the signatures that are left behind."""
    there, named = context.other_course, prepared.data["entries"]
    if there is None:
        return {}
    moving = enumerate(moved_entries.departing(context.history, named), start=there.course.version + 1)
    moved = [{"from": fact.seq, "to": seq} for seq, fact in moving]
    return {"moved": moved, "left": list(moved_entries.left_behind(context.history, named))}


DERIVERS: dict[str, Derive] = {
    "refer": _opening,
    "adopt": _opening,
    "start": _start,
    "record_session": _session,
    "link_session": _link,
    "record_absence": _absence,
    "book_series": _series,
    "record_formulation": _formulation,
    "agree_contract": _contract,
    "amend_contract": _contract,
    "record_measure": _measure,
    "record_rhythm": _rhythm,
    "review_risk": _review_of_risk,
    "change_protocol": _move,
    "migrate_protocol": _move,
    "relink_client": _relink_client,
    "open_followup": _open_followup,
    "move_entries": _move_entries,
}
