"""The kinds of attention that a course needs, and since when.

Each kind has a moment, in the past or to come. A list filters by `moment <= now`, so no process has to watch the clock.
"""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from zoneinfo import ZoneInfo

from ipt_workflow.course import counters, outcome, visits
from ipt_workflow.course.course import Booking, Course, Session, Track
from ipt_workflow.course.rules import Actor, Bound, Context
from ipt_workflow.course.rules.requirements import requirements
from ipt_workflow.protocols import instruments
from ipt_workflow.protocols.definition import AttentionSpec, Protocol
from ipt_workflow.protocols.instruments import Instrument

KINDS = {
    "overdue": "No session for longer than the protocol's gap, a pause past its planned return, weeks past the planned end, or no review in time.",
    "blocked": "The phase has had all its sessions, and hard rules refuse to leave it.",
    "ending": "The ending is near, by sessions or by weeks.",
    "risk": "Risk is elevated or acute, or was seen and not reviewed.",
    "unsigned": "A session that was held is not signed.",
    "deviation": "A session was held beyond a cap, and no supervisor has acknowledged it.",
    "notices": "A notice from an EHR, or a group's session that the course refused, waits for a person.",
    "emergency": "Somebody took emergency access to the course, and no supervisor has reviewed it.",
    "emergency_overdue": "An emergency access to the course has waited for its review for more than 72 hours.",
    "unassigned": "The course has no therapist, or one who has left or is not known here.",
    "owed": "An early ending that was agreed lacks its outcome, gains or end measures, or its outcome contradicts the scales.",
    "contradicted": "An entry that was recorded later contradicts an entry.",
    "consent": "Consent to treatment is withdrawn, and the course goes on.",
    "not_attending": "The client has missed so many appointments one after the other as the protocol names.",
    "deteriorating": "A scale of symptoms shows a reliable deterioration since its baseline.",
    "not_improving": "No scale of symptoms shows an improvement by the protocol's check session.",
    "outcome_missing": "An appointment is past, and nobody has recorded whether it took place.",
    "transfer_open": "The therapist to whom the course was transferred has recorded nothing in it yet.",
}

HIGH_RISK = frozenset({"elevated", "acute"})
ScaleChange = tuple[Track, instruments.Change]  # since the baseline
ScaleChanges = Sequence[ScaleChange]


def attention(protocol: Protocol, bound: Mapping[str, tuple[Bound, ...]], course: Course, zone: ZoneInfo) -> dict[str, dt.datetime]:
    """Since when the course needs attention, by kind. Kinds that it does not need are left out."""
    now = course.last_recorded_at
    planned_end = counters.planned_end(course, now, zone)
    found = {
        "overdue": _overdue(protocol, course, planned_end, zone),
        "blocked": now if is_blocked(protocol, bound, course, zone) else None,
        "ending": _sessions_running_out(protocol, course) or _ending_near(protocol, course, planned_end, zone),
        "risk": (course.risk.open_since or now) if course.risk.open_since or course.risk.level in HIGH_RISK else None,
        "unsigned": min((session.at for session in course.unsigned), default=None),
        "deviation": min((session.at for session in course.open_deviations), default=None),
        "unassigned": course.opened_at if course.open and course.therapist is None else None,
        "owed": course.ending.at if course.ending and outcome.owed(protocol, course) else None,
        "contradicted": now if course.contradicted else None,
        **_signals(protocol, course, zone),
    }
    return {kind: since for kind, since in found.items() if since is not None}


def _overdue(protocol: Protocol, course: Course, planned_end: dt.date | None, zone: ZoneInfo) -> dt.datetime | None:
    if not course.open or course.phase is None:
        return None
    if course.state == "paused" and course.interruptions:
        return counters.midnight(course.interruptions[-1].planned_return + dt.timedelta(days=1), zone)
    seen = max((session.at for session in course.sessions if session.attended), default=course.started_at or course.opened_at)
    returned = max((pause.until for pause in course.interruptions if pause.until), default=seen)
    gap = max(seen, returned) + dt.timedelta(days=protocol.contract.gap_days)
    if protocol.review:
        reviewed = course.reviewed_at or course.started_at or course.opened_at
        gap = min(gap, reviewed + dt.timedelta(days=protocol.review.every_days))
    if planned_end is None:
        return gap
    grace = counters.midnight(planned_end + dt.timedelta(days=protocol.contract.grace_days + 1), zone)
    return min(gap, grace)


def is_blocked(protocol: Protocol, bound: Mapping[str, tuple[Bound, ...]], course: Course, zone: ZoneInfo) -> bool:
    """Whether the phase has had all its sessions, and hard rules refuse to leave it."""
    if course.state != course.phase or course.phase is None:
        return False
    phase = protocol.phase(course.phase)
    cap = counters.phase_cap(protocol, course, phase)
    if cap is None or counters.phase_count(course, phase) < cap:
        return False
    context = Context(now=course.last_recorded_at, actor=Actor(course.therapist or "", "therapist"), zone=zone)
    _, required = requirements(protocol, bound, course, course.last_recorded_at, context)
    return any(refusal and refusal.severity == "hard" for _, refusal in required)


def told_by_clock(protocol: Protocol, course: Course, zone: ZoneInfo) -> dict[str, dt.datetime]:
    """Since when each kind holds that is sent to subscribers. `sessions` is one of its own: the sessions run out."""
    planned_end = counters.planned_end(course, course.last_recorded_at, zone)
    found = {
        "overdue": _overdue(protocol, course, planned_end, zone),
        "ending": _ending_near(protocol, course, planned_end, zone),
        "sessions": _sessions_running_out(protocol, course),
        "risk": course.risk.open_since,
        **_signals(protocol, course, zone),
    }
    return {kind: since for kind, since in found.items() if since is not None}


def _sessions_running_out(protocol: Protocol, course: Course) -> dt.datetime | None:
    if not course.open or course.phase is None or course.contract is None:
        return None
    left = counters.remaining(protocol, course)
    return course.last_recorded_at if left is not None and left <= protocol.contract.ending_notice_sessions else None


def _ending_near(protocol: Protocol, course: Course, planned_end: dt.date | None, zone: ZoneInfo) -> dt.datetime | None:
    if not course.open or course.phase is None or course.contract is None:
        return None
    if course.phase == protocol.last.id != protocol.first.id:  # a course without phases is in its last one from the start
        return course.last_recorded_at
    if planned_end is None:
        return None
    return counters.midnight(planned_end - dt.timedelta(days=protocol.contract.ending_notice_days), zone)


def _signals(protocol: Protocol, course: Course, zone: ZoneInfo) -> dict[str, dt.datetime | None]:
    """Signs that a course does not go as it should, with the protocol's numbers. An ended course gives none."""
    if not course.open:
        return {}
    asks = protocol.attention or AttentionSpec()
    changes = list(_changes(protocol, course))
    return {
        "consent": course.last_recorded_at if "treatment" in course.withdrawn else None,
        "not_attending": _not_attending(course, asks.misses) if asks.misses else None,
        "deteriorating": _deteriorating(changes),
        "not_improving": _not_improving(course, changes, asks.check_session) if asks.check_session else None,
        "outcome_missing": None if asks.outcome_days is None else _outcome_missing(course, asks.outcome_days, zone),
        "transfer_open": _after(course.handed_over_at, asks.transfer_days),
    }


def _after(moment: dt.datetime | None, days: int | None) -> dt.datetime | None:
    return None if moment is None or days is None else moment + dt.timedelta(days=days)


def _not_attending(course: Course, misses: int) -> dt.datetime | None:
    """When the client missed the last of so many appointments since they last attended. What was called off in time is no miss."""
    if course.state == "paused":
        return None
    missed: list[Session] = []
    for session in sorted(course.sessions, key=lambda each: each.at):
        if session.attended:
            missed = []
        elif session.chargeable:
            missed.append(session)
    return missed[misses - 1].at if len(missed) >= misses else None


def _deteriorating(changes: ScaleChanges) -> dt.datetime | None:
    return min((track.last.at for track, change in changes if track.last and change.reliable_deterioration), default=None)


def _not_improving(course: Course, changes: ScaleChanges, check_session: int) -> dt.datetime | None:
    """When the check session was held, if the scales measured twice show no improvement. Without such a scale nothing is known."""
    before = sum(course.adopted.attended.values()) if course.adopted else 0
    held = [session.at for session in course.sessions if session.counts]
    if before + len(held) < check_session or not changes or any(_improved(change) for _, change in changes):
        return None
    checked = sorted(held)[check_session - before - 1] if check_session > before else course.opened_at
    return max(checked, *(track.last.at for track, _ in changes if track.last))


def _changes(protocol: Protocol, course: Course) -> Iterator[ScaleChange]:
    """The change of every scale of symptoms that was measured twice."""
    for key, track in course.measures.items():
        scale: Instrument | None = protocol.instruments.get(key)
        if scale is None or scale.aim != "symptoms" or track.baseline is None or track.last is None:
            continue
        first, last = track.baseline, track.last
        if first.seq != last.seq and first.total is not None and last.total is not None:
            yield track, instruments.change(scale, first.total, last.total)


def _improved(change: instruments.Change) -> bool:
    """A reliable improvement, a response or a remission; by a scale without a reliable change, any improvement."""
    reliable = change.improvement > 0 if change.reliable_improvement is None else change.reliable_improvement
    return reliable or bool(change.response) or bool(change.remission)


def _outcome_missing(course: Course, days: int, zone: ZoneInfo) -> dt.datetime | None:
    """When the oldest appointment without an outcome has had none for so many days. A session of its day is its outcome."""
    return _after(min((booking.scheduled_for for booking in without_outcome(course, zone)), default=None), days)


def without_outcome(course: Course, zone: ZoneInfo) -> tuple[Booking, ...]:
    """The appointments, past or to come, of which nobody has recorded an outcome."""
    return tuple(booking for booking in course.bookings if not _has_outcome(course, booking, zone))


def _has_outcome(course: Course, booking: Booking, zone: ZoneInfo) -> bool:
    begins, ends = visits.day(booking.scheduled_for, zone)
    times = (at for session in course.sessions for at in (session.at, session.scheduled_for) if at)
    return any(begins <= at < ends for at in times)
