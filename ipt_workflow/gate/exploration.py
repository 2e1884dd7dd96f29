"""Explores every course that rules can distinguish, nearest first, within bounds, and judges the claims on them.

`steps.moves` makes every move from each course: a session, a miss, the paperwork, a pause, an extension, an amendment, and endings.
It does the paperwork with each answer to the sick role, and with the shortest and the longest contract. It also tries every trigger that
leads to a phase or completes, in and out of turn, and with soft rules overridden. A course after a step that refutes a claim is not explored further.

The bounds are one miss, and either a pause or an amendment. If a phase counts held sessions, misses are unlimited once the weeks have
begun. Time passes in sessions and weeks. Sessions, weeks and phases, the subjects of the claims, have no bound. The paperwork is done
whole or not at all; `ladder` leaves out each part. A course that began elsewhere is walked to its end from each phase, and the
supervisor's attestation is not judged.
"""

from collections import deque

from ipt_workflow.course import triggers
from ipt_workflow.course.rules import ARTEFACTS
from ipt_workflow.gate import ladder, walks
from ipt_workflow.gate.claims import GateReport, is_open_phase
from ipt_workflow.gate.driver import Driver
from ipt_workflow.gate.likeness import Key, Spot, key
from ipt_workflow.gate.steps import Refusals, attempts, moves
from ipt_workflow.machine import CourseMachine
from ipt_workflow.protocols import definition
from ipt_workflow.protocols.definition import Protocol

COURSES_MAX = 20_000


class Exploration:
    """The courses found so far, by their features, and where each can go."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.spots: dict[Key, Spot] = {}
        self.refusals: dict[Key, Refusals] = {}
        self.onward: dict[Key, dict[str, Key | None]] = {}

    @property
    def cut_off(self) -> bool:
        return len(self.onward) < len(self.spots)

    def run(self) -> None:
        waiting = deque([self._add(self.driver.open())])
        while waiting and len(self.spots) < COURSES_MAX:
            here = waiting.popleft()
            if here in self.onward:
                continue
            self.onward[here] = {}
            spot, refusals = self.spots[here], self.refusals[here]
            self._try(spot, refusals)
            for name, there in moves(self.driver, spot, refusals):
                self.onward[here][name] = None
                if isinstance(there, Spot) and not there.unlawful:
                    reached = self._add(there)
                    self.onward[here][name] = reached
                    waiting.append(reached)

    def _add(self, spot: Spot) -> Key:
        refusals = self.driver.refusals(spot)
        found = key(self.driver.machine, spot, refusals)
        if found not in self.spots:
            self.spots[found], self.refusals[found] = spot, refusals
        return found

    def _try(self, spot: Spot, refusals: Refusals) -> None:
        """Checks care everywhere, and attempts once for each state and set of refusals."""
        self.driver.care(spot)
        rules = frozenset(refusal.rule for refusal in refusals)
        if self.driver.first_of("attempts", spot.course.state, rules, spot.exception):
            attempts(self.driver, spot)

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


def examine(machine: CourseMachine) -> GateReport:
    """Every claim about a protocol, proved within the bounds or refuted."""
    exploration = Exploration(Driver(machine))
    exploration.run()
    return judged(exploration)


def judged(exploration: Exploration) -> GateReport:
    """Judges the claims on a finished exploration, together with the walks and the ladder."""
    driver = exploration.driver
    _walk(driver)
    if not exploration.cut_off:  # a course that was not explored might prove them
        _endings(driver, exploration)
        _rules(driver)
    return GateReport(
        protocol=driver.protocol.key,
        findings=tuple(driver.found.values()),
        courses=len(exploration.spots),
        tried=driver.tried,
        cut_off=exploration.cut_off,
    )


def _walk(driver: Driver) -> None:
    for twist in walks.OUT_OF_THE_ORDINARY:
        walked = walks.walk(driver, twist)
        if twist in ladder.CLIMBED:
            ladder.climb(driver, walked.entries, twist)
        plainly = not walked.overrode and walked.spot.course.state == definition.COMPLETED
        if twist in walks.PLAIN and not plainly and not driver.refuted("a_plain_course_completes"):
            driver.find("a_plain_course_completes", walked.words, walked.spot.path)
    for phase in driver.protocol.phases:
        adopted = driver.adopted(phase)
        if adopted is None:
            continue
        walked = walks.walk(driver, spot=adopted)
        if walked.spot.course.state != definition.COMPLETED:
            why = f"a course that is adopted in {phase.id} cannot be completed: {walked.words}"
            driver.find("an_ending_is_reachable", why, walked.spot.path)


def _endings(driver: Driver, exploration: Exploration) -> None:
    """Finds courses that cannot reach an ending, or completion: the nearest of each state, which was found first.

    A course with an exception may need another one, which the bounds do not allow. It need not reach completion.
    """
    ended = {each for each, spot in exploration.spots.items() if not spot.course.open}
    completed = {each for each in ended if exploration.spots[each].course.state == definition.COMPLETED}
    to_an_ending, to_completion = exploration.reaching(ended), exploration.reaching(completed)
    stuck: dict[str, str] = {}
    for each, spot in exploration.spots.items():
        state = spot.course.state
        if state in stuck:
            continue
        if each not in to_an_ending:
            stuck[state] = f"no ending can be reached from {state}"
        elif is_open_phase(spot.course) and not spot.exception and each not in to_completion:
            rules = ", ".join(sorted(refusal.rule for refusal in exploration.refusals[each]))
            stuck[state] = f"from {state} the course cannot be completed ({rules or 'no rule'} refuses the next trigger)"
        if state in stuck:
            driver.find("an_ending_is_reachable", stuck[state], spot.path)


def _rules(driver: Driver) -> None:
    """Finds rules that never pass or never refuse, and rules named by the protocol that are never the only obstacle.

    Rules of the trigger table need not be the only obstacle, since a protocol's numbers may already ensure them.
    """
    for name, bound in driver.machine.bound.items():
        if not triggers.leaves_phase(name):
            continue
        required = _rules_of_phase(driver.protocol, name)
        for rule in (each.rule.name for each in bound):
            if (name, rule) not in driver.passed:
                driver.find("every_rule_can_pass", f"{rule} always refuses {name}")
            if (name, rule) not in driver.failed:
                driver.find("every_rule_matters", f"{rule} never refuses {name}")
            elif rule in required and (name, rule) not in driver.held:
                driver.find(
                    "every_rule_matters", f"{rule} is never the only obstacle to {name}: another hard rule always refuses too"
                )


def _rules_of_phase(protocol: Protocol, name: str) -> set[str]:
    """The rules that the protocol binds to leaving a phase by this trigger."""
    after = protocol.position(name.removeprefix(triggers.BEGIN_PREFIX)) if name != "complete" else len(protocol.phases)
    phase = protocol.phases[after - 1]
    return {rule for artefact in phase.requires for rule in ARTEFACTS[artefact]} | {extra.rule for extra in phase.rules}
