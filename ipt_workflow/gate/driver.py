"""Fires triggers on the machine, and checks the claims after each accepted step."""

import datetime as dt
import re
from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from ipt_workflow.course import examples, triggers
from ipt_workflow.course.facts import Fact
from ipt_workflow.course.rules import Actor, Context, supervisor_of
from ipt_workflow.course.triggers import Command
from ipt_workflow.errors import CommandInvalid, Refusal, TriggerNotPermitted
from ipt_workflow.gate import claims
from ipt_workflow.gate.claims import Refutation, Step
from ipt_workflow.gate.likeness import SUPERVISOR, THERAPIST, Path, Spot, context_at, leaving
from ipt_workflow.machine import Accepted, CourseMachine, Refused
from ipt_workflow.protocols.definition import PhaseSpec

BEGINNING = dt.datetime(2026, 1, 5, 9, 0, tzinfo=dt.UTC)
MOMENT = dt.timedelta(minutes=1)
ROUNDS_MAX = 20
NOTHING: Mapping[str, dict[str, Any]] = {}
FINDINGS_MAX = 20  # of one claim
ASSIGNED = {"full": "assigned_full", "limited": "assigned_limited"}  # the sick role after the first phase, by the protocol's mode
NUMBERS = re.compile(r"[0-9]+")


class Paper(NamedTuple):
    """The nth firing of a trigger as paperwork, or one part of its data."""

    trigger: str
    nth: int = 1
    part: str = ""


class Driver:
    """One machine, and everything seen of it.

    For each rule about leaving a phase, as `(trigger, rule)`: `passed` if it was met once, `failed` if it was once not met, and `held`
    if it was once the only hard obstacle.
    """

    def __init__(self, machine: CourseMachine) -> None:
        self.machine = machine
        self.protocol = machine.protocol
        self.found: dict[tuple[str, str], Refutation] = {}
        self.passed: set[tuple[str, str]] = set()
        self.failed: set[tuple[str, str]] = set()
        self.held: set[tuple[str, str]] = set()
        self.tried = 0
        self.onwards = tuple(name for name in machine.triggers if triggers.leaves_phase(name) or triggers.begins_phase(name))
        self._never_blocked = {
            name: frozenset(triggers.sources(self.protocol, name))
            for name in machine.triggers
            if (row := triggers.find(name, self.protocol)) and row.never_blocked
        }
        self._papers = triggers.PAPERWORK.intersection(machine.triggers)
        self._closed: set[tuple[str, str]] = set()  # state and trigger without a row
        self._next: dict[Spot, Spot | Refused] = {}  # results of the next trigger, by course
        self._alike: set[tuple[object, ...]] = set()  # features of courses seen before

    def find(self, claim: str, why: str, path: Path | None = None, *more: str) -> None:
        """Keeps the shortest refutation of a claim for each reason. Reasons that differ only in numbers count as one."""
        reason = (claim, NUMBERS.sub("", why))
        finding = Refutation(claim, why, (*(path.steps() if path else ()), *more))
        known = self.found.get(reason)
        if known is None and sum(each == claim for each, _ in self.found) >= FINDINGS_MAX:
            return
        if known is None or len(finding.trace) < len(known.trace):
            self.found[reason] = finding

    def refuted(self, claim: str) -> bool:
        """Whether something was found against a claim."""
        return any(each == claim for each, _ in self.found)

    def open(self) -> Spot:
        """A course that has just been referred."""
        return self._opened("refer", THERAPIST, {})

    def adopted(self, phase: PhaseSpec) -> Spot | None:
        """A course that was adopted in a phase, with all documents and the fewest sessions of the phases before it.

        None if the protocol's numbers do not fit any contract.
        """
        protocol = self.protocol
        gone = protocol.phases[: protocol.position(phase.id)]
        attended = {each.id: each.sessions_min for each in gone}
        fewest = sum(each.sessions_min for each in protocol.phases)
        began = BEGINNING - dt.timedelta(days=protocol.contract.cadence_days * sum(attended.values()))
        data: dict[str, Any] = {
            "phase": phase.id,
            "attended": attended,
            "artefacts": sorted({artefact for each in gone for artefact in each.requires}),
            "sick_role": ASSIGNED.get(protocol.sick_role.mode),
            "focus": {"primary": protocol.focus.areas[0]},
            "contract": {
                "sessions": fewest if phase is protocol.last else max(fewest, protocol.contract.sessions.min),
                "weeks": protocol.contract.weeks.min,
                "cadence_days": protocol.contract.cadence_days,
            },
            "first_session_on": began.date().isoformat() if gone else None,
        }
        try:
            return self._opened("adopt", SUPERVISOR, data, says=f"in {phase.id}")
        except CommandInvalid:
            return None

    def _opened(self, name: str, by: Actor, data: dict[str, Any], says: str = "") -> Spot:
        context = context_at(BEGINNING, by)
        accepted = self.machine.preview(None, (self._command(None, name, context, data),), context)
        assert isinstance(accepted, Accepted), "a first course meets no other"
        return Spot(course=accepted.course, now=BEGINNING, path=Path(None, named(name, says), _facts(accepted)))

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
        at: dt.datetime | None = None,
    ) -> Spot | Refused:
        """Fires the example of a trigger, changed by `data` (None leaves a field out). `exception` marks the resulting course.

        It happens when it is fired, or earlier, at `at`. An invalid command is refused without a rule. An invalid example is a finding.
        """
        if (spot.course.state, name) in self._closed:
            return refused(spot, name)
        self.tried += 1
        now = spot.now + after
        context = context_at(now, by, cosigner)
        command = self._command(spot, name, context, data or {}, override, reason)
        if at:
            command = msgspec.structs.replace(command, occurred_at=at)
            context = msgspec.structs.replace(context, history=spot.path.history() if spot.path else ())
        try:
            answer = self.machine.preview(spot.course, (command,), context)
        except CommandInvalid as error:
            if not data:
                self.find("a_plain_course_completes", f"the example of {name} is invalid: {words(error)}", spot.path)
            return refused(spot, name)
        except AssertionError as error:  # the machine asserts that its rows and its fold agree
            self.find("phases_in_order", str(error), spot.path, named(name, says))
            return refused(spot, name)
        if isinstance(answer, Refused):
            if at is None:  # what refuses it at another time says nothing of the present state
                self._refused(spot, name, answer, override)
            return answer
        there = Spot(
            course=answer.course,
            now=now,
            exception=exception or spot.exception,
            path=Path(spot.path, named(name, says), _facts(answer)),
        )
        lawful = self._accepted(spot, name, answer, there, supervised=supervisor_of(context) is not None)
        return there if lawful and not spot.unlawful else msgspec.structs.replace(there, unlawful=True)

    def override(self, spot: Spot, name: str, refusals: tuple[Refusal, ...]) -> Spot | Refused:
        """Fires a trigger that only soft rules refuse, overriding them all."""
        rules = tuple(sorted({refusal.rule for refusal in refusals}))
        if not rules or any(refusal.severity == "hard" for refusal in refusals):
            return refused(spot, name)
        return self.fire(spot, name, override=rules, says=f"overriding {', '.join(rules)}")

    def paperwork(
        self,
        spot: Spot,
        changed: Mapping[str, dict[str, Any]] = NOTHING,
        without: frozenset[Paper] = frozenset(),
        done: list[Paper] | None = None,
    ) -> Spot:
        """Fires all paperwork that the refusals of the next trigger name as remedies.

        Remedies may be refused, and name remedies of their own. It ends when the same refusals come again. `changed` replaces data
        of the examples, `without` is left out, and `done` collects the paperwork that was fired.
        """
        seen: list[tuple[Refusal, ...]] = []
        written = [] if done is None else done
        while True:
            name = leaving(self.machine, spot.course)
            if name is None:
                return spot
            answer = self.onward(spot, name)
            if isinstance(answer, Spot):
                return spot
            if answer.refusals in seen or len(seen) == ROUNDS_MAX:
                return spot
            seen.append(answer.refusals)
            wanted = deque(self._remedies(answer))
            known = set(wanted)
            while wanted:
                trigger = wanted.popleft()
                there = self._write(spot, trigger, without, written, changed.get(trigger))
                if isinstance(there, Spot):
                    spot = there
                    continue
                more = [each for each in self._remedies(there) if each not in known]
                known.update(more)
                wanted.extend(more)

    def _remedies(self, answer: Refused) -> list[str]:
        named = dict.fromkeys(remedy.trigger for refusal in answer.refusals for remedy in refusal.remedies)
        return [name for name in named if name in self._papers]

    def _write(
        self, spot: Spot, trigger: str, without: frozenset[Paper], written: list[Paper], changed: dict[str, Any] | None
    ) -> Spot | Refused:
        """Fires one paper, unless it is left out.

        A paper is left out from its nth firing on, since the example of the missing one comes first. A part is left out of every firing.
        """
        paper = Paper(trigger, 1 + sum(each.trigger == trigger for each in written))
        if any(each.trigger == trigger and not each.part and each.nth <= paper.nth for each in without):
            return refused(spot, trigger)
        parts = {each.part: None for each in without if each.trigger == trigger and each.part}
        there = self.fire(spot, trigger, data={**parts, **(changed or {})})
        if isinstance(there, Spot):
            written.append(paper)
        return there

    def refusals(self, spot: Spot) -> tuple[Refusal, ...]:
        """The refusals of the next trigger."""
        name = leaving(self.machine, spot.course)
        answer = self.onward(spot, name) if name else None
        return answer.refusals if isinstance(answer, Refused) else ()

    def onward(self, spot: Spot, name: str) -> Spot | Refused:
        """The result of firing the next trigger. It is kept, since several callers need it."""
        if spot not in self._next:
            self._next[spot] = self.fire(spot, name)
        return self._next[spot]

    def first_of(self, *features: object) -> bool:
        """Whether these features are seen for the first time."""
        first = features not in self._alike
        self._alike.add(features)
        return first

    def parts(self, spot: Spot, trigger: str) -> tuple[str, ...]:
        """The fields of a trigger's example."""
        return tuple(examples.example(self.protocol, spot.course, trigger, context_at(spot.now, THERAPIST))["data"])

    def _command(
        self,
        spot: Spot | None,
        name: str,
        context: Context,
        data: dict[str, Any] | None = None,
        override: tuple[str, ...] = (),
        reason: str | None = None,
    ) -> Command:
        body = examples.example(self.protocol, spot.course if spot else None, name, context)
        body["data"] = {key: value for key, value in {**body["data"], **(data or {})}.items() if value is not None}
        if reason:
            body["reason"] = reason
        if override:
            body["override"] = {"rules": list(override), "reason": "To see whether it passes."}
        return msgspec.convert(body, Command)

    def _refused(self, spot: Spot, name: str, answer: Refused, override: tuple[str, ...]) -> None:
        """Notes which rules refused. If the state alone refuses a trigger, it refuses every course in that state."""
        rules = {refusal.rule for refusal in answer.refusals}
        if rules == {"state_allows"}:
            self._closed.add((spot.course.state, name))
        elif triggers.leaves_phase(name) and not override:
            hard = {refusal.rule for refusal in answer.refusals if refusal.severity == "hard"}
            self._note_rules(name, rules)
            self.held |= {(name, rule) for rule in (hard or rules) if len(hard) <= 1}

    def _accepted(self, before: Spot, name: str, answer: Accepted, after: Spot, *, supervised: bool) -> bool:
        """Checks the claims. Returns whether the step refutes none."""
        overridden = answer.drafts[-1].fact.overridden
        if triggers.leaves_phase(name):
            self._note_rules(name, set(overridden))
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

    def _note_rules(self, name: str, failed: set[str]) -> None:
        for rule in (bound.rule.name for bound in self.machine.bound[name]):
            (self.failed if rule in failed else self.passed).add((name, rule))

    def care(self, spot: Spot) -> None:
        """Checks that triggers that are never blocked are accepted here.

        A trigger without rules can be refused by the state alone. So it is tried only once for each state and set of refusals.
        """
        rules = frozenset(refusal.rule for refusal in self.refusals(spot))
        thoroughly = self.first_of("care", spot.course.state, spot.course.phase, rules, spot.exception)
        for name, states in self._never_blocked.items():
            if spot.course.state in states and (thoroughly or self.machine.bound[name]):
                self._cared(spot, name)
        if thoroughly and spot.course.open and spot.course.phase:
            beyond = {"data": {"kind": "additional"}, "reason": "It took place."}
            self._cared(spot, "record_session", after=dt.timedelta(days=1), says="additional", **beyond)  # another visit

    def _cared(self, spot: Spot, name: str, **more: Any) -> None:
        try:
            answer = self.fire(spot, name, **more)
        except TriggerNotPermitted as error:
            self.find("care_is_never_blocked", f"{name} is not permitted: {error}", spot.path)
            return
        if isinstance(answer, Refused):
            rules = ", ".join(refusal.rule for refusal in answer.refusals) or "the state, or as an invalid command"
            self.find("care_is_never_blocked", f"{name} is refused while {spot.course.state}, by {rules}", spot.path, name)


def _facts(accepted: Accepted) -> tuple[Fact, ...]:
    return tuple(draft.fact for draft in accepted.drafts)


def named(name: str, says: str) -> str:
    """A step of a trace, for people."""
    return f"{name} ({says})" if says else name


def words(error: CommandInvalid) -> str:
    return "; ".join(f"{fault.where} {fault.message}" for fault in error.faults)


def refused(spot: Spot, name: str = "") -> Refused:
    """A refusal without a rule."""
    return Refused(trigger=name, state=spot.course.state, version=spot.course.version, refusals=())
