"""Rules of Interpersonal and Social Rhythm Therapy, and of courses that are reviewed instead of going through phases."""

import datetime as dt

from ipt_workflow.course.rules.case import Case, rule
from ipt_workflow.errors import Refusal
from ipt_workflow.protocols.rhythm import ACTIVITIES


@rule(source="seed S10; domain I20", needs="rhythm")
def rhythm_tracked(case: Case) -> Refusal | None:
    """The social rhythm was tracked for the protocol's number of weeks, on its form or a longer one."""
    spec = case.protocol.rhythm
    assert spec is not None  # `needs` binds the rule only to a protocol that has the table
    wanted = set(ACTIVITIES[spec.instrument])
    tracked = sum(wanted <= set(ACTIVITIES[week.instrument]) for week in case.course.rhythm.weeks)
    if tracked >= spec.weeks:
        return None
    return case.refuses(
        "rhythm_tracked",
        current=tracked,
        required=f"at least {spec.weeks} week(s) of {spec.instrument}",
        remedies=("record_rhythm",),
        tracked=tracked,
        weeks=spec.weeks,
        form=spec.instrument,
    )


@rule(source="seed S10", needs="rhythm")
def rhythm_target_set(case: Case) -> Refusal | None:
    """The rhythm is not only tracked but regulated: there are times that the client aims for."""
    if case.course.rhythm.targets:
        return None
    return case.refuses("rhythm_target_set", current=None, required="targets", remedies=("set_rhythm_target",))


@rule(source="domain 2.1", needs="rhythm")
def rhythm_known(case: Case) -> Refusal | None:
    """A week of the rhythm is recorded before targets are set."""
    if case.course.rhythm.weeks:
        return None
    return case.refuses("rhythm_known", current=0, required="at least one week", remedies=("record_rhythm",))


@rule(source="domain I20")
def prescriber_reviewed(case: Case) -> Refusal | None:
    """The prescriber has reviewed the medication."""
    if case.course.prescriber_reviewed:
        return None
    return case.refuses(
        "prescriber_reviewed",
        current=None,
        required="a review by the prescriber",
        remedies=("record_prescriber_review",),
    )


@rule(source="domain 2 (IPT-M)", needs="review")
def review_held(case: Case) -> Refusal | None:
    """The course was reviewed within the protocol's number of days."""
    spec, reviewed = case.protocol.review, case.course.reviewed_at
    assert spec is not None  # `needs` binds the rule only to a protocol that has the table
    if reviewed and case.at - reviewed <= dt.timedelta(days=spec.every_days):
        return None
    return case.refuses(
        "review_held",
        current=reviewed.isoformat() if reviewed else None,
        required=f"a review within {spec.every_days} days",
        remedies=("record_review",),
        days=spec.every_days,
    )
