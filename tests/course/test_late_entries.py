"""Late entries and amendments: placed where they happened, judged once, never lost."""

import datetime as dt

import msgspec
import pytest
from support.course_walk import DAY, HOUR, MINUTE, OTHER_T, WEEK, S, T, Walk, reach

from ipt_workflow.course.fold import fold
from ipt_workflow.errors import CommandInvalid

MOMENT = MINUTE / 2
ANOTHER_VISIT = ("overlaps_session",)  # the rules to override for a second visit within the hour


def times(walk: Walk) -> list:
    return [session.at for session in walk.c.sessions]


def test_a_forgotten_session_is_recorded_late_and_counts_in_the_phase_it_was_held_in():
    walk = reach("in_middle").copy()
    first = walk.c.sessions[0].at
    version = walk.c.version
    walk.fire("record_session", at=first + MOMENT, override=ANOTHER_VISIT)
    assert walk.c.version == version + 1
    assert [session.phase for session in sorted(walk.c.sessions, key=lambda s: s.at)] == ["initial", "initial"]
    assert walk.counted.attended["initial"] == 2
    late = walk.history[-1]
    assert late.occurred_at == first + MOMENT
    assert late.recorded_at == walk.now


def test_a_forgotten_fourth_initial_session_is_refused_where_it_happened():
    walk = reach("in_middle", sessions=3).copy()
    last = max(times(walk))
    refusals = walk.refused("record_session", at=last + MOMENT, override=ANOTHER_VISIT)
    assert list(refusals) == ["phase_session_cap"]
    walk.fire("record_session", at=last + MOMENT, kind="additional", reason="It was held all the same.", override=ANOTHER_VISIT)
    assert walk.counted.over["initial"] == 1
    assert walk.state == "middle"


def test_a_forgotten_session_that_would_leave_later_ones_beyond_the_cap_says_which():
    walk = reach("ready_for_final").copy()
    refusal = walk.refused("record_session", at=max(times(walk)) - DAY)["later_entries_hold"]
    assert {each.trigger for each in refusal.breaks} == {"record_session"}
    assert {rule.rule for each in refusal.breaks for rule in each.refusals} == {"phase_session_cap"}


@pytest.mark.parametrize(("stage", "begun"), (("in_middle", "begin_middle"), ("in_final", "begin_final")))
def test_a_forgotten_session_of_a_full_phase_is_not_offered_the_step_that_is_on_record_but_what_helps(stage, begun):
    walk = reach(stage, sessions=3).copy()
    late = walk.c.sessions[-1].at - DAY
    refusal = walk.refused("record_session", at=late)["later_entries_hold"]
    offered = (*refusal.remedies, *(remedy for each in refusal.breaks for rule in each.refusals for remedy in rule.remedies))
    assert begun not in {each.trigger for each in offered}
    (time, *_) = (each for each in refusal.remedies if each.trigger == "amend" and each.data)
    assert time.data["supersedes"] == walk.seq(begun)
    assert dt.datetime.fromisoformat(time.data["occurred_at"]) < walk.c.sessions[-1].at
    (additional,) = (each for each in refusal.remedies if each.trigger == "record_session")
    walk.fire("record_session", at=late, reason="It was held all the same.", **additional.data)


def test_a_forgotten_pause_is_put_right_by_recording_both_its_ends_together():
    walk = reach("in_middle", pause_stops_clock=True).copy()
    walk.session()
    held = walk.c.sessions[-1].at
    walk.now = held + 6 * WEEK
    pause = walk.body("pause", at=held + DAY)
    assert "later_entries_hold" not in walk.refused("pause", at=held + DAY)
    resume = {"trigger": "resume", "occurred_at": (held + 3 * WEEK).isoformat()}
    walk.together(pause, resume)
    assert walk.state == "middle"
    assert [(each.since, each.until) for each in walk.c.interruptions] == [(held + DAY, held + 3 * WEEK)]


def test_two_swapped_sessions_are_put_right_by_amending_both_together():
    walk = reach("in_middle").copy()
    one, two = walk.session(), walk.session()
    first, second = (walk.c.session(seq).at for seq in (one, two))
    walk.now += HOUR
    amend = [
        {
            "trigger": "amend",
            "data": {"supersedes": seq, "occurred_at": at.isoformat()},
            "reason": "Written down the wrong way round.",
        }
        for seq, at in ((one, second), (two, first))
    ]
    walk.together(*amend)
    assert (walk.c.session(one).at, walk.c.session(two).at) == (second, first)
    assert walk.counted.attended["middle"] == 2


def test_several_commands_together_are_accepted_whole_or_not_at_all():
    walk = reach("in_middle").copy()
    before = msgspec.json.encode(walk.c)
    bodies = [walk.body("note"), walk.body("complete")]
    answer = walk.preview(*bodies)
    assert answer.trigger == "complete"
    assert "state_allows" in {refusal.rule for refusal in answer.refusals}
    assert msgspec.json.encode(walk.c) == before


def test_what_is_never_blocked_is_accepted_late_and_marks_what_it_contradicts():
    walk = reach("in_middle").copy()
    walk.session()
    held = walk.c.sessions[-1]
    walk.now += DAY
    walk.fire("end_early", at=held.at - DAY)
    assert walk.state == "ended_early"
    assert held.seq in walk.c.contradicted


def test_two_endings_of_which_one_is_recorded_late_are_refused_as_the_second_is():
    walk = reach("in_middle").copy()
    late = walk.body("end_early", at=walk.c.opened_at)
    answer = walk.preview(late, walk.body("end_early"))
    assert (answer.trigger, [refusal.rule for refusal in answer.refusals]) == ("end_early", ["state_allows"])


def test_nothing_happens_before_the_course_was_opened():
    walk = reach("in_middle").copy()
    with pytest.raises(CommandInvalid, match="occurred_at"):
        walk.fire("note", at=walk.c.opened_at - HOUR)


def test_an_amendment_acts_where_the_entry_it_supersedes_stood():
    walk = reach("ready_for_middle").copy()
    seq = walk.seq("record_session")
    walk.fire("amend", S, data={"supersedes": seq, "data": {"attendance": "3"}}, reason="The client was not seen.")
    assert walk.counted.attended["initial"] == 0
    assert "phase_sessions_met" in walk.refused("begin_middle")


def test_an_amendment_that_later_entries_rest_on_is_refused_with_what_would_break():
    walk = reach("in_middle").copy()
    seq = walk.seq("assign_sick_role")
    refusal = walk.refused("amend", S, data={"supersedes": seq, "void": True}, reason="It was not so.")["later_entries_hold"]
    assert [each.trigger for each in refusal.breaks] == ["begin_middle"]
    assert refusal.breaks[0].refusals[0].rule == "sick_role_resolved"


def test_an_amendment_can_be_amended_and_the_last_word_stands():
    walk = reach("in_middle").copy()
    seq = walk.session(sign=False)
    for attendance in ("6", "3", "5"):
        walk.fire(
            "amend", S, data={"supersedes": walk.last if attendance != "6" else seq, "data": {"attendance": attendance}}, reason="x"
        )
        assert walk.c.session(seq).attendance == attendance


def test_an_entry_that_was_voided_acts_no_more_and_may_be_recorded_again():
    walk = reach("in_middle").copy()
    seq = walk.session(sign=False)
    walk.fire("amend", data={"supersedes": seq, "void": True}, reason="It was another client.")
    assert walk.c.session(seq) is None
    assert walk.counted.attended["middle"] == 0
    walk.now += HOUR
    walk.fire("record_session")
    assert walk.counted.attended["middle"] == 1


def test_an_amended_entry_is_voided_whole_and_that_may_be_undone():
    walk = reach("in_middle").copy()
    seq = walk.session(sign=False)
    walk.fire("amend", data={"supersedes": seq, "data": {"minutes": 40}}, reason="It was shorter.")
    walk.fire("amend", data={"supersedes": walk.last, "void": True, "whole": True}, reason="It was another client's.")
    assert walk.c.session(seq) is None
    assert walk.history[-1].data == {"supersedes": walk.last - 1, "void": True, "whole": True}
    walk.fire("amend", data={"supersedes": walk.last, "void": True}, reason="It was this client's.")
    assert walk.c.session(seq).minutes == 40
    walk.fire("amend", data={"supersedes": walk.last, "void": True, "whole": True}, reason="It was another client's after all.")
    assert walk.c.session(seq) is None


def test_only_what_is_void_is_void_whole():
    walk = reach("in_middle").copy()
    data = {"supersedes": walk.session(sign=False), "data": {"minutes": 40}, "whole": True}
    with pytest.raises(CommandInvalid, match="whole"):
        walk.fire("amend", data=data, reason="It was shorter.")


def test_the_referral_cannot_be_voided_and_an_ending_is_taken_back_only_by_reopening():
    walk = reach("in_middle").copy()
    assert "entry_amendable" in walk.refused("amend", S, data={"supersedes": 1, "void": True}, reason="x")
    walk.do("end_early")
    assert "entry_amendable" in walk.refused("amend", S, data={"supersedes": walk.last, "void": True}, reason="x")
    walk.fire("reopen", S)
    assert walk.state == "middle"


@pytest.mark.parametrize(("by", "refused"), ((T, False), (OTHER_T, True), (S, False)))
def test_a_therapist_amends_their_own_entries_and_a_supervisor_any(by, refused):
    walk = reach("in_middle").copy()
    seq = walk.session(sign=False)
    more = {"data": {"supersedes": seq, "data": {"minutes": 45}}, "reason": "x"}
    assert ("amendment_agreed" in walk.refused("amend", by, **more)) == refused


def test_a_signature_dated_before_its_session_is_read_with_the_session():
    walk = reach("in_initial")
    before = walk.now
    session = walk.session(sign=False)
    walk.fire("sign_session", session=session, at=walk.c.opened_at - DAY)
    assert walk.replay(as_of=before).sessions == ()
    assert walk.replay(as_of=walk.c.session(session).at).session(session).signed


@pytest.mark.parametrize("act", ("sign_session", "note"))
def test_a_course_that_was_handed_back_is_taken_up_by_what_is_recorded_whatever_its_date(act):
    walk = reach("in_initial")
    session = walk.session(sign=False)
    held = walk.now
    for giver, taker in ((T, OTHER_T), (OTHER_T, T), (T, OTHER_T), (OTHER_T, T)):
        walk.fire("note", giver)
        walk.now += DAY
        walk.fire("transfer", giver, data={"therapist": taker.person, "handover": "All was told."})
    assert walk.c.handed_over_at == walk.now
    walk.now += DAY
    walk.fire(act, at=held + MINUTE, **({"session": session} if act == "sign_session" else {}))
    assert walk.c.handed_over_at is None


@pytest.mark.parametrize("first", ("sign_session", "note"))
def test_what_is_told_beside_an_early_ending_does_not_contradict_in_its_place(first):
    walk = reach("in_middle")
    ended = walk.now + MINUTE
    session = walk.session(sign=False)
    walk.now += DAY
    beside = walk.body(first, **({"session": session} if first == "sign_session" else {}))
    walk.together(beside, walk.body("end_early", at=ended))
    assert [fact.contradicts for fact in walk.history[-2:]] == [(), (session,)]
    walk.fire("reopen", S)
    assert (walk.state, walk.c.contradicted) == ("middle", ())


@pytest.mark.parametrize("undo", (True, False))
def test_an_amendment_corrects_what_is_in_force(undo):
    walk = reach("in_initial")
    session = walk.session(sign=False)
    walk.fire("amend", data={"supersedes": session, "data": {"minutes": 33}})
    if undo:
        walk.fire("amend", data={"supersedes": walk.last, "void": True})
    walk.fire("amend", data={"supersedes": walk.last, "data": {"attendance": "6"}})
    amended = walk.c.session(session)
    assert (amended.attendance, amended.minutes) == ("6", 50 if undo else 33)


@pytest.mark.parametrize("stage", ("in_middle", "completed"))
def test_the_course_is_read_as_it_was_and_as_it_was_known(stage):
    walk = reach(stage).copy()
    held = walk.c.sessions[0]
    before = walk.now
    walk.now += HOUR
    walk.fire("amend", S, data={"supersedes": held.seq, "data": {"minutes": 30, "late_notice": True}}, reason="x")
    entries = walk.entries()
    assert walk.replay() == fold(walk.history) == walk.c
    assert not walk.replay(known_at=before).session(held.seq).late_notice
    assert walk.replay(as_of=held.at).session(held.seq).late_notice
    assert walk.replay(as_of=held.at).state == "initial"
    assert walk.replay(as_of=walk.c.opened_at).version <= len(entries)
