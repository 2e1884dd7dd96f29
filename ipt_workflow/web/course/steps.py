"""What can be done on a course, in groups as therapists look for it; and what the way to the next phase asks for, in a few words."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from ipt_workflow.course import triggers
from ipt_workflow.machine import Option
from ipt_workflow.web import refusals
from ipt_workflow.web.forms import deed_label
from ipt_workflow.web.language import gettext, noted

GROUPS: Mapping[str, tuple[str, ...]] = {
    noted("Sessions and contacts"): (
        *("record_session", "sign_session", "attest_session", "book_session", "book_series", "record_contact"),
        *("acknowledge_deviation", "link_session"),
    ),
    noted("Scales and rhythm"): ("record_measure", "record_rhythm", "set_rhythm_target"),
    noted("Risk and consent"): ("review_risk", "raise_risk", "refer_on", "record_consent", "withdraw_consent"),
    noted("The first phase"): (
        *("start", "record_evaluation", "record_history", "record_inventory", "record_timeline", "record_formulation"),
        *("accept_formulation", "assign_sick_role", "waive_sick_role", "select_focus", "agree_contract"),
    ),
    noted("The work"): (
        *("update_sick_role", "relinquish_sick_role", "change_focus", "set_dispute_stage", "amend_contract", "extend_phase"),
        *("record_prescriber_review", "record_review", "record_supervision", "note"),
    ),
    noted("Phases and breaks"): ("begin_<phase>", "pause", "resume", "record_absence"),
    noted("The ending"): (
        *("announce_ending", "record_gains", "record_independence", "plan_for_recurrence", "decide_continuation", "complete"),
        *("end_early", "decline", "reopen", "open_followup"),
    ),
    noted("Another therapist, client or form of IPT"): (*("relink_client", "transfer", "change_protocol", "migrate_protocol"),),
}
# What each rule at the end of a phase asks for.
DEMANDS: Mapping[str, str] = {
    "phase_sessions_met": noted("Enough sessions in this phase"),
    "final_held": noted("All sessions of the last phase"),
    "final_attended": noted("The client was at all sessions of the last phase"),
    "final_remaining": noted("The sessions left are those of the last phase"),
    "middle_sessions_recommended": noted("As many sessions as recommended"),
    "contracted_weeks_served": noted("The agreed weeks are over"),
    "no_acute_risk": noted("No acute risk"),
    "consent_not_withdrawn": noted("Consent to treatment stands"),
    "no_unsigned_session": noted("Every session signed"),
    "no_open_deviation": noted("Sessions beyond the limit acknowledged"),
    "evaluation_recorded": noted("Diagnostic evaluation"),
    "history_complete": noted("Psychiatric history"),
    "inventory_complete": noted("Interpersonal inventory"),
    "timeline_recorded": noted("Timeline of events and symptoms"),
    "formulation_complete": noted("Formulation"),
    "formulation_accepted": noted("The client agrees with the formulation"),
    "contract_agreed": noted("Contract"),
    "sick_role_resolved": noted("Sick role given or left out"),
    "sick_role_relinquished": noted("Sick role given up"),
    "focus_selected": noted("Problem area"),
    "focus_worked": noted("A signed session on the problem area"),
    "baseline_measured": noted("First score of the symptoms"),
    "baseline_of_every_aim": noted("First scores of functioning and support"),
    "end_measured": noted("Last score of the symptoms"),
    "end_of_every_aim": noted("Last scores of functioning and support"),
    "outcome_fits_measures": noted("The outcome fits the scores"),
    "ending_announced": noted("The ending raised with the client"),
    "gains_recorded": noted("What the client has gained"),
    "independence_recorded": noted("What the client now does alone"),
    "recurrence_planned": noted("Plan for a recurrence"),
    "continuation_decided": noted("What follows this therapy"),
    "alternative_offered": noted("Something else offered where it did not help"),
    "pre_group_met": noted("Individual talk before the group"),
    "engagement_met": noted("Engagement session"),
    "parent_involved": noted("A parent or guardian took part"),
    "prescriber_reviewed": noted("Medication reviewed by the prescriber"),
    "rhythm_tracked": noted("Weeks of the social rhythm"),
    "rhythm_target_set": noted("Times that the client aims for"),
    "review_held": noted("Review in time"),
    "step_up_referred": noted("Referred to more intensive care where needed"),
}
ELSEWHERE = ("amend", "move_entries")  # what is put right, is put right in the history


class CourseStep(msgspec.Struct, frozen=True, kw_only=True):
    """Something that can be done, or cannot yet. `why` says why not, `href` leads to its page."""

    trigger: str
    title: str
    href: str
    allowed: bool
    why: str = ""
    earliest: Any = None
    with_reason: bool = False


class StepGroup(msgspec.Struct, frozen=True):
    title: str
    steps: tuple[CourseStep, ...]


def href(course_id: str, trigger: str) -> str:
    """The address, below the root, of the page on which something is done."""
    if trigger == "record_session":
        return f"/courses/{course_id}/session"
    if trigger in ELSEWHERE:
        return f"/courses/{course_id}/history"
    return f"/courses/{course_id}/do/{trigger}"


def group_of(trigger: str) -> str:
    """The group in which a trigger stands."""
    name = "begin_<phase>" if trigger.startswith(triggers.BEGIN_PREFIX) else trigger
    return next(title for title, names in GROUPS.items() if name in names)


def groups_of(course_id: str, options: Iterable[Option]) -> list[StepGroup]:
    """Everything that the reader may do on a course, by group, in the order in which therapists need it."""
    by_group: dict[str, list[CourseStep]] = {title: [] for title in GROUPS}
    for option in options:
        by_group[group_of(option.trigger)].append(step_of(course_id, option))
    return [StepGroup(gettext(title), tuple(steps)) for title, steps in by_group.items() if steps]


def step_of(course_id: str, option: Option) -> CourseStep:
    return CourseStep(
        trigger=option.trigger,
        title=gettext(deed_label(option.trigger).title),
        href=href(course_id, option.trigger),
        allowed=option.allowed,
        why="" if option.allowed else refusals.sentence(option.refusals[0]),
        earliest=option.earliest,
        with_reason=bool(option.warnings),
    )
