"""What can be done on a course, in groups as therapists look for it."""

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
