"""The kinds of attention that a course needs, and since when.

Each kind has a moment, in the past or to come. A list filters by `moment <= now`, so no process has to watch the clock.
"""

import datetime as dt
from collections.abc import Mapping
from zoneinfo import ZoneInfo

from ipt_workflow.course import counters, outcome
from ipt_workflow.course.course import Course
from ipt_workflow.course.rules import Actor, Bound, Context
from ipt_workflow.course.rules.requirements import requirements
from ipt_workflow.protocols.definition import Protocol

KINDS = {
    "overdue": "No session for longer than the protocol's gap, a pause past its planned return, weeks past the planned end, or no review in time.",
    "blocked": "The phase has had all its sessions, and hard rules refuse to leave it.",
    "ending": "The ending is near, by sessions or by weeks.",
    "risk": "Risk is elevated or acute, or was seen and not reviewed.",
    "unsigned": "A session that was held is not signed.",
    "deviation": "A session was held beyond a cap, and no supervisor has acknowledged it.",
    "notices": "A notice from an EHR, or a group's session that the course refused, waits for a person.",
    "unassigned": "The course has no therapist.",
    "owed": "An early ending that was agreed lacks its outcome, gains or end measures, or its outcome contradicts the scales.",
    "contradicted": "An entry that was recorded later contradicts an entry.",
}


def attention(protocol: Protocol, bound: Mapping[str, tuple[Bound, ...]], course: Course, zone: ZoneInfo) -> dict[str, dt.datetime]:
    """Since when the course needs attention, by kind. Kinds that it does not need are left out."""
    now = course.last_recorded_at
    planned_end = counters.planned_end(course, now, zone)
    found = {
        "overdue": _overdue(protocol, course, planned_end, zone),
        "blocked": now if _blocked(protocol, bound, course, zone) else None,
        "ending": _sessions_running_out(protocol, course) or _ending_near(protocol, course, planned_end, zone),
        "risk": (course.risk.open_since or now) if course.risk.open_since or course.risk.level in {"elevated", "acute"} else None,
        "unsigned": min((session.at for session in course.unsigned), default=None),
        "deviation": min((session.at for session in course.open_deviations), default=None),
        "unassigned": course.opened_at if course.open and course.therapist is None else None,
        "owed": course.ending.at if course.ending and outcome.owed(protocol, course) else None,
        "contradicted": now if course.contradicted else None,
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


def _blocked(protocol: Protocol, bound: Mapping[str, tuple[Bound, ...]], course: Course, zone: ZoneInfo) -> bool:
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
    """Since when each kind holds that is sent to subscribers: overdue, the ending near, sessions running out, a risk to review."""
    planned_end = counters.planned_end(course, course.last_recorded_at, zone)
    found = {
        "overdue": _overdue(protocol, course, planned_end, zone),
        "ending": _ending_near(protocol, course, planned_end, zone),
        "sessions": _sessions_running_out(protocol, course),
        "risk": course.risk.open_since,
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
    if course.phase == protocol.last.id:
        return course.last_recorded_at
    if planned_end is None:
        return None
    return counters.midnight(planned_end - dt.timedelta(days=protocol.contract.ending_notice_days), zone)
