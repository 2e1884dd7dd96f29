"""The gate's claims about a protocol. The shortest trace to a course that breaks a claim refutes it.

The functions here judge each step by the protocol's own numbers and by the course before and after, never by the rules. So they
also find a machine with missing or faulty rules.
"""

import datetime as dt
from collections.abc import Callable
from typing import Literal

import msgspec

from ipt_workflow.course import Course, counters
from ipt_workflow.course.rules.first_phase import RESOLVED
from ipt_workflow.course.triggers import begins_phase, leaves_phase
from ipt_workflow.protocols.definition import COMPLETED, NOT_SUITABLE, PAUSED, Bounds, Protocol

CLAIMS = {
    "phases_in_order": "Phases come in order: none is skipped, cut short or repeated. Nothing follows an ending unless it is taken back.",
    "sick_role_before_second_phase": "The second phase begins only with the sick role that the protocol requires. Only a supervisor waives it.",
    "session_caps_hold": "No phase has more sessions than its cap, and no contract too few or too many, unless a supervisor agrees.",
    "week_cap_holds": "No contract has weeks out of range unless a supervisor agrees. No counted session comes after the planned end and the days of grace.",
    "care_is_never_blocked": "Nothing blocks records of care, risk, consent, an early ending, or a session that took place beyond a cap.",
    "an_ending_is_reachable": "Every course can reach an ending, and every phase can reach completion.",
    "a_plain_course_completes": "A therapist alone can complete a course without overriding a rule, also if each phase is left in a note written a session later.",
    "every_rule_can_pass": "Every rule about leaving a phase can be met.",
    "every_rule_matters": "Every rule about leaving a phase is the only obstacle in some course.",
}


class Refutation(msgspec.Struct, frozen=True):
    """A claim that does not hold, with the reason and the shortest trace to it."""

    claim: str
    why: str
    trace: tuple[str, ...] = ()


class GateReport(msgspec.Struct, frozen=True, kw_only=True):
    """The gate's findings on one protocol. It examined `courses` different courses and `tried` that many triggers.

    `cut_off` means that there were more courses than the gate examines, so that nothing is proved.
    """

    protocol: str
    findings: tuple[Refutation, ...]
    courses: int
    tried: int
    cut_off: bool = False

    @property
    def ok(self) -> bool:
        return not self.findings and not self.cut_off

    def of(self, claim: str) -> tuple[Refutation, ...]:
        return tuple(finding for finding in self.findings if finding.claim == claim)

    def holds(self, claim: str) -> bool | None:
        """Whether a claim is proved; None if it is neither proved nor refuted."""
        return False if self.of(claim) else None if self.cut_off else True


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """An accepted trigger, with the course before and after it, its time, and whether a supervisor agreed."""

    protocol: Protocol
    trigger: str
    before: Course
    after: Course
    now: dt.datetime
    supervised: bool
    overridden: tuple[str, ...] = ()


def is_open_phase(course: Course) -> bool:
    return course.open and course.phase is not None and course.state != PAUSED


def order_broken(step: Step) -> str | None:
    """A phase follows the one before it. A course completes from its last phase, and stays ended until the ending is taken back."""
    before, after, protocol = step.before, step.after, step.protocol
    if before.ending:
        back = before.ending.left if step.trigger == "reopen" else before.state
        return None if after.state == back else f"a course that left {before.ending.left} is {before.state}, and then {after.state}"
    if begins_phase(step.trigger):
        position = protocol.position(after.phase or "")
        expected = protocol.phases[position - 1].id if position else "referred"
        return None if before.state == expected else f"{before.state} is followed by {after.phase}"
    if after.state == COMPLETED and before.state != protocol.last.id:
        return f"{before.state} is followed by {COMPLETED}"
    if after.state == NOT_SUITABLE and before.phase not in {None, protocol.first.id}:
        return f"{before.state} is followed by {NOT_SUITABLE}"
    if after.phase != before.phase or (is_open_phase(after) and after.state != after.phase):
        return f"{step.trigger} leads from {before.phase} to {after.state}"
    return None


def cut_short(step: Step) -> str | None:
    """A phase is left only after its fewest sessions. In the last phase, misses that the contract counts are included.

    The course after the step has the sessions on both sides of the time to which the step is dated.
    """
    if not leaves_phase(step.trigger) or step.before.phase is None:
        return None
    phase = step.protocol.phase(step.before.phase)
    last = phase is step.protocol.last
    had = counters.consumed_in_last(step.protocol, step.after) if last else counters.phase_count(step.after, phase)
    if had >= phase.sessions_min:
        return None
    return f"{phase.id} is left after {had} sessions and must have {phase.sessions_min}"


def demands_sick_role(protocol: Protocol) -> bool:
    return protocol.sick_role.mode in {"full", "limited"} or "sick_role" in protocol.first.requires


def sick_role_missing(step: Step) -> str | None:
    """The sick role must be assigned, given up or waived, or declined by the client and overridden with a reason."""
    before, after, protocol = step.before, step.after, step.protocol
    if not demands_sick_role(protocol) or before.phase != protocol.first.id or after.phase in {None, before.phase}:
        return None
    status = before.sick_role.status
    if status in RESOLVED or (status == "declined" and "sick_role_resolved" in step.overridden):
        return None
    return f"{after.phase} begins while the sick role is {status}, and the protocol demands it"


def waived_alone(step: Step) -> str | None:
    if step.trigger != "waive_sick_role" or step.supervised or step.protocol.sick_role.mode not in {"full", "limited"}:
        return None
    return f"a sick role whose mode is {step.protocol.sick_role.mode} is waived without a supervisor"


def cap_exceeded(step: Step) -> str | None:
    before, course, used = step.before, step.after, 0
    if course.sessions is before.sessions and course.contract is before.contract and course.extended is before.extended:
        return None  # the step changes nothing that is counted
    for phase in step.protocol.phases:
        most = phase.sessions_max_extended if phase.id in course.extended else phase.sessions_max
        held = counters.phase_count(course, phase)
        used += held
        if most is not None and held > most:
            return f"{phase.id} has {held} sessions and may have {most}"
    if course.contract and used > course.contract.sessions:
        return f"{used} sessions were held of {course.contract.sessions} that are contracted"
    most = step.protocol.contract.sessions.max
    if course.contract is None and used > most:
        return f"{used} sessions were held without a contract, and the longest has {most}"
    return None


def sessions_out_of_range(step: Step) -> str | None:
    return _out_of_range(step, "sessions", step.protocol.contract.sessions)


def weeks_out_of_range(step: Step) -> str | None:
    return _out_of_range(step, "weeks", step.protocol.contract.weeks)


def _out_of_range(step: Step, term: Literal["sessions", "weeks"], bounds: Bounds) -> str | None:
    """A number that a therapist alone agreed, or changed. One that a supervisor agreed to before may stay."""
    before, after = step.before.contract, step.after.contract
    if step.trigger not in CONTRACTING or step.supervised or after is None or getattr(after, term) in bounds:
        return None
    if step.trigger == "amend_contract" and before and getattr(before, term) == getattr(after, term):
        return None
    return f"a contract of {getattr(after, term)} {term} is agreed without a supervisor; the range is {bounds}"


def extended_alone(step: Step) -> str | None:
    new = set(step.after.extended) - set(step.before.extended)
    if step.trigger != "extend_phase" or (step.supervised and new):
        return None
    return f"{step.before.phase} is extended {'without a supervisor' if new else 'a second time'}"


def too_late(step: Step) -> str | None:
    if step.trigger != "record_session" or not step.after.sessions[-1].counts:
        return None
    clock = counters.clock(step.before, step.now)
    if clock is None or clock.planned_end is None:
        return None
    late = (step.now.date() - clock.planned_end).days
    if late <= step.protocol.contract.grace_days:
        return None
    return f"a session is held {late} days after the planned end"


CONTRACTING = frozenset({"agree_contract", "amend_contract"})
WATCHED: tuple[tuple[str, Callable[[Step], str | None]], ...] = (
    ("phases_in_order", order_broken),
    ("phases_in_order", cut_short),
    ("sick_role_before_second_phase", sick_role_missing),
    ("sick_role_before_second_phase", waived_alone),
    ("session_caps_hold", cap_exceeded),
    ("session_caps_hold", sessions_out_of_range),
    ("session_caps_hold", extended_alone),
    ("week_cap_holds", weeks_out_of_range),
    ("week_cap_holds", too_late),
)


def refuted_by(step: Step) -> list[tuple[str, str]]:
    """The claims that an accepted trigger refutes, each with the reason."""
    return [(claim, why) for claim, watch in WATCHED if (why := watch(step))]
