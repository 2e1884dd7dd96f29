"""Everything outside the course that a decision needs: the actor, the time, and other courses of the client."""

import datetime as dt
from collections.abc import Mapping
from typing import Any, Literal
from zoneinfo import ZoneInfo

import msgspec

from ipt_workflow.course import triggers
from ipt_workflow.course.course import Course, HeldBefore, Session
from ipt_workflow.course.facts import Fact
from ipt_workflow.course.follow_up import CarriedOver
from ipt_workflow.errors import Break
from ipt_workflow.protocols.definition import Protocol

Via = Literal["api", "cli", "pages", "ehr"]


class Actor(msgspec.Struct, frozen=True):
    """A verified person or system. `person` is the subject of a token and is never reused."""

    person: str
    role: triggers.Role
    via: Via = "api"

    @property
    def gives_sessions(self) -> bool:
        """Whether this is a therapist: by role, or by name in a notice. An EHR's own name is `ehr:<source>`."""
        return self.role == "therapist" or (self.via == "ehr" and not self.person.startswith("ehr:"))


class GroupHeld(msgspec.Struct, frozen=True):
    """A group's session, for the course of one member: its id, whether any member attended, and who gave it."""

    id: str
    held: bool
    given_by: str


class OtherCourse(msgspec.Struct, frozen=True, kw_only=True):
    """The course to which `move_entries` moves entries, with its history and the sealed data of its entries by seq.

    `reasons` are those that the moving entries gave, by their seq in the course that they leave. `refused` are the moving entries
    that this course refuses: the machine finds them.
    """

    course: Course
    history: tuple[Fact, ...]
    given: Mapping[int, dict[str, Any]]
    reasons: Mapping[int, str] = {}
    refused: tuple[Break, ...] = ()


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """Everything outside the course that a decision needs. `now` is the moment of recording.

    `other_open_course` is the client's other open acute course. For `relink_client` it is the new client's.
    `history` holds the course's entries as facts, `given` their sealed data by seq; erased data is missing. Late entries, amendments,
    changes of protocol and options need both.
    `protocols` are those that the course may have had, by digest. A late entry is judged under the protocol of its time.
    `target` is the protocol that `change_protocol`, `migrate_protocol` or `open_followup` names.
    `processing` is the ground of a processing restriction on the client.
    `client`, `therapist`, `linked_from` and `carried` complete the data of triggers that open or relink a course.
    `group_session` is the group's session that a `record_session` belongs to, or that a `link_session` links to.
    `other_course` is the course to which `move_entries` moves entries.
    `held_before` is what the client's group had held before the client joined. Sessions of a group and contracts need it.
    `other_sessions` are the sessions that a late entry or an amendment leaves as they are, before its place and after it.
    `present` is the course as it is now, where something is judged in an earlier place.
    `later` are the changes of state on record that come after a late entry's place: for each trigger the entry to amend.
    `example_therapist` and `example_supervisor` are people whom examples may name; without a therapist, the course's.
    `again` marks an entry on record that is judged again. What happens at its own moment comes after it.
    """

    now: dt.datetime
    actor: Actor
    cosigner: Actor | None = None
    zone: ZoneInfo = ZoneInfo("UTC")
    other_open_course: str | None = None
    history: tuple[Fact, ...] = ()
    given: Mapping[int, dict[str, Any]] = {}
    protocols: Mapping[str, Protocol] = {}
    target: Protocol | None = None
    course_id: str | None = None
    client: str | None = None
    therapist: str | None = None
    linked_from: str | None = None
    carried: CarriedOver | None = None
    ahead_seconds: int = 300
    group_session: GroupHeld | None = None
    other_course: OtherCourse | None = None
    held_before: HeldBefore | None = None
    other_sessions: tuple[Session, ...] = ()
    present: Course | None = None
    later: Mapping[str, int] = {}
    example_therapist: str | None = None
    example_supervisor: str | None = "supervisor"
    again: bool = False
    processing: str | None = None


def supervisor_of(context: Context) -> Actor | None:
    """The supervisor who agrees: the actor or the cosigner."""
    if context.actor.role == "supervisor":
        return context.actor
    return context.cosigner
