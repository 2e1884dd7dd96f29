"""The rules that guard each trigger under one protocol."""

from collections.abc import Mapping
from typing import Any

import msgspec

from ipt_workflow.course import triggers
from ipt_workflow.course.rules.case import REGISTRY, Case, Rule
from ipt_workflow.errors import Refusal, Severity
from ipt_workflow.protocols.definition import PhaseSpec, Protocol

# The artefacts that a protocol may require before a phase is left, and the rules that look for each.
ARTEFACTS: dict[str, tuple[str, ...]] = {
    "evaluation": ("evaluation_recorded",),
    "history": ("history_complete",),
    "inventory": ("inventory_complete",),
    "timeline": ("timeline_recorded",),
    "formulation": ("formulation_complete",),
    "acceptance": ("formulation_accepted",),
    "contract": ("contract_agreed",),
    "sick_role": ("sick_role_resolved",),
    "focus": ("focus_selected",),
    "baseline": ("baseline_measured", "baseline_of_every_aim"),
    "ending_announced": ("ending_announced",),
    "gains": ("gains_recorded",),
    "independence": ("independence_recorded",),
    "recurrence_plan": ("recurrence_planned",),
    "continuation": ("continuation_decided",),
    "end_measures": ("end_measured", "end_of_every_aim"),
    "sick_role_relinquished": ("sick_role_relinquished",),
    "contracted_weeks": ("contracted_weeks_served",),
    "outcome_followed_up": ("alternative_offered",),
    "pre_group_meeting": ("pre_group_met",),
    "engagement": ("engagement_met",),
    "parent_contact": ("parent_involved",),
    "prescriber_review": ("prescriber_reviewed",),
    "rhythm": ("rhythm_tracked",),
    "rhythm_target": ("rhythm_target_set",),
    "review": ("review_held",),
    "step_up": ("step_up_referred",),
}

ARTEFACT_OF = {rule: artefact for artefact, rules in ARTEFACTS.items() for rule in rules}

# The rules that a protocol may add to a phase under `rules`, with parameters.
PHASE_RULES = ("middle_sessions_recommended", "focus_worked")


class Bound(msgspec.Struct, frozen=True):
    """A rule as one protocol binds it to one trigger."""

    rule: Rule
    severity: Severity
    parameters: Mapping[str, Any] = {}

    def ask(self, case: Case) -> Refusal | None:
        """The rule's refusal of a case; None where the case meets it."""
        rule = self.rule
        return rule.judge(
            msgspec.structs.replace(case, rule=rule.name, severity=self.severity, parameters=self.parameters, source=rule.source)
        )

    def ask_unless_attested(self, case: Case) -> Refusal | None:
        """The same as `ask`, but a rule is met where a supervisor attested its artefact when the course was taken over."""
        attested = case.course.attested if case.course else ()
        return None if ARTEFACT_OF.get(self.rule.name) in attested else self.ask(case)


def bound_to(protocol: Protocol, name: str) -> tuple[Bound, ...]:
    """The rules over a trigger: those of its row, and for a trigger that leaves a phase also the phase's own."""
    row = triggers.find(name, protocol)
    if row is None:
        return ()
    bound = [_bind(rule) for rule in row.rules if _applies(protocol, REGISTRY[rule])]
    left = _phase_left(protocol, name)
    if left is not None:
        bound += _leaving(protocol, left)
    unique = {each.rule.name: each for each in reversed(bound)}
    return tuple(reversed(unique.values()))


def _applies(protocol: Protocol, rule: Rule) -> bool:
    """Whether the protocol has the table that the rule needs."""
    return rule.needs is None or getattr(protocol, rule.needs) is not None


def _phase_left(protocol: Protocol, name: str) -> PhaseSpec | None:
    if name == "complete":
        return protocol.last
    if name.startswith(triggers.BEGIN_PREFIX):
        return protocol.phases[protocol.position(name[len(triggers.BEGIN_PREFIX) :]) - 1]
    return None


def _leaving(protocol: Protocol, phase: PhaseSpec) -> list[Bound]:
    bound = []
    if phase is protocol.first and protocol.sick_role.mode in {"full", "limited"}:
        bound.append(_bind("sick_role_resolved"))  # a list of artefacts cannot turn off the sick role that the protocol declares
    if protocol.next_phase(phase.id) is protocol.last:
        bound.append(_bind("final_remaining"))
    for artefact in phase.requires:
        bound += [_bind(rule, soft=artefact in phase.soft) for rule in ARTEFACTS[artefact]]
    bound += [_bind(extra.rule, parameters=extra.parameters) for extra in phase.rules]
    return bound


def _bind(name: str, *, soft: bool = False, parameters: Mapping[str, Any] | None = None) -> Bound:
    rule = REGISTRY[name]
    return Bound(rule=rule, severity="soft" if soft or rule.soft else "hard", parameters=parameters or {})
