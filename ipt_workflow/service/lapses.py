"""When a proposal lapses: its command can never pass any more, so it leaves the list of those that wait.

A proposal that is only refused today goes on waiting. What happened to the course meanwhile matters only if the course has left the state
from which the command was meant, or if the proposer could not fire the command themselves any more.
"""

from collections.abc import Iterable

from ipt_workflow.course import Course, triggers
from ipt_workflow.journal import Written
from ipt_workflow.protocols.definition import ENDED, PAUSED, Protocol
from ipt_workflow.store.proposals import LapseReason, StoredProposal

INTERRUPTIONS = frozenset({"pause", "resume"})  # they lead back to the same phase
OF_THE_PHASE = frozenset({"extend_phase"})  # meant for the phase that the course was in


def moved(entries: Iterable[Written]) -> bool:
    """Whether one of these entries began another phase, ended the course or took back an ending."""
    return any(each.from_ != each.to and each.trigger not in INTERRUPTIONS for each in entries)


def may_lapse(entries: Iterable[Written]) -> bool:
    """Whether proposals on a course may have lapsed with these entries."""
    written = list(entries)
    return moved(written) or any(each.trigger in {"transfer", *triggers.MOVES} for each in written)


def lapse(protocol: Protocol, proposal: StoredProposal, course: Course, *, has_moved: bool) -> LapseReason | None:
    """Why the proposal has lapsed on the course as it is; None if it can still pass. `has_moved`: `moved` since it was made."""
    if proposal.proposed_role == "therapist" and course.therapist != (proposal.therapist or proposal.proposed_by):
        return "proposer"
    row = triggers.find(proposal.trigger, protocol)
    meant_for_then = row is not None and (row.changes_state or row.name in OF_THE_PHASE)
    if row is None or (has_moved and meant_for_then) or not _reachable(protocol, course, proposal.trigger):
        return "moved_on" if course.open else "course_ended"
    return None


def _reachable(protocol: Protocol, course: Course, name: str) -> bool:
    """Whether the course is in a state in which the trigger may happen, or may come to one. Phases never run backwards."""
    sources = triggers.sources(protocol, name)
    if not course.open:
        return course.state in sources
    passed = protocol.position(course.phase) if course.phase else 0
    ahead = {*protocol.phase_ids[passed:]} | {course.state, PAUSED, *ENDED}
    return not ahead.isdisjoint(sources)
