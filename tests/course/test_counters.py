"""Counts of sessions and weeks, on numbers worked by hand (domain.md 6.0; machine.md, Counting)."""

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from support.course_walk import DAY, WEEK, S, T, Walk, reach

from ipt_workflow.course import counters


def session_of(walk: Walk) -> tuple[int, int | None]:
    """`session n of N`."""
    return walk.counted.session, walk.counted.contracted


@pytest.mark.parametrize(
    ("contracted", "initial", "middle"),
    ((16, 3, 10), (12, 1, 8), (12, 3, 6), (14, 2, 9)),
)
def test_between_the_first_phase_and_the_last_lie_the_sessions_of_the_middle(contracted, initial, middle):
    walk = reach("in_final", sessions=initial).copy() if contracted == 12 else longer(contracted, initial)
    assert walk.counted.attended == {"initial": initial, "middle": middle, "final": 0}
    assert walk.counted.remaining == 3
    assert session_of(walk) == (contracted - 2, contracted)


def longer(contracted: int, initial: int) -> Walk:
    walk = Walk().in_initial()
    for _ in range(initial):
        walk.session()
    walk.do(
        "record_evaluation", "record_history", "record_inventory", "record_timeline", "record_formulation", "accept_formulation"
    )
    walk.do("assign_sick_role", "select_focus")
    walk.fire("agree_contract", sessions=contracted, weeks=16)
    walk.measure()
    walk.do("begin_middle")
    while walk.counted.remaining != 3:
        walk.session()
    return walk.do("announce_ending", "begin_final")


@pytest.mark.parametrize(
    ("attendance", "data", "consumed"),
    (
        ("3", {}, 1),
        ("7", {}, 1),
        ("2", {"late_notice": True}, 1),
        ("2", {}, 0),
        ("4", {}, 0),
        ("3", {"excused": True}, 0),
    ),
)
def test_a_miss_uses_up_a_session_only_where_the_contract_says_so(attendance, data, consumed):
    for missed_count in (True, False):
        walk = reach("in_middle", missed_count=missed_count).copy()
        before = walk.counted
        walk.session(attendance, **data)
        assert walk.counted.consumed - before.consumed == (consumed if missed_count else 0)
        assert walk.counted.attended == before.attended
        assert walk.counted.missed["middle"] == 1


def test_misses_never_reach_into_the_last_phases_sessions():
    walk = reach("in_middle", missed_count=True).copy()
    for _ in range(12):
        walk.session("3")
    assert (walk.counted.consumed, walk.counted.remaining) == (9, 3)
    assert walk.counted.attended == {"initial": 1, "middle": 0, "final": 0}


def test_misses_meet_no_cap_of_the_first_phase():
    walk = reach("in_initial").copy()
    for _ in range(5):
        walk.session("3")
    for _ in range(3):
        walk.session()
    assert (walk.counted.attended["initial"], walk.counted.missed["initial"]) == (3, 5)


def test_a_session_beyond_the_cap_is_shown_and_never_counted():
    walk = reach("ready_for_middle", sessions=3).copy()
    walk.now += WEEK
    walk.fire("record_session", kind="additional", reason="The client was in distress.")
    assert (walk.counted.attended["initial"], walk.counted.caps["initial"], walk.counted.over["initial"]) == (3, 3, 1)
    assert walk.counted.consumed == 3
    walk.fire("sign_session", session=walk.last)
    assert "no_open_deviation" in walk.refused("begin_middle")
    walk.fire("acknowledge_deviation", S, session=walk.c.sessions[-1].seq)
    assert walk.refused("begin_middle") == {}


def test_contacts_never_count():
    walk = reach("in_middle").copy()
    before = walk.counted
    for kind in ("crisis", "collateral", "engagement", "pre_group", "check_in", "follow_up", "attempt"):
        walk.fire("record_contact", kind=kind)
    assert walk.counted == before


def clock_of(walk: Walk, at: dt.datetime) -> counters.WeekClock:
    clock = counters.clock(walk.c, at, walk.zone)
    assert clock is not None
    return clock


def test_weeks_are_counted_from_the_first_attended_session():
    walk = reach("referred").do("record_consent", "start")
    walk.session("3")
    assert counters.clock(walk.c, walk.now) is None
    walk.session("5")
    first = walk.c.sessions[-1].at
    assert [clock_of(walk, first + days * DAY).week for days in (0, 6, 7, 13, 14)] == [1, 1, 2, 2, 3]


def test_weeks_turn_at_midnight_in_the_organisations_time_zone():
    walk = Walk(zone="Pacific/Auckland")
    walk.now = dt.datetime(2026, 1, 5, 10, 0, tzinfo=dt.UTC)  # 23:00 in Auckland
    walk.in_initial()
    walk.fire("record_session")
    first = walk.c.sessions[0].at
    assert first.astimezone(ZoneInfo("Pacific/Auckland")).date() == dt.date(2026, 1, 5)
    assert clock_of(walk, first + 6 * DAY).week == 1
    assert clock_of(walk, first + 6 * DAY + dt.timedelta(hours=1)).week == 2


@pytest.mark.parametrize(("stops", "week", "shifted"), ((True, 4, 14), (False, 6, 0)))
def test_a_pause_stops_the_clock_only_where_the_contract_says_so(stops, week, shifted):
    walk = reach("in_middle", pause_stops_clock=stops).copy()
    first = walk.c.sessions[0].at
    walk.now = first + 2 * WEEK
    walk.do("pause")
    walk.now = first + 4 * WEEK
    walk.do("resume")
    clock = clock_of(walk, first + 5 * WEEK + DAY)
    assert (clock.week, clock.paused_days) == (week, shifted)
    assert clock.planned_end == first.date() + dt.timedelta(weeks=walk.c.contract.weeks, days=shifted)


def test_sessions_and_calendar_bind_each_on_their_own():
    walk = reach("in_middle").copy()
    planned_end = clock_of(walk, walk.now).planned_end
    walk.now = dt.datetime.combine(planned_end, dt.time(9), dt.UTC) + 5 * WEEK
    assert walk.counted.remaining > 3
    assert "within_planned_end" in walk.refused("record_session")
    assert "phase_session_cap" not in walk.refused("record_session")


def test_an_adopted_course_goes_on_from_the_counts_it_came_with():
    walk = Walk()
    walk.fire("adopt", S, phase="middle", attended={"initial": 2, "middle": 4}, contract={"sessions": 12, "weeks": 12})
    assert walk.state == "middle"
    assert walk.counted.attended == {"initial": 2, "middle": 4, "final": 0}
    assert session_of(walk) == (7, 12)
    walk.fire("record_session", T)
    assert session_of(walk) == (8, 12)


def test_a_pause_before_the_first_session_stops_no_clock():
    walk = Walk().in_initial()
    walk.do("pause")
    walk.now += 3 * WEEK
    walk.do("resume", "record_evaluation", "agree_contract")
    walk.session()
    clock = counters.clock(walk.c, walk.now)
    assert (clock.week, clock.paused_days) == (1, 0)
    assert clock.planned_end == walk.now.date() + 12 * WEEK
