"""Rules about the work of the first phase."""

import pytest
from support.course_walk import DAY, FUNCTIONING, SUPPORT, SYMPTOMS, S, T, Walk, covers, ipt, reach, refused_by, replaced, variant

from ipt_workflow.course.rules import first_phase
from ipt_workflow.protocols.definition import SickRoleSpec


def without(*left_out, **more) -> Walk:
    """Ready for the middle phase but for some of the work."""
    return reach("ready_for_middle", without=left_out, **more)


def measured(*scales) -> Walk:
    """Ready for the middle phase, with these measures alone."""
    walk = Walk().in_initial()
    walk.session()
    walk.do("record_evaluation", "record_history", "record_inventory", "record_timeline", "record_formulation",
            "accept_formulation", "assign_sick_role", "select_focus", "agree_contract")  # fmt: skip
    if scales:
        walk.measure(*scales)
    return walk


@covers("evaluation_recorded")
def test_the_sick_role_and_the_middle_phase_wait_for_a_diagnosis():
    walk = reach("in_initial").copy()
    walk.fire("record_evaluation", data={"criteria": "Some"})
    refused_by(walk, "evaluation_recorded", "assign_sick_role", current=None, required="diagnosis", remedies=("record_evaluation",))
    refused_by(walk, "evaluation_recorded", "begin_middle", alone=False)
    walk.do("record_evaluation", "assign_sick_role")
    assert "evaluation_recorded" not in walk.refused("begin_middle")


@covers("history_complete")
def test_the_middle_phase_waits_for_a_whole_psychiatric_history():
    walk = without("record_history")
    refused_by(
        walk, "history_complete", "begin_middle", current=[], required=list(first_phase.HISTORY_PARTS), remedies=("record_history",)
    )
    walk.fire("record_history", data={"onset": "In spring"})
    refused_by(walk, "history_complete", "begin_middle", current=["onset"])
    walk.do("record_history", "begin_middle")


def test_a_history_of_which_parts_could_not_be_had_is_passed_over_with_a_reason():
    walk = without("record_history")
    given = dict.fromkeys(first_phase.HISTORY_PARTS[:-1], "Recorded.")
    walk.fire("record_history", data={**given, "not_obtained": ["suicide_history"]})
    refused_by(walk, "history_complete", "begin_middle", severity="soft")
    assert walk.fire("begin_middle", override=("history_complete",)).state == "middle"


@covers("inventory_recorded")
def test_a_problem_area_is_chosen_from_an_inventory():
    walk = reach("in_initial")
    refused_by(walk, "inventory_recorded", "select_focus", current=None, remedies=("record_inventory",))
    walk.fire("record_inventory", data={"social_patterns": "Withdrawn"})
    assert walk.fire("select_focus").focus.primary == "role_transition"


@covers("inventory_complete")
def test_the_middle_phase_waits_for_the_four_sections_in_one_version_or_several():
    walk = Walk().in_initial()
    walk.fire("record_inventory", data={"social_patterns": "Withdrawn"})
    refused_by(
        walk,
        "inventory_complete",
        "begin_middle",
        alone=False,
        current=["social_patterns"],
        required=list(first_phase.INVENTORY_SECTIONS),
    )
    for section in first_phase.INVENTORY_SECTIONS[:3]:
        walk.fire("record_inventory", data={section: "Recorded."})
    assert "inventory_complete" in walk.refused("begin_middle")
    walk.fire("record_inventory", data={"changes_in_relationships": "Recorded."})
    assert "inventory_complete" not in walk.refused("begin_middle")


@covers("timeline_recorded")
def test_the_middle_phase_waits_for_a_timeline_unless_a_reason_is_given():
    walk = without("record_timeline")
    refused_by(walk, "timeline_recorded", "begin_middle", severity="soft", current=None, remedies=("record_timeline",))
    assert walk.copy().fire("begin_middle", override=("timeline_recorded",)).overrides == 1
    walk.do("record_timeline", "begin_middle")


@covers("formulation_complete")
def test_the_middle_phase_waits_for_the_whole_triad():
    walk = without("record_formulation", "accept_formulation")
    walk.fire(
        "record_formulation", data={"crisis": "Retirement", "social_support": "Few", "vulnerabilities": {"personality": "Shy"}}
    )
    walk.do("accept_formulation")
    refusal = refused_by(
        walk, "formulation_complete", "begin_middle", required=list(first_phase.TRIAD), remedies=("record_formulation",)
    )
    assert refusal.current == ["crisis", "social_support", "vulnerabilities.personality"]
    walk.do("record_formulation", "accept_formulation", "begin_middle")


@covers("formulation_known")
def test_the_client_answers_to_the_latest_formulation():
    walk = reach("in_initial").copy()
    refused_by(
        walk, "formulation_known", "accept_formulation", current=1, required="a formulation", remedies=("record_formulation",)
    )
    walk.do("record_formulation", "record_formulation")
    refused_by(walk, "formulation_known", "accept_formulation", version=1, current=1, required=2, remedies=())
    assert walk.fire("accept_formulation", version=2).formulation.accepted_version == 2


@covers("formulation_accepted")
def test_the_middle_phase_waits_for_the_clients_acceptance():
    walk = without("accept_formulation")
    refused_by(walk, "formulation_accepted", "begin_middle", current=None, required="accepts", remedies=("accept_formulation",))
    walk.fire("accept_formulation", response="declines")
    refused_by(walk, "formulation_accepted", "begin_middle", current="declines")
    walk.fire("accept_formulation", response="in_part")
    refused_by(walk, "formulation_accepted", "begin_middle", severity="soft", current="in_part")
    walk.fire("accept_formulation", response="accepts")
    walk.do("begin_middle")


def test_a_newer_formulation_must_be_accepted_again():
    walk = reach("ready_for_middle").copy().do("record_formulation")
    refused_by(walk, "formulation_accepted", "begin_middle", current=None)


@covers("baseline_measured")
def test_the_middle_phase_waits_for_a_baseline_of_symptoms():
    walk = measured(FUNCTIONING, SUPPORT)
    refused_by(
        walk,
        "baseline_measured",
        "begin_middle",
        current=[],
        required={"symptoms": ["phq9@1", "gad7@1", "bdi2@1", "hrsd17@1", "qids@1", "epds@1"]},
        remedies=("record_measure",),
    )
    walk.fire("record_measure", data={**SYMPTOMS, "items": [2, None, *[0] * 7]})
    refused_by(walk, "baseline_measured", "begin_middle")
    walk.measure(SYMPTOMS)
    walk.do("begin_middle")


def test_a_baseline_that_could_not_be_had_is_passed_over_with_a_reason():
    walk = measured(FUNCTIONING, SUPPORT)
    walk.fire("record_measure", data={"instrument": "gad7", "not_obtained": True}, reason="The client could not read.")
    refused_by(walk, "baseline_measured", "begin_middle", severity="soft")
    walk.fire("begin_middle", override=("baseline_measured",))


@pytest.mark.parametrize(("days", "counts"), ((28, True), (29, False)))
def test_a_reading_of_more_than_four_weeks_before_the_start_is_no_baseline(days, counts):
    """It is no baseline whether it was recorded before the start or after it."""
    for told_before in (True, False):
        walk = Walk().referred()
        taken = {**SYMPTOMS, "taken_at": (walk.now - days * DAY).isoformat()}
        walk.do("record_consent")
        walk.now = walk.now.replace(hour=12)
        if told_before:
            walk.fire("record_measure", data=taken)
        walk.do("start")
        if not told_before:
            walk.fire("record_measure", data=taken)
        assert bool(walk.c.measures["phq9@1"].baseline) == counts
        assert walk.c.measures["phq9@1"].last.total == 16
        refusal = walk.refused("begin_middle").get("baseline_measured")
        assert (refusal and refusal.message_id) == (None if counts else "measured.baseline_too_old")


def test_the_first_reading_within_the_window_is_the_baseline_whatever_came_before():
    walk = Walk().referred()
    for days, answer in ((90, 3), (20, 2), (5, 1)):
        walk.fire(
            "record_measure", data={"instrument": "gad7", "items": [answer] * 7, "taken_at": (walk.now - days * DAY).isoformat()}
        )
    assert walk.c.measures["gad7@1"].baseline.total == 21
    walk.do("record_consent", "start")
    track = walk.c.measures["gad7@1"]
    assert (track.baseline.total, track.last.total, track.count, track.early) == (14, 7, 3, ())


def test_an_adopted_course_has_its_baseline_from_its_first_session():
    walk = Walk()
    begun = walk.now - 70 * DAY
    walk.fire("adopt", S, phase="initial", attended={"initial": 2}, first_session_on=begun.date().isoformat())
    for days, counts in ((29, False), (28, True)):
        walk.fire("record_measure", data={**SYMPTOMS, "taken_at": (begun - days * DAY).isoformat()})
        assert bool(walk.c.measures["phq9@1"].baseline) == counts


def test_a_protocol_without_a_window_takes_a_baseline_however_old():
    walk = Walk(variant("no-window", measures=tuple(replaced(spec, baseline_days=None) for spec in ipt().measures))).referred()
    walk.fire("record_measure", data={**SYMPTOMS, "taken_at": (walk.now - 900 * DAY).isoformat()})
    walk.do("record_consent", "start")
    assert walk.c.measures["phq9@1"].baseline.total == 16


@covers("baseline_of_every_aim")
def test_a_baseline_of_functioning_and_support_is_asked_for_and_may_be_passed_over():
    walk = measured(SYMPTOMS)
    refused_by(
        walk,
        "baseline_of_every_aim",
        "begin_middle",
        severity="soft",
        current=[],
        required={"interpersonal_functioning": ["ifr@1", "wsas@1", "iip32@1", "sas-sr@2"], "social_support": ["mspss@1"]},
    )
    walk.measure(FUNCTIONING)
    refused_by(walk, "baseline_of_every_aim", "begin_middle", severity="soft", current=["interpersonal_functioning"])
    walk.measure(SUPPORT)
    walk.do("begin_middle")


@covers("sick_role_resolved")
def test_the_middle_phase_waits_for_the_sick_role():
    walk = without("assign_sick_role")
    refused_by(walk, "sick_role_resolved", "begin_middle", current="pending", required="assigned_full, assigned_limited, declined or waived",
           remedies=("assign_sick_role",))  # fmt: skip
    for mode in ("full", "limited"):
        other = walk.copy()
        other.fire("assign_sick_role", mode=mode)
        assert other.fire("begin_middle").sick_role.status == f"assigned_{mode}"
    walk.do("waive_sick_role", by=S)
    assert walk.fire("begin_middle").sick_role.status == "waived"


def test_a_sick_role_that_the_client_declines_is_passed_over_with_a_reason():
    walk = without("assign_sick_role")
    walk.fire("assign_sick_role", response="declines")
    refused_by(walk, "sick_role_resolved", "begin_middle", severity="soft", current="declined", remedies=("update_sick_role",))
    assert walk.copy().fire("begin_middle", override=("sick_role_resolved",)).overrides == 1
    walk.do("update_sick_role", "begin_middle")


def test_a_protocol_that_uses_the_sick_role_cannot_leave_it_out_of_its_list():
    loose = variant("loose", phases=tuple(replaced(phase, requires=(), rules=()) for phase in Walk().protocol.phases))
    walk = Walk(loose).in_initial()
    walk.session()
    refused_by(walk, "sick_role_resolved", "begin_middle")


@covers("sick_role_used")
def test_a_protocol_without_the_sick_role_assigns_none():
    walk = Walk(variant("bulimia", sick_role=SickRoleSpec(mode="not_used"))).in_initial()
    walk.do("record_evaluation")
    refused_by(walk, "sick_role_used", "assign_sick_role", current="not_used", required="a protocol that uses it")
    optional = Walk(variant("chosen", sick_role=SickRoleSpec(mode="optional"))).in_initial()
    assert optional.do("record_evaluation").fire("assign_sick_role").sick_role.status == "assigned_full"


@covers("sick_role_explained")
def test_the_sick_role_is_given_only_where_it_is_explained_that_the_client_is_not_to_blame():
    walk = reach("in_initial").copy().do("record_evaluation")
    refused_by(walk, "sick_role_explained", "assign_sick_role", no_blame=False, current=False, required=True)
    assert walk.fire("assign_sick_role", no_blame=True).sick_role.status == "assigned_full"


@covers("sick_role_assigned")
def test_only_a_sick_role_that_was_assigned_is_changed_or_given_up():
    walk = without("assign_sick_role")
    refused_by(
        walk,
        "sick_role_assigned",
        "update_sick_role",
        current="pending",
        required="assigned_full or assigned_limited",
        remedies=("assign_sick_role",),
    )
    walk.do("assign_sick_role", "update_sick_role", "begin_middle", "relinquish_sick_role")
    refused_by(walk, "sick_role_assigned", "relinquish_sick_role", current="relinquished", remedies=())


def test_a_client_who_declined_the_sick_role_may_take_it_after_all_but_has_none_to_give_up():
    walk = without("assign_sick_role")
    walk.fire("assign_sick_role", response="declines")
    walk.fire("begin_middle", override=("sick_role_resolved",))
    refused_by(walk, "sick_role_assigned", "relinquish_sick_role", current="declined")
    assert walk.fire("update_sick_role", data={"mode": "limited", "response": "accepts"}).sick_role.status == "assigned_limited"


@covers("waiver_agreed")
def test_the_sick_role_is_waived_against_the_protocol_only_with_a_supervisor():
    walk = reach("in_initial")
    refusal = refused_by(
        walk, "waiver_agreed", "waive_sick_role", T, current="full", remedies=("waive_sick_role", "waive_sick_role")
    )
    assert [(each.roles, each.via) for each in refusal.remedies] == [(("therapist",), "proposal"), (("supervisor",), None)]
    assert walk.copy().fire("waive_sick_role", S).sick_role.status == "waived"
    assert walk.copy().fire("waive_sick_role", T, S).sick_role.status == "waived"


@pytest.mark.parametrize("mode", ("optional", "not_used"))
def test_a_therapist_waives_a_sick_role_that_the_protocol_does_not_demand(mode):
    walk = Walk(variant(mode, sick_role=SickRoleSpec(mode=mode))).in_initial()
    assert walk.fire("waive_sick_role").sick_role.status == "waived"
