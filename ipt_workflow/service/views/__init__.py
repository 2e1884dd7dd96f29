"""What callers see of courses, entries and the results of verbs: the bodies of HTTP answers and of `--json`."""

from ipt_workflow.service.views.answers import Committed, Options, Preview, ProposalView, TokenView, Verification
from ipt_workflow.service.views.course import (
    AdoptedView,
    ContractView,
    CourseView,
    EndingView,
    FocusView,
    InterruptionView,
    MeasureView,
    ReadingView,
    Requirement,
    RhythmAimView,
    RhythmView,
    RhythmWeekView,
    RiskView,
    SessionView,
    SickRoleView,
    course_view,
)
from ipt_workflow.service.views.entries import EntryView, entry_views

__all__ = [
    "AdoptedView",
    "Committed",
    "ContractView",
    "CourseView",
    "EndingView",
    "EntryView",
    "FocusView",
    "InterruptionView",
    "MeasureView",
    "Options",
    "Preview",
    "ProposalView",
    "ReadingView",
    "Requirement",
    "RhythmAimView",
    "RhythmView",
    "RhythmWeekView",
    "RiskView",
    "SessionView",
    "SickRoleView",
    "TokenView",
    "Verification",
    "course_view",
    "entry_views",
]
