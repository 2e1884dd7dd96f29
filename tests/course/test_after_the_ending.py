"""What an ending freezes, and what comes after it."""

import pytest
from support.course_walk import DAY, WEEK, S, Walk, reach

from ipt_workflow.course.course import Reading
from ipt_workflow.course.fold import fold


def phq9(walk: Walk, total: int | None, **more) -> Reading | None:
    reading = {"total": total} if total is not None else {"items": [None, *[1] * 8]}
    walk.fire("record_measure", data={"instrument": "phq9", **reading, **more.pop("data", {})}, **more)
    return walk.c.measures["phq9@1"].last


@pytest.mark.parametrize("stage", ("completed", "ended_early", "not_suitable"))
def test_a_reading_taken_after_the_ending_stands_apart(stage):
    walk = reach(stage)
    before = walk.c.measures
    walk.now += 90 * DAY
    phq9(walk, 17)
    phq9(walk, 9)
    after = walk.c.measures["phq9@1"].after
    assert after is not None
    assert (after.count, after.baseline.total, after.last.total) == (2, 17, 9)
    known = before.get("phq9@1")
    assert (walk.c.measures["phq9@1"].count, walk.c.measures["phq9@1"].last) == (known.count if known else 0, known and known.last)


def test_a_reading_taken_before_the_ending_belongs_to_the_course_whenever_it_is_recorded():
    walk = reach("completed")
    taken = walk.c.ending.at
    walk.now += 90 * DAY
    assert phq9(walk, 5, data={"taken_at": taken.isoformat()}).total == 5
    assert walk.c.measures["phq9@1"].after is None


def test_an_ending_told_late_leaves_what_was_taken_since_to_the_follow_up():
    walk = reach("in_middle")
    ended_at = walk.now + DAY
    walk.now += WEEK
    phq9(walk, 17)
    walk.fire("end_early", at=ended_at)
    track = walk.c.measures["phq9@1"]
    assert track.last.total != 17
    assert track.after.last.total == 17


def test_reopening_joins_what_stood_apart_as_if_the_course_had_not_ended():
    ended, open_course = reach("ended_early"), reach("in_middle")
    open_course.now = ended.now
    for walk in (ended, open_course):
        walk.now += DAY
        phq9(walk, None)
        phq9(walk, 17)
        phq9(walk, 3)
    ended.fire("reopen", S)
    joined, known = ended.c.measures["phq9@1"], open_course.c.measures["phq9@1"]
    assert (joined.count, joined.last.total, joined.phases, joined.after) == (known.count, 3, known.phases, None)
    assert joined.baseline.total == known.baseline.total
    assert joined.partial_at == known.partial_at


def test_that_a_measure_could_not_be_obtained_is_no_reading_and_stays_with_the_others():
    walk = reach("completed")
    walk.now += DAY
    walk.fire("record_measure", data={"instrument": "gad7", "not_obtained": True}, reason="The client did not want to.")
    assert walk.c.measures["gad7@1"].not_obtained == ("final",)
    assert walk.c.measures["gad7@1"].after is None


def test_risk_that_a_reading_shows_after_the_ending_is_open():
    walk = reach("completed")
    walk.now += DAY
    walk.fire("record_measure", data={"instrument": "phq9", "items": [0] * 8 + [2]})
    assert walk.c.risk.open_since == walk.now


def test_sessions_stop_with_an_early_ending_at_the_last_that_was_used():
    walk = reach("in_middle")
    walk.session()
    assert walk.counted.session == 3
    walk.do("end_early")
    assert walk.counted.session == 2
    assert reach("completed").counted.session == 12


def test_a_session_between_an_ending_and_its_reopening_is_recorded_when_it_took_place():
    walk = reach("ended_early")
    held_at = walk.now + DAY
    before = walk.counted.attended
    walk.now += WEEK
    walk.fire("reopen", S)
    walk.fire("record_session", data={"attendance": "5"}, at=held_at)
    assert sum(walk.counted.attended.values()) == sum(before.values()) + 1


def test_a_course_that_was_reopened_is_completed_again_at_its_true_date():
    walk = reach("completed")
    ended_at = walk.c.ending.at
    outcome = walk.c.measures["phq9@1"].last
    walk.now += 2 * WEEK
    phq9(walk, 20)
    walk.fire("reopen", S)
    assert walk.c.measures["phq9@1"].last.total == 20
    walk.fire("complete", at=ended_at)
    assert (walk.c.state, walk.c.ending.at) == ("completed", ended_at)
    assert (walk.c.measures["phq9@1"].last, walk.c.measures["phq9@1"].after.last.total) == (outcome, 20)


def test_an_ending_in_a_pause_that_was_taken_back_leaves_the_pause_as_it_was():
    walk = reach("paused")
    paused = walk.c
    walk.fire("end_early")
    walk.now += WEEK
    walk.fire("reopen", S)
    assert (walk.state, walk.c.interruptions) == ("paused", paused.interruptions)


def test_a_moment_between_an_ending_and_its_reopening_is_shown_as_it_was_known():
    walk = reach("completed")
    ended_at = walk.c.ending.at
    walk.now += WEEK
    walk.fire("reopen", S)
    assert fold(walk.history[:-1], as_of=ended_at).state == "completed"
    assert fold(walk.history, as_of=ended_at).state == walk.protocol.last.id
