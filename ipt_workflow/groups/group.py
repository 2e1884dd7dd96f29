"""Groups: clients who meet together, each with a course of their own.

A group is the fold of its log, as a course is of its journal: who joined and left, who facilitates, which sessions were held. The
machine of each member's course decides what a session means to that course. This room says who was expected and what each course gets.
Nothing here does I/O.
"""

import datetime as dt
from collections.abc import Iterable, Sequence
from functools import reduce

import msgspec

from ipt_workflow.errors import CommandInvalid, Fault
from ipt_workflow.groups.bodies import LeaveReason
from ipt_workflow.values.types import AttendanceCode

LOG_MAX = 500  # lines of one group's log: members who join or leave, changes of facilitators, sessions


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One stay of a course in a group."""

    course: str
    joined_at: dt.datetime
    left_at: dt.datetime | None = None
    reason: LeaveReason | None = None

    def there(self, at: dt.datetime) -> bool:
        return self.joined_at <= at and (self.left_at is None or at < self.left_at)


class MemberAttendance(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One member's attendance. `seq` is the entry on the member's course; `notice` is the held record, where the course refused it."""

    attendance: AttendanceCode
    seq: int | None = None
    notice: str | None = None


class GroupSession(msgspec.Struct, frozen=True, kw_only=True):
    """One session as it was recorded. `held`: at least one member attended."""

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
    told: dict[str, MemberAttendance]  # the attendance by course, under the name it is stored by


class MemberEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a group's log: a course joined or left. `nth` counts these lines of the course over all groups."""

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
        """The members who have not left."""
        return tuple(member for member in self.members if member.left_at is None)

    @property
    def courses(self) -> tuple[str, ...]:
        """The course of every present or former member, each once."""
        return tuple(dict.fromkeys(member.course for member in self.members))

    def member(self, course: str) -> Member | None:
        return next((member for member in self.present if member.course == course), None)

    def there(self, at: dt.datetime) -> tuple[str, ...]:
        """The courses whose clients were members at a moment."""
        return tuple(dict.fromkeys(member.course for member in self.members if member.there(at)))

    def session(self, session_id: str) -> GroupSession | None:
        return next((session for session in self.sessions if session.id == session_id), None)


def members(events: Iterable[MemberEvent]) -> tuple[Member, ...]:
    """Every stay, by its beginning, from the lines of one group in their order."""
    return reduce(moved, events, ())


def moved(stays: tuple[Member, ...], event: MemberEvent) -> tuple[Member, ...]:
    """The stays after another line: one more, or the open one of its course ended."""
    if event.joined:
        return (*stays, Member(course=event.course, joined_at=event.at))
    return tuple(
        msgspec.structs.replace(stay, left_at=event.at, reason=event.reason)
        if stay.course == event.course and stay.left_at is None
        else stay
        for stay in stays
    )


def check_facilitators(facilitators: Sequence[str]) -> None:
    """Raises CommandInvalid where nobody is named, or somebody twice."""
    if not facilitators:
        raise CommandInvalid([Fault("facilitators", "must name at least one therapist")])
    if len(set(facilitators)) < len(facilitators):
        raise CommandInvalid([Fault("facilitators", "must name each therapist once")])
