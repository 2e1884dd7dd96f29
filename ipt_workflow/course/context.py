"""What deciding needs from outside: who acts, when, and what is known of other courses."""

import datetime as dt
from collections.abc import Mapping
from typing import Any, Literal
from zoneinfo import ZoneInfo

import msgspec

from ipt_workflow.course import triggers
from ipt_workflow.course.facts import Fact
from ipt_workflow.protocols.definition import Protocol

Via = Literal["api", "cli", "pages", "ehr"]


class Actor(msgspec.Struct, frozen=True):
    """A verified person or system. `person` is the subject of a token and never reused."""

    person: str
    role: triggers.Role
    via: Via = "api"

    @property
    def gives_sessions(self) -> bool:
        """Whether this is a therapist: by role, or named as such by an EHR, whose own name would be `ehr:<source>`."""
        return self.role == "therapist" or (self.via == "ehr" and not self.person.startswith("ehr:"))


class GroupHeld(msgspec.Struct, frozen=True):
    """A group's session as one of its members' courses is told of it: its id, whether any member was there, and who gave it."""

    id: str
    held: bool
    given_by: str


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """What deciding needs from outside the course. `now` is the moment of recording.

    `other_open_course` is the client's other open acute course (for `relink_client`: the new client's). `history` holds the
    course's entries as facts and `given` the data they were given, by seq (none where it was erased); both are
    needed for late entries, amendments, changes of protocol and options. `protocols` are those a course may have had, by digest: what
    is told late is judged under the one of its time. `target` is the protocol that `change_protocol`, `migrate_protocol` or
    `open_followup` names; `group_session` is the group's of which a `record_session` tells; `client` and `therapist` stand beside the data of what opens or relinks a course.
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
    ahead_seconds: int = 300
    group_session: GroupHeld | None = None


def supervisor_of(context: Context) -> Actor | None:
    """The supervisor who agrees to this: the actor, or the cosigner."""
    if context.actor.role == "supervisor":
        return context.actor
    return context.cosigner
