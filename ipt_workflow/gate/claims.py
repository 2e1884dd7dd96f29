"""What the gate claims of a protocol. Each claim is refuted by a shortest way that leads to what it says cannot be."""

import datetime as dt

import msgspec

from ipt_workflow import counters
from ipt_workflow.course import Course
from ipt_workflow.machine import CourseMachine
from ipt_workflow.rules.first_phase import RESOLVED
from ipt_workflow.triggers import BEGIN_PREFIX, PAUSED

CLAIMS = {
    "phases_in_order": "Phases come in their order, none skipped and none repeated.",
    "sick_role_before_second_phase": "The second phase begins only with what the sick-role mode demands.",
    "session_caps_hold": "No phase and no contract has more sessions than its cap.",
    "week_cap_holds": "No session that counts is held after the planned end and its days of grace.",
    "care_is_never_blocked": "Recording, risk and ending early wait for no paperwork.",
    "an_ending_is_reachable": "From everywhere an ending can be reached, and from every phase the completed course.",
    "a_plain_course_completes": "A therapist alone can complete a course, with nothing overridden.",
    "every_rule_can_pass": "Every rule over leaving a phase can be met.",
    "every_rule_matters": "Every rule over leaving a phase stands against somebody.",
}


class Finding(msgspec.Struct, frozen=True):
    """A claim that does not hold: why, and the shortest way there."""

    claim: str
    why: str
    trace: tuple[str, ...] = ()


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What was found of one protocol. `courses` that differ were looked at, and so many triggers `tried`."""

    protocol: str
    findings: tuple[Finding, ...]
    courses: int
    tried: int

    @property
    def ok(self) -> bool:
        return not self.findings


def order_broken(machine: CourseMachine, before: Course, after: Course) -> str | None:
    """Whether a step went from a phase to any but the next one, or came back to one that had been left."""
    protocol = machine.protocol
    if after.phase is None or after.phase == before.phase:
        return None
    here = -1 if before.phase is None else protocol.position(before.phase)
    there = protocol.position(after.phase)
    if there == here + 1:
        return None
    return f"{before.phase or before.state} is followed by {after.phase}"


def sick_role_missing(machine: CourseMachine, before: Course, after: Course, overridden: tuple[str, ...]) -> str | None:
    protocol = machine.protocol
    demanded = protocol.sick_role.mode in {"full", "limited"} or "sick_role" in protocol.first.requires
    if not demanded or before.phase != protocol.first.id or after.phase in {None, before.phase}:
        return None
    status = before.sick_role.status
    if status in RESOLVED or (status == "declined" and "sick_role_resolved" in overridden):
        return None
    return f"{after.phase} begins while the sick role is {status}, and the protocol demands it"


def cap_exceeded(machine: CourseMachine, course: Course) -> str | None:
    """Judged by the protocol's own numbers, not by the rules that are to keep them."""
    for phase in machine.protocol.phases:
        most = phase.sessions_max_extended if phase.id in course.extended else phase.sessions_max
        held = counters.phase_count(course, phase)
        if most is not None and held > most:
            return f"{phase.id} has {held} sessions and may have {most}"
    contract = course.contract
    used = sum(session.counts for session in course.sessions)
    if contract and used > contract.sessions:
        return f"{used} sessions were held of {contract.sessions} that are contracted"
    return None


def too_late(machine: CourseMachine, before: Course, at: dt.datetime) -> str | None:
    """Of a session that counts, held at a moment: whether that is past the planned end and its grace."""
    clock = counters.clock(before, at)
    if clock is None or clock.planned_end is None:
        return None
    late = (at.date() - clock.planned_end).days
    if late <= machine.protocol.contract.grace_days:
        return None
    return f"a session is held {late} days after the planned end"


def leaves_a_phase(name: str) -> bool:
    return name == "complete" or name.startswith(BEGIN_PREFIX)


def is_open_phase(course: Course) -> bool:
    return course.open and course.phase is not None and course.state != PAUSED
