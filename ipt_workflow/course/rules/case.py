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
from ipt_workflow.protocols.definition import PhaseSpec, Protocol


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
        """The rule's refusal. `parameters` fill its sentence; `remedies` are triggers, by name or with data."""
        return self._refusal(
            message_id,
            parameters,
            current=current,
            required=required,
            remedies=tuple(each if isinstance(each, Remedy) else self.remedy(each) for each in remedies),
            earliest=earliest,
            severity=severity,
        )

    def needs_supervisor(self, message_id: str, *, current: Any, required: Any, **parameters: Parameter) -> Refusal:
        """A refusal whose remedy is the same command as a proposal, which a supervisor cosigns."""
        remedy = Remedy(trigger=self.trigger, roles=("supervisor",))
        return self._refusal(message_id, parameters, current=current, required=required, remedies=(remedy,))

    def _refusal(
        self,
        message_id: str,
        parameters: dict[str, Parameter],
        *,
        current: Any,
        required: Any,
        remedies: tuple[Remedy, ...],
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
            remedies=remedies,
            earliest=earliest,
            source=self.source,
        )

    def remedy(self, name: str, **data: Any) -> Remedy:
        """A trigger that helps, perhaps with its data. The table says who may fire it.

        A change of state that is on record with a later time helps only once its time is corrected: at the latest to this one.
        """
        later, row = self.context.later.get(name), triggers.find(name, self.protocol)
        if later is not None and row is not None and row.amendable:
            return self.remedy("amend", supersedes=later, occurred_at=self.at.isoformat())
        return Remedy(trigger=name, roles=row.roles if row else (), data=data)

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
