"""What readers see of groups: the shapes of HTTP answers and of `--json`."""

import datetime as dt
from collections.abc import Mapping
from typing import Literal

import msgspec

from ipt_workflow.course import Course
from ipt_workflow.errors import MemberRefused
from ipt_workflow.groups.group import Group, GroupSession, MemberAttendance
from ipt_workflow.protocols.definition import GroupSpec

Became = Literal["recorded", "waiting", "dismissed", "taken_back"]


class GroupSize(msgspec.Struct, frozen=True):
    """The number of members now, and how many the protocol requires and allows."""

    now: int
    min: int
    max: int


class MemberView(msgspec.Struct, frozen=True, kw_only=True):
    """One stay of a course in the group. `state` and `phase` are the course's present ones."""

    course: str
    client_ref: str | None
    state: str
    phase: str | None
    joined_at: dt.datetime
    left_at: dt.datetime | None
    reason: str | None


class AttendanceView(msgspec.Struct, frozen=True, kw_only=True):
    """One member's attendance as it was recorded (`told`), and what became of it. `attendance` and `seq` are what the course has now."""

    told: str
    became: Became
    attendance: str | None
    seq: int | None
    notice: str | None


class GroupSessionView(msgspec.Struct, frozen=True, kw_only=True):
    """A session as it was recorded. `held`: at least one member attended. `attendance` is by course."""

    id: str
    seq: int
    occurred_at: dt.datetime
    recorded_at: dt.datetime
    recorded_by: str
    scheduled_for: dt.datetime | None
    minutes: int | None
    medium: str
    kind: str
    held: bool
    attendance: dict[str, AttendanceView]


class GroupSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A group in a list. `members` counts those who have not left."""

    id: str
    label: str
    protocol: str
    protocol_version: int
    version: int
    facilitators: tuple[str, ...]
    members: int
    sessions: int
    created_at: dt.datetime


class GroupView(msgspec.Struct, frozen=True, kw_only=True):
    """A group. `version` is the number of lines of its log."""

    id: str
    label: str
    protocol: str
    protocol_version: int
    version: int
    facilitators: tuple[str, ...]
    size: GroupSize
    members: tuple[MemberView, ...]
    sessions: tuple[GroupSessionView, ...]
    created_at: dt.datetime
    created_by: str


class GroupCommitted(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a write to a group."""

    group: GroupView
    replayed: bool = False


class MemberAccepted(msgspec.Struct, frozen=True):
    """A member's course, and the entry that was written on it: `seq` is the course's version after it."""

    course: str
    seq: int


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """The result of recording a session. `version` is the group's. Each `refused` record waits in the inbox as its `notice`."""

    session: GroupSessionView
    version: int
    accepted: tuple[MemberAccepted, ...]
    refused: tuple[MemberRefused, ...]
    warnings: tuple[str, ...]


class SessionCommitted(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a write of a session."""

    recorded: Recorded
    replayed: bool = False


class Signed(msgspec.Struct, frozen=True, kw_only=True):
    """The members' courses on which a session was signed, and the courses that refused the signature."""

    signed: tuple[MemberAccepted, ...]
    refused: tuple[MemberRefused, ...]


class SignedSessions(msgspec.Struct, frozen=True, kw_only=True):
    """What was signed of several sessions, by the session's id."""

    sessions: dict[str, Signed]


class MemberFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a group's view needs beside its log: the members' courses, the clients' references, and the status of held records."""

    courses: Mapping[str, Course]
    client_refs: Mapping[str, str | None]
    notices: Mapping[str, str]


def summary(group: Group) -> GroupSummary:
    return GroupSummary(
        id=group.id,
        label=group.label,
        protocol=group.protocol,
        protocol_version=group.protocol_version,
        version=group.version,
        facilitators=group.facilitators,
        members=len(group.present),
        sessions=len(group.sessions),
        created_at=group.created_at,
    )


def view(group: Group, spec: GroupSpec, known: MemberFacts) -> GroupView:
    return GroupView(
        id=group.id,
        label=group.label,
        protocol=group.protocol,
        protocol_version=group.protocol_version,
        version=group.version,
        facilitators=group.facilitators,
        size=GroupSize(len(group.present), spec.members.min, spec.members.max),
        members=tuple(
            MemberView(
                course=member.course,
                client_ref=known.client_refs[member.course],
                state=known.courses[member.course].state,
                phase=known.courses[member.course].phase,
                joined_at=member.joined_at,
                left_at=member.left_at,
                reason=member.reason,
            )
            for member in group.members
        ),
        sessions=tuple(session_view(session, known) for session in group.sessions),
        created_at=group.created_at,
        created_by=group.created_by,
    )


def session_view(session: GroupSession, known: MemberFacts) -> GroupSessionView:
    return GroupSessionView(
        id=session.id,
        seq=session.seq,
        occurred_at=session.occurred_at,
        recorded_at=session.recorded_at,
        recorded_by=session.recorded_by,
        scheduled_for=session.scheduled_for,
        minutes=session.minutes,
        medium=session.medium,
        kind=session.kind,
        held=session.held,
        attendance={
            course: _attendance(session.id, attendance, known.courses[course], known) for course, attendance in session.told.items()
        },
    )


def _attendance(session_id: str, recorded: MemberAttendance, course: Course, known: MemberFacts) -> AttendanceView:
    entry = next((each for each in course.sessions if each.group_session == session_id), None)
    return AttendanceView(
        told=recorded.attendance,
        became="recorded" if entry else _without_entry(known.notices.get(recorded.notice or "")),
        attendance=entry.attendance if entry else None,
        seq=entry.seq if entry else None,
        notice=recorded.notice,
    )


def _without_entry(status: str | None) -> Became:
    """What became of an attendance that is no entry of the course, by the status of its held record."""
    if status == "waiting":
        return "waiting"
    return "dismissed" if status == "dismissed" else "taken_back"
