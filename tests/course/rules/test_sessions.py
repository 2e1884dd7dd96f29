"""Rules about sessions: how many, when, by whom, signed or not."""

import datetime as dt

import pytest
from support.course_walk import DAY, MINUTE, OTHER_T, WEEK, E, S, T, Walk, covers, reach, refused_by, replaced, variant

from ipt_workflow.errors import CommandInvalid

HELD = {"attendance": "5"}


@covers("attendance_fits_state")
@pytest.mark.parametrize("attendance", ("5", "6"))
def test_before_the_course_starts_no_session_is_held(attendance):
    walk = reach("referred")
    refused_by(walk, "attendance_fits_state", "record_session", attendance=attendance, current=attendance, remedies=("start",))
    walk.do("record_consent", "start")
    walk.fire("record_session", attendance=attendance)


@pytest.mark.parametrize("attendance", ("2", "3", "4", "7"))
def test_before_the_course_starts_missed_appointments_are_recorded(attendance):
    walk = reach("referred")
    session = walk.fire("record_session", attendance=attendance).sessions[0]
    assert (session.phase, session.attended) == (None, False)


@covers("phase_session_cap")
def test_a_fourth_initial_session_is_refused_until_the_phase_is_extended():
    walk = reach("in_initial")
    for _ in range(3):
        walk.session()
    walk.now += WEEK
    refused_by(walk, "phase_session_cap", "record_session", current=3, required="fewer than 3",
               remedies=("begin_middle", "extend_phase", "record_session"))  # fmt: skip
    walk.fire("extend_phase", T, S)
    walk.session()
    walk.now += WEEK
    refused_by(
        walk, "phase_session_cap", "record_session", current=4, required="fewer than 4", remedies=("begin_middle", "record_session")
    )


def test_the_middle_phase_leaves_the_last_phase_its_sessions():
    walk = reach("with_remaining", remaining=3)
    walk.now += WEEK
    refusal = refused_by(walk, "phase_session_cap", "record_session", current=8, required="fewer than 8",
                         remedies=("begin_final", "amend_contract", "record_session"))  # fmt: skip
    assert [(each.data, each.via) for each in refusal.remedies] == [
        ({}, None),
        ({"sessions": 13}, None),
        ({"kind": "additional"}, None),
    ]
    longer = walk.copy()
    longer.fire("amend_contract", **refusal.remedies[1].data)
    longer.session()
    walk.do("announce_ending", "begin_final")
    walk.session()


SOON = MINUTE / 4  # so that something comes before the next entry


def forgotten(walk: Walk, phase: str, **more) -> dict:
    """A second session in the hour of a phase's last one, before anything else happened."""
    last = max(session.at for session in walk.c.sessions if session.phase == phase)
    return walk.body("record_session", at=last + 2 * SOON, reason="It took place.", override=("overlaps_session",), **more)


def before(body: dict) -> str:
    return (dt.datetime.fromisoformat(body["occurred_at"]) - SOON).isoformat()


def test_a_late_session_beyond_the_cap_is_offered_what_helps_and_never_what_has_happened():
    walk = reach("in_final")
    body = forgotten(walk, "middle")
    (refusal,) = walk.preview(body).refusals
    assert refusal.rule == "phase_session_cap"
    amending, *others = refusal.remedies
    assert (amending.trigger, amending.data["supersedes"]) == ("amend", walk.seq("begin_final"))
    assert [(each.trigger, each.data, each.via) for each in others] == [
        ("amend_contract", {"sessions": 13}, "together"),
        ("record_session", {"kind": "additional"}, None),
    ]
    terms = {**others[0].data, "client_agrees": True, "therapist_agrees": True}
    longer = walk.copy()
    longer.together({**walk.body("amend_contract", data=terms), "occurred_at": before(body)}, body)
    assert (longer.counted.attended["middle"], longer.counted.remaining, longer.state) == (9, 3, "final")
    walk.together(forgotten(walk, "middle", **others[1].data))
    assert walk.counted.over["middle"] == 1


def test_a_late_session_of_a_phase_that_has_not_ended_on_paper_is_offered_the_step_together():
    walk = reach("ready_for_final")
    walk.now += WEEK
    body = walk.body("record_session", at=walk.now - DAY)
    walk.do("note")
    (refusal,) = walk.preview(body).refusals
    assert [(each.trigger, each.via) for each in refusal.remedies] == [
        ("begin_final", "together"),
        ("amend_contract", "together"),
        ("record_session", None),
    ]
    walk.together({**walk.body("begin_final"), "occurred_at": before(body)}, body)
    assert walk.counted.attended["final"] == 1


def test_a_late_session_of_a_completed_course_is_only_recorded_as_one_beyond_the_cap():
    walk = reach("completed")
    refusals = walk.preview(forgotten(walk, "final")).refusals
    assert {each.rule for each in refusals} == {"phase_session_cap", "contract_session_cap"}
    assert {each.trigger for refusal in refusals for each in refusal.remedies} == {"record_session"}
    walk.together(forgotten(walk, "final", kind="additional"))
    assert walk.counted.over["final"] == 1


def test_in_a_pause_the_course_is_resumed_before_the_next_phase_begins():
    walk = reach("with_remaining", remaining=3).do("pause")
    walk.now += WEEK
    refused_by(walk, "phase_session_cap", "record_session", remedies=("resume", "amend_contract", "record_session"))


def test_a_fourth_final_session_is_refused():
    walk = reach("ready_to_complete")
    walk.now += DAY
    refused_by(walk, "phase_session_cap", "record_session", alone=False, current=3, required="fewer than 3",
               remedies=("complete", "record_session"))  # fmt: skip


@covers("contract_session_cap")
def test_no_more_sessions_are_held_than_the_contract_has():
    walk = reach("ready_to_complete")
    walk.now += DAY
    refused_by(walk, "contract_session_cap", "record_session", alone=False, current=12, required="fewer than 12",
               remedies=("complete", "record_session"))  # fmt: skip
    earlier = reach("in_final", sessions=3)
    assert "contract_session_cap" not in earlier.refused("record_session")


def test_in_the_last_phase_the_contract_alone_keeps_the_last_session():
    walk = reach("in_final", missed_count=True)
    for attendance in ("5", "3", "5"):
        walk.session(attendance)
    walk.now += WEEK
    assert list(walk.refused("record_session")) == ["contract_session_cap"]


@pytest.mark.parametrize("attendance", ("2", "3", "4", "7"))
def test_a_missed_session_meets_no_cap(attendance):
    walk = reach("ready_to_complete")
    walk.now += DAY
    assert walk.refused("record_session", attendance=attendance) == {}


@covers("session_already_recorded")
def test_one_visit_is_one_session():
    walk = reach("in_initial")
    walk.fire("record_session", ref="Appointment/1")
    first = walk.last
    moment = walk.now
    walk.now += WEEK
    refused_by(
        walk,
        "session_already_recorded",
        "record_session",
        E,
        ref="Appointment/1",
        current=first,
        required="a visit not yet recorded",
    )
    refused_by(walk, "session_already_recorded", "record_session", at=moment, current=first)
    walk.fire("record_session", E, ref="Appointment/2")
    refused_by(walk, "session_already_recorded", "link_session", session=first, ref="Appointment/2", current=walk.last)
    walk.fire("link_session", session=first, ref="Appointment/1")


@covers("within_planned_end")
def test_a_session_is_held_by_the_planned_end_and_its_days_of_grace():
    walk = reach("in_middle")
    first = walk.c.sessions[0].at
    walk.now = first + 12 * WEEK + 14 * DAY
    assert walk.refused("record_session") == {}
    walk.now += DAY
    refused_by(walk, "within_planned_end", "record_session", current="15 days after the planned end", required="at most 14 days after it",
           remedies=("amend_contract", "record_session"))  # fmt: skip
    assert walk.refused("record_session", attendance="3") == {}
    walk.fire("amend_contract")
    walk.fire("record_session")


@covers("session_known")
def test_only_a_session_of_the_course_is_linked():
    walk = reach("in_initial")
    refused_by(
        walk, "session_known", "link_session", session=2, ref="Appointment/1", current=2, required=[], remedies=("record_session",)
    )
    seq = walk.session(sign=False)
    refused_by(walk, "session_known", "link_session", session=2, ref="Appointment/1", required=[seq])
    assert walk.fire("link_session", session=seq, ref="Appointment/1").sessions[0].ref == "Appointment/1"


@covers("session_signable")
def test_only_a_session_that_was_held_and_waits_for_it_is_signed():
    walk = reach("in_initial")
    refused_by(walk, "session_signable", "sign_session", session=2, current="no session", remedies=())
    missed = walk.session("3")
    refused_by(walk, "session_signable", "sign_session", session=missed, current="not held (code 3)", required=[])
    held = walk.session(sign=False)
    refused_by(walk, "session_signable", "attest_session", S, session=missed, required=[held])
    walk.fire("sign_session", session=held)
    refused_by(walk, "session_signable", "sign_session", session=held, current="signed", required=[])


@covers("own_session")
def test_the_therapist_who_gave_a_session_signs_it():
    walk = reach("in_initial")
    seq = walk.session(by=OTHER_T, sign=False)
    refused_by(walk, "own_session", "sign_session", session=seq, current="another therapist", remedies=("attest_session",))
    assert walk.copy().fire("sign_session", OTHER_T, session=seq).sessions[0].signed
    assert walk.fire("attest_session", S, session=seq).sessions[0].signed


def test_a_session_that_the_ehr_records_was_given_by_the_courses_therapist():
    walk = reach("in_initial")
    seq = walk.session(by=E, sign=False)
    assert walk.c.session(seq).given_by == T.person
    refused_by(walk, "own_session", "sign_session", OTHER_T, session=seq)
    walk.fire("sign_session", session=seq)


@covers("risk_reviewed")
def test_a_risk_seen_by_the_day_of_the_session_is_reviewed_before_it_is_signed():
    walk = reach("in_initial")
    seq = walk.session(sign=False)
    walk.fire("record_measure", data={"instrument": "phq9", "items": [2] * 8 + [1]})
    refused_by(walk, "risk_reviewed", "sign_session", session=seq, current="open", required="reviewed", remedies=("review_risk",))
    refused_by(walk, "risk_reviewed", "attest_session", S, session=seq)
    walk.do("review_risk")
    walk.fire("sign_session", session=seq)


def test_a_risk_seen_after_the_day_of_a_session_does_not_hold_its_signature():
    walk = reach("in_initial")
    seq = walk.session(sign=False)
    walk.now += DAY
    walk.do("raise_risk")
    walk.fire("sign_session", session=seq)


@covers("no_open_deviation", "deviation_open")
def test_a_session_beyond_a_cap_is_kept_and_holds_the_phase_until_a_supervisor_takes_note():
    walk = reach("ready_for_middle", sessions=3)
    refused_by(walk, "deviation_open", "acknowledge_deviation", S, required=[])
    seq = walk.session(kind="additional", reason="The client was in crisis.")
    assert (walk.counted.attended["initial"], walk.counted.over["initial"]) == (3, 1)
    refused_by(
        walk,
        "no_open_deviation",
        "begin_middle",
        current=[seq],
        required="every deviation acknowledged",
        remedies=("acknowledge_deviation",),
    )
    walk.fire("acknowledge_deviation", S, session=seq)
    refused_by(walk, "deviation_open", "acknowledge_deviation", S, session=seq, current=seq)
    walk.do("begin_middle")


def test_an_additional_session_without_a_reason_is_not_valid():
    walk = reach("in_initial")
    with pytest.raises(CommandInvalid, match="additional"):
        walk.fire("record_session", kind="additional")


@covers("phase_sessions_met")
def test_a_phase_is_left_after_the_fewest_sessions_it_must_have():
    walk = reach("ready_for_middle", sessions=0)
    refused_by(walk, "phase_sessions_met", "begin_middle", current=0, required="at least 1", remedies=("record_session",))
    walk.session("3")
    refused_by(walk, "phase_sessions_met", "begin_middle", current=0)
    walk.session()
    walk.do("begin_middle")


def test_a_middle_phase_without_a_session_is_not_left():
    walk = reach("in_middle", sessions=3)
    walk.fire("amend_contract", T, S, sessions=7)
    walk.do("announce_ending")
    refused_by(walk, "phase_sessions_met", "begin_final", alone=False, current=0, required="at least 1")


@covers("no_unsigned_session")
@pytest.mark.parametrize(("stage", "leave"), (("ready_for_middle", "begin_middle"), ("ready_for_final", "begin_final")))
def test_every_session_that_was_held_is_signed_before_the_phase_is_left(stage, leave):
    walk = reach(stage)
    walk.session(kind="additional", reason="In crisis.", sign=False)
    seq = walk.last
    walk.fire("acknowledge_deviation", S, session=seq)
    refused_by(
        walk,
        "no_unsigned_session",
        leave,
        current=[seq],
        required="every session signed",
        remedies=("sign_session", "attest_session"),
    )
    walk.fire("sign_session", session=seq)
    walk.fire(leave)


@covers("middle_sessions_recommended")
def test_a_middle_phase_shorter_than_recommended_wants_a_reason():
    walk = reach("in_middle")
    for _ in range(5):
        walk.session()
    walk.do("announce_ending")
    walk.fire("amend_contract", T, S, sessions=9)
    refused_by(
        walk,
        "middle_sessions_recommended",
        "begin_final",
        severity="soft",
        current=5,
        required="at least 6",
        remedies=("record_session",),
    )
    assert walk.copy().fire("begin_final", override=("middle_sessions_recommended",)).state == "final"
    walk.fire("amend_contract", T, S, sessions=10)
    walk.session()
    walk.do("begin_final")


@covers("focus_worked")
def test_a_middle_phase_that_never_worked_on_the_problem_area_wants_a_reason():
    walk = reach("in_middle")
    while walk.counted.remaining > 3:
        seq = walk.session(sign=False)
        walk.fire("sign_session", session=seq, focus="grief")
    walk.do("announce_ending")
    refused_by(
        walk,
        "focus_worked",
        "begin_final",
        severity="soft",
        current=["grief"],
        required="role_transition",
        remedies=("record_session",),
    )
    assert walk.fire("begin_final", override=("focus_worked",)).overrides == 1


def test_a_protocol_may_count_what_was_held_for_a_group():
    phases = tuple(replaced(phase, count="held") for phase in Walk().protocol.phases)
    walk = Walk(variant("group", phases=phases)).in_initial()
    for attendance in ("5", "3", "7"):
        walk.session(attendance)
    walk.now += WEEK
    refused_by(walk, "phase_session_cap", "record_session", current=3)
    walk.session("4")
    assert walk.counted.attended["initial"] == 3
