"""What a rule is given, and how it refuses."""

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from ipt_workflow.course import triggers
from ipt_workflow.course.context import Context
from ipt_workflow.course.course import Course
from ipt_workflow.course.rules.messages import MESSAGES, render
from ipt_workflow.errors import Break, Parameter, Refusal, Remedy, Severity
from ipt_workflow.protocols.definition import NEW, PAUSED, PhaseSpec, Protocol

MOMENT = dt.timedelta(seconds=1)


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One rule's question: may `trigger` happen to this course, at this moment, by this actor?

    `at` is when it happens, `data` its structural data. `course` is None only for a trigger that opens a course.
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
    breaks: tuple[Break, ...] = ()  # for a late entry: the later entries that would no longer pass their rules
    obstacles: tuple[str, ...] = ()  # for a migration: why the course would be stuck under the new version
    worded: bool = True  # False for a list of requirements, which shows no sentences: to word a refusal takes longer than to judge
    foreseen: bool = False  # True for a gate to come: its remedies are those of its own time, not only what can be fired now

    @property
    def phase(self) -> PhaseSpec:
        """The phase the course is in, or was in last."""
        return self.protocol.phase(self.course.phase or self.protocol.first.id)

    def refuses(
        self,
        message_id: str,
        *,
        current: Any,
        required: Any,
        remedies: tuple[str | Remedy, ...] = (),
        earliest: dt.datetime | None = None,
        severity: Severity | None = None,
        **parameters: Parameter,
    ) -> Refusal:
        """The rule's refusal. `parameters` fill its sentence; `remedies` are triggers, by name or with data.

        A remedy that the course's state excludes is left out.
        """
        return self._refusal(
            message_id, parameters, current=current, required=required, remedies=remedies, earliest=earliest, severity=severity
        )

    def _refusal(
        self,
        message_id: str,
        parameters: dict[str, Parameter],
        *,
        current: Any,
        required: Any,
        remedies: tuple[str | Remedy, ...],
        earliest: dt.datetime | None = None,
        severity: Severity | None = None,
    ) -> Refusal:
        severity = severity or self.severity
        return Refusal(
            rule=self.rule,
            severity=severity,
            message=render(MESSAGES[message_id], parameters, rule=self.rule, severity=severity) if self.worded else "",
            message_id=message_id,
            parameters=parameters,
            current=current,
            required=required,
            remedies=self._possible(remedies),
            earliest=earliest,
            source=self.source,
        )

    def needs_supervisor(self, message_id: str, *, current: Any, required: Any, **parameters: Parameter) -> Refusal:
        """A refusal whose remedy is the same command as a proposal, or fired by a supervisor if the trigger is one of theirs."""
        roles = self.remedy(self.trigger).roles
        firing = ("supervisor",) if "supervisor" in roles and self.context.actor.role != "supervisor" else ()
        proposing = tuple(role for role in roles if role in triggers.PROPOSERS and role not in firing)
        remedies = (
            Remedy(trigger=self.trigger, roles=proposing, via="proposal"),
            *(Remedy(trigger=self.trigger, roles=(role,)) for role in firing),
        )
        return self._refusal(message_id, parameters, current=current, required=required, remedies=remedies)

    def remedy(self, name: str, **data: Any) -> Remedy:
        """A trigger that helps, perhaps with its data. The table says who may fire it.

        A change of state that is on record with a later time helps only once its time is corrected: at the latest to this one, or to
        a moment before an entry that is on record.
        """
        later, row = self.context.later.get(name), triggers.find(name, self.protocol)
        if later is not None and row is not None and row.amendable:
            latest = self.at - MOMENT if self.context.again else self.at
            return self.remedy("amend", supersedes=later, occurred_at=latest.isoformat())
        return Remedy(trigger=name, roles=row.roles if row else (), data=data)

    @property
    def late(self) -> bool:
        """Whether this is judged in an earlier place than the end of the course."""
        return self.context.present is not None

    def allows(self, name: str) -> bool:
        """Whether the course's state allows a trigger. A change of state must be allowed now: it may have happened already."""
        here, row = self.course, triggers.row_of(name)
        if self.context.present is not None and row is not None and row.changes_state:
            here = self.context.present
        return (here.state if here else NEW) in triggers.sources(self.protocol, name)

    def _possible(self, remedies: tuple[str | Remedy, ...]) -> tuple[Remedy, ...]:
        """The remedies that the course's state allows. Where a pause excludes one, the course is resumed first."""
        possible: list[Remedy] = []
        for each in remedies:
            remedy = each if isinstance(each, Remedy) else self.remedy(each)
            if not (self.foreseen or remedy.course or remedy.via == "together" or self.allows(remedy.trigger)):
                if not self._after_resuming(remedy.trigger):
                    continue
                remedy = self.remedy("resume")
            if remedy not in possible:
                possible.append(remedy)
        return tuple(possible)

    def _after_resuming(self, name: str) -> bool:
        """Whether a trigger is possible as soon as the pause is over."""
        course = self.course
        if course is None or course.state != PAUSED or not self.allows("resume"):
            return False
        return course.phase in triggers.sources(self.protocol, name)

    def day(self, moment: dt.datetime) -> dt.date:
        """The day of a moment, in the organisation's time zone."""
        return moment.astimezone(self.context.zone).date()


class Rule(msgspec.Struct, frozen=True):
    """A named rule; `says` is what it demands, from its docstring.

    Structural rules keep the order of phases, the counts, the sick role and one entry for one event. A rule of safety, with
    `both_times`, is asked twice: by what had happened at the trigger's time, and by what is known when it is fired.
    """

    name: str
    says: str
    judge: Callable[[Case], Refusal | None]
    source: str
    structural: bool
    both_times: bool
    soft: bool
    parameters: frozenset[str]
    needs: str | None = None  # the table of a protocol without which the rule does not apply


REGISTRY: dict[str, Rule] = {}


def rule(
    *,
    source: str,
    structural: bool = False,
    both_times: bool = False,
    soft: bool = False,
    parameters: tuple[str, ...] = (),
    needs: str | None = None,
) -> Callable[[Callable[[Case], Refusal | None]], Callable[[Case], Refusal | None]]:
    """Registers a rule under its function's name."""

    def register(judge: Callable[[Case], Refusal | None]) -> Callable[[Case], Refusal | None]:
        REGISTRY[judge.__name__] = Rule(
            name=judge.__name__,
            says=" ".join((judge.__doc__ or "").split()),
            judge=judge,
            source=source,
            structural=structural,
            both_times=both_times,
            soft=soft,
            parameters=frozenset(parameters),
            needs=needs,
        )
        return judge

    return register
