"""Every course that the rules can tell apart, nearest first, within bounds; and what the claims come to on them.

From each course every move is made (`moving`): a session, a miss, the paperwork (with each answer to the sick role, with the shortest and
with the longest contract), a pause, an extension, an amendment, endings, and every trigger that leads to a phase or completes, also out
of turn and with all that is soft overridden. What comes of a step that refutes a claim is not looked at.

Within bounds: one miss (once the weeks have begun, where a phase counts what was held, any number), and a pause or an amendment; time goes by in sessions and weeks. What no bound limits is what a claim is about:
sessions, weeks and phases. The paperwork is done whole or not at all: `laddering` leaves out each part of it. A course begun elsewhere is
walked to its end from each phase; what a supervisor attests of it is not judged.
"""

from collections import deque

from ipt_workflow.course import triggers
from ipt_workflow.course.rules import ARTEFACTS
from ipt_workflow.gate import ladder, walks
from ipt_workflow.gate.claims import GateReport, is_open_phase, leaves_a_phase
from ipt_workflow.gate.driver import Driver
from ipt_workflow.gate.likeness import Key, Spot, key
from ipt_workflow.gate.steps import Standing, attempts, moves
from ipt_workflow.machine import CourseMachine
from ipt_workflow.protocols import definition
from ipt_workflow.protocols.definition import Protocol

COURSES_MAX = 20_000


class Exploration:
    """The courses found so far by what the rules can tell of them, and where each can go."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.spots: dict[Key, Spot] = {}
        self.standing: dict[Key, Standing] = {}
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
            spot, standing = self.spots[here], self.standing[here]
            self._try(spot, standing)
            for name, there in moves(self.driver, spot, standing):
                self.onward[here][name] = None
                if isinstance(there, Spot) and not there.unlawful:
                    reached = self._add(there)
                    self.onward[here][name] = reached
                    waiting.append(reached)

    def _add(self, spot: Spot) -> Key:
        standing = self.driver.standing(spot)
        found = key(self.driver.machine, spot, standing)
        if found not in self.spots:
            self.spots[found], self.standing[found] = spot, standing
        return found

    def _try(self, spot: Spot, standing: Standing) -> None:
        """Care everywhere; what is only attempted, once for each state and paperwork."""
        self.driver.care(spot)
        rules = frozenset(refusal.rule for refusal in standing)
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
    """Everything that is claimed of a protocol, proved within the bounds or refuted."""
    exploration = Exploration(Driver(machine))
    exploration.run()
    return judged(exploration)


def judged(exploration: Exploration) -> GateReport:
    """What the claims come to on a finished exploration, with the walks and the ladder."""
    driver = exploration.driver
    _walk(driver)
    if not exploration.cut_off:  # what was not seen, another course might show
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
        if twist == "" and (walked.overrode or walked.spot.course.state != definition.COMPLETED):
            driver.find("a_plain_course_completes", walked.words, walked.spot.path)
    for phase in driver.protocol.phases:
        adopted = driver.adopted(phase)
        if adopted is None:
            continue
        walked = walks.walk(driver, spot=adopted)
        if walked.spot.course.state != definition.COMPLETED:
            why = f"a course that is taken over in {phase.id} cannot be completed: {walked.words}"
            driver.find("an_ending_is_reachable", why, walked.spot.path)


def _endings(driver: Driver, exploration: Exploration) -> None:
    """After an exception another may be needed, and none is left within the bounds: of those courses only an ending is asked.

    Of each state the nearest course is told of that gets no further: the first, since they were found nearest first.
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
            rules = ", ".join(sorted(refusal.rule for refusal in exploration.standing[each]))
            stuck[state] = f"from {state} the course cannot be completed ({rules or 'nothing'} stands against what comes next)"
        if state in stuck:
            driver.find("an_ending_is_reachable", stuck[state], spot.path)


def _rules(driver: Driver) -> None:
    """What the protocol asks for must once be what holds a phase. What is over every protocol may be kept by its numbers already."""
    for name, bound in driver.machine.bound.items():
        if not leaves_a_phase(name):
            continue
        asked = _asked_for(driver.protocol, name)
        for rule in (each.rule.name for each in bound):
            if (name, rule) not in driver.passed:
                driver.find("every_rule_can_pass", f"{rule} always stands against {name}")
            if (name, rule) not in driver.stood:
                driver.find("every_rule_matters", f"{rule} never stands against {name}")
            elif rule in asked and (name, rule) not in driver.held:
                driver.find(
                    "every_rule_matters", f"{rule} never holds {name}: wherever it stands, another does that cannot be overridden"
                )


def _asked_for(protocol: Protocol, name: str) -> set[str]:
    """The rules over a trigger that a phase of the protocol names."""
    after = protocol.position(name.removeprefix(triggers.BEGIN_PREFIX)) if name != "complete" else len(protocol.phases)
    phase = protocol.phases[after - 1]
    return {rule for artefact in phase.requires for rule in ARTEFACTS[artefact]} | {extra.rule for extra in phase.rules}
