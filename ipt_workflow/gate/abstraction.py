"""Which courses the gate takes for the same.

Two courses are taken for the same where they are in the same state and phase, the same rules stand against what comes next (leaving the
phase; in `referred`, starting), and these agree: sessions of the phase as far as a bound counts them, what remains of the contract, how
many more weeks than that are left, misses where the contract counts them, whether the phase was extended, what became of the sick role,
and whether an exception was made. A rule tells two such courses apart only by numbers that do not matter any more: how long earlier
phases were, how long the contract was when it was agreed, what exactly was written. Of courses that have ended only where they left from
is told apart.
"""

import datetime as dt

import msgspec

from ipt_workflow import counters
from ipt_workflow.course import Course
from ipt_workflow.machine import CourseMachine
from ipt_workflow.protocol import PhaseSpec, Protocol
from ipt_workflow.rules import Actor, Context
from ipt_workflow.triggers import BEGIN_PREFIX, PAUSED, REFERRED

THERAPIST = Actor("therapist", "therapist")
SUPERVISOR = Actor("supervisor", "supervisor")
SPARE_WEEKS = range(-6, 13)  # beyond, a course is late, or has time, whatever else it does


class Path(msgspec.Struct, frozen=True):
    """The triggers that led somewhere, the last one first."""

    before: "Path | None"
    step: str

    def steps(self) -> tuple[str, ...]:
        found: list[str] = []
        here: Path | None = self
        while here:
            found.append(here.step)
            here = here.before
        return tuple(reversed(found))


class Spot(msgspec.Struct, frozen=True, kw_only=True):
    """A course on the way, when it is there, what exception was made, and how it came there."""

    course: Course
    now: dt.datetime
    exception: str = ""
    path: Path | None = None


Key = tuple[object, ...]


def key(machine: CourseMachine, spot: Spot, standing: frozenset[str]) -> Key:
    """What of a course the rules can tell. `standing` are the rules that stand against what comes next."""
    course, protocol = spot.course, machine.protocol
    if course.ending:
        return (course.state, course.ending.left)
    if course.phase is None:
        return (course.state, standing, bool(spot.exception))
    phase, contract = protocol.phase(course.phase), course.contract
    misses = None if contract and not contract.missed_count else sum(not session.attended for session in course.sessions)
    return (
        course.state,
        course.phase,
        standing,
        min(counters.phase_count(course, phase), _counted_to(phase)),
        counters.remaining(protocol, course),
        misses,
        counters.first_session_on(course) is None,
        _spare_weeks(protocol, spot),
        phase.id in course.extended,
        course.sick_role.status if phase is protocol.first else course.sick_role.status.startswith("assigned"),
        bool(spot.exception),
    )


def _counted_to(phase: PhaseSpec) -> int:
    """The highest number of sessions that a bound or a rule of the phase speaks of."""
    spoken = [value for rule in phase.rules for value in rule.parameters.values() if isinstance(value, int)]
    return max(phase.sessions_min, phase.sessions_max_extended or phase.sessions_max or 0, *spoken, 0)


def _spare_weeks(protocol: Protocol, spot: Spot) -> int:
    """How many more weeks are left to the planned end than the sessions that remain take; before a contract, less those that went by."""
    course, clock = spot.course, counters.clock(spot.course, spot.now)
    gone = (spot.now.date() - clock.started_on).days - clock.paused_days if clock else 0
    weeks = course.contract.weeks if course.contract else 0
    needed = (counters.remaining(protocol, course) or 0) * protocol.contract.cadence_days
    return max(SPARE_WEEKS[0], min((weeks * 7 - gone - needed) // 7, SPARE_WEEKS[-1]))


def leaving(machine: CourseMachine, course: Course) -> str | None:
    """The trigger that comes next: what leaves the phase, or starts the course."""
    if course.state == REFERRED:
        return "start"
    if not course.open or course.phase is None or course.state == PAUSED:
        return None
    after = machine.protocol.next_phase(course.phase)
    return BEGIN_PREFIX + after.id if after else "complete"


def context(now: dt.datetime, actor: Actor, cosigner: Actor | None = None) -> Context:
    return Context(now=now, actor=actor, cosigner=cosigner, course_id="course", client="client", therapist=THERAPIST.person)
