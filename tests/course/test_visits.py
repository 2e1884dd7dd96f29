"""Sessions in time: spans, what overlaps them, and which recorded session already says what is told again."""

import datetime as dt
from zoneinfo import ZoneInfo

import msgspec
import pytest
from support.course_walk import DAY, HOUR, MINUTE, START, WEEK, reach

from ipt_workflow.course import visits
from ipt_workflow.course.triggers import Command
from ipt_workflow.course.visits import USUAL_MINUTES, TimeSpan

UTC, BERLIN = ZoneInfo("UTC"), ZoneInfo("Europe/Berlin")
HELD = {"attendance": "5"}


def session(at=START, seq=0, **data):
    return visits.session_of({**HELD, **data}, at=at, seq=seq)


def course(*sessions):
    return msgspec.structs.replace(reach("in_initial").c, sessions=sessions)


def test_a_session_takes_its_minutes_or_the_usual_ones():
    assert visits.span(session(), UTC) == TimeSpan(START, START + USUAL_MINUTES * MINUTE)
    assert visits.span(session(minutes=90), UTC) == TimeSpan(START, START + 90 * MINUTE)


@pytest.mark.parametrize(
    ("at", "hours"),
    (
        (dt.datetime(2026, 1, 5, 23, 30, tzinfo=dt.UTC), 24),
        (dt.datetime(2026, 3, 29, 9, 0, tzinfo=dt.UTC), 23),
        (dt.datetime(2026, 10, 25, 9, 0, tzinfo=dt.UTC), 25),
    ),
)
def test_a_day_is_a_local_day_also_when_the_clocks_change(at, hours):
    begins, ends = visits.span(session(at, day_only=True, minutes=50), BERLIN)
    assert ends - begins == hours * HOUR
    assert begins.astimezone(BERLIN).time() == ends.astimezone(BERLIN).time() == dt.time()
    assert begins <= at < ends


def test_what_overlaps_a_span_is_found_the_nearest_first():
    before, near, after = session(START - 40 * MINUTE, 4), session(START + 5 * MINUTE, 5), session(START + 45 * MINUTE, 6)
    moved = session(START + WEEK, 7, scheduled_for=(START + 10 * MINUTE).isoformat())
    others = session(START + HOUR, 8), session(START - HOUR, 9), session(START - WEEK, 10)
    whole = course(before, near, after, moved, *others)
    found = visits.overlapping(whole, START, START + 50 * MINUTE, UTC)
    assert [each.seq for each in found] == [5, 4, 6, 7]
    assert visits.overlapping(whole, START + 2 * DAY, START + 3 * DAY, UTC) == ()
    assert {each.seq for each in visits.overlapping(whole, *visits.day(START, UTC), UTC)} == {4, 5, 6, 7, 8, 9}


def told_again(known, at=START, **data):
    return visits.recorded_as(course(*known), session(at, **data), UTC)


def test_a_record_that_agrees_is_found_by_reference_or_by_time():
    by_name, by_time = session(START - DAY, 4, ref="Encounter/1"), session(START + 20 * MINUTE, 5)
    assert told_again((by_name, by_time), ref="Encounter/1") is by_name
    assert told_again((by_name, by_time), ref="Encounter/2") is by_time
    assert told_again((by_name,), ref="Encounter/2") is None


@pytest.mark.parametrize(
    ("known", "told"),
    (
        (HELD, {"attendance": "3"}),
        ({"attendance": "3"}, {"attendance": "7"}),
        ({"attendance": "2"}, {"attendance": "2", "late_notice": True}),
        ({"attendance": "3"}, {"attendance": "3", "excused": True}),
        (HELD, {"kind": "additional"}),
        ({"ref": "Appointment/1"}, {"ref": "Appointment/2"}),
    ),
    ids=str,
)
def test_a_record_that_contradicts_is_not_the_same(known, told):
    assert told_again((session(seq=4, **known),), **told) is None


@pytest.mark.parametrize(
    ("known", "told"), ((HELD, {"attendance": "6"}), ({"ref": "Appointment/1"}, {"ref": "Encounter/1"})), ids=str
)
def test_a_record_that_only_adds_is_the_same(known, told):
    recorded = session(seq=4, **known)
    assert told_again((recorded,), START + MINUTE, **told) is recorded


def test_of_two_that_overlap_the_one_that_agrees_is_found():
    cancelled, held = session(START, 4, attendance="4"), session(START + 10 * MINUTE, 5)
    assert told_again((cancelled, held)) is held


def test_a_link_happens_when_the_session_did_and_never_ahead():
    known = course(session(START, 4))
    told = Command("record_session", {**HELD, "ref": "Encounter/1", "comment": "Late."}, START + MINUTE)
    found = visits.link(told, known, START + HOUR, UTC)
    assert found.command == Command("link_session", {"session": 4, "ref": "Encounter/1", "comment": "Late."}, START)
    assert visits.link(told, known, START - HOUR, UTC).command.occurred_at == START - HOUR
    assert visits.link(Command("record_session", {"attendance": "often"}, START), known, START, UTC) is None
