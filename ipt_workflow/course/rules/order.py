"""Rules about when in a course something happened."""

from collections import deque
from collections.abc import Iterable
from typing import Any

import msgspec

from ipt_workflow.course import triggers
from ipt_workflow.course.fold import superseded_by, to_amend
from ipt_workflow.course.rules.case import Case, rule
from ipt_workflow.errors import Refusal, Remedy
from ipt_workflow.protocols import definition
from ipt_workflow.protocols.definition import Protocol

# A later entry of the same trigger that would break one of these tells the same: it cannot happen a second time.
ONCE = frozenset({"state_allows", "sick_role_assigned"})


@rule(source="seed S2", structural=True)
def state_allows(case: Case) -> Refusal | None:
    """The trigger may happen in the course's state. Phases come in order, none skipped and none repeated."""
    state = case.course.state
    sources = triggers.sources(case.protocol, case.trigger)
    recorded = recorded_already(case)
    if recorded is not None:
        ends = case.trigger in triggers.ENDINGS
        return case.refuses(
            "state_allows.ended" if ends else "state_allows.recorded",
            current=recorded,
            required="a course without an ending" if ends else "a phase whose beginning is not recorded yet",
            remedies=("reopen" if ends else case.trigger,),
            trigger=case.trigger,
            entry=recorded,
        )
    if state in sources:
        return None
    if not sources:
        return case.refuses(
            "state_allows.unknown",
            current=state,
            required="another protocol",
            protocol=case.protocol.title,
            trigger=case.trigger,
        )
    required = "one of " + ", ".join(sources)
    if _happened(case):
        ends = case.trigger in triggers.ENDINGS
        return case.refuses(
            "state_allows.over" if ends else "state_allows.begun",
            current=state,
            required=required,
            remedies=("reopen",) if ends else (),
            trigger=case.trigger,
        )
    step = first_step(case.protocol, case.course.state, case.course.phase, frozenset(sources))
    if step is None or not (step in case.context.later or case.allows(step)):  # in an earlier place, it may be taken since
        return case.refuses("state_allows.another", current=state, required=required, trigger=case.trigger, state=state)
    if step in case.context.later:
        return case.refuses(
            "state_allows.later",
            current=state,
            required=required,
            remedies=(step,),
            trigger=case.trigger,
            state=state,
            step=step,
            entry=case.context.later[step],
        )
    return case.refuses(
        "state_allows.step",
        current=state,
        required=required,
        remedies=(step,),
        trigger=case.trigger,
        state=state,
        step=step,
    )


def recorded_already(case: Case) -> int | None:
    """The later entry that begins the same phase, or ends the course as this would. What is never blocked contradicts it instead."""
    later, row = case.context.later, triggers.row_of(case.trigger)
    if triggers.begins_phase(case.trigger):
        return later.get(case.trigger)
    if case.trigger not in triggers.ENDINGS or row is None or row.never_blocked:
        return None
    return min((later[name] for name in triggers.ENDINGS if name in later), default=None)


def _happened(case: Case) -> bool:
    """Whether the course has ended where the trigger could have ended it, or has begun the phase that it would begin."""
    if case.trigger in triggers.ENDINGS:
        ending = case.course.ending
        return ending is not None and ending.left in triggers.sources(case.protocol, case.trigger)
    if not triggers.begins_phase(case.trigger) or case.course.phase is None:
        return False
    phase = case.protocol.first.id if case.trigger == "start" else case.trigger.removeprefix(triggers.BEGIN_PREFIX)
    return case.protocol.position(phase) <= case.protocol.position(case.course.phase)


@rule(source="machine.md, Time", structural=True)
def later_entries_hold(case: Case) -> Refusal | None:
    """Every later entry still passes the rules it passed when a late entry or an amendment is placed where it happened."""
    if not case.breaks:
        return None
    return msgspec.structs.replace(_of_breaks(case, tuple(each.seq for each in case.breaks)), breaks=case.breaks)


def _of_breaks(case: Case, entries: tuple[int, ...]) -> Refusal:
    first, current, required = case.breaks[0], list(entries), "every later entry still passes the rules it passed"
    if case.trigger == "pause":
        resume = msgspec.structs.replace(case.remedy("resume"), via="together")
        return case.refuses("later_entries_hold.pause", current=current, required=required, remedies=(resume,), entries=entries)
    if first.trigger == case.trigger and all(refusal.rule in ONCE for refusal in first.refusals):
        entry = to_amend(superseded_by(case.context.history), first.seq)
        time = case.remedy("amend", supersedes=entry, occurred_at=case.at.isoformat())
        return case.refuses(
            "later_entries_hold.recorded",
            current=current,
            required=required,
            remedies=(time,),
            trigger=case.trigger,
            entry=entry,
        )
    remedies: tuple[str | Remedy, ...] = (*_helping(case), "amend")
    return case.refuses("later_entries_hold", current=current, required=required, remedies=remedies, entries=entries)


def _helping(case: Case) -> Iterable[Remedy]:
    """What helps the entries that would break: a command together with this one, this one with other data, or the time of another entry."""
    offered = (remedy for late in case.breaks for refusal in late.refusals for remedy in refusal.remedies)
    found: dict[tuple[str, int | None], Remedy] = {}
    for each in offered:
        if each.via == "together" or (each.data and each.trigger in {case.trigger, "amend"}):
            found.setdefault((each.trigger, each.data.get("supersedes")), each)
    return found.values()


def first_step(protocol: Protocol, state: str, phase: str | None, goals: frozenset[str]) -> str | None:
    """The first trigger on the shortest way from a state to one of the goals; None where no way leads there."""
    came_by: dict[str, str | None] = {state: None}
    waiting = deque([state])
    while waiting:
        here = waiting.popleft()
        for name, there in _steps(protocol, here, phase):
            if there not in came_by:
                came_by[there] = came_by[here] or name
                waiting.append(there)
    reached = [goal for goal in came_by if goal in goals]  # in the order they were reached: nearest first
    return came_by[reached[0]] if reached else None


def _steps(protocol: Protocol, state: str, phase: str | None) -> list[tuple[str, str]]:
    remembered = phase or definition.REFERRED
    return [(name, remembered if to == "remembered" else to) for name, sources, to in _changes(protocol) if state in sources]


_CHANGES: dict[tuple[Any, ...], tuple[tuple[str, tuple[str, ...], str], ...]] = {}


def _changes(protocol: Protocol) -> tuple[tuple[str, tuple[str, ...], str], ...]:
    """The triggers that change the state, with the states they leave and the one they lead to. They depend on the phases and the tables."""
    names = triggers.names(protocol)
    key = (protocol.phase_ids, names)
    if key not in _CHANGES:
        rows = ((name, triggers.find(name, protocol)) for name in names)
        _CHANGES[key] = tuple(
            (name, triggers.sources(protocol, name), to)
            for name, row in rows
            if row is not None and not row.detour and (to := triggers.destination(protocol, row, name)) is not None
        )
    return _CHANGES[key]
