"""Rules about correcting the record, and about when in a course something happened."""

import pytest
from support.course_walk import ANY, HOUR, MINUTE, OTHER_T, S, T, covers, reach, refused_by

from ipt_workflow.course import triggers
from ipt_workflow.machine import Refused


@covers("state_allows")
@pytest.mark.parametrize(
    ("stage", "trigger", "step"),
    (
        ("referred", "begin_middle", "start"),
        ("in_initial", "begin_final", "begin_middle"),
        ("in_middle", "begin_middle", None),
        ("in_middle", "start", None),
        ("paused", "start", None),
        ("completed", "complete", "reopen"),
        ("ended_early", "end_early", "reopen"),
        ("not_suitable", "decline", "reopen"),
        ("in_initial", "complete", "begin_middle"),
        ("paused", "begin_final", "resume"),
        ("completed", "record_session", "reopen"),
        ("in_final", "select_focus", None),
    ),
)
def test_phases_come_in_order_none_skipped_and_none_repeated(stage, trigger, step):
    walk = reach(stage)
    refusal = refused_by(walk, "state_allows", trigger, current=walk.state)
    assert refusal.required == "one of " + ", ".join(triggers.sources(walk.protocol, trigger))
    assert [remedy.trigger for remedy in refusal.remedies] == ([step] if step else [])


@pytest.mark.parametrize(
    ("stage", "trigger", "says"),
    (
        ("in_middle", "begin_middle", "begun"),
        ("in_final", "start", "begun"),
        ("paused", "begin_middle", "begun"),
        ("ended_early", "begin_middle", "begun"),
        ("completed", "complete", "over"),
        ("not_suitable", "end_early", "over"),
        ("in_initial", "begin_final", "step"),
        ("in_middle", "select_focus", "another"),
    ),
)
def test_what_has_happened_already_is_said_to_have_happened(stage, trigger, says):
    assert reach(stage).refused(trigger)["state_allows"].message_id == f"state_allows.{says}"


def test_a_trigger_that_the_state_allows_meets_no_such_refusal():
    assert "state_allows" not in reach("in_initial").refused("begin_middle")


@covers("later_entries_hold")
def test_what_would_leave_a_later_entry_unlawful_is_refused_and_lists_it():
    walk = reach("in_middle")
    body = {"supersedes": walk.seq("assign_sick_role"), "void": True}
    refusal = refused_by(walk, "later_entries_hold", "amend", S, data=body, current=[walk.seq("begin_middle")], remedies=("amend",))
    (broken,) = refusal.breaks
    assert (broken.seq, broken.trigger) == (walk.seq("begin_middle"), "begin_middle")
    assert [each.rule for each in broken.refusals] == ["sick_role_resolved"]
    walk.fire("amend", S, data={"supersedes": walk.seq("record_timeline"), "void": True})


@covers("entry_amendable")
def test_only_an_entry_that_is_in_force_is_amended():
    walk = reach("in_initial")
    refused_by(
        walk, "entry_amendable", "amend", S, data={"supersedes": 99, "void": True}, current=99, required="an entry of this course"
    )
    walk.do("note")
    seq = walk.last
    walk.fire("amend", data={"supersedes": seq, "data": {"text": "Prefers evenings."}})
    refused_by(
        walk,
        "entry_amendable",
        "amend",
        data={"supersedes": seq, "void": True},
        current=f"superseded by {seq + 1}",
        required=seq + 1,
    )
    walk.fire("amend", data={"supersedes": seq + 1, "void": True})


ENDINGS = (("completed", "complete"), ("ended_early", "end_early"), ("not_suitable", "decline"))


@pytest.mark.parametrize(("stage", "ending"), ENDINGS)
def test_of_an_ending_only_the_time_is_amended(stage, ending):
    walk = reach(stage)
    named = {"supersedes": walk.seq(ending)}
    for change in ({"void": True}, {"data": {}, "occurred_at": walk.now.isoformat()}):
        refused_by(
            walk,
            "entry_amendable",
            "amend",
            S,
            data={**named, **change},
            current=ending,
            required="`occurred_at` alone",
            remedies=("reopen",),
        )
    walk.do("reopen", by=S)
    for seq, required in ((named["supersedes"], "an ending that holds"), (walk.last, "another trigger")):
        data = {"supersedes": seq, "occurred_at": walk.now.isoformat()}
        refused_by(walk, "entry_amendable", "amend", S, data=data, current=ANY, required=required)


@pytest.mark.parametrize(("stage", "ending"), ENDINGS)
def test_the_time_of_an_ending_is_corrected_by_the_therapist_who_recorded_it(stage, ending):
    walk = reach(stage)
    before = walk.course.ending
    later, amended = before.at + MINUTE, {"supersedes": walk.seq(ending)}
    walk.now += HOUR
    course = walk.fire("amend", data={**amended, "occurred_at": later.isoformat()})
    assert (course.state, course.ending.at, course.ending.recorded_at) == (stage, later, before.recorded_at)
    assert walk.do("reopen", by=S).course.ending is None


def test_an_ending_cannot_come_before_what_happened_in_the_course():
    walk = reach("completed")
    first = min(session.at for session in walk.course.sessions) - MINUTE
    refusals = walk.refused("amend", data={"supersedes": walk.seq("complete"), "occurred_at": first.isoformat()})
    assert refusals.keys() & {"later_entries_hold", "state_allows"}


def test_what_opened_the_course_can_be_amended_and_never_voided():
    walk = reach("in_middle")
    refused_by(
        walk,
        "entry_amendable",
        "amend",
        S,
        data={"supersedes": 1, "void": True},
        current="refer",
        required="`data` or `occurred_at`",
    )
    assert walk.fire("amend", S, data={"supersedes": 1, "data": {"indication": "dysthymia"}}).indication == "dysthymia"


@covers("amendment_agreed")
@pytest.mark.parametrize(
    ("trigger", "kind"),
    (
        ("record_consent", "risk or consent"),
        ("review_risk", "risk or consent"),
        ("raise_risk", "risk or consent"),
    ),
)
def test_a_therapist_amends_neither_risk_nor_consent_without_a_supervisor(trigger, kind):
    walk = reach("in_middle").do("raise_risk", "review_risk")
    body = {"supersedes": walk.seq(trigger), "occurred_at": walk.fact(walk.seq(trigger)).occurred_at.isoformat()}
    refusal = refused_by(walk, "amendment_agreed", "amend", T, data=body, current=[kind], remedies=("amend", "amend"))
    assert [(each.roles, each.via) for each in refusal.remedies] == [(("therapist",), "proposal"), (("supervisor",), None)]
    walk.copy().fire("amend", S, data=body)
    walk.copy().fire("amend", T, S, data=body)


@pytest.mark.parametrize("change", ({"void": True}, {"data": {}}))
@pytest.mark.parametrize("trigger", ("start", "begin_middle"))
def test_a_therapist_amends_a_change_of_state_only_with_a_supervisor_if_more_than_its_time_changes(trigger, change):
    walk = reach("in_middle")
    body = {"supersedes": walk.seq(trigger), **change}
    refused_by(walk, "amendment_agreed", "amend", T, data=body, current=["a change of state"], remedies=("amend", "amend"))


@pytest.mark.parametrize("trigger", ("start", "begin_middle"))
def test_a_therapist_corrects_the_time_of_their_own_change_of_state_and_takes_the_correction_back(trigger):
    walk = reach("in_middle")
    told = walk.fact(walk.seq(trigger)).occurred_at
    body = {"supersedes": walk.seq(trigger), "occurred_at": (told - MINUTE / 2).isoformat()}
    refused_by(walk, "amendment_agreed", "amend", OTHER_T, data=body, current=["another person's entry"], alone=False)
    before = walk.c
    walk.fire("amend", data=body)
    assert (walk.state, walk.counted.attended) == ("middle", {"initial": 1, "middle": 0, "final": 0})
    walk.fire("amend", data={"supersedes": walk.last, "void": True})
    assert (walk.c.started_at, walk.c.tallies) == (before.started_at, before.tallies)


def test_a_change_of_state_is_not_moved_where_its_structural_rules_refuse_it_nor_into_acute_risk():
    walk = reach("in_middle")
    begin, held = walk.seq("begin_middle"), walk.c.sessions[0].at
    early = {"supersedes": begin, "occurred_at": (held - MINUTE / 2).isoformat()}
    assert set(walk.refused("amend", data=early)) == {"phase_sessions_met", "sick_role_resolved"}
    walk.now += HOUR
    at = walk.now
    walk.fire("raise_risk", at=at, level="acute")
    walk.now += HOUR
    walk.fire("review_risk", level="none")
    acute = {"supersedes": begin, "occurred_at": (at + MINUTE).isoformat()}
    assert set(walk.refused("amend", data=acute)) == {"no_acute_risk"}
    walk.fire("amend", data={"supersedes": begin, "occurred_at": (at - MINUTE).isoformat()})


def test_a_therapist_amends_their_own_entries_and_nobody_elses():
    walk = reach("in_middle").do("note", by=OTHER_T)
    body = {"supersedes": walk.last, "data": {"text": "Prefers evenings."}}
    refused_by(walk, "amendment_agreed", "amend", T, data=body, current=["another person's entry"])
    walk.copy().fire("amend", OTHER_T, data=body)
    walk.fire("amend", S, data=body)


def test_a_therapist_amends_no_override_without_a_supervisor():
    walk = reach("in_initial").do("record_inventory")
    walk.fire("select_focus", data={"primary": "interpersonal_deficits"}, override=("focus_grounded",))
    body = {"supersedes": walk.last, "data": {"others_do_not_fit": True}}
    refused_by(walk, "amendment_agreed", "amend", T, data=body, current=["an override"])
    walk.fire("amend", S, data=body)


def test_an_entry_of_another_time_is_judged_at_its_own_place():
    walk = reach("in_middle")
    before = walk.fact(walk.seq("begin_middle")).occurred_at - MINUTE / 2
    answer = walk.preview(walk.body("announce_ending", at=before))
    assert isinstance(answer, Refused)
    assert [(each.rule, each.current) for each in answer.refusals] == [("state_allows", "initial")]
