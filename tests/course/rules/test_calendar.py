"""Appointments to come, and absences that are told afterwards."""

import datetime as dt

import pytest
from support.course_walk import DAY, HOUR, WEEK, E, Walk, covers, reach, refused_by

from ipt_workflow.course import counters
from ipt_workflow.course.effects.sessions import BOOKINGS_MAX
from ipt_workflow.errors import CommandInvalid


def day(walk: Walk, days: int) -> str:
    return (walk.now + days * DAY).date().isoformat()


def absent(walk: Walk, since: int, until: int) -> dict[str, str]:
    return {"since": day(walk, since), "until": day(walk, until)}


def paused_days(walk: Walk) -> int:
    return counters.clock(walk.c, walk.now, walk.zone).paused_days


# Absences


def test_an_absence_stops_the_clock_as_a_pause_and_a_return_would():
    told, paused = reach("in_middle"), reach("in_middle")
    paused.fire("pause")
    for walk in (told, paused):
        walk.now += 3 * WEEK
    paused.fire("resume")
    told.fire("record_absence", data=absent(told, -21, 0))
    assert paused_days(told) == paused_days(paused) == 21
    assert (told.state, told.c.phase) == ("middle", "middle")
    end = [counters.planned_end(walk.c, walk.now, walk.zone) for walk in (told, paused)]
    assert end[0] == end[1]


def test_an_absence_that_is_recorded_where_it_ended_leaves_later_entries_as_they_are():
    walk = reach("in_middle")
    walk.now += 4 * WEEK
    walk.session()
    walk.fire("record_absence", at=walk.now - WEEK, data=absent(walk, -21, -7))
    assert paused_days(walk) == 14
    assert [fact.contradicts for fact in walk.history if fact.contradicts] == []


def test_a_day_is_stopped_once_however_often_it_is_told():
    walk = reach("in_middle")
    walk.now += 5 * WEEK
    walk.fire("record_absence", data=absent(walk, -30, -20))
    walk.fire("record_absence", data=absent(walk, -25, -15))
    walk.fire("record_absence", data=absent(walk, -28, -22))
    assert [each.since.date().isoformat() for each in walk.c.interruptions] == [day(walk, -30), day(walk, -28), day(walk, -25)]
    assert paused_days(walk) == 15


def test_a_pause_after_an_absence_is_the_one_that_resume_ends():
    walk = reach("in_middle")
    walk.now += 3 * WEEK
    walk.fire("pause")
    walk.now += WEEK
    walk.fire("record_absence", at=walk.now - WEEK - DAY, data=absent(walk, -21, -8))
    assert walk.state == "paused"
    walk.fire("resume")
    assert [each.until is not None for each in walk.c.interruptions] == [True, True]
    assert paused_days(walk) == 13 + 7


def test_days_begin_at_midnight_of_the_clinic():
    walk = Walk(zone="Europe/Berlin").in_middle()
    walk.now += 2 * WEEK
    walk.fire("record_absence", data={"since": "2026-01-10", "until": "2026-01-15"})
    (absence,) = walk.c.interruptions
    assert (absence.since, absence.until) == (
        dt.datetime(2026, 1, 9, 23, tzinfo=dt.UTC),
        dt.datetime(2026, 1, 14, 23, tzinfo=dt.UTC),
    )


@covers("absence_over")
def test_an_absence_that_lasts_is_a_pause():
    walk = reach("in_middle")
    refused_by(walk, "absence_over", "record_absence", data=absent(walk, -7, 1), current=day(walk, 1), remedies=("pause",))
    refused_by(walk, "absence_over", "record_absence", data=absent(walk, -7, -7), required=f"after {day(walk, -7)}", remedies=())
    assert walk.refused("record_absence", data=absent(walk, -7, 0)) == {}


def test_an_absence_cannot_be_amended_to_last():
    walk = reach("in_middle")
    walk.now += 2 * WEEK
    walk.fire("record_absence", data=absent(walk, -10, -5))
    longer = {"supersedes": walk.last, "data": {"until": day(walk, 3)}}
    assert list(walk.refused("amend", data=longer)) == ["absence_over"]
    walk.fire("amend", data={"supersedes": walk.last, "data": {"until": day(walk, -3)}})
    assert paused_days(walk) == 7


# A series of bookings


def series(walk: Walk, **data) -> list[str]:
    walk.fire("book_series", **data)
    return [booking.scheduled_for.isoformat() for booking in walk.c.bookings]


def test_a_series_books_a_session_every_week():
    walk = reach("in_middle")
    assert series(walk, data={"scheduled_for": "2026-01-12T10:00:00+00:00", "times": 3}) == [
        "2026-01-12T10:00:00+00:00",
        "2026-01-19T10:00:00+00:00",
        "2026-01-26T10:00:00+00:00",
    ]


def test_a_series_keeps_its_local_time_when_clocks_are_changed():
    walk = Walk(zone="Europe/Berlin").in_middle()
    assert series(walk, data={"scheduled_for": "2026-03-23T10:00:00+01:00", "times": 2}) == [
        "2026-03-23T09:00:00+00:00",
        "2026-03-30T08:00:00+00:00",
    ]


def test_each_booking_of_a_series_has_a_name_by_which_a_session_ends_it():
    walk = reach("in_middle")
    first = walk.now + WEEK
    walk.fire("book_series", data={"scheduled_for": first.isoformat(), "times": 3, "refs": ["A/1", "A/2", "A/3"]})
    assert [booking.ref for booking in walk.c.bookings] == ["A/1", "A/2", "A/3"]
    walk.now = first + HOUR
    walk.fire("record_session", E, ref="A/1")
    walk.fire("record_session", E, data={"attendance": "4", "ref": "A/3"}, at=first + 2 * WEEK)
    assert [booking.ref for booking in walk.c.bookings] == ["A/2"]


def test_no_two_bookings_are_at_one_time():
    walk = reach("in_middle")
    first = walk.now + WEEK
    walk.fire("book_session", E, data={"scheduled_for": (first + WEEK).isoformat(), "ref": "A/2"})
    walk.fire("book_series", data={"scheduled_for": first.isoformat(), "times": 3, "every_days": 7})
    walk.fire("book_session", E, data={"scheduled_for": first.isoformat(), "ref": "A/1"})
    assert [(booking.scheduled_for - first, booking.ref) for booking in walk.c.bookings] == [
        (0 * WEEK, "A/1"),
        (WEEK, "A/2"),
        (2 * WEEK, None),
    ]


def test_the_appointments_that_an_ehr_names_apart_stay_two():
    walk = reach("in_middle")
    first = (walk.now + WEEK).isoformat()
    walk.fire("book_session", E, data={"scheduled_for": first, "ref": "A/1"})
    walk.fire("book_session", E, data={"scheduled_for": first, "ref": "A/2"})
    assert [booking.ref for booking in walk.c.bookings] == ["A/1", "A/2"]


@pytest.mark.parametrize(
    ("refs", "where"),
    [(["A/1"], "data.refs"), (["A/1", "A/2", "A/3", "A/4"], "data.refs"), (["A/1", "A/2", "A/1"], "data.refs[2]")],
)
def test_the_names_of_a_series_are_one_for_each(refs, where):
    walk = reach("in_middle")
    with pytest.raises(CommandInvalid) as raised:
        walk.fire("book_series", times=3, refs=refs)
    assert [fault.where for fault in raised.value.faults] == [where]


@covers("bookings_in_contract")
def test_no_more_sessions_are_booked_than_the_contract_still_has():
    walk = reach("in_middle")
    left = walk.counted.remaining
    first = (walk.now + WEEK).isoformat()
    walk.fire("book_session", data={"scheduled_for": (walk.now + 100 * DAY).isoformat()})
    too_many = {"scheduled_for": first, "times": left}
    refused_by(
        walk,
        "bookings_in_contract",
        "book_series",
        data=too_many,
        current=left,
        required=f"at most {left - 1}",
        remedies=("amend_contract",),
    )
    walk.fire("book_series", data={**too_many, "times": left - 1})
    again = {**too_many, "times": left - 1}
    assert walk.refused("book_series", data=again) == {}, "the same times are the same appointments"
    walk.fire("amend_contract", sessions=walk.c.contract.sessions + 1)
    assert walk.refused("book_series", data={"scheduled_for": (walk.now + 120 * DAY).isoformat(), "times": 1}) == {}


def test_before_a_contract_the_longest_one_bounds_a_series():
    walk = reach("in_initial")
    first = (walk.now + WEEK).isoformat()
    assert walk.refused("book_series", data={"scheduled_for": first, "times": 16}) == {}
    refusal = walk.refused("book_series", data={"scheduled_for": first, "times": 17})["bookings_in_contract"]
    assert (refusal.required, refusal.remedies) == ("at most 16", ())


def test_a_course_keeps_its_latest_bookings():
    walk = reach("in_middle")
    for number in range(BOOKINGS_MAX + 1):
        walk.fire("book_session", data={"scheduled_for": (walk.now + number * DAY).isoformat()})
    assert len(walk.c.bookings) == BOOKINGS_MAX
