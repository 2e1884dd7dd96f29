"""Protocols and machines with a fault planted in them. Their bounds are small, so that a fault is found quickly."""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path as File
from typing import Any

import msgspec

from ipt_workflow.course.rules import KNOWN_RULES, REGISTRY, Bound, Case
from ipt_workflow.errors import Refusal
from ipt_workflow.gate import Refutation
from ipt_workflow.gate.driver import Driver
from ipt_workflow.gate.exploration import Exploration, judged
from ipt_workflow.gate.likeness import Path
from ipt_workflow.machine import CourseMachine
from ipt_workflow.protocols.definition import Bounds, PhaseRule, Protocol
from ipt_workflow.protocols.files import load_catalogue

ROOT = File(__file__).parents[2]
replaced = msgspec.structs.replace
Judge = Callable[[Case], Refusal | None]


@cache
def ipt() -> Protocol:
    return load_catalogue(ROOT / "config" / "protocols", ROOT / "config" / "instruments", KNOWN_RULES).get("ipt")


@cache
def small() -> Protocol:
    """The default protocol in six sessions: one or two (three if extended), then the sessions that are left, then two."""
    initial, middle, final = ipt().phases
    worked = PhaseRule(rule="focus_worked")
    recommended = PhaseRule(rule="middle_sessions_recommended", parameters={"minimum": 2})
    return replaced(
        ipt(),
        phases=(
            replaced(initial, sessions_max=2, sessions_max_extended=3),
            replaced(middle, rules=(recommended, worked)),
            replaced(final, sessions_min=2, sessions_max=2),
        ),
        contract=replaced(ipt().contract, sessions=Bounds(6, 6), weeks=Bounds(6, 6)),
    )


def with_phase(phase_id: str, **changes: Any) -> Protocol:
    """The small protocol with one phase changed."""
    return replaced(small(), phases=tuple(replaced(spec, **changes) if spec.id == phase_id else spec for spec in small().phases))


def also_requiring(phase_id: str, artefact: str) -> Protocol:
    return with_phase(phase_id, requires=(*small().phase(phase_id).requires, artefact))


def without(phase_id: str, artefact: str) -> tuple[str, ...]:
    return tuple(name for name in small().phase(phase_id).requires if name != artefact)


def with_contract(**changes: Any) -> Protocol:
    return replaced(small(), contract=replaced(small().contract, **changes))


class Sabotaged(CourseMachine):
    """The small protocol's machine, with rules left out, added or changed, or with an extra row."""

    def __init__(
        self,
        *,
        without: tuple[str, ...] = (),
        beside: Mapping[str, tuple[str, ...]] | None = None,
        judging: Mapping[str, Callable[[Judge], Judge]] | None = None,
        row: tuple[str, str, str] | None = None,
    ) -> None:
        super().__init__(small())
        if row:
            trigger, source, dest = row
            self._machine.add_transition(trigger, source, dest, conditions=[self._lawful])
        for name, bound in self.bound.items():
            kept = [each for each in bound if each.rule.name not in without]
            more = [Bound(rule=REGISTRY[rule], severity="hard") for rule in (beside or {}).get(name, ())]
            self.bound[name] = tuple(_judged(each, judging or {}) for each in (*kept, *more))


def _judged(bound: Bound, judging: Mapping[str, Callable[[Judge], Judge]]) -> Bound:
    otherwise = judging.get(bound.rule.name)
    if otherwise is None:
        return bound
    return replaced(bound, rule=replaced(bound.rule, judge=otherwise(bound.rule.judge)))


def unless(excuse: Callable[[Case], Any]) -> Callable[[Judge], Judge]:
    """A rule with an exception that it should not have."""
    return lambda judge: lambda case: None if excuse(case) else judge(case)


def softened(judge: Judge) -> Judge:
    """A rule that can be overridden and should not be."""

    def soft(case: Case) -> Refusal | None:
        refusal = judge(case)
        return refusal and replaced(refusal, severity="soft")

    return soft


def over(protocol: Protocol, *gone: str) -> tuple[str, ...]:
    """All rules over these triggers."""
    machine = CourseMachine(protocol)
    return tuple(dict.fromkeys(bound.rule.name for name in gone for bound in machine.bound[name]))


class Seen(Exception):
    """The refutation that the test seeks."""

    def __init__(self, finding: Refutation) -> None:
        super().__init__(finding.why)
        self.finding = finding


class Seeking(Driver):
    """Stops at the first refutation of a claim with these words. Courses come nearest first, so its trace is about the shortest."""

    def __init__(self, machine: CourseMachine, claim: str, says: str) -> None:
        super().__init__(machine)
        self.sought = (claim, says)

    def find(self, claim: str, why: str, path: Path | None = None, *more: str) -> None:
        super().find(claim, why, path, *more)
        sought, says = self.sought
        for finding in self.found.values():
            if finding.claim == sought and says in finding.why:
                raise Seen(finding)


def found(machine: CourseMachine, claim: str, says: str) -> Refutation:
    """The finding about a planted fault. Fails with all findings if there is none."""
    exploration = Exploration(Seeking(machine, claim, says))
    try:
        exploration.run()
        report = judged(exploration)
    except Seen as seen:
        return seen.finding
    raise AssertionError([(finding.claim, finding.why) for finding in report.findings])
