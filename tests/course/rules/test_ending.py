"""Rules about the last phase and the end of a course."""

import pytest
from support.course_walk import (
    FUNCTIONING,
    MINUTE,
    SUPPORT,
    SYMPTOMS,
    WEEK,
    S,
    T,
    Walk,
    covers,
    ipt,
    reach,
    refused_by,
    replaced,
    variant,
)  # fmt: skip

from ipt_workflow.course import attention, outcome
from ipt_workflow.course.rules import bound_to
from ipt_workflow.errors import CommandInvalid
from ipt_workflow.protocols.definition import MeasureSpec

SYMPTOM_SCALES = ["phq9@1", "gad7@1", "bdi2@1", "hrsd17@1", "qids@1", "epds@1"]
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
    refused_by(walk, "end_measured", "complete", current=[], required={"symptoms": SYMPTOM_SCALES}, remedies=("record_measure",))
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


def phq9(total: int) -> dict:
    return {"instrument": "phq9", "total": total}


@covers("outcome_fits_measures")
@pytest.mark.parametrize(
    ("last", "told", "current"),
    (
        (22, "remission", "reliable deterioration"),
        (22, "response", "reliable deterioration"),
        (22, "partial_response", "reliable deterioration"),
        (10, "deterioration", "reliable improvement"),
        (10, "remission", "no recovery"),
    ),
)
def test_an_outcome_that_the_scales_contradict_wants_a_reason(last, told, current):
    walk = reach("ready_to_complete").do("refer_on")  # 16 at first
    walk.measure(phq9(last))
    refusal = refused_by(walk, "outcome_fits_measures", "complete", severity="soft", outcome=told, current=told)
    assert refusal.required.endswith(current)
    assert walk.fire("complete", outcome=told, override=("outcome_fits_measures",)).ending.outcome == told


@pytest.mark.parametrize(
    ("last", "told"),
    (
        (22, "deterioration"), (22, "no_response"), (22, "not_known"), (21, "response"), (16, "response"),
        (10, "response"), (10, "partial_response"), (10, "no_response"), (9, "remission"),
    ),
)  # fmt: skip
def test_an_outcome_that_the_scales_allow_is_told_without_a_reason(last, told):
    walk = reach("ready_to_complete").do("refer_on")
    walk.measure(phq9(last))
    assert walk.refused("complete", outcome=told) == {}


@pytest.mark.parametrize(("scale", "first", "unwell", "well"), (("epds", 24, 13, 12), ("hrsd17", 25, 8, 7)))
def test_a_scale_that_defines_no_reliable_change_still_tells_who_is_unwell(scale, first, unwell, well):
    walk = reach("ready_to_complete").do("refer_on")
    walk.measure(phq9(4), {"instrument": scale, "total": first}, {"instrument": scale, "total": unwell})
    refused_by(walk, "outcome_fits_measures", "complete", severity="soft", outcome="remission", current="remission")
    assert walk.refused("complete", outcome="response") == {}
    walk.measure({"instrument": scale, "total": well})
    assert walk.refused("complete", outcome="remission") == {}


def test_without_a_scale_that_defines_who_is_a_case_the_outcome_is_not_compared():
    lsas = MeasureSpec(aim="symptoms", instruments=("lsas@1",))
    protocol = variant("by-lsas", measures=(lsas, *ipt().measures[1:]))
    assert protocol.outcome_scales is None
    assert "outcome_fits_measures" not in [each.rule.name for each in bound_to(protocol, "complete")]
    assert "outcome_fits_measures" in [each.rule.name for each in bound_to(ipt(), "complete")]


@pytest.mark.parametrize("told", ("remission", "not_known"))
def test_a_client_who_became_worse_by_the_scales_is_offered_something_else_whatever_is_told(told):
    walk = reach("ready_to_complete")
    walk.measure(phq9(22))
    refused_by(walk, "alternative_offered", "complete", outcome=told, override=("outcome_fits_measures",))
    walk.measure(phq9(21))  # five points are within the scale's own error
    assert "alternative_offered" not in walk.refused("complete", outcome=told)


# Ending early


AGREED = {"end_code": "46", "last_contact": "2026-03-16", "risk_status": "none"}


def ended_by_agreement(walk: Walk, **more) -> Walk:
    walk.fire("end_early", data={**AGREED, **more})
    return walk


@covers("end_code_fits")
@pytest.mark.parametrize("stage", ("referred", "in_initial", "in_middle", "paused"))
def test_an_ending_is_by_agreement_only_from_the_last_phase(stage):
    refused_by(reach(stage), "end_code_fits", "end_early", data=AGREED, remedies=("end_early",))
    assert reach(stage).refused("end_early") == {}
    for final in (reach("in_final"), reach("in_final").do("pause")):
        assert ended_by_agreement(final).state == "ended_early"


def test_an_ending_by_agreement_is_accepted_and_lists_what_it_lacks_until_that_is_told():
    walk = ended_by_agreement(reach("in_final"))
    ended_at = walk.c.ending.at
    assert outcome.owed(walk.protocol, walk.c) == ("outcome", "gains", "end_measures")
    assert attention.attention(walk.protocol, walk.machine.bound, walk.c, walk.zone)["owed"] == ended_at
    walk.fire("record_gains", at=ended_at - MINUTE / 2)
    walk.fire("record_measure", data={"instrument": "phq9", "not_obtained": True}, reason="The client did not want to.")
    assert outcome.owed(walk.protocol, walk.c) == ("outcome",)
    walk.fire("reopen", S)
    ended_by_agreement(walk, outcome="response")
    assert outcome.owed(walk.protocol, walk.c) == ()
    assert "owed" not in attention.attention(walk.protocol, walk.machine.bound, walk.c, walk.zone)


def test_a_reading_after_an_ending_by_agreement_is_no_end_measure():
    walk = ended_by_agreement(reach("in_final"), outcome="response")
    ended_at = walk.c.ending.at
    walk.do("record_measure")
    assert "end_measures" in outcome.owed(walk.protocol, walk.c)
    walk.fire("record_measure", data={**SYMPTOMS, "taken_at": ended_at.isoformat()})
    assert "end_measures" not in outcome.owed(walk.protocol, walk.c)


def test_an_outcome_of_an_ending_by_agreement_that_the_scales_contradict_is_accepted_and_lacking():
    walk = reach("ready_to_complete", sessions=1)
    walk.measure(phq9(22))
    ended_by_agreement(walk, outcome="remission")
    assert outcome.owed(walk.protocol, walk.c) == ("outcome",)


@pytest.mark.parametrize("code", ("47", "48", "49", "96"))
def test_an_early_ending_of_another_kind_lacks_nothing(code):
    walk = reach("in_final")
    walk.fire("end_early", end_code=code)
    assert outcome.owed(walk.protocol, walk.c) == ()


def test_after_a_death_neither_risk_nor_attempts_are_asked_and_after_an_agreement_no_attempts():
    last_contact = {"last_contact": "2026-03-16"}
    for code in ("49", "17"):
        assert reach("in_middle").refused("end_early", data={"end_code": code, **last_contact}) == {}
    for code, where in (("47", "data.risk_status, data.attempts"), ("46", "data.risk_status")):
        with pytest.raises(CommandInvalid) as raised:
            reach("in_final").refused("end_early", data={"end_code": code, **last_contact})
        assert ", ".join(fault.where for fault in raised.value.faults) == where
