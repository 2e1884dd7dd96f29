"""Retention policies: what a period means, which terms a record has, and from when a person may decide."""

import datetime as dt

import pytest

from ipt_workflow.access import retention
from ipt_workflow.access.retention import NewRetentionPolicy, RecordFacts
from ipt_workflow.errors import CommandInvalid
from ipt_workflow.values.faults import shaped

ENDED = dt.date(2006, 3, 31)


def policy(name: str, anchor: str = "last_contact", period: str = "P20Y", **more) -> NewRetentionPolicy:
    given = {"name": name, "kind": "record", "jurisdiction": "GB-ENG", "bound": "floor", "citation": "The Code.", **more}
    return shaped(NewRetentionPolicy, {**given, "anchor": anchor, "period": period})


ENGLAND = (policy("contact"), policy("death", "death", "P10Y"), policy("children", "majority", "P8Y"))


def due(policies, **facts) -> dt.date | None:
    return retention.due_since(retention.of_record(policies, RecordFacts(**facts)))


@pytest.mark.parametrize(
    ("day", "months", "then"),
    [
        ((2024, 2, 29), 12, (2025, 2, 28)),
        ((2024, 1, 31), 1, (2024, 2, 29)),
        ((2023, 12, 31), 2, (2024, 2, 29)),
        ((2006, 3, 31), 240, (2026, 3, 31)),
        ((9990, 1, 1), 240, (9999, 12, 31)),
    ],
)
def test_a_period_ends_on_the_same_day_of_the_month_or_on_its_last(day, months, then):
    assert retention.after(dt.date(*day), months) == dt.date(*then)


@pytest.mark.parametrize("period", ("", "P", "P1D", "1Y", "P1Y6", "P-1Y", "PT1H", "P1.5Y", "P1000Y", "P1Y\n"))
def test_a_period_is_one_of_years_and_months(period):
    with pytest.raises(CommandInvalid, match="period"):
        policy("p", period=period)


def test_a_record_is_due_on_the_day_after_its_last_floor():
    assert due(ENGLAND, last_contact=ENDED) == dt.date(2026, 4, 1)
    assert due((*ENGLAND, policy("longer", period="P20Y1M", jurisdiction="DE")), last_contact=ENDED) == dt.date(2026, 5, 1)


def test_without_a_policy_nothing_is_ever_due():
    assert due((), last_contact=ENDED) is None
    assert due((policy("log", "recorded", kind="access_log"),), last_contact=ENDED) is None


def test_after_a_death_the_policies_about_it_take_the_place_of_the_others_of_their_jurisdiction():
    assert due(ENGLAND, last_contact=ENDED, death=dt.date(2007, 1, 1)) == dt.date(2017, 1, 2)
    german = policy("german", period="P15Y", jurisdiction="DE")
    assert due((*ENGLAND, german), last_contact=ENDED, death=dt.date(2007, 1, 1)) == dt.date(2021, 4, 1)


def test_the_record_of_a_child_is_kept_until_years_after_the_eighteenth_birthday():
    assert due(ENGLAND, last_contact=ENDED, born=dt.date(2002, 2, 28)) == dt.date(2028, 2, 29)
    assert due(ENGLAND, last_contact=ENDED, born=dt.date(1980, 1, 1)) == dt.date(2026, 4, 1)


def test_a_ceiling_alone_makes_a_record_due_and_overdue_on_the_same_day():
    terms = retention.of_record((policy("gone", bound="ceiling", period="P1Y"),), RecordFacts(last_contact=ENDED))
    assert retention.due_since(terms) == retention.overdue_since(terms) == dt.date(2007, 4, 1)


@pytest.mark.parametrize(
    ("new", "where"),
    [
        (policy("contact", jurisdiction="DE"), "name"),
        (policy("short", bound="ceiling", period="P19Y"), "period"),
        (policy("log", kind="access_log"), "anchor"),
        (policy("when", anchor="recorded"), "anchor"),
        (policy("none", period="P0Y"), "period"),
    ],
)
def test_a_policy_that_contradicts_itself_or_another_in_force_is_faulty(new, where):
    assert [fault.where for fault in retention.faults(new, ENGLAND)] == [where]


def test_a_ceiling_may_be_as_long_as_a_floor_and_that_of_another_anchor_shorter():
    assert retention.faults(policy("same", bound="ceiling", period="P240M"), ENGLAND) == []
    assert retention.faults(policy("other", "majority", "P19Y", bound="ceiling"), ENGLAND[:2]) == []


def test_a_month_of_the_log_counts_from_its_last_day():
    log = policy("log", "recorded", "P3Y", kind="access_log", bound="ceiling")
    (term,) = retention.of_month((log, *ENGLAND), "access_log", dt.date(2023, 2, 28))
    assert term.until == dt.date(2026, 2, 28)
