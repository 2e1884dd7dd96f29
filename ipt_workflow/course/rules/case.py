"""What a rule is given, and how it answers."""

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from ipt_workflow.course import triggers
from ipt_workflow.course.context import Context
from ipt_workflow.course.course import Course
from ipt_workflow.errors import Break, Refusal, Remedy, Severity
from ipt_workflow.protocols.definition import PhaseSpec, Protocol


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
