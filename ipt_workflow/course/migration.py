"""Whether a course can migrate to another version of its protocol, and every obstacle to it.

The facts in force are folded again. The structural rules of the new version judge each of them, and so do those of its own time. A
refusal by the new version alone is an obstacle. So is a missing phase, a requirement that nothing can meet any more, and a contract
that cannot be amended to fit.
"""

from collections.abc import Iterator

import msgspec

from ipt_workflow.course import carry_over, triggers
from ipt_workflow.course.carry_over import Finding, Move
from ipt_workflow.course.course import Course
from ipt_workflow.course.drafts import Judge, as_recorded
from ipt_workflow.course.effects.protocol_change import repinned
from ipt_workflow.course.facts import Fact
from ipt_workflow.course.fold import step, timeline
from ipt_workflow.course.rules import ARTEFACT_OF, REGISTRY, Context
from ipt_workflow.errors import Refusal
from ipt_workflow.protocols.definition import Protocol

SEQS_MAX = 10  # entries that an obstacle names


def plan(course: Course, history: tuple[Fact, ...], old: Judge, new: Judge, context: Context) -> Move:
    """The migration of a course with this history from `old` to `new`, with its obstacles. Pure."""
    data = carry_over.entry_data(course, old.protocol, new.protocol, context, to_first=False)
    moved = repinned(course, data)
    lost = tuple(_phases(course, old.protocol, new.protocol))
    if lost:
        return carry_over.move(data, lost)
    obstacles = (
        *_unlawful(history, old, new, context),
        *_closed(course, moved, old.protocol, new.protocol, context),
        *_unfit(new.protocol, moved),
    )
    by_name = {each.name: each for each in reversed(obstacles)}
    data["gaps"] = [gap for gap in data["gaps"] if gap["rule"] not in by_name]
    return carry_over.move(data, tuple(reversed(by_name.values())))


def _phases(course: Course, old: Protocol, new: Protocol) -> Iterator[Finding]:
    """Obstacles if the course has not gone through the new version's phases, from its first to the present one."""
    if course.phase is None:
        return
    been = old.phase_ids[: old.position(course.phase) + 1]
    known = new.phase_ids
    gone = [phase for phase in been if phase not in known]
    if gone:
        yield Finding(name="state_allows", says=f"{new.key} has no phase {', '.join(gone)}, but the course has been in it.")
    elif been != known[: len(been)]:
        yield Finding(
            name="state_allows",
            says=f"{new.key} goes through {', '.join(known[: known.index(course.phase) + 1])}, but the course went through {', '.join(been)}.",
        )


def _unlawful(history: tuple[Fact, ...], old: Judge, new: Judge, context: Context) -> Iterator[Finding]:
    """Structural rules that facts in force fail under the new version alone, with the entries that fail them."""
    failing: dict[str, list[int]] = {}
    here: Course | None = None
    for placed in timeline(history):
        if here is not None and not placed.contradicted:
            for rule in _newly(here, placed.fact, old, new, context):
                failing.setdefault(rule, []).append(placed.fact.seq)
        here = step(here, placed)
    for rule, seqs in failing.items():
        listed = ", ".join(map(str, seqs[:SEQS_MAX])) + (", …" if len(seqs) > SEQS_MAX else "")
        yield Finding(name=rule, says=f"Not kept by entry {listed}: {REGISTRY[rule].says}", severity="hard")


def _newly(here: Course, fact: Fact, old: Judge, new: Judge, context: Context) -> Iterator[str]:
    then = old.machine_of(here.protocol_digest, context)
    if then.protocol.id != new.protocol.id:
        return  # the course had another protocol then, and its change of protocol carried the fact over
    recorded = as_recorded(fact, context)
    known = {refusal.rule for refusal in then.structural(here, fact, recorded)}
    for refusal in new.structural(here, fact, recorded):
        if refusal.rule not in known and refusal.severity == "hard" and not _mended(refusal, here, fact, new.protocol):
            yield refusal.rule


# Rules that count against the contract are judged on the whole course, since an amended contract can satisfy them.
BY_CONTRACT = frozenset({"contract_session_cap", "contract_fits_phases", "final_remaining", "final_held"})


def _mended(refusal: Refusal, here: Course, fact: Fact, new: Protocol) -> bool:
    row = triggers.row_of(fact.trigger)
    if refusal.rule == "state_allows":
        return row is None or not row.changes_state  # a record in another state does no harm
    own_cap = here.phase is not None and new.phase(here.phase).sessions_max is not None
    return refusal.rule in BY_CONTRACT or (refusal.rule == "phase_session_cap" and not own_cap)


def _closed(course: Course, moved: Course, old: Protocol, new: Protocol, context: Context) -> Iterator[Finding]:
    """New requirements of the next gate and of later ones that are not met, and that no trigger can meet from here on."""
    present = carry_over.reached(new, moved) or 0
    here = moved if moved.phase else msgspec.structs.replace(moved, phase=new.first.id)
    before = {gate[0]: gate for gate in carry_over.gates(old)}
    for index, gate in enumerate(carry_over.gates(new)):
        if index < max(present, 1):
            continue
        known = carry_over.unmet(old, course, before[gate[0]], context) if gate[0] in before else {}
        for name, refusal in carry_over.unmet(new, here, (here.phase, gate[1]), context).items():
            new_and_hard = refusal.severity == "hard" and name in ARTEFACT_OF and name not in known
            if new_and_hard and not any(_may_come(new, here, each.trigger) for each in refusal.remedies):
                yield Finding(name=name, says=f"Nothing can meet it any more: {REGISTRY[name].says}", severity="hard", gate=gate[1])


def _may_come(new: Protocol, here: Course, trigger: str) -> bool:
    """Whether a trigger has a source in the course's phase or a later one."""
    to_come = {*new.phase_ids[new.position(here.phase or new.first.id) :]}
    return not to_come.isdisjoint(triggers.sources(new, trigger))


def _unfit(new: Protocol, moved: Course) -> Iterator[Finding]:
    """An obstacle if no contract in the new version's range lets the course end."""
    if carry_over.contract_fit(new, moved) == "none_fits":
        room, allowed = carry_over.contract_room(new, moved), new.contract.sessions
        yield Finding(
            name=carry_over.UNFIT, says=f"It needs a contract of {room.min} sessions or more, and {new.key} allows {allowed}."
        )
