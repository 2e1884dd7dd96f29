"""The gate: whether a protocol can be run, and keeps what every course must keep. `examine` is what `protocol lint` asks.

It drives the real machine of the protocol over every course that differs in something the rules can tell apart, within bounds
(`exploring`), and over a few whole courses that each have one thing out of the ordinary (`walking`). What is claimed and how a claim is
refuted is in `claims`; what courses are taken for the same is in `abstraction`. Nothing here knows a protocol: triggers, artefacts and
remedies are read from the trigger table, the protocol and the refusals themselves.
"""

from ipt_workflow.gate.claims import CLAIMS, GateReport, Refutation
from ipt_workflow.gate.exploration import examine

__all__ = ["CLAIMS", "GateReport", "Refutation", "examine"]
