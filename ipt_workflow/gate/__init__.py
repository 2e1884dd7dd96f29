"""The gate: proves within bounds that a protocol can be run and keeps its promises. `protocol lint` calls `examine`.

The gate drives the protocol's real machine. `exploration` goes through every course that rules can distinguish, within bounds. `walks`
are a few whole courses, each with one thing out of the ordinary. `claims` has the promises and how they are refuted. `likeness` defines
which courses count as the same. `replay` judges recorded entries again under a candidate protocol. Nothing here knows a protocol: the
gate reads triggers, artefacts and remedies from the trigger table, the protocol and the refusals.
"""

from ipt_workflow.gate.claims import CLAIMS, GateReport, Refutation
from ipt_workflow.gate.exploration import examine

__all__ = ["CLAIMS", "GateReport", "Refutation", "examine"]
