"""Judges recorded transitions and refusals again, each at its own place and time, under a candidate protocol.

The protocol of that time and the candidate judge the same data. A refusal by the candidate alone is new. Two things are not in a journal,
so they are not judged again: the client's other courses, and whether later entries would still hold.
"""

import datetime as dt
from collections.abc import Iterator
from typing import Any

import msgspec

from ipt_workflow.course import Course, triggers
from ipt_workflow.course.commands import Prepared
from ipt_workflow.course.derived import derive
from ipt_workflow.course.drafts import as_recorded
from ipt_workflow.course.facts import EntryActor, Fact
from ipt_workflow.course.fold import PlacedFact, fold, sort_key, step, timeline
from ipt_workflow.course.payloads import Nothing
from ipt_workflow.course.rules import Context
from ipt_workflow.course.triggers import Command, Override
from ipt_workflow.groups import Group
from ipt_workflow.machine import CourseMachine
from ipt_workflow.protocols.definition import GroupSpec

replace = msgspec.structs.replace


class RefusedCommand(msgspec.Struct, frozen=True, kw_only=True):
    """The structural part of a refused command. `version` is the course's at that time. It is stored, so its fields keep their names."""

    version: int
    trigger: str
    data: dict[str, Any]
    occurred_at: dt.datetime
    recorded_at: dt.datetime
    person: str
    role: str
    cosigned_by: str | None = None
    overrides: tuple[str, ...] = ()

    @property
    def fact(self) -> Fact:
        """The command as the fact it would have become."""
        return Fact(
            course="",
            seq=self.version + 1,
            trigger=self.trigger,
            actor=EntryActor(self.person, self.role, ""),
            cosigned_by=self.cosigned_by,
            occurred_at=self.occurred_at,
            recorded_at=self.recorded_at,
            protocol_digest="",
            overridden=self.overrides,
            contradicts=(),
            data=self.data,
        )


class Rejudged(msgspec.Struct, frozen=True, kw_only=True):
    """A recorded transition, refusal or joining of a group (these have no `seq`) that the candidate judged again.

    `rules` newly refuse the transition, or refused a command that the candidate would accept. They are empty if nothing changes.
    """

    seq: int | None
    trigger: str
    rules: tuple[str, ...]


def refused_command(machine: CourseMachine, course: Course, command: Command, context: Context) -> RefusedCommand:
    """The part of a refused command that is kept. It is valid, since it was prepared before it was refused."""
    prepared = machine.prepare(command, context)
    return RefusedCommand(
        version=course.version,
        trigger=prepared.name,
        data=derive(machine.protocol, course, prepared, context),
        occurred_at=prepared.at,
        recorded_at=context.now,
        person=context.actor.person,
        role=context.actor.role,
        cosigned_by=context.cosigner.person if context.cosigner else None,
        overrides=prepared.override.rules if prepared.override else (),
    )


class Rejudge:
    """Judges under a candidate. `context` has the protocols that courses have had, and the time zone."""

    def __init__(self, candidate: CourseMachine, context: Context) -> None:
        self.candidate = candidate
        self.phases = frozenset(phase.id for phase in candidate.protocol.phases)
        self.context = context

    def transitions(self, facts: tuple[Fact, ...]) -> Iterator[Rejudged]:
        """Judges a course's entries that were recorded under a version of the candidate's protocol."""
        here: Course | None = None
        for number, fact in enumerate(facts):
            known, appended = facts[:number], _appended(here, fact)
            before = here if appended or fact.trigger == "amend" else _before(known, fact)
            if self._concerned(before, fact):
                now, then = self._judged(self.candidate, before, fact, known), self._then(before, fact, known)
                yield Rejudged(seq=fact.seq, trigger=fact.trigger, rules=tuple(rule for rule in now if rule not in then))
            here = step(here, PlacedFact(root=fact.seq, fact=fact)) if appended else fold(facts[: number + 1])

    def refusal(self, facts: tuple[Fact, ...], refused: RefusedCommand, rules: tuple[str, ...]) -> Rejudged | None:
        """Judges a command that these rules refused. None if it cannot be judged again."""
        known = tuple(fact for fact in facts if fact.seq <= refused.version)
        fact = refused.fact
        before = fold(known) if fact.trigger == "amend" else _before(known, fact)
        if before is None or not self._concerned(before, fact) or not set(rules) <= set(self._then(before, fact, known)):
            return None
        still = self._judged(self.candidate, before, fact, known)
        return Rejudged(seq=None, trigger=refused.trigger, rules=() if still else rules)

    def _concerned(self, before: Course | None, fact: Fact) -> bool:
        """Whether the course had, or was to get, a version of the candidate's protocol."""
        return (before.protocol if before else fact.data["protocol"]) == self.candidate.protocol.id

    def _then(self, before: Course | None, fact: Fact, known: tuple[Fact, ...]) -> tuple[str, ...]:
        digest = before.protocol_digest if before else fact.data["protocol_digest"]
        return self._judged(self.candidate.machine_of(digest, self.context), before, fact, known)

    def _judged(self, machine: CourseMachine, before: Course | None, fact: Fact, known: tuple[Fact, ...]) -> tuple[str, ...]:
        """The rules that refuse a fact, less the soft ones that it overrides."""
        if before and before.phase and machine is self.candidate and before.phase not in self.phases:
            return ("state_allows",)  # the candidate does not have the course's phase
        row = triggers.row_of(fact.trigger)
        assert row is not None  # only known triggers are recorded
        prepared = Prepared(
            name=fact.trigger,
            row=row,
            payload=Nothing(),
            given={},
            data=fact.data,
            at=fact.occurred_at,
            reason=None,
            override=Override(fact.overridden, "-"),
        )
        late = fact.trigger == "record_session" and any(fact.occurred_at < each.occurred_at for each in known)
        whole = fold(known) if late else None
        context = replace(
            as_recorded(fact, self.context),
            history=known,
            protocols=self.context.protocols,
            other_sessions=whole.sessions if whole else (),
        )
        return tuple(refusal.rule for refusal in machine.judge(before, prepared, fact.data, context).refusals)


def joinings(group: Group, then: GroupSpec, now: GroupSpec | None) -> Iterator[tuple[str, Rejudged]]:
    """Judges every joining of a group by the size that the candidate allows, with the course that joined.

    A candidate that is not for groups allows none.
    """
    for number, member in enumerate(group.members):
        present = sum(earlier.there(member.joined_at) for earlier in group.members[:number])
        refused = present >= (now.members.max if now else 0) and present < then.members.max
        yield member.course, Rejudged(seq=None, trigger="join a group", rules=("group_room",) if refused else ())


def _appended(here: Course | None, fact: Fact) -> bool:
    """Whether a fact came after all earlier entries when it was recorded, and changed none of them."""
    if here is None:
        return True
    late = fact.trigger == "amend" or fact.occurred_at < here.last_occurred_at
    return not late and not fact.contradicts and not here.contradicted


def _before(known: tuple[Fact, ...], fact: Fact) -> Course | None:
    """The course just before the place of a fact."""
    items = timeline(known)
    times = {each.root: each.fact.occurred_at for each in items}
    own = sort_key(fact.seq, fact.occurred_at, fact.data.get("session"), times)
    here: Course | None = None
    for each in items:
        if sort_key(each.root, each.fact.occurred_at, each.fact.data.get("session"), times) < own:
            here = step(here, each)
    return here
