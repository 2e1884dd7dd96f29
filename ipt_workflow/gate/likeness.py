"""Which courses the gate takes for the same.

Two courses are taken for the same where they are in the same state and phase, the same rules stand against what comes next (leaving the
phase; in `referred`, starting), and these agree: sessions of the phase as far as a bound counts them, what remains of the contract, how
many more weeks than that are left, misses where the contract counts them, whether the phase was extended, what became of the sick role,
and whether an exception was made. A rule tells two such courses apart only by numbers that do not matter any more: how long earlier
phases were, how long the contract was when it was agreed, what exactly was written. Of courses that have ended only where they left from
is told apart.
"""

import datetime as dt
from typing import NamedTuple

import msgspec

from ipt_workflow.course import Contract, Course, counters
from ipt_workflow.course.rules import Actor, Context
from ipt_workflow.course.triggers import BEGIN_PREFIX
from ipt_workflow.errors import Refusal
from ipt_workflow.machine import CourseMachine
from ipt_workflow.protocols.definition import PAUSED, REFERRED, PhaseSpec, Protocol

THERAPIST = Actor("therapist", "therapist")
SUPERVISOR = Actor("supervisor", "supervisor")
EHR = Actor("ehr:source", "ehr", "ehr")
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


class Spot(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A course on the way, when it is there, what exception was made, and how it came there. `unlawful`: by a step that refutes a claim.

    Each is its own: two ways to the same course are two.
    """

    course: Course
    now: dt.datetime
    exception: str = ""
    path: Path | None = None
    unlawful: bool = False

    def later(self, after: dt.timedelta, says: str) -> "Spot":
        return msgspec.structs.replace(self, now=self.now + after, path=Path(self.path, says))


class Kind(NamedTuple):
    """What of a course in a phase the rules can tell. Courses of one kind are taken for the same."""

    state: str
    phase: str
    standing: frozenset[tuple[str, str]]  # rules against what comes next, and how severe: all that they read of the paperwork
    sessions: int  # of the phase, as far as a bound or a rule speaks of them
    remaining: int | None  # of the contract
    misses: tuple[int, int] | None  # where the contract counts them, or may come to; and those of them that it has no room for
    begun: bool  # whether there was a first session, from which weeks count
    weeks: int | tuple[int, ...]
    extended: bool
    sick_role: object
    risk: bool  # whether a risk waits to be reviewed
    excepted: bool  # whether an exception was made, within the bounds


Key = tuple[object, ...]


def key(machine: CourseMachine, spot: Spot, refusals: tuple[Refusal, ...]) -> Key:
    """What of a course the rules can tell. `refusals` are what stands against what comes next."""
    course, protocol = spot.course, machine.protocol
    standing = frozenset((refusal.rule, refusal.severity) for refusal in refusals)
    if course.ending:
        return (course.state, course.ending.left)
    if course.phase is None:
        return (course.state, standing, bool(spot.exception))
    phase, contract, role = protocol.phase(course.phase), course.contract, course.sick_role.status
    return Kind(
        state=course.state,
        phase=course.phase,
        standing=standing,
        sessions=min(counters.phase_count(course, phase), _counted_to(phase)),
        remaining=counters.remaining(protocol, course),
        misses=None if contract and not contract.missed_count else _misses(protocol, course),
        begun=counters.first_session_on(course) is not None,
        weeks=_spare_weeks(protocol, spot, contract) if contract else _before_a_contract(protocol, spot),
        extended=phase.id in course.extended,
        sick_role=(role, course.evaluated) if phase is protocol.first else role.startswith("assigned"),
        risk=course.risk.open_since is not None,
        excepted=bool(spot.exception),
    )


def _misses(protocol: Protocol, course: Course) -> tuple[int, int]:
    """Misses that use up a session where the contract says so; and those that do not, but would if it were longer."""
    asked = {phase.id for phase in protocol.phases if phase.count == "attended"}
    missed = sum(tally.chargeable for phase_id, tally in course.tallies.items() if phase_id in asked)
    used_up = counters.consumed(protocol, course) - counters.used_total(protocol, course)
    return missed, missed - used_up if course.contract else 0


def _counted_to(phase: PhaseSpec) -> int:
    """The highest number of sessions that a bound or a rule of the phase speaks of."""
    spoken = [value for rule in phase.rules for value in rule.parameters.values() if isinstance(value, int)]
    return max(phase.sessions_min, phase.sessions_max_extended or phase.sessions_max or 0, *spoken, 0)


def _before_a_contract(protocol: Protocol, spot: Spot) -> tuple[int, ...]:
    """What a contract will come to count: sessions that are used, weeks gone, and weeks of pauses, in case it says that they stop the clock."""
    course, spec = spot.course, protocol.contract
    terms = Contract(sessions=spec.sessions.max, weeks=spec.weeks.max, pause_stops_clock=True)
    clock = counters.clock(msgspec.structs.replace(course, contract=terms), spot.now)
    gone, paused = ((spot.now.date() - clock.started_on).days, clock.paused_days) if clock else (0, 0)
    return counters.used_total(protocol, course), min(gone // 7, spec.weeks.max + 1), paused // 7


def _spare_weeks(protocol: Protocol, spot: Spot, contract: Contract) -> int:
    """How many more weeks are left to the planned end than the sessions that remain take."""
    course, clock = spot.course, counters.clock(spot.course, spot.now)
    gone = (spot.now.date() - clock.started_on).days - clock.paused_days if clock else 0
    needed = (counters.remaining(protocol, course) or 0) * protocol.contract.cadence_days
    return max(SPARE_WEEKS[0], min((contract.weeks * 7 - gone - needed) // 7, SPARE_WEEKS[-1]))


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
