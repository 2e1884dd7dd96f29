"""What the committer writes: a unit (entries with all that belongs to them) or an event of the audit log; and how either may fail."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

import msgspec

from ipt_workflow.access.client_keys import ClientKey
from ipt_workflow.access.relations import Relation
from ipt_workflow.course import Course
from ipt_workflow.errors import IptError, StaleVersion
from ipt_workflow.groups import GroupSession
from ipt_workflow.groups.bodies import LeaveReason
from ipt_workflow.journal import Entry
from ipt_workflow.store.notices import NewNotice, SettledNotice
from ipt_workflow.store.proposals import LapseReason


class ActiveCourseExists(IptError):
    """The client has another open acute course. The unique index enforces the rule `one_active_course` under concurrency."""


class KeyTaken(IptError):
    """Another request with this idempotency key was committed first."""


class ClientTaken(IptError):
    """Another request created this client's record first."""


class CourseGrouped(IptError):
    """Another request changed this course's group first."""


class OtherCourseStale(StaleVersion):
    """A write of several courses lost at one that the caller did not name, so it can be decided again. `current` is its version."""


class NewClient(msgspec.Struct, frozen=True):
    id: str
    ref: str


class CourseChange(msgspec.Struct, frozen=True, kw_only=True):
    """One course's new entries, and the course after them. `expected` is the version they were decided on, 0 for a new course.

    `relation` is that of the person who writes to the course. A new course is `restricted_as` an earlier one of its client.
    `known_key` is the id of the key that the course had when it was read, and `key` the one under which the texts are sealed. A key that was
    made just now is stored with a new course.
    """

    course: Course
    expected: int
    entries: tuple[Entry, ...]
    attention: Mapping[str, dt.datetime]
    relation: Relation | None = None
    restricted_as: str | None = None
    known_key: str | None = None
    key: ClientKey | None = None


IMPORTED = "import:"  # begins the scopes of lines of a file


class KeptAnswer(msgspec.Struct, frozen=True):
    """What a request with an idempotency key wrote, kept until the key expires: entries of a course, or a version of a group."""

    scope: str
    body: str
    course_id: str
    first_seq: int
    last_seq: int
    expires_at: dt.datetime


class DecidedProposal(msgspec.Struct, frozen=True, kw_only=True):
    """A proposal that no longer waits. A lapsed one has a `reason`, and nobody who decided it. One that is returned has a `comment`."""

    id: str
    by: str | None
    at: dt.datetime
    status: str
    entry_seq: int | None = None
    reason: LapseReason | None = None
    comment: bytes | None = None


class NewTherapyGroup(msgspec.Struct, frozen=True, kw_only=True):
    """The group that the first line of its log creates."""

    label: str
    protocol: str
    protocol_version: int
    created_at: dt.datetime
    created_by: str


class NamedFacilitators(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a group's log that names its facilitators from now on."""

    people: tuple[str, ...]
    recorded_by: str
    recorded_at: dt.datetime


class MemberMove(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a group's log: a course joined or left. `nth` numbers the moves of the course through all groups."""

    course: str
    nth: int
    joined: bool
    at: dt.datetime
    reason: LeaveReason | None = None
    recorded_by: str
    recorded_at: dt.datetime


class GroupLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a group's log. `expected` is the group's version it was decided on. With `new` it creates the group."""

    group: str
    expected: int
    content: NamedFacilitators | MemberMove | GroupSession
    new: NewTherapyGroup | None = None


class LoggedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event of the audit log other than a transition, with every course it touched.

    For a refusal, `rules` are the rules that refused and `command` is what is kept of the command. `details` are further facts about what
    was done, as JSON values; they are for ever, so they hold nothing about a client. Subscribers receive the event if it is `published`.
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
    basis: str | None = None
    purpose: str | None = None
    command: bytes | None = None
    details: Mapping[str, Any] | None = None
    courses: tuple[str, ...] = ()
    published: bool = False

    @property
    def organisations(self) -> frozenset[str]:
        """Whose rows it writes."""
        return frozenset({self.organisation})


class MovedEntries(msgspec.Struct, frozen=True, kw_only=True):
    """Entries that a unit moves from one course to another. `numbers` are their seqs in the other course, by their seqs here.

    The entries `emptied` lose their sealed text, as an erasure empties it. The notices about moved entries follow them.
    """

    source: str
    target: str
    emptied: tuple[int, ...]
    numbers: Mapping[int, int]


class Unit(msgspec.Struct, frozen=True, kw_only=True):
    """Entries of one or more courses, with all that belongs to them. It is written whole or not at all.

    A unit has a change, a line of a group's log, or a notice. `proposal` is the one that is cosigned, and `lapsed` are those that can
    never pass after it. `settled` says what became of notices that are stored already. `request_id` is that of the request behind it.
    """

    organisation: str
    changes: tuple[CourseChange, ...]
    client: NewClient | None = None
    answer: KeptAnswer | None = None
    proposal: DecidedProposal | None = None
    moved: MovedEntries | None = None
    lapsed: tuple[DecidedProposal, ...] = ()
    line: GroupLine | None = None
    notices: tuple[NewNotice, ...] = ()
    settled: tuple[SettledNotice, ...] = ()
    events: tuple[LoggedEvent, ...] = ()
    request_id: str | None = None

    @property
    def organisations(self) -> frozenset[str]:
        """Whose rows it writes."""
        return frozenset({self.organisation, *(event.organisation for event in self.events)})

    @property
    def courses(self) -> tuple[str, ...]:
        return tuple(change.course.id for change in self.changes)

    @property
    def recorded_at(self) -> dt.datetime:
        """When its entries, its line of a group's log, or its notices were recorded."""
        if self.line:
            return self.line.content.recorded_at
        if self.changes:
            return self.changes[0].entries[-1].written.recorded_at
        return self.notices[0].received_at

    @property
    def plain(self) -> bool:
        """Whether it continues at most one existing course, and changes no other row. Such units share a transaction."""
        alone = self.client is None and self.proposal is None and self.line is None and not self.settled and not self.lapsed
        return alone and len(self.changes) <= 1 and all(change.expected > 0 for change in self.changes)
