"""Entries of one course as they arrive in another. The other course judges each where it happened, by all its rules, as a late entry."""

from typing import Any

import msgspec

from ipt_workflow.course import triggers
from ipt_workflow.course.commands import Prepared, payload_faults
from ipt_workflow.course.context import Actor, Context, OtherCourse
from ipt_workflow.course.course import Course
from ipt_workflow.course.drafts import Draft, Judge
from ipt_workflow.course.facts import Fact
from ipt_workflow.course.fold import fold, pinned_at, risk_once_seen
from ipt_workflow.course.late_entries import RefusedAt, place_late
from ipt_workflow.course.rules import Case
from ipt_workflow.course.rules.moved_entries import departing, entries_movable
from ipt_workflow.course.structural import structural
from ipt_workflow.course.triggers import Override
from ipt_workflow.errors import Break, CommandInvalid, Fault
from ipt_workflow.protocols.definition import Protocol
from ipt_workflow.values.faults import decode

replace = msgspec.structs.replace


class Arrived(msgspec.Struct, frozen=True, kw_only=True):
    """The other course after the entries that were moved to it, and the drafts to write there."""

    course: Course
    drafts: tuple[Draft, ...]


def arrive(judge: Judge, course: Course, prepared: Prepared, context: Context) -> Arrived | Break | None:
    """The other course with the entries that `prepared` moves, or the first that it refuses. None if they cannot leave `course`.

    Raises CommandInvalid if an entry has no place in the other course: it happened earlier, or its scale is unknown there.
    """
    there = context.other_course
    case = Case(protocol=judge.protocol, course=course, trigger=prepared.name, data=prepared.data, at=prepared.at, context=context)
    if there is None or entries_movable(case):
        return None
    other = judge.machine_of(there.course.protocol_digest, context)
    moving = departing(context.history, prepared.data["entries"])
    numbers = {fact.seq: seq for seq, fact in enumerate(moving, start=there.course.version + 1)}
    commands = []
    for fact in moving:
        protocol = _protocol_then(other, there, fact, context)
        arrival = _arrival(fact, numbers, context, prepared.override, protocol)
        commands.append(replace(arrival, kept={**arrival.kept, **_origin(fact, course, context)}))
    now = max(context.now, there.course.last_recorded_at)
    inside = replace(context, now=now, history=there.history, given=there.given, other_course=None)
    try:
        answer = place_late(other, there.course, tuple(commands), inside)
    except CommandInvalid as error:
        raise CommandInvalid([Fault("data.entries", f"happened too early: it {fault.message}") for fault in error.faults]) from None
    if isinstance(answer, RefusedAt):
        return Break(moving[answer.seq - there.course.version - 1].seq, answer.trigger, answer.refusals)
    folded = fold((*there.history, *(draft.fact for draft in answer)))
    assert folded is not None  # the other course is open or ended
    return Arrived(course=folded, drafts=answer)


def _protocol_then(other: Judge, there: OtherCourse, fact: Fact, context: Context) -> Protocol:
    """The protocol that the other course had when an entry happened."""
    digest = pinned_at(there.history, fact.occurred_at)
    return other.machine_of(digest, context).protocol if digest else other.protocol


def _arrival(fact: Fact, numbers: dict[int, int], context: Context, override: Override | None, protocol: Protocol) -> Prepared:
    """One entry as a command for the other course, with the numbers that the entries get there."""
    assert context.other_course is not None  # the context is that of a move
    row = triggers.row_of(fact.trigger)
    assert row is not None  # only known triggers are recorded
    given, reason = context.given[fact.seq], context.other_course.reasons.get(fact.seq)
    if "session" in given:
        given = {**given, "session": numbers[given["session"]]}
    payload, faults = decode(row.payload, given)
    if payload is not None:
        faults = payload_faults(protocol, payload, reason, replace(context, actor=_author(fact)))
    if payload is None or faults:
        raise CommandInvalid([Fault("data.entries", f"entry {fact.seq}: {fault.where} {fault.message}") for fault in faults])
    return Prepared(
        name=fact.trigger,
        row=row,
        payload=payload,
        given=msgspec.to_builtins(payload),
        data=structural(payload),
        at=fact.occurred_at,
        reason=reason,
        override=override,
        kept=_giver(fact),
    )


def _origin(fact: Fact, course: Course, context: Context) -> dict[str, Any]:
    """Where an entry came from, and when risk was seen there if the entry says so no more: then the review is owed here."""
    origin: dict[str, Any] = {"course": course.id, "seq": fact.seq}
    told = replace(fact, data={**fact.data, "moved_from": origin})
    versions = (fact, *(placed.fact for placed in risk_once_seen(context.history) if placed.root == fact.seq))
    seen = [at for each in versions if (at := each.risk_seen_at)]
    if seen and told.risk_seen_at is None:
        origin["risk_seen_at"] = min(seen).isoformat()
    return {"moved_from": origin}


def _giver(fact: Fact) -> dict[str, Any]:
    """Who gave a session, if the entry's author did. A session that an EHR recorded is given by the other course's therapist."""
    return {"given_by": fact.data["given_by"]} if _author(fact).gives_sessions and "given_by" in fact.data else {}


def _author(fact: Fact) -> Actor:
    return Actor(fact.actor.person, fact.actor.role, fact.actor.via)  # type: ignore[arg-type]  # the journal holds these only
