"""What a rule is given, and how it answers."""

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any, Literal
from zoneinfo import ZoneInfo

import msgspec

from ipt_workflow import triggers
from ipt_workflow.course import Course
from ipt_workflow.errors import Break, Refusal, Remedy, Severity
from ipt_workflow.fact import Fact
from ipt_workflow.protocols.definition import PhaseSpec, Protocol

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


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One rule's question: may `trigger` happen to this course, at this moment, by this actor?

    `at` is when it happens, `data` its structural data. `course` is None only for what opens a course.
    """

    protocol: Protocol
    course: Course
    trigger: str
    data: dict[str, Any]
    at: dt.datetime
    context: Context
    rule: str = ""
    severity: Severity = "hard"
    parameters: Mapping[str, Any] = {}
    source: str = ""
    breaks: tuple[Break, ...] = ()  # later entries that would not hold, for what is placed before them
    obstacles: tuple[str, ...] = ()  # why the course would be stuck under the version it is to migrate to

    @property
    def phase(self) -> PhaseSpec:
        """The phase the course is in, or was in last."""
        return self.protocol.phase(self.course.phase or self.protocol.first.id)

    def stands(
        self,
        message: str,
        *,
        current: Any,
        required: Any,
        remedies: tuple[str, ...] = (),
        earliest: dt.datetime | None = None,
        severity: Severity | None = None,
    ) -> Refusal:
        """The rule stands against the trigger. Remedies are triggers' names; the table says who may fire them."""
        return Refusal(
            rule=self.rule,
            severity=severity or self.severity,
            message=message,
            current=current,
            required=required,
            remedies=tuple(self.remedy(name) for name in remedies),
            earliest=earliest,
            source=self.source,
        )

    def remedy(self, name: str) -> Remedy:
        row = triggers.find(name, self.protocol)
        return Remedy(trigger=name, roles=row.roles if row else ())

    def day(self, moment: dt.datetime) -> dt.date:
        """The day of a moment, in the organisation's time zone."""
        return moment.astimezone(self.context.zone).date()


def supervisor_of(context: Context) -> Actor | None:
    """The supervisor who agrees to this: the actor, or the cosigner."""
    if context.actor.role == "supervisor":
        return context.actor
    return context.cosigner


class Rule(msgspec.Struct, frozen=True):
    """A named rule. `structural` rules keep the order of phases, the counts, the sick role and one entry for one event.

    `says` is what the rule demands, as its docstring tells.
    """

    name: str
    says: str
    judge: Callable[[Case], Refusal | None]
    source: str
    structural: bool
    soft: bool
    parameters: frozenset[str]
    needs: str | None = None  # the table of the protocol without which there is nothing to ask


REGISTRY: dict[str, Rule] = {}


def rule(
    *, source: str, structural: bool = False, soft: bool = False, parameters: tuple[str, ...] = (), needs: str | None = None
) -> Callable[[Callable[[Case], Refusal | None]], Callable[[Case], Refusal | None]]:
    """Registers a rule under its function's name."""

    def register(judge: Callable[[Case], Refusal | None]) -> Callable[[Case], Refusal | None]:
        REGISTRY[judge.__name__] = Rule(
            name=judge.__name__,
            says=" ".join((judge.__doc__ or "").split()),
            judge=judge,
            source=source,
            structural=structural,
            soft=soft,
            parameters=frozenset(parameters),
            needs=needs,
        )
        return judge

    return register
