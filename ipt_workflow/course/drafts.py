"""The draft of an entry, the machine's verdict, and the machine as late entries and migrations see it."""

import datetime as dt
from typing import Any, Protocol

import msgspec

from ipt_workflow.course.commands import Prepared
from ipt_workflow.course.course import Course
from ipt_workflow.course.facts import EntryActor, Fact
from ipt_workflow.course.rules import Actor, Context
from ipt_workflow.course.triggers import Override
from ipt_workflow.errors import Break, Refusal
from ipt_workflow.protocols import definition as protocols


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """An accepted trigger before it is in the journal: its fact, and the parts to seal (`given`, `reason`, `override`)."""

    fact: Fact
    from_: str | None
    to: str
    given: dict[str, Any]
    reason: str | None = None
    override: Override | None = None


class Verdict(msgspec.Struct, frozen=True):
    """Where a trigger leads, the refusals, and the soft rules that the command overrode."""

    to: str
    refusals: tuple[Refusal, ...]
    overridden: tuple[str, ...]


class Judge(Protocol):
    """The machine, as late entries and migrations use it."""

    protocol: protocols.Protocol

    def judge(self, course: Course | None, prepared: Prepared, data: dict[str, Any], context: Context) -> Verdict: ...

    def unsafe(self, course: Course, name: str, data: dict[str, Any], at: dt.datetime, context: Context) -> tuple[Refusal, ...]: ...

    def broken(self, course: Course, name: str, at: dt.datetime, context: Context, breaks: tuple[Break, ...]) -> Refusal: ...

    def structural(self, course: Course, fact: Fact, context: Context) -> tuple[Refusal, ...]: ...

    def overlap(self, course: Course, fact: Fact, context: Context) -> Refusal | None: ...

    def machine_of(self, digest: str, context: Context) -> "Judge": ...


def fact_of(
    protocol: protocols.Protocol,
    prepared: Prepared,
    course: Course | None,
    data: dict[str, Any],
    context: Context,
    *,
    seq: int,
    overridden: tuple[str, ...] = (),
) -> Fact:
    """A prepared command as the fact it becomes."""
    actor = context.actor
    return Fact(
        course=course.id if course else context.course_id or "",
        seq=seq,
        trigger=prepared.name,
        actor=EntryActor(actor.person, actor.role, actor.via),
        cosigned_by=context.cosigner.person if context.cosigner else None,
        occurred_at=prepared.at,
        recorded_at=context.now,
        protocol_digest=protocol.digest,
        overridden=overridden,
        contradicts=(),
        data=data,
    )


def draft_of(fact: Fact, prepared: Prepared, before: Course | None, to: str) -> Draft:
    return Draft(
        fact=fact,
        from_=before.state if before else None,
        to=to,
        given=prepared.given,
        reason=prepared.reason,
        override=prepared.override,
    )


def as_recorded(fact: Fact, context: Context) -> Context:
    """The context in which a fact is judged again: with its own recorded time, actor and cosigner."""
    return Context(
        now=fact.recorded_at,
        actor=Actor(fact.actor.person, fact.actor.role),  # type: ignore[arg-type]  # the journal holds roles only
        cosigner=Actor(fact.cosigned_by, "supervisor") if fact.cosigned_by else None,
        zone=context.zone,
        present=context.present,
        again=True,
    )
