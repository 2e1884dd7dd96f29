"""Applies one fact to a course, with one function for each trigger. It never judges, and reads structural data alone."""

from collections.abc import Callable, Iterable
from typing import Any

from msgspec.structs import replace

from ipt_workflow.course.course import Course
from ipt_workflow.course.effects.agreement import set_contract, set_dispute_stage, set_focus
from ipt_workflow.course.effects.ending import announce_ending
from ipt_workflow.course.effects.first_phase import (
    accept_formulation,
    assign_sick_role,
    record_evaluation,
    record_formulation,
    record_history,
    record_inventory,
    record_timeline,
    sick_role_status,
    update_sick_role,
)
from ipt_workflow.course.effects.measures import record_measure, record_rhythm, set_rhythm_target
from ipt_workflow.course.effects.opening import absent, begin, ended, open_followup, opened, pause, reopen, resume, start
from ipt_workflow.course.effects.protocol_change import repinned
from ipt_workflow.course.effects.record import relink_client, transfer
from ipt_workflow.course.effects.safety import record_consent, review_risk, see_risk, withdraw_consent
from ipt_workflow.course.effects.sessions import (
    acknowledged,
    book_series,
    book_session,
    extend_phase,
    link_session,
    on_session,
    record_contact,
    record_session,
    signed,
)
from ipt_workflow.course.effects.supervision import record_supervision
from ipt_workflow.course.facts import Fact
from ipt_workflow.course.triggers import BEGIN_PREFIX


def apply(course: Course | None, fact: Fact) -> Course:
    """The course after a fact."""
    if course is None:
        return opened(fact)
    applier = begin if fact.trigger.startswith(BEGIN_PREFIX) else APPLIERS.get(fact.trigger, _keep)
    applied = see_risk(applier(course, fact), fact)
    return replace(
        applied,
        version=max(course.version, fact.seq),
        last_occurred_at=max(course.last_occurred_at, fact.occurred_at),
        last_recorded_at=max(course.last_recorded_at, fact.recorded_at),
        overrides=applied.overrides + len(fact.overridden),
        handed_over_at=None if fact.actor.person == applied.therapist else applied.handed_over_at,
    )


def on_record(course: Course, facts: Iterable[Fact]) -> Course:
    """The course at some moment, with these facts about its record, which may have been recorded later."""
    for fact in facts:
        course = replace(course, sessions=apply(course, fact).sessions)
    return course


def _keep(course: Course, _fact: Fact) -> Course:
    """Triggers that only the journal shows, such as notes, leave the course as it is."""
    return course


def _set(**changes: Any) -> Callable[[Course, Fact], Course]:
    return lambda course, _fact: replace(course, **changes)


APPLIERS: dict[str, Callable[[Course, Fact], Course]] = {
    "start": start,
    "decline": ended("not_suitable"),
    "complete": ended("completed"),
    "end_early": ended("ended_early"),
    "reopen": reopen,
    "pause": pause,
    "resume": resume,
    "record_absence": absent,
    "record_session": record_session,
    "sign_session": on_session(signed),
    "attest_session": on_session(signed),
    "link_session": link_session,
    "acknowledge_deviation": on_session(acknowledged),
    "record_contact": record_contact,
    "book_session": book_session,
    "book_series": book_series,
    "record_evaluation": record_evaluation,
    "record_history": record_history,
    "record_inventory": record_inventory,
    "record_timeline": record_timeline,
    "record_formulation": record_formulation,
    "accept_formulation": accept_formulation,
    "assign_sick_role": assign_sick_role,
    "update_sick_role": update_sick_role,
    "waive_sick_role": sick_role_status("waived"),
    "relinquish_sick_role": sick_role_status("relinquished"),
    "select_focus": set_focus,
    "change_focus": set_focus,
    "set_dispute_stage": set_dispute_stage,
    "agree_contract": set_contract,
    "amend_contract": set_contract,
    "extend_phase": extend_phase,
    "record_measure": record_measure,
    "record_rhythm": record_rhythm,
    "set_rhythm_target": set_rhythm_target,
    "record_prescriber_review": _set(prescriber_reviewed=True),
    "record_review": lambda course, fact: replace(course, reviewed_at=fact.occurred_at),
    "announce_ending": announce_ending,
    "record_gains": _set(gains=True),
    "record_independence": _set(independence=True),
    "plan_for_recurrence": _set(recurrence_planned=True),
    "decide_continuation": lambda course, fact: replace(course, continuation=fact.data["decision"]),
    "review_risk": review_risk,
    "record_consent": record_consent,
    "withdraw_consent": withdraw_consent,
    "refer_on": _set(referred_on=True),
    "record_supervision": record_supervision,
    "transfer": transfer,
    "change_protocol": lambda course, fact: repinned(course, fact.data),
    "migrate_protocol": lambda course, fact: repinned(course, fact.data),
    "relink_client": relink_client,
    "open_followup": open_followup,
}
