"""Groups: clients who meet together, each with a course of their own. Pure: what is told of a group, and what stands against it.

A group is the fold of its log, as a course is of its journal: who joined and left, who facilitates, which sessions were held. What a
session is to a member's course, that course's machine decides; here it is only said who was expected and what each course is told.
"""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from ipt_workflow.course import Course
from ipt_workflow.course.context import Via
from ipt_workflow.course.rules import Actor, GroupHeld
from ipt_workflow.course.triggers import Command
from ipt_workflow.errors import CommandInvalid, Fault, Refusal
from ipt_workflow.groups.bodies import LeaveReason, MemberDetails, NewSession, Signing
from ipt_workflow.protocols.definition import GroupSpec
from ipt_workflow.values.types import ATTENDED, CANCELLED, AttendanceCode, Moment

LOG_MAX = 500  # joinings, leavings, changes of facilitators and sessions of one group
RULES = {
    "group_protocol": "The member's course runs the group's protocol, at the group's version.",
    "group_course_open": "The member's course is open.",
    "group_one_at_a_time": "A course is in one group at a time.",
    "group_room": "A group has no more members than its protocol's `[group] members` allows.",
    "group_times_in_order": "A course joins after it was opened and after it last left a group; it leaves after it joined and after the last session it attended.",
    "group_member": "Who leaves is a member.",
    "group_session_once": "A session of one moment is told of once, as long as an entry of it stands.",
    "group_log_bounded": f"A group's log has at most {LOG_MAX} lines.",
}

SOURCE = "group"  # whom a record that waits in the inbox came from
WAITS = "group.session"  # and its type there


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One stay of a course in a group."""

    course: str
    joined_at: dt.datetime
    left_at: dt.datetime | None = None
    reason: LeaveReason | None = None

    def there(self, at: dt.datetime) -> bool:
        return self.joined_at <= at and (self.left_at is None or at < self.left_at)


class MemberAttendance(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one course was told of a session, and what came of it: `seq` is the entry it became, `notice` the one it waited as."""

    attendance: AttendanceCode
    seq: int | None = None
    notice: str | None = None


class GroupSession(msgspec.Struct, frozen=True, kw_only=True):
    """One session as it was told. `held`: at least one member was there."""

    id: str
    seq: int
    occurred_at: dt.datetime
    recorded_at: dt.datetime
    recorded_by: str
    kind: str
    medium: str
    minutes: int | None
    scheduled_for: dt.datetime | None
    held: bool
    told: dict[str, MemberAttendance]  # by course


class MemberEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a group's log: a course joined or left. `nth` counts such lines of the course, in whichever group."""

    course: str
    group: str
    nth: int
    seq: int
    joined: bool
    at: dt.datetime
    reason: LeaveReason | None = None


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """The fold of a group's log; `version` is its last line's seq."""

    id: str
    label: str
    protocol: str
    protocol_version: int
    created_at: dt.datetime
    created_by: str
    version: int
    facilitators: tuple[str, ...]
    members: tuple[Member, ...] = ()
    sessions: tuple[GroupSession, ...] = ()

    @property
    def present(self) -> tuple[Member, ...]:
        """Those who have not left."""
        return tuple(member for member in self.members if member.left_at is None)

    @property
    def courses(self) -> tuple[str, ...]:
        """Every course that was ever a member's, each once."""
        return tuple(dict.fromkeys(member.course for member in self.members))

    def member(self, course: str) -> Member | None:
        return next((member for member in self.present if member.course == course), None)

    def there(self, at: dt.datetime) -> tuple[str, ...]:
        """The courses whose clients were members at a moment."""
        return tuple(dict.fromkeys(member.course for member in self.members if member.there(at)))

    def session(self, session_id: str) -> GroupSession | None:
        return next((session for session in self.sessions if session.id == session_id), None)


def members(events: Iterable[MemberEvent]) -> tuple[Member, ...]:
    """Every stay, in the order they began, from a group's lines in their order."""
    stays: list[Member] = []
    current: dict[str, int] = {}
    for event in events:
        if event.joined:
            current[event.course] = len(stays)
            stays.append(Member(course=event.course, joined_at=event.at))
        else:
            index = current.pop(event.course)
            stays[index] = msgspec.structs.replace(stays[index], left_at=event.at, reason=event.reason)
    return tuple(stays)


# What stands against a line of the log


def _stands(rule: str, message: str, *, current: Any, required: Any, source: str = "design") -> Refusal:
    return Refusal(rule=rule, severity="hard", message=message, current=current, required=required, source=source)


def _bounded(group: Group) -> list[Refusal]:
    if group.version < LOG_MAX:
        return []
    return [
        _stands(
            "group_log_bounded",
            "The group's log is full. Make another group.",
            current=group.version,
            required=f"fewer than {LOG_MAX}",
        )
    ]


def joining(group: Group, spec: GroupSpec, course: Course, at: dt.datetime, last: MemberEvent | None) -> tuple[Refusal, ...]:
    """What stands against a course's joining; `last` is the last line about it, in whichever group."""
    refusals = _bounded(group)
    runs, wanted = f"{course.protocol}@{course.protocol_version}", f"{group.protocol}@{group.protocol_version}"
    if runs != wanted:
        refusals.append(
            _stands("group_protocol", "The course runs another protocol.", current=runs, required=wanted, source="domain I30")
        )
    if not course.open:
        refusals.append(_stands("group_course_open", "The course has ended.", current=course.state, required="an open course"))
    if last and last.joined:
        where = "this group" if last.group == group.id else "another group"
        refusals.append(
            _stands("group_one_at_a_time", f"The course is in {where}.", current=where, required="no group", source="domain I30")
        )
    if len(group.present) >= spec.members.max:
        refusals.append(
            _stands(
                "group_room",
                "The group is full.",
                current=len(group.present),
                required=f"fewer than {spec.members.max}",
                source="domain 2",
            )
        )
    earliest = max(course.opened_at, last.at) if last else course.opened_at
    return (*refusals, *_in_order(at, earliest, "The course cannot have joined then."))


def leaving(group: Group, course: str, at: dt.datetime) -> tuple[Refusal, ...]:
    """What stands against a member's leaving."""
    member = group.member(course)
    if member is None:
        return (_stands("group_member", "The course is not in this group.", current=None, required="a member"),)
    attended = [each.occurred_at for each in group.sessions if course in each.told and each.told[course].attendance in ATTENDED]
    earliest = max([member.joined_at, *attended])
    return (*_bounded(group), *_in_order(at, earliest, "The member cannot have left then."))


def _in_order(at: dt.datetime, earliest: dt.datetime, message: str) -> list[Refusal]:
    if at >= earliest:
        return []
    return [_stands("group_times_in_order", message, current=at.isoformat(), required=f"{earliest.isoformat()} or later")]


def recording(group: Group, at: dt.datetime, courses: Mapping[str, Course]) -> tuple[Refusal, ...]:
    """What stands against telling of a session at all. What each course says to it is its machine's to judge."""
    same = {session.id for session in group.sessions if session.occurred_at == at}
    stands = {each.group_session for course in courses.values() for each in course.sessions} & same
    if not stands:
        return tuple(_bounded(group))
    refusal = _stands(
        "group_session_once",
        "This session is on record already. Amend the entries that are wrong; what waits is resolved in the inbox.",
        current=sorted(filter(None, stands)),
        required="a session not yet recorded",
    )
    return (*_bounded(group), refusal)


# What is told of a session


def missing(group: Group, at: dt.datetime, told: NewSession, closed: Iterable[str]) -> list[Fault]:
    """Whose attendance is not told, and who was told of that is no member: of those whose course is `closed` nobody need tell."""
    there = group.there(at)
    given = told.attendance
    faults = [Fault("attendance", f"lacks the member {course}") for course in there if course not in {*given, *closed}]
    faults += [Fault(f"attendance.{course}", "was no member of the group then") for course in given if course not in there]
    return faults + [Fault(f"details.{course}", "has no attendance") for course in told.details if course not in given]


def moment(told: NewSession, now: dt.datetime, ahead_seconds: int) -> dt.datetime:
    """When the session was, the same for every member: now, unless told. A little ahead is a clock that runs fast, and taken as now.

    What lies further ahead each course judges for itself: only what was cancelled may.
    """
    at = told.occurred_at.astimezone(dt.UTC) if told.occurred_at else now
    called_off = set(told.attendance.values()) <= CANCELLED
    runs_fast = now < at <= now + dt.timedelta(seconds=ahead_seconds)
    return now if runs_fast and not called_off else at


def is_held(attendance: Iterable[str]) -> bool:
    """Whether the group met: at least one member was there."""
    return any(code in ATTENDED for code in attendance)


def command(told: NewSession, course: str, at: dt.datetime) -> Command:
    """What one member's course is told of a session."""
    attendance, details = told.attendance[course], told.details.get(course, MemberDetails())
    data = {
        "attendance": attendance,
        "kind": told.kind,
        "medium": told.medium,
        "minutes": told.minutes,
        "participants": participants(attendance, held=is_held(told.attendance.values())),
        "scheduled_for": told.scheduled_for.isoformat() if told.scheduled_for else None,
        **msgspec.to_builtins(details),
    }
    return Command("record_session", {name: value for name, value in data.items() if value is not None}, at, told.reason)


def signature(told: Signing, course: str, seq: int) -> Command:
    """A session signed on one member's course, where it is entry `seq`."""
    data = {"session": seq, "focus": told.focus.get(course), "techniques": list(told.techniques), "summary": told.summary}
    return Command("sign_session", {name: value for name, value in data.items() if value is not None})


def participants(attendance: str, *, held: bool) -> list[str]:
    """Who took part, as far as this client's record goes."""
    client = ["client"] if attendance in ATTENDED or not held else []
    return client + (["group"] if held else [])


class Why(msgspec.Struct, frozen=True):
    """Why a record waits: nothing where it does not wait any more."""

    why: str | None = None
    refusals: tuple[Refusal, ...] = ()


class HeldRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What one course was told of a session and refused, as it waits. `data` is as of a `record_session`, with `occurred_at`."""

    type: Literal["group.session"] = "group.session"
    group: str
    session: str
    held: bool
    given_by: str
    told_by: str
    via: Via
    data: dict[str, Any]
    reason: str | None = None


def waiting(group: Group, as_told: GroupHeld, told: Command, actor: Actor) -> HeldRecord:
    assert told.occurred_at is not None  # `command` has set it
    data = {"occurred_at": told.occurred_at.isoformat(), **told.data}
    return HeldRecord(
        group=group.id,
        session=as_told.id,
        held=as_told.held,
        given_by=as_told.given_by,
        told_by=actor.person,
        via=actor.via,
        data=data,
        reason=told.reason,
    )


def again(record: HeldRecord) -> tuple[Command, GroupHeld]:
    """What a record that waited comes to when it is told again, perhaps corrected. Raises CommandInvalid."""
    data = dict(record.data)
    try:
        at = msgspec.convert(data.pop("occurred_at", None), Moment)
    except msgspec.ValidationError:
        raise CommandInvalid([Fault("data.occurred_at", "must be an RFC 3339 time with an offset")]) from None
    attendance = data.get("attendance")
    held = record.held or attendance in ATTENDED
    data["participants"] = participants(str(attendance), held=held)
    return Command("record_session", data, at, record.reason), GroupHeld(id=record.session, held=held, given_by=record.given_by)


def as_told_to(group: Group, session: str, course: Course, teller: str, *, held: bool) -> GroupHeld:
    """A session as a member's course is told of it. The facilitators give it together: its own therapist, where that is one of them."""
    own = course.therapist if course.therapist in group.facilitators else None
    return GroupHeld(id=session, held=held, given_by=own or teller)


def warnings(spec: GroupSpec, there: Sequence[str]) -> tuple[str, ...]:
    """What is told with a session that was recorded all the same."""
    if len(there) >= spec.members.min:
        return ()
    return (f"The group has {len(there)} member{'' if len(there) == 1 else 's'}; its protocol asks for {spec.members}.",)


def check_facilitators(told: Sequence[str]) -> None:
    """Raises CommandInvalid."""
    if not told:
        raise CommandInvalid([Fault("facilitators", "must name at least one therapist")])
    if len(set(told)) < len(told):
        raise CommandInvalid([Fault("facilitators", "must name each therapist once")])
