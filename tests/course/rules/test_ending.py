"""Rules about the last phase and the end of a course."""

import pytest
from support.course_walk import FUNCTIONING, SUPPORT, SYMPTOMS, WEEK, S, T, Walk, covers, reach, refused_by, replaced

from ipt_workflow.errors import CommandInvalid

LAST = ("record_gains", "record_independence", "plan_for_recurrence", "decide_continuation", "relinquish_sick_role")


def measured(*scales) -> Walk:
    """Ready to complete, with these measures alone in the last phase."""
    walk = reach("in_final")
    for _ in range(3):
        walk.session()
    walk.do(*LAST)
    if scales:
        walk.measure(*scales)
    return walk


@covers("final_remaining")
def test_the_last_phase_begins_when_three_sessions_remain():
    walk = reach("with_remaining", remaining=4).do("announce_ending")
    refused_by(walk, "final_remaining", "begin_final", current=4, required=3, remedies=("record_session", "amend_contract"))
    walk.session()
    assert walk.fire("begin_final").state == "final"


def test_a_course_that_was_taken_over_without_a_contract_gets_one_by_amending_that_entry():
    walk = Walk()
    walk.fire("adopt", S, phase="middle", attended={"initial": 3, "middle": 6})
    walk.do("announce_ending")
    refusal = refused_by(walk, "final_remaining", "begin_final", alone=False, current=None, required=3, remedies=("amend",))
    assert refusal.message_id == "final_remaining.too_late"
    terms = {"sessions": 12, "weeks": 12}
    walk.fire("amend", S, data={"supersedes": 1, "data": {"contract": terms}})
    assert "final_remaining" not in walk.refused("begin_final")


def test_the_way_to_an_earlier_end_is_a_shorter_contract():
    walk = reach("with_remaining", remaining=5).do("announce_ending")
    walk.fire("amend_contract", T, S, sessions=10)
    assert walk.fire("begin_final").state == "final"


@covers("ending_announced")
def test_the_last_phase_waits_until_the_ending_was_raised():
    walk = reach("with_remaining", remaining=3)
    refused_by(walk, "ending_announced", "begin_final", current=None, required="announced", remedies=("announce_ending",))
    walk.do("announce_ending", "begin_final")


@covers("final_held")
def test_a_course_is_not_completed_after_two_final_sessions():
    walk = reach("ready_to_complete", sessions=2)
    walk.now += WEEK
    refused_by(walk, "final_held", "complete", alone=False, current=2, required=3, remedies=("record_session",))
    walk.session()
    assert walk.fire("complete").state == "completed"


@covers("final_attended")
def test_a_last_phase_with_a_miss_that_counts_is_completed_with_a_reason():
    walk = reach("ready_to_complete", sessions=2, missed_count=True)
    walk.session("3")
    refused_by(walk, "final_attended", "complete", severity="soft", current=2, required=3, remedies=())
    assert walk.fire("complete", override=("final_attended",)).state == "completed"


@covers("gains_recorded", "independence_recorded", "recurrence_planned", "continuation_decided")
@pytest.mark.parametrize(
    ("rule", "task", "required"),
    (
        ("gains_recorded", "record_gains", "gains"),
        ("independence_recorded", "record_independence", "independence"),
        ("recurrence_planned", "plan_for_recurrence", "anticipate, identify, manage"),
        ("continuation_decided", "decide_continuation", "a decision"),
    ),
)
def test_a_course_is_completed_only_with_each_of_the_last_phases_tasks(rule, task, required):
    walk = reach("ready_to_complete", without=(task,))
    refused_by(walk, rule, "complete", current=None, required=required, remedies=(task,))
    walk.do(task, "complete")


def test_a_course_whose_continuation_was_not_decided_is_not_followed_up():
    walk = reach("completed")
    assert walk.refused("open_followup") == {}
    walk.course = replaced(walk.c, continuation=None)
    refused_by(walk, "continuation_decided", "open_followup")


@pytest.mark.parametrize("part", ("anticipate", "identify", "manage"))
def test_no_part_of_the_plan_for_recurrence_may_be_empty(part):
    walk = reach("in_final")
    with pytest.raises(CommandInvalid, match=part):
        walk.fire("plan_for_recurrence", **{part: []})


@covers("end_measured")
def test_a_course_is_completed_only_with_symptoms_measured_in_the_last_phase():
    walk = measured(FUNCTIONING, SUPPORT)
    refused_by(
        walk, "end_measured", "complete", current=[], required={"symptoms": ["phq9@1", "gad7@1"]}, remedies=("record_measure",)
    )
    walk.measure(SYMPTOMS)
    walk.do("complete")


def test_end_symptoms_that_could_not_be_had_are_passed_over_with_a_reason():
    walk = measured(FUNCTIONING, SUPPORT)
    walk.fire("record_measure", data={"instrument": "phq9", "not_obtained": True}, reason="The client did not want to.")
    refused_by(walk, "end_measured", "complete", severity="soft")
    walk.fire("complete", override=("end_measured",))


@covers("end_of_every_aim")
def test_functioning_and_support_are_asked_for_at_the_end_and_may_be_passed_over():
    walk = measured(SYMPTOMS)
    refused_by(walk, "end_of_every_aim", "complete", severity="soft", current=[])
    walk.measure(FUNCTIONING, SUPPORT)
    walk.do("complete")


@covers("sick_role_relinquished")
def test_a_sick_role_that_was_not_given_up_wants_a_reason():
    walk = reach("ready_to_complete", without=("relinquish_sick_role",))
    refused_by(
        walk,
        "sick_role_relinquished",
        "complete",
        severity="soft",
        current="assigned_full",
        required="relinquished",
        remedies=("relinquish_sick_role",),
    )
    walk.copy().fire("complete", override=("sick_role_relinquished",))
    walk.do("relinquish_sick_role", "complete")


@covers("contracted_weeks_served")
def test_completing_before_the_last_contracted_week_wants_a_reason_and_says_when_it_would_not():
    walk = reach("ready_to_complete", weeks=16)
    refusal = refused_by(
        walk, "contracted_weeks_served", "complete", severity="soft", current=12, required="week 16", remedies=("amend_contract",)
    )
    first = walk.c.sessions[0].at
    assert refusal.earliest.date() == (first + 15 * WEEK).date()
    walk.copy().fire("complete", override=("contracted_weeks_served",))
    walk.now = refusal.earliest
    walk.do("complete")


@covers("alternative_offered")
@pytest.mark.parametrize("outcome", ("no_response", "deterioration"))
def test_where_the_client_did_not_improve_something_else_is_offered(outcome):
    walk = reach("ready_to_complete")
    refused_by(
        walk, "alternative_offered", "complete", outcome=outcome, current="none", remedies=("decide_continuation", "refer_on")
    )
    referred = walk.copy().do("refer_on")
    assert referred.fire("complete", outcome=outcome).ending.outcome == outcome
    walk.fire("decide_continuation", decision="alternative")
    walk.fire("complete", outcome=outcome)
