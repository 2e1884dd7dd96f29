"""Faults of commands: all at once, each at its place, in words that say what would be right."""

import pytest
from support.course_walk import Walk, reach

from ipt_workflow.errors import CommandInvalid

EDGES = ("0001-01-01", "1899-12-31", "2200-01-01", "9999-12-31")


def faults(walk: Walk, trigger: str, data: dict, **more) -> dict[str, str]:
    with pytest.raises(CommandInvalid) as raised:
        walk.preview({"trigger": trigger, "data": data, "reason": "x", **more})
    return {fault.where: fault.message for fault in raised.value.faults}


@pytest.mark.parametrize("date", EDGES)
def test_dates_and_times_lie_within_what_a_clinic_can_mean(date):
    walk = reach("in_middle")
    expected = {"data.planned_return": "must lie in the years 1900 to 2199"}
    assert faults(walk, "pause", {"planned_return": date}) == expected
    assert faults(walk, "note", {"text": "x"}, occurred_at=f"{date}T00:00:00+14:00") == {
        "occurred_at": "must lie in the years 1900 to 2199"
    }
    taken = {"instrument": "ifr", "total": 5, "taken_at": f"{date}T00:00:00-14:00"}
    assert faults(walk, "record_measure", taken) == {"data.taken_at": "must lie in the years 1900 to 2199"}


@pytest.mark.parametrize("date", EDGES)
def test_dates_inside_lists_are_named_by_their_place(date):
    exemptions = [{"obligation": "Work", "until": "2026-03-01"}, {"obligation": "House", "until": date}]
    body = reach("ready_for_middle", without=("assign_sick_role",)).example("assign_sick_role", exemptions=exemptions)
    found = faults(reach("in_initial"), "assign_sick_role", body["data"])
    assert found == {"data.exemptions[1].until": "must lie in the years 1900 to 2199"}


def test_a_bad_date_is_named_beside_every_other_fault():
    data = {"end_code": "99", "last_contact": "yesterday", "risk_status": "none", "attempts": -1, "mood": "low"}
    assert faults(reach("in_middle"), "end_early", data).keys() == {
        "data.end_code",
        "data.last_contact",
        "data.attempts",
        "data.mood",
    }


def test_a_bad_date_alone_is_named_by_its_place():
    assert faults(reach("in_middle"), "pause", {"planned_return": "2026-02-30"}) == {
        "data.planned_return": "must be a date such as 2026-03-01"
    }
    assert faults(reach("in_middle"), "book_session", {"scheduled_for": "2026-03-01T09:00:00"}) == {
        "data.scheduled_for": "must be an RFC 3339 time with an offset, such as 2026-03-01T09:00:00Z"
    }
