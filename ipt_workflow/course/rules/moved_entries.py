"""Rules about moving entries that were about another client to that client's course."""

from collections.abc import Collection, Sequence
from typing import Any

import msgspec

from ipt_workflow.course import triggers
from ipt_workflow.course.context import supervisor_of
from ipt_workflow.course.facts import Fact
from ipt_workflow.course.fold import current_facts, risk_once_seen, sort_key
from ipt_workflow.course.rules.amendments import REASONS, amended_root, needs_supervisor
from ipt_workflow.course.rules.case import Case, rule
from ipt_workflow.errors import Refusal

# What is said about a session's record. It is about this record alone, so it does not move with the session.
LEFT = frozenset({"sign_session", "attest_session", "acknowledge_deviation"})


def departing(history: Sequence[Fact], entries: Sequence[int]) -> tuple[Fact, ...]:
    """The entries in force that move if these are named, as they happened: the named ones, and all references of named sessions."""
    named, current = _roots(history, entries), current_facts(history)
    sessions = {seq for seq in named if _is_session(current.get(seq))}
    moving = [
        fact
        for seq, fact in current.items()
        if fact and (seq in named if fact.trigger in triggers.MOVABLE else _is_reference(fact, sessions))
    ]
    times = {fact.seq: fact.occurred_at for fact in moving}
    return tuple(sorted(moving, key=lambda fact: sort_key(fact.seq, fact.occurred_at, fact.data.get("session"), times)))


def left_behind(history: Sequence[Fact], entries: Sequence[int]) -> tuple[int, ...]:
    """The signatures, attestations and acknowledgements of the sessions that move. They lose their effect with the session."""
    sessions = {fact.seq for fact in departing(history, entries) if _is_session(fact)}
    current = current_facts(history)
    return tuple(seq for seq, fact in current.items() if fact and fact.trigger in LEFT and fact.data["session"] in sessions)


def emptied(history: Sequence[Fact], gone: Collection[int]) -> tuple[int, ...]:
    """Every entry that holds text of the entries `gone`: these and their amendments."""
    roots: dict[int, int] = {}
    for fact in history:
        amended = fact.data["supersedes"] if fact.trigger == "amend" else fact.seq
        roots[fact.seq] = roots.get(amended, amended)
    return tuple(seq for seq, root in roots.items() if root in gone)


def _roots(history: Sequence[Fact], entries: Sequence[int]) -> set[int]:
    """The entries as they were first recorded. Any amendment of an entry names it too."""
    return {root.seq for seq in entries if (root := amended_root(tuple(history), seq))}


def _is_reference(fact: Fact, sessions: set[int]) -> bool:
    return fact.trigger == "link_session" and fact.data["session"] in sessions


def _is_session(fact: Fact | None) -> bool:
    return fact is not None and fact.trigger == "record_session"


@rule(source="design")
def entries_movable(case: Case) -> Refusal | None:
    """Each entry is in force, holds its text, and is of a kind that moves: a session of the client alone, a contact, a measure, a risk."""
    for seq in case.data["entries"]:
        why = _unmovable(case, seq)
        if why is not None:
            message_id, parameters = why
            return case.refuses(message_id, current=seq, required=sorted(triggers.MOVABLE), entry=seq, **parameters)
    return None


def _unmovable(case: Case, seq: int) -> tuple[str, dict[str, Any]] | None:
    """Why an entry cannot move: the message's id, and its parameters; None if it can."""
    history, named = case.context.history, case.data["entries"]
    root = amended_root(history, seq)
    if root is None:
        return "entries_movable.unknown", {}
    fact = current_facts(history).get(root.seq)
    if fact is None:
        return "entries_movable.void", {}
    about = fact.data.get("session")
    if about is not None:
        return None if about in _roots(history, named) else ("entries_movable.session_first", {"session": about})
    if fact.trigger not in triggers.MOVABLE:
        return "entries_movable.kind", {"trigger": fact.trigger}
    session = case.course.session(fact.seq)
    if session and session.group_session:
        return "entries_movable.group", {}
    texts = [each.seq for each in departing(history, (seq,))]
    return None if set(texts) <= set(case.context.given) else ("entries_movable.erased", {})


@rule(source="design from machine.md, amend")
def move_agreed(case: Case) -> Refusal | None:
    """A therapist moves their own entries. Risk that was seen, raised or reviewed, overrides and entries of others need a supervisor."""
    history = case.context.history
    if supervisor_of(case.context):
        return None
    gone = {fact.seq for fact in departing(history, case.data["entries"])} | set(left_behind(history, case.data["entries"]))
    applies: set[str] = set()
    by_seq = {fact.seq: fact for fact in history}
    for seq in emptied(history, gone):
        root = amended_root(history, seq)
        assert root is not None  # it is an entry of this history
        applies |= {reason for reason, holds in needs_supervisor(case, by_seq[seq], root).items() if holds}
    if any(placed.root in gone for placed in risk_once_seen(history)):
        applies.add("risk_that_was_seen")
    reasons = tuple(reason for reason in REASONS if reason in applies)
    if not reasons:
        return None
    return case.needs_supervisor(
        "move_agreed",
        current=[REASONS[reason] for reason in reasons],
        required="a supervisor, or a proposal that one cosigns",
        reasons=reasons,
    )


@rule(source="design")
def other_course_accepts(case: Case) -> Refusal | None:
    """The other course accepts every entry where it happened, by all its rules."""
    there = case.context.other_course
    if there is None:
        return case.refuses("other_course_accepts.unknown", current=None, required="a course that the actor may change")
    if not there.refused:
        return None
    refusal = case.refuses(
        "other_course_accepts.refused",
        current=[each.seq for each in there.refused],
        required="entries that the other course accepts",
        remedies=("amend",),
        entries=tuple(each.seq for each in there.refused),
    )
    return msgspec.structs.replace(refusal, breaks=there.refused)
