"""A draft of an entry, a verdict of the machine, and what a course is once a draft is accepted."""

import datetime as dt
from typing import Any, Protocol

import msgspec

from ipt_workflow.course.commands import Prepared
from ipt_workflow.course.course import Course
from ipt_workflow.course.effects.apply import apply
from ipt_workflow.course.facts import Fact
from ipt_workflow.course.rules import Actor, Context
from ipt_workflow.course.triggers import Override
from ipt_workflow.errors import Break, Refusal
from ipt_workflow.protocols import definition as protocols


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """An accepted trigger, before the journal seals it. `data` is structural; `given`, `reason` and `override` are sealed."""

    seq: int
    trigger: str
    from_: str | None
    to: str
    actor: Actor
    cosigned_by: str | None
    occurred_at: dt.datetime
    recorded_at: dt.datetime
    data: dict[str, Any]
    given: dict[str, Any]
    reason: str | None = None
    override: Override | None = None
    overridden: tuple[str, ...] = ()
    contradicts: tuple[int, ...] = ()
    protocol_digest: str  # of the protocol that judged it


class Verdict(msgspec.Struct, frozen=True):
    """Where a trigger leads; the refusals that hold; and the soft rules that the command passed over."""

    to: str
    refusals: tuple[Refusal, ...]
    overridden: tuple[str, ...]


class Judge(Protocol):
    """What placing needs of the machine."""

    protocol: protocols.Protocol

    def judge(self, course: Course | None, prepared: Prepared, data: dict[str, Any], context: Context) -> Verdict: ...

    def broken(self, course: Course, name: str, at: dt.datetime, context: Context, breaks: tuple[Break, ...]) -> Refusal: ...

    def structural(self, course: Course, fact: Fact, context: Context) -> tuple[Refusal, ...]: ...

    def machine_of(self, digest: str, context: Context) -> "Judge": ...


def draft_of(
    protocol: protocols.Protocol,
    prepared: Prepared,
    course: Course | None,
    data: dict[str, Any],
    context: Context,
    *,
    seq: int,
    overridden: tuple[str, ...] = (),
) -> Draft:
    return Draft(
        seq=seq,
        trigger=prepared.name,
        from_=course.state if course else None,
        to=course.state if course else "",
        actor=context.actor,
        cosigned_by=context.cosigner.person if context.cosigner else None,
        occurred_at=prepared.at,
        recorded_at=context.now,
        data=data,
        given=prepared.given,
        reason=prepared.reason,
        override=prepared.override,
        overridden=overridden,
        protocol_digest=protocol.digest,
    )


def fact_of(draft: Draft, course_id: str) -> Fact:
    return Fact(
        course=course_id,
        seq=draft.seq,
        trigger=draft.trigger,
        data=draft.data,
        occurred_at=draft.occurred_at,
        recorded_at=draft.recorded_at,
        person=draft.actor.person,
        role=draft.actor.role,
        cosigned_by=draft.cosigned_by,
        overridden=draft.overridden,
        contradicts=draft.contradicts,
        protocol_digest=draft.protocol_digest,
    )


def advance(course: Course | None, draft: Draft, course_id: str = "") -> Course:
    return apply(course, fact_of(draft, course.id if course else course_id))


def as_recorded(fact: Fact, context: Context) -> Context:
    """The context in which a fact is judged anew: its own recorded time, actor and cosigner."""
    return Context(
        now=fact.recorded_at,
        actor=Actor(fact.person, fact.role),  # type: ignore[arg-type]
        cosigner=Actor(fact.cosigned_by, "supervisor") if fact.cosigned_by else None,
        zone=context.zone,
    )
