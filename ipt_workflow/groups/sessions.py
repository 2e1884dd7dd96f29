"""A session of a group, and what it is to each member's course: who was expected, and the command that each course gets."""

import datetime as dt
from collections.abc import Iterable, Sequence
from zoneinfo import ZoneInfo

import msgspec

from ipt_workflow.course import Course, visits
from ipt_workflow.course.context import GroupHeld
from ipt_workflow.course.course import HeldBefore
from ipt_workflow.course.triggers import Command
from ipt_workflow.errors import Fault
from ipt_workflow.groups.bodies import MemberDetails, NewSession, Signing
from ipt_workflow.groups.group import Group
from ipt_workflow.protocols.definition import GroupSpec
from ipt_workflow.values.types import ATTENDED, CANCELLED


def attendance_faults(group: Group, at: dt.datetime, session: NewSession, closed: Iterable[str]) -> list[Fault]:
    """Faults for members whose attendance is missing, and for courses that were no members.

    Members whose course is `closed` may be left out.
    """
    there = group.there(at)
    given = session.attendance
    faults = [Fault("attendance", f"lacks the member {course}") for course in there if course not in {*given, *closed}]
    faults += [Fault(f"attendance.{course}", "was no member of the group then") for course in given if course not in there]
    return faults + [Fault(f"details.{course}", "has no attendance") for course in session.details if course not in given]


def moment(session: NewSession, now: dt.datetime, ahead_seconds: int) -> dt.datetime:
    """When the session took place, the same for every member: `occurred_at`, or now without one.

    A time at most `ahead_seconds` ahead comes from a fast clock and is taken as now. Each course judges a time further ahead itself:
    only a cancelled appointment may have one.
    """
    at = session.occurred_at.astimezone(dt.UTC) if session.occurred_at else now
    cancelled = set(session.attendance.values()) <= CANCELLED
    runs_fast = now < at <= now + dt.timedelta(seconds=ahead_seconds)
    return now if runs_fast and not cancelled else at


def is_held(attendance: Iterable[str]) -> bool:
    """Whether the group met: at least one member attended."""
    return any(code in ATTENDED for code in attendance)


def command(session: NewSession, course: str, at: dt.datetime) -> Command:
    """The `record_session` that one member's course gets."""
    attendance, details = session.attendance[course], session.details.get(course, MemberDetails())
    data = {
        "attendance": attendance,
        "kind": session.kind,
        "medium": session.medium,
        "minutes": session.minutes,
        "participants": participants(attendance, held=is_held(session.attendance.values())),
        "scheduled_for": session.scheduled_for.isoformat() if session.scheduled_for else None,
        **msgspec.to_builtins(details),
    }
    return Command("record_session", {name: value for name, value in data.items() if value is not None}, at, session.reason)


def link(
    recording: Command, session: GroupHeld, course: Course, now: dt.datetime, zone: ZoneInfo
) -> tuple[Command, GroupHeld] | None:
    """The `link_session` that a course gets instead of `recording`, if it has recorded this session outside the group.

    Whoever has signed that remains its therapist. None if there is no such session, or if the two contradict each other: then the
    course's own rules judge the record.
    """
    found = visits.link(recording, course, now, zone)
    if found is None or found.session.group_session:
        return None
    giver = found.session.given_by if found.session.signed else None
    return found.command, msgspec.structs.replace(session, given_by=giver or session.given_by)


def signature(signing: Signing, course: str, seq: int) -> Command:
    """The `sign_session` that one member's course gets, where the session is entry `seq`."""
    data = {"session": seq, "focus": signing.focus.get(course), "techniques": list(signing.techniques), "summary": signing.summary}
    return Command("sign_session", {name: value for name, value in data.items() if value is not None}, signing.occurred_at)


def participants(attendance: str, *, held: bool) -> list[str]:
    """Who took part, as far as this client's record goes."""
    client = ["client"] if attendance in ATTENDED or not held else []
    return client + (["group"] if held else [])


def group_held(group: Group, session: str, course: Course, recorded_by: str, *, held: bool) -> GroupHeld:
    """The group's session as a member's course sees it.

    The facilitators give it together. It is given by the course's own therapist if they facilitate, otherwise by `recorded_by`.
    """
    own = course.therapist if course.therapist in group.facilitators else None
    return GroupHeld(id=session, held=held, given_by=own or recorded_by)


def held_before(group: Group, course: Course, at: dt.datetime) -> HeldBefore | None:
    """What the group had held before this client could take part: before they joined, or before their course started.

    The sessions that count on the course by then are no part of it: those of another group, and those of an earlier stay.
    """
    joined = [member.joined_at for member in group.members if member.course == course.id and member.joined_at <= at]
    if not joined:
        return None
    begins = max(joined[-1], course.started_at or joined[-1])
    before = {session.occurred_at for session in group.sessions if session.held and session.kind == "session"}
    before = {moment for moment in before if moment < begins}
    counted = sum(
        session.kind == "session" and session.held and session.at < begins for session in course.sessions if session.phase
    )
    missed = len(before) - counted - sum(course.adopted.attended.values() if course.adopted else ())
    return HeldBefore(sessions=missed, since=min(before)) if missed > 0 else None


def warnings(spec: GroupSpec, there: Sequence[str]) -> tuple[str, ...]:
    """Warnings about a session that was recorded all the same."""
    if len(there) >= spec.members.min:
        return ()
    return (f"The group has {len(there)} member{'' if len(there) == 1 else 's'}; its protocol asks for {spec.members}.",)
