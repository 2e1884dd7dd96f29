"""Places late entries and amendments where they happened.

Entries chain in the order in which they are recorded, and fold in the order in which they occurred. The rules judge a late entry at its
own place, with every signature and acknowledgement that is on record by now. These facts about the record are themselves judged last, on
the course as it is. Rules of safety are asked a second time, by what is known now.

Later entries are not judged again, but none may fail a structural rule that it passed before. Such a change is refused, and the refusal
lists the entries that would break. Triggers that are never blocked are accepted anyway, and mark the entries they contradict.
"""

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from ipt_workflow.course.commands import Prepared, payload_faults
from ipt_workflow.course.course import Course, Session
from ipt_workflow.course.derived import derive
from ipt_workflow.course.drafts import Draft, Judge, as_recorded, draft_of, fact_of
from ipt_workflow.course.effects.apply import on_record
from ipt_workflow.course.facts import Fact
from ipt_workflow.course.fold import (
    PlacedFact,
    current_facts,
    fold,
    risk_once_seen,
    sort_key,
    step,
    superseded_by,
    timeline,
    to_amend,
)
from ipt_workflow.course.payloads import Amend
from ipt_workflow.course.rules import Context, moved_entries
from ipt_workflow.course.rules.amendments import amended_root
from ipt_workflow.course.structural import structural
from ipt_workflow.course.triggers import ABOUT_RECORD, SUPERSEDING, find, row_of
from ipt_workflow.errors import Break, CommandInvalid, Fault, Refusal
from ipt_workflow.protocols import definition as protocols
from ipt_workflow.values.faults import decode
from ipt_workflow.values.merge_patch import merge_patch

replace = msgspec.structs.replace
NOTHING: Mapping[str, int] = {}


class RefusedAt(msgspec.Struct, frozen=True):
    """The refusals of one of several commands. `seq` is the number that its entry would have had."""

    seq: int
    trigger: str
    refusals: tuple[Refusal, ...]


class Amendment(msgspec.Struct, frozen=True, kw_only=True):
    """An amendment with its own `seq` and the entry that it corrects: `root` as recorded, `current` as amended until now.

    `corrected` is the entry's new data, if that changes. `at` is the entry's new time. One that makes an amendment void restores what
    was there before: then `current` is that, and `void` is false.
    """

    seq: int
    prepared: Prepared
    root: Fact
    current: Fact
    corrected: Prepared | None
    at: dt.datetime
    void: bool


def is_late(course: Course, moments: Iterable[tuple[str, dt.datetime]]) -> bool:
    """Whether commands, each a trigger's name and its time, need the course's history.

    They do if one comes before a known entry or an earlier command, amends, or reopens an ending that contradicted entries. A fact about
    the record never comes too late.
    """
    reached = course.last_occurred_at
    for name, at in moments:
        if name in ABOUT_RECORD:
            continue
        if name in SUPERSEDING or at < reached or (name == "reopen" and course.contradicted):
            return True
        reached = at
    return False


def place_late(judge: Judge, course: Course, prepared: tuple[Prepared, ...], context: Context) -> tuple[Draft, ...] | RefusedAt:
    """Drafts for commands of which some are late or amend, or the refusals of the first that is refused.

    Raises CommandInvalid if something would happen before the course was opened.
    """
    amendments: dict[int, Amendment] = {}
    for seq, each in numbered(course, prepared):
        if each.name == "amend":
            answer = _amendment(judge, course, seq, each, context)
            if isinstance(answer, RefusedAt):
                return answer
            amendments[answer.root.seq] = answer
        elif each.name == "move_entries":
            leaving = _departures(judge, course, seq, each, context)
            if isinstance(leaving, RefusedAt):
                return leaving
            amendments |= leaving
    return _Walk(judge, course, prepared, amendments, context).answer()


def _amendment(judge: Judge, course: Course, seq: int, prepared: Prepared, context: Context) -> Amendment | RefusedAt:
    payload = prepared.payload
    assert isinstance(payload, Amend)
    verdict = judge.judge(course, prepared, prepared.data, context)
    if verdict.refusals:
        return RefusedAt(seq, "amend", verdict.refusals)
    root = amended_root(context.history, payload.supersedes)
    assert root is not None  # `entry_amendable` has found it
    undone = payload.void and not payload.whole and payload.supersedes != root.seq
    history = [fact for fact in context.history if not undone or fact.seq != payload.supersedes]
    in_force = current_facts(history).get(root.seq)
    current = in_force or root
    at = payload.occurred_at.astimezone(dt.UTC) if payload.occurred_at else current.occurred_at
    return Amendment(
        seq=seq,
        prepared=prepared,
        root=root,
        current=current,
        corrected=None
        if payload.data is None
        else _corrected(
            judge.machine_of(root.protocol_digest, context).protocol, replace(prepared, at=at), payload.data, root, context
        ),
        at=at,
        void=payload.void and not (undone and in_force),
    )


def _departures(judge: Judge, course: Course, seq: int, prepared: Prepared, context: Context) -> dict[int, Amendment] | RefusedAt:
    """What a move makes void here, by seq: the entries that leave, and the signatures that it leaves behind."""
    verdict = judge.judge(course, prepared, prepared.data, context)
    if verdict.refusals:
        return RefusedAt(seq, prepared.name, verdict.refusals)
    named, current = prepared.data["entries"], current_facts(context.history)
    gone = {fact.seq: fact for fact in moved_entries.departing(context.history, named)}
    gone |= {each: fact for each in moved_entries.left_behind(context.history, named) if (fact := current[each])}
    return {
        each: Amendment(seq=seq, prepared=prepared, root=fact, current=fact, corrected=None, at=fact.occurred_at, void=True)
        for each, fact in gone.items()
    }


def _corrected(protocol: protocols.Protocol, amend: Prepared, patch: dict[str, Any], root: Fact, context: Context) -> Prepared:
    """The entry's sealed data with the merge patch applied, decoded by its own trigger's payload."""
    row = find(root.trigger, protocol)
    assert row is not None
    decoded, faults = decode(row.payload, merge_patch(context.given.get(root.seq, {}), patch))
    faults += payload_faults(protocol, decoded, amend.reason, context) if decoded else []
    if decoded is None or faults:
        raise CommandInvalid([msgspec.structs.replace(fault, where=f"data.{fault.where}") for fault in faults])
    return msgspec.structs.replace(
        amend, name=root.trigger, row=row, payload=decoded, given=msgspec.to_builtins(decoded), data=structural(decoded)
    )


Item = PlacedFact | Prepared | Amendment


def numbered(course: Course | None, prepared: Sequence[Prepared]) -> list[tuple[int, Prepared]]:
    """Commands, each with the seq that its entry will have."""
    return list(enumerate(prepared, start=course.version + 1 if course else 1))


def facts_about_record(
    protocol: protocols.Protocol, course: Course | None, commands: Iterable[tuple[int, Prepared]], context: Context
) -> list[Fact]:
    """The facts about the record among some numbered commands, which the gates of the same request find on record."""
    return [fact_of(protocol, each, course, each.data, context, seq=seq) for seq, each in commands if each.row.about_record]


class _Walk:
    """One walk along the new order of a course's entries, from the first to the last, and then over the facts about the record."""

    def __init__(
        self, judge: Judge, course: Course, prepared: tuple[Prepared, ...], amendments: dict[int, Amendment], context: Context
    ) -> None:
        self.judge = judge
        self.course = course
        unchanged = tuple(session for session in course.sessions if session.seq not in amendments)
        self.context = msgspec.structs.replace(context, other_sessions=unchanged, present=course)
        self.amendments = amendments
        self.new = numbered(course, prepared)
        self.items = self._order()
        self.on_record = tuple(self._facts_about_record())
        self.drafts: dict[int, Draft] = {}
        self.breaks: list[Break] = []
        self.blockable = [(seq, each) for seq, each in self.new if not each.row.never_blocked and not each.row.about_record]

    def answer(self) -> tuple[Draft, ...] | RefusedAt:
        failing_before = self._failing_before()
        here: Course | None = None
        for place, (seq, item) in enumerate(self.items):
            if isinstance(item, PlacedFact):
                judged: PlacedFact | RefusedAt | None = self._existing(here, item, place, failing_before)
            elif isinstance(item, Amendment):
                judged = self._amended(here, item, seq, failing_before)
            else:
                judged = self._new(here, item, seq, self._later(place))
            if isinstance(judged, RefusedAt):
                return self._broken() if self.breaks and self.blockable else judged
            here = step(here, judged) if judged else here
        assert here is not None  # the first item opens the course
        if self.breaks and self.blockable:
            return self._broken()
        known = self._as_read(here)
        return self._record(known) or self._known_now(known) or self._answered()

    def _as_read(self, here: Course) -> Course:
        """The course as its readers find it: with the evidence of risk in every version of what is amended now."""
        if not self.amendments:
            return here
        folded = fold((*self.context.history, *(self.drafts[seq].fact for seq in sorted(self.drafts))))
        assert folded is not None  # it was opened before it is amended
        return folded

    def _answered(self) -> tuple[Draft, ...]:
        """The drafts in order. What contradicts later entries is the change of state among them, never a fact about the record."""
        if self.breaks:
            rows = {seq: prepared.row for seq, prepared in self.new}
            seq = min(self.drafts, key=lambda seq: (not rows[seq].changes_state, rows[seq].about_record, seq))
            contradicts = tuple(sorted(each.seq for each in self.breaks))
            fact = msgspec.structs.replace(self.drafts[seq].fact, contradicts=contradicts)
            self.drafts[seq] = msgspec.structs.replace(self.drafts[seq], fact=fact)
        return tuple(self.drafts[seq] for seq in sorted(self.drafts))

    def _record(self, here: Course) -> RefusedAt | None:
        """Judges the new facts about the record, on the course with all else that is new."""
        for seq, prepared in self.new:
            if prepared.row.about_record:
                judged = self._new(here, prepared, seq, {})
                if isinstance(judged, RefusedAt):
                    return judged
                here = step(here, judged)
        return None

    def _known_now(self, here: Course) -> RefusedAt | None:
        """Asks the rules of safety again, on the course as it is known now."""
        for seq, prepared in self.new:
            refusals = self._judge(here).unsafe(here, prepared.name, prepared.data, self.context.now, self.context)
            if refusals:
                return RefusedAt(seq, prepared.name, refusals)
        return None

    def _more(self, prepared: Prepared, refusals: tuple[Refusal, ...]) -> Iterator[Refusal]:
        """What the rules of safety say besides, on the course as it was known before."""
        rules = {each.rule for each in refusals}
        for refusal in self.judge.unsafe(self.course, prepared.name, prepared.data, self.context.now, self.context):
            if refusal.rule not in rules:
                yield refusal

    def _order(self) -> list[tuple[int, Item]]:
        """All entries to be in force, in the order in which they occurred, without the new facts about the record.

        Voided entries are included, to draft their amendments.
        """
        history = self.context.history
        unchanged = [placed for placed in timeline(history) if placed.root not in self.amendments]
        corrected = {root for root, each in self.amendments.items() if each.prepared.name == "amend"}
        unchanged += [placed for placed in risk_once_seen(history, corrected) if placed.root in corrected]
        items: list[tuple[int, dt.datetime, int | None, Item]] = [
            (placed.root, placed.fact.occurred_at, placed.fact.data.get("session"), placed) for placed in unchanged
        ]
        by_prepared = {id(amendment.prepared): amendment for amendment in self.amendments.values()}
        for seq, each in self.new:
            amendment = by_prepared.get(id(each))
            if amendment:
                items.append((amendment.root.seq, amendment.at, amendment.current.data.get("session"), amendment))
            elif not each.row.about_record:
                items.append((seq, each.at, each.data.get("session"), each))
        times = {seq: at for seq, at, _, _ in items}
        items.sort(key=lambda item: sort_key(item[0], item[1], item[2], times))
        if items[0][0] != 1:
            opened = (
                f"must not be before the course was opened, at {times[1].isoformat()}; if that time is wrong, amend entry 1 first"
            )
            raise CommandInvalid([Fault("occurred_at", opened)])
        return [(seq, item) for seq, _, _, item in items]

    def _facts_about_record(self) -> Iterator[Fact]:
        """Every signature and acknowledgement that is on record once these commands are."""
        for _, item in self.items:
            if isinstance(item, PlacedFact) and item.fact.trigger in ABOUT_RECORD:
                yield item.fact
            elif isinstance(item, Amendment) and item.root.trigger in ABOUT_RECORD and not item.void:
                yield msgspec.structs.replace(item.current, data=item.corrected.data) if item.corrected else item.current
        yield from facts_about_record(self.judge.protocol, self.course, self.new, self.context)

    def _later(self, place: int) -> dict[str, int]:
        """The changes of state on record after a place: for each trigger, the entry that an amendment of the first one names."""
        amended = superseded_by(self.context.history)
        later: dict[str, int] = {}
        for _, item in self.items[place + 1 :]:
            if isinstance(item, PlacedFact) and item.fact.trigger not in later and _changes_state(item):
                later[item.fact.trigger] = to_amend(amended, item.root)
        return later

    def _failing_before(self) -> set[tuple[int, str]]:
        """Entries with the structural rules that they fail in the old order. They may still fail these in the new order."""
        failing: set[tuple[int, str]] = set()
        here: Course | None = None
        for placed in timeline(self.context.history):
            if here is not None and not placed.contradicted and placed.fact.trigger not in ABOUT_RECORD:
                failing |= {(placed.fact.seq, refusal.rule) for refusal in self._structural(here, placed.fact)}
            here = step(here, placed)
        return failing

    def _structural(
        self, here: Course, fact: Fact, others: tuple[Session, ...] = (), later: Mapping[str, int] = NOTHING
    ) -> tuple[Refusal, ...]:
        """Refusals of a fact by structural rules, with its own recorded time, actor, overrides and protocol.

        `others` are sessions before and after its place that it must not repeat.
        """
        context = msgspec.structs.replace(as_recorded(fact, self.context), other_sessions=others, later=later)
        return self._judge(here).structural(here, fact, context)

    def _judge(self, here: Course | None) -> Judge:
        return self.judge.machine_of(here.protocol_digest, self.context) if here else self.judge

    def _existing(self, here: Course | None, placed: PlacedFact, place: int, failing_before: set[tuple[int, str]]) -> PlacedFact:
        """An entry from the journal: unchanged, or contradicted by a trigger that is never blocked.

        Its refusals know what is on record for later, so that they do not offer what has happened already.
        """
        if here is None or placed.contradicted or placed.fact.trigger in ABOUT_RECORD:
            return placed
        refusals = self._structural(here, placed.fact)
        newly = {each.rule for each in refusals if (placed.fact.seq, each.rule) not in failing_before}
        if not newly:
            return placed
        worded = self._structural(here, placed.fact, later=self._later(place))
        self.breaks.append(Break(placed.fact.seq, placed.fact.trigger, tuple(each for each in worded if each.rule in newly)))
        return msgspec.structs.replace(placed, contradicted=not self.blockable)

    def _new(self, here: Course | None, prepared: Prepared, seq: int, later: Mapping[str, int]) -> PlacedFact | RefusedAt:
        judge, context = self._judge(here), msgspec.structs.replace(self.context, later=later)
        data = derive(judge.protocol, here, prepared, context)
        seen = on_record(here, self.on_record) if here and not prepared.row.about_record else here
        verdict = judge.judge(seen, prepared, data, context)
        if verdict.refusals:
            return RefusedAt(seq, prepared.name, (*verdict.refusals, *self._more(prepared, verdict.refusals)))
        fact = fact_of(judge.protocol, prepared, here, data, self.context, seq=seq, overridden=verdict.overridden)
        placed = PlacedFact(root=seq, fact=fact)
        self.drafts[seq] = draft_of(fact, prepared, here, step(here, placed).state)
        return placed

    def _amended(
        self, here: Course | None, amendment: Amendment, root_seq: int, failing_before: set[tuple[int, str]]
    ) -> PlacedFact | RefusedAt | None:
        """The amended entry, judged at its place by the structural rules; None if it is void."""
        prepared = amendment.prepared
        if amendment.void:
            self._draft_amendment(amendment.seq, prepared, dict(prepared.data))
            return None
        data: dict[str, Any] = {"supersedes": prepared.data["supersedes"]}
        fact = msgspec.structs.replace(amendment.current, occurred_at=amendment.at)
        if amendment.corrected:
            derived = derive(self._judge(here).protocol, here, amendment.corrected, self.context)
            fact = msgspec.structs.replace(fact, data=_keep_derived(fact.data, amendment.corrected, derived))
            data["data"] = fact.data
            prepared = msgspec.structs.replace(prepared, given={**prepared.given, "data": amendment.corrected.given})
        refusals = self._structural(here, fact, self.context.other_sessions) if here else ()
        newly = [each for each in refusals if (root_seq, each.rule) not in failing_before]
        if here and amendment.at != amendment.current.occurred_at:
            newly += self._judge(here).unsafe(here, fact.trigger, fact.data, fact.occurred_at, as_recorded(fact, self.context))
        overlap = self._overlap(here, amendment, fact) if here and fact.trigger == "record_session" else None
        if overlap and (prepared.override is None or overlap.rule not in prepared.override.rules):
            newly.append(overlap)
        if newly:
            return RefusedAt(amendment.seq, "amend", tuple(newly))
        data |= {"void": True} if prepared.data.get("void") else {"occurred_at": amendment.at.isoformat()}
        self._draft_amendment(amendment.seq, prepared, data, overridden=(overlap.rule,) if overlap else ())
        return PlacedFact(root=root_seq, fact=fact)

    def _overlap(self, here: Course, amendment: Amendment, fact: Fact) -> Refusal | None:
        """The refusal of an amended session that takes the time of another one. What it overlapped before, it may overlap still."""
        judge = self._judge(here)
        overlap = judge.overlap(here, fact, self.context)
        known = current_facts(self.context.history).get(amendment.root.seq) if overlap else None
        before = judge.overlap(here, known, self.context) if known else None
        return None if overlap and before and set(overlap.current) <= set(before.current) else overlap

    def _draft_amendment(self, seq: int, prepared: Prepared, data: dict[str, Any], overridden: tuple[str, ...] = ()) -> None:
        fact = fact_of(self.judge.protocol, prepared, self.course, data, self.context, seq=seq, overridden=overridden)
        self.drafts[seq] = draft_of(fact, prepared, self.course, self.course.state)

    def _broken(self) -> RefusedAt:
        """The refusal of the first command that may be blocked, with all entries that would break."""
        seq, first = self.blockable[0]
        refusal = self.judge.broken(self.course, first.name, first.at, self.context, tuple(self.breaks))
        return RefusedAt(seq, first.name, (refusal,))


def _changes_state(placed: PlacedFact) -> bool:
    row = row_of(placed.fact.trigger)
    return row is not None and row.changes_state and not placed.contradicted


# Derived data that an amendment never changes: a session's giver and group, a formulation's version, where a moved entry came from,
# and the opening of the course.
KEPT = (
    "moved_from",
    "given_by",
    "group_session",
    "group_held",
    "held_before",
    "version",
    "client",
    "protocol",
    "protocol_version",
    "protocol_digest",
    "acute",
    "therapist",
    "linked_from",
    "carried",
)


def _keep_derived(current: dict[str, Any], corrected: Prepared, derived: dict[str, Any]) -> dict[str, Any]:
    own = type(corrected.payload).__struct_fields__  # the payload's own fields may change
    return {**derived, **{name: current[name] for name in KEPT if name in current and name not in own}}
