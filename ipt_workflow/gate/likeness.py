"""Which courses the gate counts as the same.

Two courses count as the same if all their `Features` agree. They differ only in numbers that no later rule reads: the length of
earlier phases, the original contract, and the exact paperwork. Ended courses differ only in the state that they left.
"""

import datetime as dt
from typing import NamedTuple

import msgspec

from ipt_workflow.course import Contract, Course, counters
from ipt_workflow.course.facts import Fact
from ipt_workflow.course.rules import Actor, Context
from ipt_workflow.course.triggers import BEGIN_PREFIX
from ipt_workflow.errors import Refusal
from ipt_workflow.machine import CourseMachine
from ipt_workflow.protocols.definition import PAUSED, REFERRED, PhaseSpec, Protocol

THERAPIST = Actor("therapist", "therapist")
SUPERVISOR = Actor("supervisor", "supervisor")
EHR = Actor("ehr:source", "ehr", "ehr")
SPARE_WEEKS = range(-6, 13)  # beyond these, a course lacks time or has time in any case


class Path(msgspec.Struct, frozen=True):
    """The triggers that led to a course, the last one first, and the facts that they became."""

    before: "Path | None"
    step: str
    facts: tuple[Fact, ...] = ()

    def steps(self) -> tuple[str, ...]:
        return tuple(path.step for path in self._whole())

    def history(self) -> tuple[Fact, ...]:
        return tuple(fact for path in self._whole() for fact in path.facts)

    def _whole(self) -> list["Path"]:
        found: list[Path] = []
        here: Path | None = self
        while here:
            found.append(here)
            here = here.before
        return found[::-1]


class Spot(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A course with its time, its exception and its path. `unlawful` if a step on its path refutes a claim.

    Two paths to the same course make two spots.
    """

    course: Course
    now: dt.datetime
    exception: str = ""
    path: Path | None = None
    unlawful: bool = False

    def later(self, after: dt.timedelta, says: str) -> "Spot":
        return msgspec.structs.replace(self, now=self.now + after, path=Path(self.path, says))


class Features(NamedTuple):
    """The features of a course in a phase that rules can distinguish. Courses with equal features count as the same."""

    state: str
    phase: str
    refusals: frozenset[tuple[str, str]]  # rule and severity; they represent all paperwork
    sessions: int  # of the phase, up to the highest number in a bound or a rule
    remaining: int | None  # of the contract
    misses: tuple[int, int] | None  # if the contract counts them, or may; and those that it has no room for
    begun: bool  # whether the first session was held, from which weeks count
    weeks: int | tuple[int, ...]
    extended: bool
    sick_role: object
    risk: bool  # whether a risk waits for review
    excepted: bool  # whether an exception was made


Key = tuple[object, ...]


def key(machine: CourseMachine, spot: Spot, refusals: tuple[Refusal, ...]) -> Key:
    """The features of a course that rules can distinguish. `refusals` are those of the next trigger."""
    course, protocol = spot.course, machine.protocol
    refused_by = frozenset((refusal.rule, refusal.severity) for refusal in refusals)
    if course.ending:
        return (course.state, course.ending.left)
    if course.phase is None:
        return (course.state, refused_by, bool(spot.exception))
    phase, contract, role = protocol.phase(course.phase), course.contract, course.sick_role.status
    return Features(
        state=course.state,
        phase=course.phase,
        refusals=refused_by,
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
    """Misses that use up a session if the contract counts them, and those that only a longer contract would count."""
    counting = {phase.id for phase in protocol.phases if phase.count == "attended"}
    missed = sum(tally.chargeable for phase_id, tally in course.tallies.items() if phase_id in counting)
    used_up = counters.consumed(protocol, course) - counters.used_total(protocol, course)
    return missed, missed - used_up if course.contract else 0


def _counted_to(phase: PhaseSpec) -> int:
    """The highest number of sessions in a bound or a rule of the phase."""
    numbers = [value for rule in phase.rules for value in rule.parameters.values() if isinstance(value, int)]
    return max(phase.sessions_min, phase.sessions_max_extended or phase.sessions_max or 0, *numbers, 0)


def _before_a_contract(protocol: Protocol, spot: Spot) -> tuple[int, ...]:
    """Numbers that a later contract will count: sessions used, weeks gone, and weeks of pauses, which may stop the clock."""
    course, spec = spot.course, protocol.contract
    terms = Contract(sessions=spec.sessions.max, weeks=spec.weeks.max, pause_stops_clock=True)
    clock = counters.clock(msgspec.structs.replace(course, contract=terms), spot.now)
    gone, paused = ((spot.now.date() - clock.started_on).days, clock.paused_days) if clock else (0, 0)
    return counters.used_total(protocol, course), min(gone // 7, spec.weeks.max + 1), paused // 7


def _spare_weeks(protocol: Protocol, spot: Spot, contract: Contract) -> int | tuple[int, int]:
    """The weeks left to the planned end, less the weeks that the remaining sessions take; far too few, then with the weeks left."""
    course, clock = spot.course, counters.clock(spot.course, spot.now)
    gone = (spot.now.date() - clock.started_on).days - clock.paused_days if clock else 0
    needed = (counters.remaining(protocol, course) or 0) * protocol.contract.cadence_days
    left, spare = (contract.weeks * 7 - gone) // 7, (contract.weeks * 7 - gone - needed) // 7
    return min(spare, SPARE_WEEKS[-1]) if spare >= SPARE_WEEKS[0] else (SPARE_WEEKS[0], max(left, SPARE_WEEKS[0]))


def leaving(machine: CourseMachine, course: Course) -> str | None:
    """The next trigger: the one that leaves the phase, or `start`."""
    if course.state == REFERRED:
        return "start"
    if not course.open or course.phase is None or course.state == PAUSED:
        return None
    after = machine.protocol.next_phase(course.phase)
    return BEGIN_PREFIX + after.id if after else "complete"


def context_at(now: dt.datetime, actor: Actor, cosigner: Actor | None = None) -> Context:
    return Context(now=now, actor=actor, cosigner=cosigner, course_id="course", client="client", therapist=THERAPIST.person)
