"""The rules and artefacts that a protocol file may name, for the loader of files."""

from ipt_workflow.course.rules.bound import ARTEFACTS, PHASE_RULES
from ipt_workflow.course.rules.case import REGISTRY
from ipt_workflow.protocols.checks import KnownRules

KNOWN_RULES = KnownRules(
    rules={name: REGISTRY[name].parameters for name in PHASE_RULES},
    artefacts=frozenset(ARTEFACTS),
    needs={name: table for name, rules in ARTEFACTS.items() for rule in rules if (table := REGISTRY[rule].needs)},
)
