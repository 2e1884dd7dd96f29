"""Every course that the rules can tell apart, nearest first, within bounds; and what the claims come to on them.

From each course every move is tried: a session, a miss, the paperwork (with each answer to the sick role, with the shortest and with the
longest contract), a pause, an extension, an amendment, endings, and every trigger that leaves a phase, also out of turn and with
everything overridden. Within bounds: one miss, and a pause or an amendment. A reopening leads back to where the ending left from. The paperwork of later phases is done when
they begin; the walks (`walking`) leave it undone. What no bound limits is what a claim is about: sessions, weeks and phases.
"""

import datetime as dt
from collections import deque
from collections.abc import Iterator
from typing import Any

from ipt_workflow import counters, triggers
from ipt_workflow.gate import walking
from ipt_workflow.gate.abstraction import SUPERVISOR, Key, Path, Spot, key, leaving
from ipt_workflow.gate.claims import Report, is_open_phase, leaves_a_phase
from ipt_workflow.gate.driving import Driver
from ipt_workflow.machine import CourseMachine, Refused

MISSES_MAX = 1
COURSES_MAX = 20_000
WEEK = dt.timedelta(days=7)
Move = tuple[str, Spot | Refused]


class Exploration:
    """The courses found so far by what the rules can tell of them, and where each can go."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.spots: dict[Key, Spot] = {}
        self.standing: dict[Key, frozenset[str]] = {}
        self.onward: dict[Key, dict[str, Key | None]] = {}
        self._cared: set[Key] = set()

    def run(self) -> None:
        waiting = deque([self._add(self.driver.open())])
        while waiting and len(self.spots) < COURSES_MAX:
            here = waiting.popleft()
            if here in self.onward:
                continue
            self.onward[here] = {}
            self._care(here)
            for name, there in moves(self.driver, self.spots[here], self.standing[here]):
                self.onward[here][name] = None
                if isinstance(there, Spot):
                    reached = self._add(there)
                    self.onward[here][name] = reached
                    waiting.append(reached)

    def _add(self, spot: Spot) -> Key:
        standing = self.driver.standing(spot)
        found = key(self.driver.machine, spot, standing)
        if found not in self.spots:
            self.spots[found], self.standing[found] = spot, standing
        return found

    def _care(self, here: Key) -> None:
        """Once for each state, and again with other paperwork: nothing else could matter to what waits for nothing."""
        alike = (self.spots[here].course.state, self.standing[here])
        if alike not in self._cared:
            self._cared.add(alike)
            self.driver.care(self.spots[here])

    def reaching(self, goals: set[Key]) -> set[Key]:
        """All courses from which one of the goals can be reached."""
        back: dict[Key, set[Key]] = {}
        for here, there in self.onward.items():
            for each in there.values():
                if each is not None:
                    back.setdefault(each, set()).add(here)
        found, waiting = set(goals), deque(goals)
        while waiting:
            for here in back.get(waiting.popleft(), ()):
                if here not in found:
                    found.add(here)
                    waiting.append(here)
        return found


def examine(machine: CourseMachine) -> Report:
    """Everything that is claimed of a protocol, proved within the bounds or refuted."""
    driver = Driver(machine)
    _walk(driver)
    exploration = Exploration(driver)
    exploration.run()
    _endings(driver, exploration)
    _rules(driver)
    return Report(
        protocol=machine.protocol.key,
        findings=tuple(driver.found.values()),
        courses=len(exploration.spots),
        tried=driver.tried,
    )


def _walk(driver: Driver) -> None:
    for twist in walking.OUT_OF_THE_ORDINARY:
        walked = walking.walk(driver, twist)
        if twist == "" and (walked.overrode or walked.spot.course.state != triggers.COMPLETED):
            at = walked.spot.course.state
            why = f"it is held by {' and '.join(walked.held)}{'' if at == triggers.COMPLETED else f', and comes to {at}'}"
            driver.find("a_plain_course_completes", why, walked.spot.path)


def _endings(driver: Driver, exploration: Exploration) -> None:
    """After an exception another may be needed, and none is left within the bounds: of those courses only an ending is asked."""
    ended = {each for each, spot in exploration.spots.items() if not spot.course.open}
    completed = {each for each in ended if exploration.spots[each].course.state == triggers.COMPLETED}
    to_an_ending, to_completion = exploration.reaching(ended), exploration.reaching(completed)
    for each, spot in exploration.spots.items():
        if each not in to_an_ending:
            driver.find("an_ending_is_reachable", f"no ending can be reached from {spot.course.state}", spot.path)
        elif is_open_phase(spot.course) and not spot.exception and each not in to_completion:
            rules = ", ".join(sorted(exploration.standing[each]))
            why = f"from {spot.course.state} the course cannot be completed ({rules or 'nothing'} stands against what comes next)"
            driver.find("an_ending_is_reachable", why, spot.path)


def _rules(driver: Driver) -> None:
    for name, bound in driver.machine.bound.items():
        if not leaves_a_phase(name):
            continue
        for rule in (each.rule.name for each in bound):
            if (name, rule) not in driver.passed:
                driver.find("every_rule_can_pass", f"{rule} always stands against {name}")
            if (name, rule) not in driver.stood:
                driver.find("every_rule_matters", f"{rule} never stands against {name}")


# Moves


def moves(driver: Driver, spot: Spot, standing: frozenset[str]) -> Iterator[Move]:
    """Every move from a course, by name, with where it leads or why it does not."""
    course = spot.course
    if not course.open:
        driver.reopen(spot)
        return
    if course.phase is None:
        yield "paperwork", driver.paperwork(spot)
    else:
        yield from _in_phase(driver, spot, standing)
    yield from _onward(driver, spot, standing)
    yield "end_early", driver.fire(spot, "end_early")
    yield "decline", driver.fire(spot, "decline")


def _in_phase(driver: Driver, spot: Spot, standing: frozenset[str]) -> Iterator[Move]:
    course = spot.course
    yield "session", walking.session(driver, spot)
    yield "session too late", _too_late(driver, spot)
    if sum(not session.attended for session in course.sessions) < MISSES_MAX:
        yield "miss", driver.fire(spot, "record_session", after=WEEK, data={"attendance": "3"}, says="missed")
    if standing:
        yield from _papers(driver, spot)
    if not spot.exception:
        yield "pause and resume", _pause(driver, spot)
    if driver.protocol.phase(course.phase or "").sessions_max_extended:
        yield "extend_phase", driver.fire(spot, "extend_phase", SUPERVISOR)
    if standing and counters.remaining(driver.protocol, course) == 0:
        yield "wait", _wait(spot)
    if course.contract and not spot.exception:
        for words, change in (("longer", 1), ("shorter", -1)):
            terms = {"sessions": course.contract.sessions + change, "weeks": course.contract.weeks + 1}
            amended = driver.fire(spot, "amend_contract", cosigner=SUPERVISOR, exception="amended", data=terms, says=words)
            yield f"amend_contract {words}", amended


def _papers(driver: Driver, spot: Spot) -> Iterator[Move]:
    """The paperwork as the examples have it; in the first phase also with other answers to the sick role and the longest contract."""
    course, spec = spot.course, driver.protocol.contract
    yield "paperwork", driver.paperwork(spot)
    if course.contract is None and course.phase == driver.protocol.first.id:
        longest = {"sessions": spec.sessions.max, "weeks": spec.weeks.max, "missed_count": True}
        yield "paperwork, longest contract", driver.paperwork(spot, agree_contract=longest)
    if course.phase == driver.protocol.first.id:
        yield "assign_sick_role", walking.give_sick_role(driver, spot)
    if course.sick_role.status == "pending" and driver.protocol.sick_role.mode != "not_used":
        declined = driver.paperwork(spot, assign_sick_role={"response": "declines"})
        yield "paperwork, sick role declined", declined
        yield "waive_sick_role", driver.fire(spot, "waive_sick_role", SUPERVISOR)


def _too_late(driver: Driver, spot: Spot) -> Refused:
    """Tries a session after the planned end and its grace; where it is taken, the claim about weeks has seen it."""
    clock = counters.clock(spot.course, spot.now)
    if clock and clock.planned_end:
        days = (clock.planned_end - spot.now.date()).days + driver.protocol.contract.grace_days + 1
        driver.fire(spot, "record_session", after=dt.timedelta(days=max(1, days)), says="held too late")
    return _nowhere(spot)


def _wait(spot: Spot) -> Spot:
    return Spot(course=spot.course, now=spot.now + WEEK, exception=spot.exception, path=Path(spot.path, "a week later"))


def _pause(driver: Driver, spot: Spot) -> Spot | Refused:
    """A pause of two weeks, in which care is not blocked either."""
    paused = driver.fire(spot, "pause", exception="paused")
    if isinstance(paused, Refused):
        return paused
    driver.care(paused)
    return driver.fire(paused, "resume", after=2 * WEEK)


def _onward(driver: Driver, spot: Spot, standing: frozenset[str]) -> Iterator[Move]:
    """Every trigger that leads to a phase or completes, in turn or not; what is next also with everything overridden."""
    for name in driver.machine.triggers:
        if leaves_a_phase(name) or name == "start":
            yield name, _begun(driver, driver.fire(spot, name))
    name = leaving(driver.machine, spot.course) or ""
    if standing:
        words = f"overriding {', '.join(sorted(standing))}"
        yield f"{name} overridden", _begun(driver, driver.fire(spot, name, override=tuple(sorted(standing)), says=words))


def _begun(driver: Driver, there: Spot | Refused) -> Spot | Refused:
    """A later phase, with its paperwork."""
    if isinstance(there, Refused) or there.course.phase in {None, driver.protocol.first.id}:
        return there
    return driver.paperwork(there)


def _nowhere(spot: Spot) -> Refused:
    """What is only looked at leads nowhere."""
    none: tuple[Any, ...] = ()
    return Refused(trigger="", state=spot.course.state, version=spot.course.version, refusals=none)
