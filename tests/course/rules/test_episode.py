"""Rules about the course as a whole: opening, starting, extending, handing over, reopening."""

import datetime as dt

import pytest
from support.course_walk import DAY, S2, A, E, S, T, Walk, covers, reach, refused_by, replaced, variant, version

from ipt_workflow.errors import TriggerNotPermitted


@covers("one_active_course")
def test_a_client_with_an_open_acute_course_gets_no_second_one():
    walk = Walk()
    walk.other_open_course = "course-0"
    refusal = refused_by(
        walk,
        "one_active_course",
        "refer",
        current="1 open acute course",
        required="none",
        remedies=("complete", "end_early", "decline"),
    )
    assert {remedy.course for remedy in refusal.remedies} == {"other"}
    assert "course-0" not in str(refusal), "another course is not named"
    refused_by(walk, "one_active_course", "adopt", S)
    walk.other_open_course = None
    assert walk.fire("refer").state == "referred"


def test_a_maintenance_course_is_not_acute_and_may_run_beside_an_acute_one():
    walk = Walk(variant("maintenance", acute=False))
    walk.other_open_course = "course-0"
    assert walk.fire("refer").acute is False


@pytest.mark.parametrize("stage", ("completed", "ended_early", "not_suitable"))
def test_an_ended_course_is_not_reopened_beside_an_open_acute_one(stage):
    walk = reach(stage)
    walk.other_open_course = "course-2"
    refused_by(walk, "one_active_course", "reopen", S)
    walk.other_open_course = None
    assert walk.fire("reopen", S).open


def test_an_open_course_is_not_put_with_a_client_who_has_an_open_acute_one():
    walk = reach("in_middle")
    walk.other_open_course = "course-2"
    refused_by(walk, "one_active_course", "relink_client", S)
    ended = reach("ended_early")
    ended.other_open_course = "course-2"
    assert ended.fire("relink_client", S).client == "client-2"


@covers("declined_by_therapist")
def test_a_supervisor_closes_a_duplicate_referral_and_nothing_that_has_begun():
    assert reach("referred").fire("decline", S, end_code="50").state == "not_suitable"
    walk = reach("in_initial")
    refusal = refused_by(walk, "declined_by_therapist", "decline", S, current="initial", required="referred", remedies=("decline",))
    assert refusal.remedies[0].roles == ("therapist",)
    assert walk.fire("decline", T).state == "not_suitable"


def test_a_duplicate_referral_of_another_record_is_closed_and_then_put_with_its_client():
    walk = reach("referred")
    walk.other_open_course = "course-2"
    refusal = refused_by(walk, "one_active_course", "relink_client", S, remedies=("complete", "end_early", "decline"))
    assert {remedy.course for remedy in refusal.remedies} == {"other"}
    walk.fire("decline", S)
    assert walk.fire("relink_client", S, kind="merge").client == "client-2"


@covers("consent_given")
def test_a_course_starts_only_with_consent_to_treatment():
    walk = reach("referred")
    walk.fire("record_consent", scope="recording")
    refused_by(walk, "consent_given", "start", current=["recording"], required="treatment", remedies=("record_consent",))
    walk.do("record_consent")
    assert walk.fire("start").state == "initial"


def test_a_consent_that_was_withdrawn_does_not_start_a_course():
    walk = reach("referred").do("record_consent")
    walk.fire("withdraw_consent", scope="treatment")
    refused_by(walk, "consent_given", "start", current=[])


@covers("therapist_assigned")
def test_a_course_starts_only_with_a_therapist():
    walk = Walk()
    context = walk.context
    walk.context = lambda *given, **more: replaced(context(*given, **more), therapist=None)
    walk.do("refer", "record_consent")
    refused_by(walk, "therapist_assigned", "start", current=None, required="a therapist", remedies=("transfer",))
    walk.fire("transfer", S, therapist=T.person)
    assert walk.fire("start").state == "initial"


@covers("indication_fits")
def test_a_course_for_another_indication_starts_only_with_a_reason():
    walk = Walk()
    walk.fire("refer", indication="phobia")
    walk.do("record_consent")
    refused_by(walk, "indication_fits", "start", severity="soft", current="phobia", remedies=())
    assert walk.fire("start", override=("indication_fits",)).overrides == 1
    assert walk.history[-1].overridden == ("indication_fits",)


def test_a_course_without_a_stated_indication_starts():
    walk = Walk()
    walk.fire("refer", data={"source": "GP"})
    assert walk.do("record_consent").fire("start").state == "initial"


@covers("adopted_phase_exists")
def test_a_course_begun_elsewhere_is_taken_over_at_a_phase_of_its_protocol():
    walk = Walk()
    refused_by(walk, "adopted_phase_exists", "adopt", S, phase="late", attended={"initial": 1, "early": 2}, current=["early", "late"],
           required="phases among initial, middle, final")  # fmt: skip
    walk.fire("adopt", S, phase="middle", attended={"initial": 3, "middle": 2})
    assert (walk.state, walk.c.attested, walk.counted.attended["initial"]) == ("middle", ("evaluation", "history"), 3)


@covers("no_acute_risk")
@pytest.mark.parametrize(
    ("stage", "leave"),
    (("ready_for_middle", "begin_middle"), ("ready_for_final", "begin_final"), ("ready_to_complete", "complete")),
)
def test_acute_risk_holds_the_phase_and_nothing_else(stage, leave):
    walk = reach(stage)
    walk.fire("raise_risk", level="acute")
    refused_by(walk, "no_acute_risk", leave, current="acute", required="not acute", remedies=("review_risk",))
    assert not walk.refused("record_contact")
    assert not walk.refused("end_early")
    assert not walk.refused("refer_on")
    walk.fire("review_risk", level="monitored")
    walk.fire(leave)


@covers("lower_risk_explained")
def test_a_review_that_lowers_the_risk_gives_a_reason():
    walk = reach("in_initial")
    walk.fire("raise_risk", level="elevated")
    refused_by(walk, "lower_risk_explained", "review_risk", level="monitored", reason=None, current="elevated")
    assert walk.copy().fire("review_risk", level="elevated", reason=None).risk.level == "elevated"
    assert walk.fire("review_risk", level="monitored", reason="Her sister moved in.").risk.level == "monitored"


@covers("reopen_window")
def test_an_ending_is_taken_back_within_thirty_days_and_later_by_two_supervisors():
    walk = reach("ended_early")
    walk.now = walk.c.ending.recorded_at + 30 * DAY
    assert walk.refused("reopen", S) == {}
    walk.now += dt.timedelta(seconds=1)
    refusal = refused_by(walk, "reopen_window", "reopen", S, current="30 days ago", remedies=("reopen",))
    assert [(each.roles, each.via) for each in refusal.remedies] == [(("supervisor",), "proposal")]
    assert walk.fire("reopen", S, S2).state == "middle"


def test_a_reopening_that_is_dated_back_needs_the_second_supervisor_all_the_same():
    walk = reach("ended_early")
    at = walk.c.ending.recorded_at + DAY
    walk.now = walk.c.ending.recorded_at + 31 * DAY
    refused_by(walk, "reopen_window", "reopen", S, at=at, current="31 days ago", remedies=("reopen",))
    assert walk.fire("reopen", S, S2, at=at).state == "middle"


def test_an_ending_is_counted_from_when_it_was_recorded():
    walk = reach("in_middle")
    walk.now += 40 * DAY
    walk.fire("end_early", at=walk.now - 39 * DAY)
    assert walk.refused("reopen", S) == {}


def test_a_therapist_never_takes_an_ending_back():
    with pytest.raises(TriggerNotPermitted):
        reach("ended_early").refused("reopen", T)


@covers("supervisor_agrees")
def test_a_phase_is_extended_only_with_a_supervisor():
    walk = reach("in_initial")
    refusal = refused_by(walk, "supervisor_agrees", "extend_phase", T, current="none", remedies=("extend_phase", "extend_phase"))
    assert [(each.roles, each.via) for each in refusal.remedies] == [(("therapist",), "proposal"), (("supervisor",), None)]
    assert walk.copy().fire("extend_phase", S).extended == ("initial",)
    assert walk.fire("extend_phase", T, S).extended == ("initial",)


@covers("extension_allowed")
def test_a_phase_is_extended_once_and_only_where_the_protocol_says_so():
    walk = reach("in_initial")
    walk.fire("extend_phase", S)
    refused_by(walk, "extension_allowed", "extend_phase", S, current="extended")
    refused_by(reach("in_middle"), "extension_allowed", "extend_phase", S, current=None)
    refused_by(reach("in_final"), "extension_allowed", "extend_phase", S, current=3)


@covers("protocol_differs")
def test_a_protocol_is_changed_for_another_one_only():
    walk = reach("in_initial")
    refused_by(walk, "protocol_differs", "change_protocol", S, current="ipt@2", required="another protocol or version")
    refused_by(walk, "supervisor_agrees", "change_protocol", T, alone=False)
    walk.target = variant("ipt-short")
    assert walk.fire("change_protocol", T, S).protocol == "ipt-short"


@covers("same_protocol_family")
def test_a_course_migrates_to_another_version_of_its_own_protocol_only():
    walk = reach("in_middle")
    walk.target = variant("ipt-short")
    refused_by(walk, "same_protocol_family", "migrate_protocol", S, current="ipt@2", required="another version of ipt")
    walk.target = version(3)
    assert walk.fire("migrate_protocol", S).protocol_version == 3


@covers("carries_over")
def test_a_course_that_would_be_stuck_does_not_migrate():
    walk = reach("in_middle", sessions=3)
    walk.target = version(3, {"initial": {"sessions_max": 2}})
    refusal = refused_by(walk, "carries_over", "migrate_protocol", S, required="a course that carries over")
    assert len(refusal.current) == 1
    assert "Not kept by entry" in refusal.message
    walk.target = version(3, {"initial": {"sessions_max": 3}})
    assert walk.fire("migrate_protocol", S).state == "middle"


def test_a_client_has_no_second_acute_course_by_a_change_of_protocol():
    walk = Walk(variant("maintenance", acute=False)).referred()
    walk.other_open_course = "course-0"
    walk.target = variant("ipt-short")
    assert list(walk.refused("change_protocol", S)) == ["one_active_course"]
    walk.other_open_course = None
    assert walk.fire("change_protocol", S).acute


@pytest.mark.parametrize("by", (T, E, A), ids=lambda by: by.role)
def test_nobody_but_a_supervisor_migrates_a_course(by):
    with pytest.raises(TriggerNotPermitted):
        reach("in_middle").refused("migrate_protocol", by)


def test_a_change_of_protocol_carries_over_what_was_done():
    walk = reach("ready_for_middle", sessions=2)
    walk.target = variant("ipt-short")
    before = walk.c
    walk.fire("change_protocol", S)
    assert (walk.state, walk.c.phase) == ("initial", "initial")
    assert (walk.c.sick_role, walk.c.focus, walk.c.contract, walk.c.sessions) == (
        before.sick_role,
        before.focus,
        before.contract,
        before.sessions,
    )
    assert walk.counted.attended["initial"] == 2
    assert walk.fire("begin_middle").state == "middle"


@covers("client_differs")
def test_a_course_is_put_with_another_client_only():
    walk = reach("in_middle").do("relink_client", by=S)
    assert walk.c.client == "client-2"
    refused_by(walk, "client_differs", "relink_client", S, current="the same client", required="another client")
