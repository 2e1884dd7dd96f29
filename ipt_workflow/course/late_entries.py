"""Placing what is told late, and what amends, where it happened.

Entries chain in the order they are recorded and fold in the order they occurred. A late entry is judged at its own place. Later
entries are not judged anew, except that none may fail a structural rule which it passed before: such a change is refused, and
the refusal lists what would break. What must never be blocked is accepted all the same, and marks what it contradicts.
"""

import datetime as dt
from collections.abc import Sequence
from typing import Any

import msgspec

from ipt_workflow.course.commands import Prepared
from ipt_workflow.course.course import Course
from ipt_workflow.course.derived import derive
from ipt_workflow.course.drafts import Draft, Judge, as_recorded, draft_of, fact_of
from ipt_workflow.course.facts import Fact
from ipt_workflow.course.fold import PlacedFact, current_facts, step, timeline
from ipt_workflow.course.fold import sort_key as position
from ipt_workflow.course.payloads import Amend
from ipt_workflow.course.rules import Context
from ipt_workflow.course.rules.amending import amended_root
from ipt_workflow.course.structural import structural
from ipt_workflow.course.triggers import find
from ipt_workflow.errors import Break, CommandInvalid, Fault, Refusal
from ipt_workflow.protocols import definition as protocols
from ipt_workflow.values.faults import decode
from ipt_workflow.values.merge_patch import merge_patch


class RefusedAt(msgspec.Struct, frozen=True):
    """What stands against one of several commands."""

    trigger: str
    refusals: tuple[Refusal, ...]


class Amendment(msgspec.Struct, frozen=True, kw_only=True):
    """An amendment with the entry it acts on: `root` as recorded, `said` as it stood until now.

    `told` is what it is to say, where that changes; `at` when it is to have happened.
    """

    seq: int
    prepared: Prepared
    root: Fact
    said: Fact
    told: Prepared | None
    at: dt.datetime
    void: bool


def is_late(course: Course, prepared: Sequence[Prepared]) -> bool:
    """Whether any of these has a place before something that is already known, amends, or takes back what contradicted."""
    reached = course.last_occurred_at
    for each in prepared:
        if each.name == "amend" or each.at < reached or (each.name == "reopen" and course.contradicted):
            return True
        reached = each.at
    return False


def place_late(judge: Judge, course: Course, prepared: tuple[Prepared, ...], context: Context) -> tuple[Draft, ...] | RefusedAt:
    """Drafts for commands of which some are late or amend, or what stands against the first that is refused.

    Raises CommandInvalid where something is said to have happened before the course was opened.
    """
    amendments: dict[int, Amendment] = {}
    for seq, each in enumerate(prepared, start=course.version + 1):
        if each.name == "amend":
            answer = _amendment(judge, course, seq, each, context)
            if isinstance(answer, RefusedAt):
                return answer
            amendments[answer.root.seq] = answer
    return _Walk(judge, course, prepared, amendments, context).answer()


def _amendment(judge: Judge, course: Course, seq: int, prepared: Prepared, context: Context) -> Amendment | RefusedAt:
    payload = prepared.payload
    assert isinstance(payload, Amend)
    verdict = judge.judge(course, prepared, prepared.data, context)
    if verdict.refusals:
        return RefusedAt("amend", verdict.refusals)
    root = amended_root(context.history, payload.supersedes)
    assert root is not None  # `entry_amendable` has found it
    said = current_facts(context.history).get(root.seq) or root
    return Amendment(
        seq=seq,
        prepared=prepared,
        root=root,
        said=said,
        told=None
        if payload.data is None
        else _told(judge.machine_of(root.protocol_digest, context).protocol, prepared, payload.data, root, context),
        at=payload.occurred_at.astimezone(dt.UTC) if payload.occurred_at else said.occurred_at,
        void=payload.void,
    )


def _told(protocol: protocols.Protocol, amend: Prepared, patch: dict[str, Any], root: Fact, context: Context) -> Prepared:
    """What the entry is to say: the patch laid over what it said, decoded by its own trigger's payload."""
    row = find(root.trigger, protocol)
    assert row is not None
    decoded, faults = decode(row.payload, merge_patch(context.given.get(root.seq, {}), patch))
    if decoded is None:
        raise CommandInvalid([msgspec.structs.replace(fault, where=f"data.{fault.where}") for fault in faults])
    return msgspec.structs.replace(
        amend, name=root.trigger, row=row, payload=decoded, given=msgspec.to_builtins(decoded), data=structural(decoded)
    )


Item = PlacedFact | Prepared | Amendment


class _Walk:
    """One walk along the new order of a course's entries, from the first to the last."""

    def __init__(
        self, judge: Judge, course: Course, prepared: tuple[Prepared, ...], amendments: dict[int, Amendment], context: Context
    ) -> None:
        self.judge = judge
        self.course = course
        self.context = context
        self.amendments = amendments
        self.prepared = prepared
        self.drafts: dict[int, Draft] = {}
        self.breaks: list[Break] = []
        self.blockable = [each for each in prepared if not each.row.never_blocked]

    def answer(self) -> tuple[Draft, ...] | RefusedAt:
        failing_before = self._failing_before()
        here: Course | None = None
        for seq, item in self._order():
            if isinstance(item, PlacedFact):
                judged: PlacedFact | RefusedAt | None = self._existing(here, item, failing_before)
            elif isinstance(item, Amendment):
                judged = self._amended(here, item, seq, failing_before)
            else:
                judged = self._new(here, item, seq)
            if isinstance(judged, RefusedAt):
                return self._broken() if self.breaks and self.blockable else judged
            here = step(here, judged) if judged else here
        if self.breaks and self.blockable:
            return self._broken()
        first, *others = (self.drafts[seq] for seq in sorted(self.drafts))
        contradicts = tuple(sorted(each.seq for each in self.breaks))
        fact = msgspec.structs.replace(first.fact, contradicts=contradicts)
        return (msgspec.structs.replace(first, fact=fact), *others)

    def _order(self) -> list[tuple[int, Item]]:
        """Everything that is to stand, in the order it occurred. Voided entries are walked too, to write their amendments."""
        stand = [placed for placed in timeline(self.context.history) if placed.root not in self.amendments]
        items: list[tuple[int, dt.datetime, int | None, Item]] = [
            (placed.root, placed.fact.occurred_at, placed.fact.data.get("session"), placed) for placed in stand
        ]
        by_prepared = {id(amendment.prepared): amendment for amendment in self.amendments.values()}
        for seq, each in enumerate(self.prepared, start=self.course.version + 1):
            amendment = by_prepared.get(id(each))
            if amendment is None:
                items.append((seq, each.at, each.data.get("session"), each))
            else:
                items.append((amendment.root.seq, amendment.at, amendment.said.data.get("session"), amendment))
        times = {seq: at for seq, at, _, _ in items}
        items.sort(key=lambda item: position(item[0], item[1], item[2], times))
        if items[0][0] != 1:
            raise CommandInvalid(
                [Fault("occurred_at", f"must not let anything happen before the course was opened ({times[1].isoformat()})")]
            )
        return [(seq, item) for seq, _, _, item in items]

    def _failing_before(self) -> set[tuple[int, str]]:
        """Which structural rules which entries failed in the old order: what was told then is not held against them now."""
        failing: set[tuple[int, str]] = set()
        here: Course | None = None
        for placed in timeline(self.context.history):
            if here is not None and not placed.contradicted:
                failing |= {(placed.fact.seq, refusal.rule) for refusal in self._structural(here, placed.fact)}
            here = step(here, placed)
        return failing

    def _structural(self, here: Course, fact: Fact) -> tuple[Refusal, ...]:
        """Judged at the fact's own recorded time, actor and overrides, under the protocol that the course had then."""
        return self._judge(here).structural(here, fact, as_recorded(fact, self.context))

    def _judge(self, here: Course | None) -> Judge:
        return self.judge.machine_of(here.protocol_digest, self.context) if here else self.judge

    def _existing(self, here: Course | None, placed: PlacedFact, failing_before: set[tuple[int, str]]) -> PlacedFact:
        """An entry that stood before: as it was, or contradicted by what must never be blocked."""
        if here is None or placed.contradicted:
            return placed
        newly = tuple(r for r in self._structural(here, placed.fact) if (placed.fact.seq, r.rule) not in failing_before)
        if not newly:
            return placed
        self.breaks.append(Break(placed.fact.seq, placed.fact.trigger, newly))
        return msgspec.structs.replace(placed, contradicted=not self.blockable)

    def _new(self, here: Course | None, prepared: Prepared, seq: int) -> PlacedFact | RefusedAt:
        judge = self._judge(here)
        data = derive(judge.protocol, here, prepared, self.context)
        verdict = judge.judge(here, prepared, data, self.context)
        if verdict.refusals:
            return RefusedAt(prepared.name, verdict.refusals)
        fact = fact_of(judge.protocol, prepared, here, data, self.context, seq=seq, overridden=verdict.overridden)
        placed = PlacedFact(root=seq, fact=fact)
        self.drafts[seq] = draft_of(fact, prepared, here, step(here, placed).state)
        return placed

    def _amended(
        self, here: Course | None, amendment: Amendment, root_seq: int, failing_before: set[tuple[int, str]]
    ) -> PlacedFact | RefusedAt | None:
        """What an amended entry says now, judged at its place by the structural rules."""
        prepared = amendment.prepared
        data: dict[str, Any] = {"supersedes": prepared.data["supersedes"]}
        if amendment.void:
            self._draft_amendment(amendment.seq, prepared, {**data, "void": True})
            return None
        fact = msgspec.structs.replace(amendment.said, occurred_at=amendment.at)
        if amendment.told:
            derived = derive(self._judge(here).protocol, here, amendment.told, self.context)
            fact = msgspec.structs.replace(fact, data=_keep_derived(amendment.said.data, amendment.told, derived))
            data["data"] = fact.data
            prepared = msgspec.structs.replace(prepared, given={**prepared.given, "data": amendment.told.given})
        newly = tuple(r for r in self._structural(here, fact) if (root_seq, r.rule) not in failing_before) if here else ()
        if newly:
            return RefusedAt("amend", newly)
        self._draft_amendment(amendment.seq, prepared, {**data, "occurred_at": amendment.at.isoformat()})
        return PlacedFact(root=root_seq, fact=fact)

    def _draft_amendment(self, seq: int, prepared: Prepared, data: dict[str, Any]) -> None:
        fact = fact_of(self.judge.protocol, prepared, self.course, data, self.context, seq=seq)
        self.drafts[seq] = draft_of(fact, prepared, self.course, self.course.state)

    def _broken(self) -> RefusedAt:
        """The refusal for the first command that is not exempt, with everything that would break."""
        first = self.blockable[0]
        refusal = self.judge.broken(self.course, first.name, first.at, self.context, tuple(self.breaks))
        return RefusedAt(first.name, (refusal,))


# What an entry keeps however it is amended: who gave a session, which of a group's it was, the number of a formulation, what opened the course.
KEPT = (
    "given_by",
    "group_session",
    "group_held",
    "version",
    "client",
    "protocol",
    "protocol_version",
    "protocol_digest",
    "acute",
    "therapist",
    "linked_from",
)


def _keep_derived(said: dict[str, Any], told: Prepared, derived: dict[str, Any]) -> dict[str, Any]:
    own = type(told.payload).__struct_fields__  # these are told; all others were derived
    return {**derived, **{name: said[name] for name in KEPT if name in said and name not in own}}
