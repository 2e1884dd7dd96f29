"""Notes written late: what happened counts when it happened, what was written about it counts when it was written."""

import datetime as dt
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.course_walk import DAY, FIRST_PHASE_WORK, HOUR, LAST_PHASE_WORK, MINUTE, START, WEEK, S, T, Walk, reach, refused_by

from ipt_workflow.machine import Refused

THIRD, FOURTH = START + 2 * WEEK + HOUR, START + 3 * WEEK + HOUR  # Mondays
AT_THE_END = THIRD + 50 * MINUTE  # of session 3, when therapist and client began the middle phase
EVENING = START + 3 * WEEK + 11 * HOUR


def with_two_notes_due() -> Walk:
    """Sessions 1 and 2 and the paperwork are done. It is the evening of the fourth Monday, and nothing is written of 3 and 4."""
    walk = Walk().in_initial()
    walk.session()
    walk.session()
    walk.now += DAY
    walk.do(*FIRST_PHASE_WORK).measure()
    walk.now = EVENING
    return walk


def notes(walk: Walk, order: tuple[int, ...] = (0, 1, 2, 3, 4)) -> list[dict[str, Any]]:
    """Session 3, its signature, the step into the middle phase, session 4 and its signature, in this order."""
    seq = {each: walk.last + 1 + place for place, each in enumerate(order)}
    bodies = [
        walk.body("record_session", at=THIRD),
        walk.body("sign_session", session=seq[0]),
        walk.body("begin_middle", at=AT_THE_END),
        walk.body("record_session", at=FOURTH),
        walk.body("sign_session", session=seq[3]),
    ]
    return [bodies[each] for each in order]


def phases(walk: Walk) -> list[str | None]:
    return [session.phase for session in sorted(walk.c.sessions, key=lambda session: session.at)]


def in_middle_by_notes(walk: Walk) -> bool:
    return walk.state == "middle" and phases(walk) == ["initial"] * 3 + ["middle"] and not walk.c.unsigned


def test_two_notes_on_one_evening_are_written_one_after_the_other():
    walk = with_two_notes_due()
    for body in notes(walk):
        walk.now += MINUTE
        walk.together(body)
    assert in_middle_by_notes(walk)


@pytest.mark.parametrize("order", list(permutations(range(5))))
def test_two_notes_on_one_evening_are_sent_together_in_any_order(order):
    walk = with_two_notes_due()
    walk.together(*notes(walk, order))
    assert in_middle_by_notes(walk)


def test_a_session_that_is_not_signed_yet_holds_the_phase_that_it_belongs_to_and_no_earlier_one():
    walk = with_two_notes_due()
    session, signature, begin, next_session, _ = notes(walk)
    walk.together(session)
    assert set(walk.refused("begin_middle", at=AT_THE_END)) == {"no_unsigned_session"}
    walk.together(signature)
    walk.now += MINUTE
    walk.together(begin, next_session)
    assert walk.state == "middle"
    assert [each.at for each in walk.c.unsigned] == [FOURTH]


def test_a_signature_dated_before_a_gate_does_not_sign_what_was_not_signed_when_the_gate_was_fired():
    walk = with_two_notes_due()
    walk.fire("record_session", at=THIRD)
    walk.fire("sign_session", at=THIRD + HOUR, session=walk.last)
    walk.fire("begin_middle", at=AT_THE_END)  # it is signed by now, though not by the time that the step is dated to
    assert walk.state == "middle"
    assert not walk.replay(as_of=AT_THE_END, known_at=EVENING + MINUTE).sessions[-1].signed


def test_an_acknowledgement_is_on_record_for_a_gate_that_is_dated_before_it():
    walk = with_two_notes_due()
    walk.together(*notes(walk)[:2])
    walk.fire("record_session", at=THIRD + HOUR / 2, kind="additional", reason="A crisis.", override=("overlaps_session",))
    over = walk.last
    walk.fire("sign_session", session=over)
    assert set(walk.refused("begin_middle", at=AT_THE_END)) == {"no_open_deviation"}
    walk.fire("acknowledge_deviation", S, session=over)
    walk.fire("begin_middle", at=AT_THE_END)
    assert walk.state == "middle"


def test_a_signature_finds_the_review_that_is_on_record_whatever_time_it_is_dated_to():
    walk = with_two_notes_due()
    walk.together(notes(walk)[0])
    session = walk.last
    walk.fire("raise_risk", at=THIRD, level="elevated")
    assert set(walk.refused("sign_session", at=THIRD + HOUR, session=session)) == {"risk_reviewed"}
    walk.fire("review_risk", level="monitored")
    walk.fire("sign_session", at=THIRD + HOUR, session=session)
    assert not walk.c.unsigned


@pytest.mark.parametrize(
    ("raised", "reviewed", "held"),
    (
        pytest.param(THIRD - DAY, None, True, id="acute then and now"),
        pytest.param(THIRD - DAY, EVENING, True, id="acute then, reviewed since"),
        pytest.param(FOURTH, None, True, id="acute since"),
        pytest.param(THIRD - DAY, THIRD, False, id="reviewed before the step, and recorded after it"),
        pytest.param(FOURTH, EVENING, False, id="acute since, and reviewed"),
    ),
)
def test_acute_risk_holds_a_phase_by_what_had_happened_then_and_by_what_is_known_now(raised, reviewed, held):
    walk = with_two_notes_due()
    walk.together(*notes(walk)[:2])
    walk.fire("raise_risk", at=raised, level="acute")
    if reviewed:
        walk.fire("review_risk", at=min(reviewed, walk.now), level="none")
    assert ("no_acute_risk" in walk.refused("begin_middle", at=AT_THE_END)) == held


@pytest.mark.parametrize("order", list(permutations(range(2))))
def test_acute_risk_that_is_told_together_with_a_step_holds_it_in_either_order(order):
    walk = with_two_notes_due()
    walk.together(*notes(walk)[:2])
    bodies = [walk.body("begin_middle"), walk.body("raise_risk", level="acute")]
    answer = walk.preview(*(bodies[each] for each in order))
    assert isinstance(answer, Refused)
    assert [each.rule for each in answer.refusals] == ["no_acute_risk"]
    assert answer.together == order.index(0)


def test_two_notes_in_the_wrong_order_are_accepted_together():
    walk = with_two_notes_due()
    walk.together(walk.body("note", at=THIRD + 2 * DAY), walk.body("note", at=THIRD))
    assert [fact.occurred_at for fact in walk.history[-2:]] == [THIRD + 2 * DAY, THIRD]


def test_a_refusal_of_several_together_names_the_command_by_its_place():
    walk = with_two_notes_due()
    session, _, begin, next_session, _ = notes(walk)
    answer = walk.preview(next_session, begin, session)
    assert isinstance(answer, Refused)
    assert (answer.trigger, answer.together) == ("begin_middle", 1)
    walk.together(session)
    alone = walk.preview(begin)
    assert isinstance(alone, Refused)
    assert alone.together is None


# A time that was written down wrong


def test_a_step_that_was_dated_to_the_evening_gets_its_true_time_from_the_therapist_and_the_next_session_fits():
    walk = with_two_notes_due()
    walk.together(*notes(walk)[:2])
    walk.fire("begin_middle")
    begin = walk.last
    refusal = refused_by(walk, "phase_session_cap", "record_session", at=FOURTH, remedies=("amend", "record_session"))
    assert refusal.remedies[0].data == {"supersedes": begin, "occurred_at": FOURTH.isoformat()}
    walk.fire("amend", T, data={"supersedes": begin, "occurred_at": AT_THE_END.isoformat()})
    walk.fire("record_session", at=FOURTH)
    walk.fire("sign_session", session=walk.last)
    assert in_middle_by_notes(walk)


def test_the_remedy_itself_lets_the_session_be_recorded():
    walk = with_two_notes_due()
    walk.together(*notes(walk)[:2])
    walk.fire("begin_middle")
    remedy = walk.refused("record_session", at=FOURTH)["phase_session_cap"].remedies[0]
    walk.fire(remedy.trigger, T, data=remedy.data)
    walk.fire("record_session", at=FOURTH)
    assert phases(walk)[-1] == "middle"


def test_a_start_that_was_typed_after_the_first_hour_gets_its_true_time():
    walk = Walk().referred().do("record_consent")
    hour = walk.now
    walk.now += HOUR
    walk.fire("start")
    start = walk.last
    refusal = refused_by(walk, "attendance_fits_state", "record_session", at=hour, remedies=("amend",))
    assert refusal.remedies[0].data == {"supersedes": start, "occurred_at": hour.isoformat()}
    walk.fire("amend", T, data=refusal.remedies[0].data)
    walk.fire("record_session", at=hour)
    assert walk.counted.attended["initial"] == 1


def test_what_belongs_to_a_phase_that_is_recorded_as_begun_later_says_which_time_may_be_wrong():
    walk = with_two_notes_due()
    walk.together(*notes(walk)[:2])
    walk.fire("begin_middle")
    refusal = refused_by(walk, "state_allows", "announce_ending", at=AT_THE_END, current="initial", remedies=("amend",))
    assert refusal.message_id == "state_allows.later"
    walk.fire("amend", T, data=refusal.remedies[0].data)
    walk.fire("announce_ending", at=AT_THE_END)


def test_a_step_that_is_recorded_for_a_later_time_is_recorded_already():
    walk = with_two_notes_due()
    walk.together(*notes(walk)[:2])
    walk.fire("begin_middle")
    begin = walk.last
    refusal = refused_by(walk, "state_allows", "begin_middle", at=AT_THE_END, current=begin, remedies=("amend",))
    assert refusal.message_id == "state_allows.recorded"
    walk.fire("amend", T, data={"supersedes": begin, "occurred_at": (AT_THE_END + MINUTE).isoformat()})
    again = walk.refused("begin_middle", at=AT_THE_END)["state_allows"]
    assert again.remedies[0].data == {"supersedes": walk.last, "occurred_at": AT_THE_END.isoformat()}
    walk.fire("amend", T, data=again.remedies[0].data)
    assert walk.c.version == walk.last


@pytest.mark.parametrize("ending", ("complete", "end_early"))
def test_a_completion_that_is_told_after_an_ending_of_a_later_time_asks_to_reopen(ending):
    walk = reach("ready_to_complete")
    before = walk.now
    walk.now += DAY
    walk.fire(ending)
    refused_by(walk, "state_allows", "complete", at=before, current=walk.last, remedies=("reopen",))


def test_a_session_that_is_moved_onto_another_one_is_recorded_already():
    walk = with_two_notes_due()
    walk.together(*notes(walk))
    third, fourth = (session.seq for session in walk.c.sessions[-2:])
    for moved, onto, at in ((third, fourth, FOURTH), (fourth, third, THIRD)):
        refusals = walk.refused("amend", T, data={"supersedes": moved, "occurred_at": at.isoformat()}, reason="x")
        assert "later_entries_hold" not in refusals
        assert refusals["session_already_recorded"].current == onto


def test_a_late_pause_that_later_entries_do_not_allow_is_sent_together_with_its_end():
    walk = with_two_notes_due()
    walk.together(*notes(walk))
    walk.fire("announce_ending")
    walk.now += WEEK
    refusal = refused_by(walk, "later_entries_hold", "pause", at=FOURTH + HOUR, remedies=("resume",))
    assert (refusal.message_id, refusal.remedies[0].via) == ("later_entries_hold.pause", "together")
    walk.together(walk.body("pause", at=FOURTH + HOUR), walk.body("resume", at=FOURTH + 2 * HOUR))
    assert walk.state == "middle"


@pytest.mark.parametrize(("stage", "trigger"), (("ready_to_complete", "relinquish_sick_role"), ("paused", "resume")))
def test_what_happens_once_and_is_told_again_for_an_earlier_time_is_recorded_already(stage, trigger):
    walk = reach(stage)
    if trigger == "resume":
        walk.now += WEEK
        walk.fire("resume")
    seq, earlier = walk.seq(trigger), walk.history[walk.seq(trigger) - 1].occurred_at - MINUTE / 2
    walk.now += DAY
    refusal = refused_by(walk, "later_entries_hold", trigger, at=earlier, current=[seq], remedies=("amend",))
    assert refusal.message_id == "later_entries_hold.recorded"
    assert refusal.remedies[0].data == {"supersedes": seq, "occurred_at": earlier.isoformat()}
    walk.fire("amend", T, data=refusal.remedies[0].data)


def test_breaks_count_in_the_units_of_their_rule():
    walk = Walk().in_middle(missed_count=True)
    walk.session("3")
    while walk.counted.remaining != 3:
        walk.session()
    refusal = walk.refused("record_session", at=walk.c.sessions[-1].at - 2 * DAY)["later_entries_hold"]
    (broken,) = (each for entry in refusal.breaks for each in entry.refusals)
    assert (broken.message_id, broken.current, broken.required) == (
        "phase_session_cap.reserved",
        3,
        "more than 3 sessions remaining",
    )


# Any order

Event = tuple[str, dt.datetime]
OTHERS_FIRST = {
    "accept_formulation": "record_formulation",
    "assign_sick_role": "record_evaluation",
    "select_focus": "record_inventory",
}


def a_whole_course() -> list[list[Event]]:
    """What happened in a course of twelve weekly sessions, phase by phase. Each phase ends with the step that leaves it."""
    held = [START + HOUR + week * WEEK for week in range(12)]
    first: list[Event] = [("record_session", at) for at in held[:3]]
    first += [(trigger, held[1] + DAY + place * MINUTE) for place, trigger in enumerate(FIRST_PHASE_WORK)]
    first += [("measure", held[1] + DAY), ("begin_middle", held[2] + HOUR)]
    middle: list[Event] = [("record_session", at) for at in held[3:9]]
    middle += [("announce_ending", held[8]), ("begin_final", held[8] + HOUR)]
    last: list[Event] = [("record_session", at) for at in held[9:]]
    last += [(trigger, held[11] + MINUTE) for trigger in LAST_PHASE_WORK]
    last += [("measure", held[11]), ("complete", held[11] + HOUR)]
    return [first, middle, last]


def in_some_order(events: list[Event], chance: Any) -> list[Event]:
    """The events of a phase as somebody may write them up: in any order, but nothing before what it answers, and the step last."""
    *before, step = events
    waiting, written = list(before), list[Event]()
    while waiting:
        named = {name for name, _ in waiting}
        free = [each for each in waiting if OTHERS_FIRST.get(each[0]) not in named]
        written.append(chance.choice(free))
        waiting.remove(written[-1])
    return [*written, step]


def write(walk: Walk, event: Event) -> None:
    name, at = event
    if name == "measure":
        for scale in (
            {"instrument": "phq9", "items": [2] * 8 + [0]},
            {"instrument": "ifr", "total": 5},
            {"instrument": "mspss", "total": 40},
        ):
            walk.fire("record_measure", at=at, data=scale)
    else:
        walk.fire(name, at=at)


@settings(max_examples=25, deadline=None)
@given(chance=st.randoms(use_true_random=False))
def test_a_course_is_written_up_in_any_order_within_its_phases(chance):
    walk = Walk().in_initial()
    walk.now = START + 12 * WEEK
    for events in a_whole_course():
        for event in in_some_order(events, chance):
            if event[0] in {"begin_middle", "begin_final", "complete"}:
                unsigned = list(walk.c.unsigned)
                chance.shuffle(unsigned)
                for session in unsigned:
                    walk.fire("sign_session", session=session.seq)
            write(walk, event)
            if walk.c.unsigned and chance.random() < 0.3:
                walk.fire("sign_session", session=chance.choice(walk.c.unsigned).seq)
    assert walk.state == "completed"
    assert phases(walk) == ["initial"] * 3 + ["middle"] * 6 + ["final"] * 3
    assert walk.c.overrides == 0


def test_the_earlier_of_two_notes_written_last_is_offered_the_step_that_lay_between_them():
    walk = with_two_notes_due()
    walk.fire("record_session", data={"attendance": "5"}, at=FOURTH)
    refusal = refused_by(walk, "later_entries_hold", "record_session", data={"attendance": "5"}, at=THIRD)
    assert (refusal.remedies[0].trigger, refusal.remedies[0].via) == ("begin_middle", "together")
