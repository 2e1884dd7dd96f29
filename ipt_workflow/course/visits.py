"""Sessions in time: the span that each one takes, and which recorded sessions are the same visit.

One visit is one session, whoever records it and in whatever order. Everything is read from the snapshot of a course.
"""

import datetime as dt
from collections.abc import Iterable
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from ipt_workflow.course.course import Course, Session
from ipt_workflow.course.payloads import RecordSession
from ipt_workflow.course.structural import structural
from ipt_workflow.course.triggers import Command
from ipt_workflow.values.faults import decode

USUAL_MINUTES = 50  # the length of a session that gives none (domain.md 1.2)
FAR = dt.timedelta(hours=26)  # longer than any span: a local day has at most 25 hours, a session at most 10


class TimeSpan(NamedTuple):
    """A stretch of time. What begins at its end does not overlap it."""

    begins: dt.datetime
    ends: dt.datetime

    def overlaps(self, other: "TimeSpan") -> bool:
        return self.begins < other.ends and other.begins < self.ends


class Link(NamedTuple):
    """A recorded session, and the `link_session` by which a second record of the same visit adds to it."""

    session: Session
    command: Command


def session_of(data: dict[str, Any], *, at: dt.datetime, seq: int = 0, phase: str | None = None) -> Session:
    """The session that the structural data of a `record_session` describes. A session that is not recorded has the seq 0."""
    planned = data.get("scheduled_for")
    return Session(
        seq=seq,
        phase=phase,
        at=at,
        attendance=data["attendance"],
        kind=data.get("kind", "session"),
        given_by=data.get("given_by"),
        ref=data.get("ref"),
        minutes=data.get("minutes"),
        day_only=data.get("day_only", False),
        scheduled_for=msgspec.convert(planned, dt.datetime).astimezone(dt.UTC) if planned else None,
        late_notice=data.get("late_notice", False),
        excused=data.get("excused", False),
        group_session=data.get("group_session"),
        group_held=data.get("group_held", False),
    )


def span(session: Session, zone: ZoneInfo) -> TimeSpan:
    """The time that a session takes: its minutes, or the whole local day if only the day is known."""
    return day(session.at, zone) if session.day_only else timed(session.at, session.minutes)


def timed(begins: dt.datetime, minutes: int | None) -> TimeSpan:
    """The span of a session that begins at a moment; of the usual length if it says none."""
    return TimeSpan(begins, begins + dt.timedelta(minutes=minutes or USUAL_MINUTES))


def day(moment: dt.datetime, zone: ZoneInfo) -> TimeSpan:
    """The local day of a moment, in UTC."""
    local = moment.astimezone(zone).date()
    begins, ends = (dt.datetime.combine(each, dt.time(), zone) for each in (local, local + dt.timedelta(days=1)))
    return TimeSpan(begins.astimezone(dt.UTC), ends.astimezone(dt.UTC))


def overlapping(course: Course, begins: dt.datetime, ends: dt.datetime, zone: ZoneInfo) -> tuple[Session, ...]:
    """The recorded sessions that take time of a span, by their own time or the planned one. The nearest comes first."""
    return _overlapping(course.sessions, (TimeSpan(begins, ends),), zone)


def same_visit(sessions: Iterable[Session], session: Session, zone: ZoneInfo) -> tuple[Session, ...]:
    """The sessions that record the same visit as `session`, the nearest first.

    They overlap it. But a session and a cancellation that freed its time are two appointments.
    """
    return tuple(each for each in _overlapping(sessions, _spans(session, zone), zone) if each.called_off == session.called_off)


def recorded_as(course: Course, session: Session, zone: ZoneInfo) -> Session | None:
    """The recorded session that already says what `session` says of its visit: by reference, else the nearest one that overlaps it.

    None if there is none, or if the two contradict each other about kind, attendance or references.
    """
    known = next((each for each in course.sessions if each.named(session.ref)), None)
    near = (known,) if known else _overlapping(course.sessions, _spans(session, zone), zone)
    return next((each for each in near if _agree(each, session) and (known or not differ(each.refs, session.refs))), None)


def differ(refs: Iterable[str], others: Iterable[str]) -> bool:
    """Whether references that have none in common must name two visits: some are of one kind, as `Appointment/1` and `Appointment/2`."""
    return bool({_kind(ref) for ref in refs} & {_kind(ref) for ref in others})


def _kind(ref: str) -> str:
    return ref.rpartition("/")[0]


def link(recording: Command, course: Course, now: dt.datetime, zone: ZoneInfo) -> Link | None:
    """The link that a `record_session` comes to, if the course has recorded this visit already. None also for data with faults.

    The link happens when the session did, so that it counts in the same phase.
    """
    payload, _ = decode(RecordSession, recording.data)
    if payload is None:
        return None
    told = session_of(structural(payload), at=recording.occurred_at or now)
    known = recorded_as(course, told, zone)
    if known is None:
        return None
    data = {"session": known.seq, "ref": payload.ref, "comment": payload.comment}
    given = {name: value for name, value in data.items() if value is not None}
    return Link(known, Command("link_session", given, min(known.at, now), recording.reason))


def _agree(one: Session, other: Session) -> bool:
    """Whether two records of a visit count alike: both attended, or missed in the same way."""
    missed_alike = (one.attendance, one.late_notice, one.excused) == (other.attendance, other.late_notice, other.excused)
    return one.kind == other.kind and (missed_alike or (one.attended and other.attended))


def _spans(session: Session, zone: ZoneInfo) -> tuple[TimeSpan, ...]:
    """The span of a session, and the span at the time for which it was planned."""
    own = span(session, zone)
    return (own, timed(session.scheduled_for, session.minutes)) if session.scheduled_for else (own,)


def _overlapping(sessions: Iterable[Session], spans: tuple[TimeSpan, ...], zone: ZoneInfo) -> tuple[Session, ...]:
    found: list[Session] = []
    for wanted in spans:
        least, most = wanted.begins - FAR, wanted.ends + FAR  # most sessions lie weeks away, and need no arithmetic
        found += [
            each
            for each in sessions
            if (least < each.at < most or (each.scheduled_for is not None and least < each.scheduled_for < most))
            and each not in found
            and any(wanted.overlaps(taken) for taken in _spans(each, zone))
        ]
    return tuple(sorted(found, key=lambda each: abs(each.at - spans[0].begins)))
