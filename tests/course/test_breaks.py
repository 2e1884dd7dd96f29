"""Room for holidays: weeks off within the contract, the days of grace, and the breaks of an adopted course."""

import datetime as dt

import pytest
from support.course_walk import WEEK, S, Walk, reach

from ipt_workflow.course import counters


@pytest.mark.parametrize(("weeks_off", "too_late"), ((1, False), (3, False), (4, True)))
def test_twelve_weekly_sessions_in_twelve_weeks_leave_room_for_three_weeks_off(weeks_off, too_late):
    """The twelfth session is a week before the planned end, and the days of grace are two weeks."""
    walk = reach("in_final", pause_stops_clock=False)
    walk.session()
    walk.now += (1 + weeks_off) * WEEK
    walk.session()
    walk.now += WEEK
    assert ("within_planned_end" in walk.refused("record_session")) == too_late


def adopted(paused_days: int, *, stops_clock: bool) -> Walk:
    """A course that was begun fifteen weeks ago elsewhere, with eight of its twelve sessions in twelve weeks."""
    walk = Walk()
    walk.fire(
        "adopt",
        S,
        phase="middle",
        attended={"initial": 3, "middle": 5},
        artefacts=["contract"],
        contract={"sessions": 12, "weeks": 12, "pause_stops_clock": stops_clock},
        first_session_on=(walk.now - 15 * WEEK).date().isoformat(),
        paused_days=paused_days,
    )
    return walk


def test_breaks_before_an_adoption_stop_the_clock_as_those_after_it_do():
    assert "within_planned_end" in adopted(0, stops_clock=True).refused("record_session")
    assert "within_planned_end" in adopted(28, stops_clock=False).refused("record_session")
    assert "within_planned_end" not in adopted(28, stops_clock=True).refused("record_session")


def test_breaks_before_an_adoption_are_counted_in_its_weeks():
    walk = adopted(28, stops_clock=True)
    clock = counters.clock(walk.c, walk.now)
    assert (clock.week, clock.paused_days) == (12, 28)
    assert clock.planned_end == walk.now.date() - 15 * WEEK + dt.timedelta(weeks=12, days=28)
