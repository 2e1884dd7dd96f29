"""What is committed: a unit of entries with all that belongs to them, or an event of the audit log; and how each may fail."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

import msgspec

from ipt_workflow.course import Course
from ipt_workflow.errors import IptError
from ipt_workflow.groups import GroupSession
from ipt_workflow.journal import Entry


class ActiveCourseExists(IptError):
    """The client has another open acute course: the unique index stands for the rule `one_active_course`."""


class KeyTaken(IptError):
    """Another request with this idempotency key was committed first."""


class ClientTaken(IptError):
    """Another request made the record of this client first."""


class CourseGrouped(IptError):
    """Another request put this course into a group, or took it out of one, first."""


class NewClient(msgspec.Struct, frozen=True):
    id: str
    ref: str


class CourseChange(msgspec.Struct, frozen=True, kw_only=True):
    """One course's new entries and what they make of it. `expected` is the version they were decided on, 0 for a new course."""

    course: Course
    expected: int
    entries: tuple[Entry, ...]
    attention: Mapping[str, dt.datetime]


class KeptAnswer(msgspec.Struct, frozen=True):
    """The answer to an idempotency key, until it expires: entries of a course, or a version of a group."""

    scope: str
    body: str
    course_id: str
    first_seq: int
    last_seq: int
    expires_at: dt.datetime


class DecidedProposal(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    by: str
    at: dt.datetime
    status: str
    entry_seq: int | None = None


class NewTherapyGroup(msgspec.Struct, frozen=True, kw_only=True):
    """The record of a group that its first line makes."""

    label: str
    protocol: str
    protocol_version: int
    created_at: dt.datetime
    created_by: str


class NamedFacilitators(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a group's log: who facilitates the group from now on."""

    people: tuple[str, ...]
    recorded_by: str
    recorded_at: dt.datetime


class MemberMove(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a group's log: a course joined or left. `nth` numbers the moves of the course, in whichever group."""

    course: str
    nth: int
    joined: bool
    at: dt.datetime
    reason: str | None = None
    recorded_by: str
    recorded_at: dt.datetime


class GroupLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a group's log. `expected` is the version of the group it was decided on; `new` makes the group."""

    group: str
    expected: int
    content: NamedFacilitators | MemberMove | GroupSession
    new: NewTherapyGroup | None = None


class LoggedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event of the audit log that is no transition, with every course it touched.

    `rules` are the rules that refused, `command` what a refusal keeps of the command. Subscribers receive it if `published`.
    """

    organisation: str
    id: str
    kind: str
    recorded_at: dt.datetime
    person: str
    role: str
    via: str
    action: str
    rules: tuple[str, ...] = ()
    request_id: str | None = None
    command: bytes | None = None
    courses: tuple[str, ...] = ()
    published: bool = False


class Unit(msgspec.Struct, frozen=True, kw_only=True):
    """What wins or loses as a whole: one or several entries of one or several courses, with all that belongs to them.

    With a line of a group's log it may hold no entry at all. `notices` are what waits of it for a person.
    """

    organisation: str
    changes: tuple[CourseChange, ...]
    client: NewClient | None = None
    answer: KeptAnswer | None = None
    proposal: DecidedProposal | None = None
    line: GroupLine | None = None
    notices: tuple[Mapping[str, Any], ...] = ()
    events: tuple[LoggedEvent, ...] = ()

    @property
    def courses(self) -> tuple[str, ...]:
        return tuple(change.course.id for change in self.changes)

    @property
    def recorded_at(self) -> dt.datetime:
        """When its entries, or its line of a group's log, were recorded."""
        if self.line:
            return self.line.content.recorded_at
        return self.changes[0].entries[-1].written.recorded_at

    @property
    def plain(self) -> bool:
        """Whether it goes on with one course that exists, and touches nothing else: such units share a transaction."""
        alone = self.client is None and self.proposal is None and self.line is None
        return alone and len(self.changes) == 1 and self.changes[0].expected > 0
