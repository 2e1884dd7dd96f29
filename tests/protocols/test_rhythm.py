"""The Social Rhythm Metric: the worked example of domain.md 2.1, the edges of its definition, and what never changes a score."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipt_workflow.protocols.rhythm import ACTIVITIES, DAY, Regularity, distance, hits, met, minutes, regularity


def week(**activities: str) -> list[dict[str, str]]:
    """A week's days from each activity's times, one a day, `-` where it was not done: `to_bed="23:50 00:20 -"`."""
    columns = {name: times.split() for name, times in activities.items()}
    return [{name: times[day] for name, times in columns.items() if day < len(times) and times[day] != "-"} for day in range(7)]


def test_nineteen_hits_on_five_activities_score_three_point_eight():
    days = week(
        out_of_bed="07:00 07:00 07:00 07:00 07:00 07:00 07:00",  # 7 hits
        first_contact="08:00 08:00 08:00 08:00 12:00 12:30 -",  # mean 09:25; those near: none of the first, none of the last
        start_of_day="09:00 09:00 09:00 09:00 09:00 - -",  # 5 hits
        dinner="18:00 18:10 18:20 18:30 - - -",  # 4 hits
        to_bed="22:00 22:20 22:40 - - - -",  # 3 hits
    )
    assert regularity(days) == Regularity(hits=19, activities=5)
    assert regularity(days).score == Fraction(38, 10)


def test_ten_to_midnight_and_twenty_past_are_half_an_hour_apart():
    assert distance(minutes("23:50"), minutes("00:20")) == 30
    assert regularity(week(to_bed="23:50 00:20 00:05")) == Regularity(hits=3, activities=1)


def test_an_activity_done_on_fewer_than_three_days_is_left_out():
    assert regularity(week(dinner="18:00 18:00 18:00", nap="13:00 13:00")) == Regularity(hits=3, activities=1)


def test_nothing_done_often_enough_has_no_score_rather_than_none_of_seven():
    assert regularity(week(dinner="18:00 18:00")).score is None
    assert regularity([]).score is None


def test_forty_five_minutes_are_near_and_forty_six_are_not():
    assert hits([minutes(at) for at in ("08:15", "09:00", "09:45")]) == 3
    assert hits([minutes(at) for at in ("08:14", "09:00", "09:46")]) == 1


def test_a_time_far_out_does_not_move_the_habitual_time():
    # Six at 07:00 and one at 13:00: mean 07:51, SD 136 minutes; 13:00 is 309 away, further than 204, and is dropped.
    assert hits([minutes("07:00")] * 6 + [minutes("13:00")]) == 6
    # With it the habitual time would have been 07:51, and nothing within 45 minutes of that.


def test_the_forms_have_five_and_seventeen_activities_and_the_short_one_is_part_of_the_long():
    assert [len(ACTIVITIES[form]) for form in ("srm5", "srm17")] == [5, 17]
    assert set(ACTIVITIES["srm5"]) < set(ACTIVITIES["srm17"])


def test_a_target_is_met_within_its_own_minutes_also_across_midnight():
    days = week(to_bed="23:40 00:10 00:31 -", out_of_bed="07:00 07:00 07:00")
    assert met(days, {"to_bed": ("00:00", 30)}) == (2, 3)
    assert met(days, {}) == (0, 0)


times = st.lists(st.integers(0, DAY - 1), min_size=3, max_size=7)


@given(times, st.integers(0, DAY - 1))
def test_a_shift_of_all_times_changes_no_hit(at, by):
    assert hits([(time + by) % DAY for time in at]) == hits(at)


@given(times, st.randoms(use_true_random=False))
def test_the_order_of_the_days_changes_no_hit(at, chance):
    shuffled = at[:]
    chance.shuffle(shuffled)
    assert hits(shuffled) == hits(at)


@given(times)
def test_there_are_no_more_hits_than_days(at):
    assert 0 <= hits(at) <= len(at)


@given(st.integers(0, DAY - 1), st.integers(3, 7))
def test_the_same_time_every_day_is_a_hit_every_day(at, days):
    assert hits([at] * days) == days


clock_times = st.integers(0, DAY - 1).map(lambda minute: f"{minute // 60:02}:{minute % 60:02}")


@given(st.lists(st.dictionaries(st.sampled_from(ACTIVITIES["srm17"]), clock_times), max_size=7))
def test_a_score_lies_from_zero_to_seven(days):
    score = regularity(days).score
    assert score is None or 0 <= score <= 7


@pytest.mark.parametrize(("text", "expected"), (("00:00", 0), ("23:59", DAY - 1), ("07:05", 425)))
def test_a_clock_time_is_minutes_from_midnight(text, expected):
    assert minutes(text) == expected
