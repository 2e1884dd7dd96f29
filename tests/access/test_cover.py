"""What is wrong with cover that somebody wants to arrange."""

import datetime as dt

import pytest

from ipt_workflow.access.cover import CoverTime, NewCover, cover_faults, may_end
from ipt_workflow.access.principal import Principal

NOW = dt.datetime(2026, 3, 2, 12, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
ANN = Principal(person="ann", role="therapist")
SUPERVISOR = Principal(person="sue", role="supervisor")
ADMIN = Principal(person="ada", role="admin")


def faults(
    by: Principal, start: float, end: float, *others: tuple[float, float], therapist="ann", colleague="ben"
) -> dict[str, str]:
    """The faults of cover from one day until another, by their place."""
    span = CoverTime(NOW + start * DAY, NOW + end * DAY)
    new = NewCover(therapist=therapist, colleague=colleague, from_=span.start, until=span.end, client_told=True, reason="Leave")
    held = [CoverTime(NOW + first * DAY, NOW + last * DAY) for first, last in others]
    return {each.where: each.message for each in cover_faults(by, new, span, NOW, held)}


def test_a_therapist_arranges_three_weeks_of_cover_for_their_own_courses():
    assert faults(ANN, 0, 21) == {}
    assert set(faults(ANN, 0, 21, therapist="cem")) == {"therapist"}
    assert faults(ADMIN, 0, 21, therapist="cem") == faults(SUPERVISOR, 0, 21, therapist="cem") == {}


@pytest.mark.parametrize("by", [ANN, ADMIN])
def test_longer_cover_takes_a_supervisor(by):
    assert "ask a supervisor" in faults(by, 0, 21.01)["until"]
    assert faults(SUPERVISOR, 0, 60) == {}


@pytest.mark.parametrize("other", [(-15, -0.5), (-15, 3), (9, 24), (10.5, 24)])
def test_cover_in_parts_counts_as_one_if_there_is_no_break(other):
    assert "ask a supervisor" in faults(ANN, 0, 10, other)["until"]


@pytest.mark.parametrize("other", [(-15, -2), (12, 26), (-8, -0.5)])
def test_cover_after_a_break_or_short_enough_together_is_the_therapists_to_arrange(other):
    assert faults(ANN, 0, 10, other) == {}


def test_nobody_covers_for_themselves():
    assert set(faults(ANN, 0, 7, colleague="ann")) == {"colleague"}


@pytest.mark.parametrize(("start", "end"), [(0, 0), (3, 2), (0, 367), (-2, -1)])
def test_cover_ends_after_it_begins_within_a_year(start, end):
    assert set(faults(SUPERVISOR, start, end)) == {"until"}


def test_both_people_and_whoever_arranges_for_others_may_end_it():
    ben, cem = (Principal(person=each, role="therapist") for each in ("ben", "cem"))
    assert all(may_end(each, "ann", "ben") for each in (ANN, ben, SUPERVISOR, ADMIN))
    assert not may_end(cem, "ann", "ben")
