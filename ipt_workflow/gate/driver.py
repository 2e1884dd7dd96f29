"""Firing triggers on the machine, and watching what comes of each: claims are checked with every step that is accepted."""

import datetime as dt
import re
from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from ipt_workflow.course import examples, triggers
from ipt_workflow.course.rules import Actor, Context, supervisor_of
from ipt_workflow.course.triggers import Command
from ipt_workflow.errors import CommandInvalid, Refusal, TriggerNotPermitted
from ipt_workflow.gate import claims
from ipt_workflow.gate.claims import Refutation, Step
from ipt_workflow.gate.likeness import SUPERVISOR, THERAPIST, Path, Spot, context, leaving
from ipt_workflow.machine import Accepted, CourseMachine, Refused
from ipt_workflow.protocols.definition import PhaseSpec

BEGINNING = dt.datetime(2026, 1, 5, 9, 0, tzinfo=dt.UTC)
MOMENT = dt.timedelta(minutes=1)
ROUNDS_MAX = 20
NOTHING: Mapping[str, dict[str, Any]] = {}
FINDINGS_MAX = 20  # of one claim
GIVEN = {
    "full": "assigned_full",
    "limited": "assigned_limited",
}  # what the sick role is, where a protocol has it, after the first phase
NUMBERS = re.compile(r"[0-9]+")


class Paper(NamedTuple):
    """A trigger that the paperwork fires, the how many-th of its name; or of what it says one part."""

    trigger: str
    nth: int = 1
    part: str = ""


class Driver:
    """One machine, and all that was seen of it.

    Of each rule over leaving a phase (as `(trigger, rule)`): `passed`, that it was met; `stood`, that it was not; `held`, that nothing
    stood beside it but soft rules that could have been overridden.
    """

    def __init__(self, machine: CourseMachine) -> None:
        self.machine = machine
        self.protocol = machine.protocol
        self.found: dict[tuple[str, str], Refutation] = {}
        self.passed: set[tuple[str, str]] = set()
        self.stood: set[tuple[str, str]] = set()
        self.held: set[tuple[str, str]] = set()
        self.tried = 0
        self.onwards = tuple(name for name in machine.triggers if claims.leaves_a_phase(name) or claims.enters_a_phase(name))
        self._never_blocked = {
            name: frozenset(triggers.states(self.protocol, row.sources, name))
            for name in machine.triggers
            if (row := triggers.find(name, self.protocol)) and row.never_blocked
        }
        self._papers = triggers.PAPERWORK.intersection(machine.triggers)
        self._closed: set[tuple[str, str]] = set()  # state and trigger between which there is no row
        self._next: dict[Spot, Spot | Refused] = {}  # what came of what comes next
        self._alike: set[tuple[object, ...]] = set()  # of what there was a first course already

    def find(self, claim: str, why: str, path: Path | None = None, *more: str) -> None:
        """Keeps the shortest refutation of a claim for one reason, whatever its numbers."""
        reason = (claim, NUMBERS.sub("", why))
        finding = Refutation(claim, why, (*(path.steps() if path else ()), *more))
        known = self.found.get(reason)
        if known is None and sum(each == claim for each, _ in self.found) >= FINDINGS_MAX:
            return
        if known is None or len(finding.trace) < len(known.trace):
            self.found[reason] = finding

    def open(self) -> Spot:
        """A course that was just referred."""
        return self._opened("refer", THERAPIST, {})

    def adopted(self, phase: PhaseSpec) -> Spot | None:
        """A course that was taken over in a phase, with all that the phases before it ask for and the fewest sessions they must have.

        None where that cannot be said, because the numbers are none that a contract can have.
        """
        protocol = self.protocol
        gone = protocol.phases[: protocol.position(phase.id)]
        attended = {each.id: each.sessions_min for each in gone}
        fewest = sum(each.sessions_min for each in protocol.phases)
        began = BEGINNING - dt.timedelta(days=protocol.contract.cadence_days * sum(attended.values()))
        told: dict[str, Any] = {
            "phase": phase.id,
            "attended": attended,
            "artefacts": sorted({artefact for each in gone for artefact in each.requires}),
            "sick_role": GIVEN.get(protocol.sick_role.mode),
            "focus": {"primary": protocol.focus.areas[0]},
            "contract": {
                "sessions": fewest if phase is protocol.last else max(fewest, protocol.contract.sessions.min),
                "weeks": protocol.contract.weeks.min,
                "cadence_days": protocol.contract.cadence_days,
            },
            "first_session_on": began.date().isoformat() if gone else None,
        }
        try:
            return self._opened("adopt", SUPERVISOR, told, says=f"in {phase.id}")
        except CommandInvalid:
            return None

    def _opened(self, name: str, by: Actor, told: dict[str, Any], says: str = "") -> Spot:
        asked = context(BEGINNING, by)
        accepted = self.machine.preview(None, (self._command(None, name, asked, told),), asked)
        assert isinstance(accepted, Accepted), "a first course meets no other"
        return Spot(course=accepted.course, now=BEGINNING, path=Path(None, named(name, says)))

    def fire(
        self,
        spot: Spot,
        name: str,
        by: Actor = THERAPIST,
        *,
        cosigner: Actor | None = None,
        after: dt.timedelta = MOMENT,
        override: tuple[str, ...] = (),
        says: str = "",
        exception: str = "",
        data: dict[str, Any] | None = None,
        reason: str | None = None,
    ) -> Spot | Refused:
        """Fires the example of a trigger, changed by `data` (None leaves a field out). `exception` marks courses that went this way.

        What cannot be said at all is refused without a rule; that an example cannot, is found.
        """
        if (spot.course.state, name) in self._closed:
            return refused(spot, name)
        self.tried += 1
        now, asked = spot.now + after, context(spot.now + after, by, cosigner)
        command = self._command(spot, name, asked, data or {}, override, reason)
        try:
            answer = self.machine.preview(spot.course, (command,), asked)
        except CommandInvalid as error:
            if not data:
                self.find("a_plain_course_completes", f"{name} cannot be said: {words(error)}", spot.path)
            return refused(spot, name)
        except AssertionError as error:  # the machine holds that its rows and its fold agree
            self.find("phases_in_order", str(error), spot.path, named(name, says))
            return refused(spot, name)
        if isinstance(answer, Refused):
            self._refused(spot, name, answer, override)
            return answer
        there = Spot(
            course=answer.course,
            now=now,
            exception=exception or spot.exception,
            path=Path(spot.path, named(name, says)),
        )
        lawful = self._accepted(spot, name, answer, there, supervised=supervisor_of(asked) is not None)
        return there if lawful and not spot.unlawful else msgspec.structs.replace(there, unlawful=True)

    def override(self, spot: Spot, name: str, standing: tuple[Refusal, ...]) -> Spot | Refused:
        """Fires what only soft rules stand against, overriding them all."""
        rules = tuple(sorted({refusal.rule for refusal in standing}))
        if not rules or any(refusal.severity == "hard" for refusal in standing):
            return refused(spot, name)
        return self.fire(spot, name, override=rules, says=f"overriding {', '.join(rules)}")

    def paperwork(
        self,
        spot: Spot,
        changed: Mapping[str, dict[str, Any]] = NOTHING,
        without: frozenset[Paper] = frozenset(),
        done: list[Paper] | None = None,
    ) -> Spot:
        """Does all that the refusals of what comes next name as remedies, and that is no session and changes no state.

        Remedies may be refused, and name remedies of their own: it goes on until what stands has stood before. `changed` is what
        is written otherwise than the examples have it, `without` what is left out; `done` collects what was written.
        """
        stood: list[tuple[Refusal, ...]] = []
        written = [] if done is None else done
        while True:
            name = leaving(self.machine, spot.course)
            if name is None:
                return spot
            answer = self.onward(spot, name)
            if isinstance(answer, Spot):
                return spot
            if answer.refusals in stood or len(stood) == ROUNDS_MAX:
                return spot
            stood.append(answer.refusals)
            wanted = deque(self._remedies(answer))
            asked = set(wanted)
            while wanted:
                trigger = wanted.popleft()
                there = self._write(spot, trigger, without, written, changed.get(trigger))
                if isinstance(there, Spot):
                    spot = there
                    continue
                more = [each for each in self._remedies(there) if each not in asked]
                asked.update(more)
                wanted.extend(more)

    def _remedies(self, answer: Refused) -> list[str]:
        named = dict.fromkeys(remedy.trigger for refusal in answer.refusals for remedy in refusal.remedies)
        return [name for name in named if name in self._papers]

    def _write(
        self, spot: Spot, trigger: str, without: frozenset[Paper], written: list[Paper], changed: dict[str, Any] | None
    ) -> Spot | Refused:
        """Left out from the nth on, since the example of what is still missing comes first; without a part whenever it is written."""
        paper = Paper(trigger, 1 + sum(each.trigger == trigger for each in written))
        if any(each.trigger == trigger and not each.part and each.nth <= paper.nth for each in without):
            return refused(spot, trigger)
        parts = {each.part: None for each in without if each.trigger == trigger and each.part}
        there = self.fire(spot, trigger, data={**parts, **(changed or {})})
        if isinstance(there, Spot):
            written.append(paper)
        return there

    def standing(self, spot: Spot) -> tuple[Refusal, ...]:
        """What stands against what comes next."""
        name = leaving(self.machine, spot.course)
        answer = self.onward(spot, name) if name else None
        return answer.refusals if isinstance(answer, Refused) else ()

    def onward(self, spot: Spot, name: str) -> Spot | Refused:
        """What comes of firing what comes next, which is asked of a course more than once."""
        if spot not in self._next:
            self._next[spot] = self.fire(spot, name)
        return self._next[spot]

    def first_of(self, *what: object) -> bool:
        """Whether nothing like it was asked after before."""
        first = what not in self._alike
        self._alike.add(what)
        return first

    def parts(self, spot: Spot, trigger: str) -> tuple[str, ...]:
        """What the example of a trigger says, by name."""
        return tuple(examples.example(self.protocol, spot.course, trigger, context(spot.now, THERAPIST))["data"])

    def _command(
        self,
        spot: Spot | None,
        name: str,
        asked: Context,
        data: dict[str, Any] | None = None,
        override: tuple[str, ...] = (),
        reason: str | None = None,
    ) -> Command:
        body = examples.example(self.protocol, spot.course if spot else None, name, asked)
        body["data"] = {key: value for key, value in {**body["data"], **(data or {})}.items() if value is not None}
        if reason:
            body["reason"] = reason
        if override:
            body["override"] = {"rules": list(override), "reason": "To see whether it passes."}
        return msgspec.convert(body, Command)

    def _refused(self, spot: Spot, name: str, answer: Refused, override: tuple[str, ...]) -> None:
        """Which rules held. Where the state alone stands against a trigger, it does so against every course in that state."""
        rules = {refusal.rule for refusal in answer.refusals}
        if rules == {"state_allows"}:
            self._closed.add((spot.course.state, name))
        elif claims.leaves_a_phase(name) and not override:
            hard = {refusal.rule for refusal in answer.refusals if refusal.severity == "hard"}
            self._told(name, rules)
            self.held |= {(name, rule) for rule in (hard or rules) if len(hard) <= 1}

    def _accepted(self, before: Spot, name: str, answer: Accepted, after: Spot, *, supervised: bool) -> bool:
        """Whether a step refutes nothing."""
        overridden = answer.drafts[-1].fact.overridden
        if claims.leaves_a_phase(name):
            self._told(name, set(overridden))
        step = Step(
            protocol=self.protocol,
            trigger=name,
            before=before.course,
            after=after.course,
            now=after.now,
            supervised=supervised,
            overridden=overridden,
        )
        refuted = claims.refuted_by(step)
        for claim, why in refuted:
            self.find(claim, why, after.path)
        return not refuted

    def _told(self, name: str, stood: set[str]) -> None:
        for rule in (bound.rule.name for bound in self.machine.bound[name]):
            (self.stood if rule in stood else self.passed).add((name, rule))

    def care(self, spot: Spot) -> None:
        """Whether what must never be blocked is accepted here: what has rules over it, which it should not, everywhere.

        All else only where a state first comes with these rules against what comes next: without rules, only the state can stand against it.
        """
        rules = frozenset(refusal.rule for refusal in self.standing(spot))
        thoroughly = self.first_of("care", spot.course.state, spot.course.phase, rules, spot.exception)
        for name, states in self._never_blocked.items():
            if spot.course.state in states and (thoroughly or self.machine.bound[name]):
                self._cared(spot, name)
        if thoroughly and spot.course.open and spot.course.phase:
            self._cared(spot, "record_session", data={"kind": "additional"}, reason="It took place.", says="additional")

    def _cared(self, spot: Spot, name: str, **more: Any) -> None:
        try:
            answer = self.fire(spot, name, **more)
        except TriggerNotPermitted as error:
            self.find("care_is_never_blocked", f"{name} is not permitted: {error}", spot.path)
            return
        if isinstance(answer, Refused):
            rules = ", ".join(refusal.rule for refusal in answer.refusals) or "the state, or since it cannot be said"
            self.find("care_is_never_blocked", f"{name} is refused while {spot.course.state}, by {rules}", spot.path, name)


def named(name: str, says: str) -> str:
    """A step as a person reads it."""
    return f"{name} ({says})" if says else name


def words(error: CommandInvalid) -> str:
    return "; ".join(f"{fault.where} {fault.message}" for fault in error.faults)


def refused(spot: Spot, name: str = "") -> Refused:
    """What leads nowhere, without a rule that says so."""
    return Refused(trigger=name, state=spot.course.state, version=spot.course.version, refusals=())
