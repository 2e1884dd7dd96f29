"""The named rules. Each one is met, or refuses and says what would help.

A rule is a function of a `Case`. It reads the course, the protocol's numbers and the command's structural data. It fetches
nothing and reads no clock. The machine calls every rule bound to a trigger, so that the caller gets all refusals at once.
"""

from ipt_workflow.course.context import Actor, Context, GroupHeld, OtherCourse, supervisor_of
from ipt_workflow.course.rules import (
    agreement,
    amendments,
    calendar,
    ending,
    episode,
    first_phase,
    moved_entries,
    order,
    processing,
    rhythm,
    sessions,
    setting,
    suitability,
)
from ipt_workflow.course.rules.bound import ARTEFACT_OF, ARTEFACTS, PHASE_RULES, Bound, bound_to
from ipt_workflow.course.rules.case import REGISTRY, Case, Rule
from ipt_workflow.course.rules.known import KNOWN_RULES

__all__ = [
    "ARTEFACTS",
    "ARTEFACT_OF",
    "KNOWN_RULES",
    "PHASE_RULES",
    "REGISTRY",
    "Actor",
    "Bound",
    "Case",
    "Context",
    "GroupHeld",
    "OtherCourse",
    "Rule",
    "agreement",
    "amendments",
    "bound_to",
    "calendar",
    "ending",
    "episode",
    "first_phase",
    "moved_entries",
    "order",
    "processing",
    "rhythm",
    "sessions",
    "setting",
    "suitability",
    "supervisor_of",
]
