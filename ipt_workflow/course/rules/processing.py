"""The rule about a processing restriction on the client. No trigger lists it: it stands over every trigger that may be blocked."""

from ipt_workflow.course import triggers
from ipt_workflow.course.rules.case import Case, rule
from ipt_workflow.errors import Refusal


@rule(source="design")
def processing_not_restricted(case: Case) -> Refusal | None:
    """Processing of the client's data is not restricted (GDPR 18). What is never blocked is recorded all the same."""
    ground, row = case.context.processing, triggers.row_of(case.trigger)
    if ground is None or (row is not None and row.never_blocked):
        return None
    return case.refuses(
        "processing_not_restricted", current=f"restricted: {ground}", required="no processing restriction", ground=ground
    )
