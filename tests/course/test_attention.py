"""What asks for attention: signs that a course does not go as it should, with the protocol's numbers."""

import datetime as dt

import pytest
from support.course_walk import DAY, WEEK, E, S, T, Walk, variant

from ipt_workflow.course.attention import attention, told_by_clock
from ipt_workflow.protocols.definition import AttentionSpec

NUMBERS = AttentionSpec(misses=2, check_session=3, outcome_days=2, transfer_days=7)
NEW = {"consent", "not_attending", "deteriorating", "not_improving", "outcome_missing", "transfer_open"}


def asks(walk: Walk, at: dt.datetime | None = None) -> set[str]:
    """The kinds among NEW that hold at a moment. What is shown is what subscribers are told."""
    at = at or walk.now
    shown = attention(walk.protocol, walk.machine.bound, walk.c, walk.zone)
    told = told_by_clock(walk.protocol, walk.c, walk.zone)
    assert {kind: since for kind, since in told.items() if kind in NEW} == {kind: shown[kind] for kind in NEW & set(shown)}
    return {kind for kind in NEW & set(shown) if shown[kind] <= at}


def watched(**numbers: int) -> Walk:
    """A course that has begun, under a protocol that asks for all of it."""
    spec = AttentionSpec(**numbers) if numbers else NUMBERS
    return Walk(variant("watched", attention=spec)).in_initial()


def phq9(walk: Walk, total: int) -> None:
    walk.fire("record_measure", data={"instrument": "phq9", "total": total})


def test_a_course_that_goes_as_it_should_asks_for_nothing():
    walk = watched()
    for total in (16, 12, 9):
        walk.fire("record_session")
        phq9(walk, total)
        walk.now += WEEK
    assert asks(walk) == set()


def test_two_misses_one_after_the_other_ask_until_the_client_attends():
    walk = watched()
    walk.session()
    walk.session("3")
    assert asks(walk) == set()
    walk.session("7")
    assert asks(walk) == {"not_attending"}
    walk.session()
    assert asks(walk) == set()


@pytest.mark.parametrize(
    ("attendance", "more"), (("4", {}), ("2", {}), ("3", {"excused": True})), ids=("by us", "in time", "excused")
)
def test_what_was_called_off_or_excused_is_no_miss_and_ends_no_row_of_misses(attendance, more):
    walk = watched()
    walk.session("3")
    walk.session(attendance, **more)
    assert asks(walk) == set()
    walk.session("2", late_notice=True)
    assert asks(walk) == {"not_attending"}


def test_a_paused_course_and_an_ended_one_ask_for_none_of_it():
    walk = watched()
    walk.session("3")
    walk.session("3")
    assert asks(walk.copy().do("pause")) == set()
    phq9(walk, 10)
    phq9(walk, 20)
    assert asks(walk) == {"not_attending", "deteriorating"}
    assert asks(walk.do("end_early")) == set()


def test_a_scale_that_is_reliably_worse_asks_until_it_is_not():
    walk = watched()
    phq9(walk, 10)
    phq9(walk, 15)
    assert asks(walk) == set()  # five points lie within the error of the PHQ-9
    phq9(walk, 16)
    assert asks(walk) == {"deteriorating"}
    phq9(walk, 12)
    assert asks(walk) == set()


def test_no_improvement_asks_from_the_check_session_on():
    walk = watched(check_session=3)
    phq9(walk, 16)
    walk.session()
    walk.session()
    phq9(walk, 14)
    walk.session(kind="additional", reason="A crisis.")  # it does not count
    assert asks(walk) == set()
    walk.session()
    assert asks(walk) == {"not_improving"}
    phq9(walk, 10)
    assert asks(walk) == set()


def test_the_check_session_counts_the_sessions_before_an_adoption():
    walk = Walk(variant("watched", attention=NUMBERS))
    walk.fire("adopt", S, phase="initial", attended={"initial": 2})
    phq9(walk, 16)
    phq9(walk, 15)
    assert asks(walk) == set()
    walk.session()
    assert asks(walk) == {"not_improving"}


@pytest.mark.parametrize(
    ("first", "last", "asked"), ((16, 14, True), (16, 10, False), (6, 3, False), (4, 4, False), (16, None, False))
)
def test_an_improvement_is_reliable_or_a_response_or_a_remission_and_one_reading_says_nothing(first, last, asked):
    walk = watched(check_session=2)
    phq9(walk, first)
    walk.session()
    if last is not None:
        phq9(walk, last)
    assert asks(walk) == set()
    walk.session()
    assert asks(walk) == ({"not_improving"} if asked else set())


def test_an_appointment_past_its_time_without_an_outcome_asks_after_the_protocols_days():
    walk = watched()
    planned = walk.now + WEEK
    walk.fire("book_session", scheduled_for=planned.isoformat())
    assert asks(walk, planned + 2 * DAY - dt.timedelta(seconds=1)) == set()
    assert asks(walk, planned + 2 * DAY) == {"outcome_missing"}
    walk.now = planned + dt.timedelta(minutes=5)  # it began later, and nobody named the booking
    walk.fire("record_session")
    assert asks(walk, planned + 3 * DAY) == set()


def test_the_day_of_an_appointment_is_the_local_one():
    walk = Walk(variant("watched", attention=NUMBERS), zone="Pacific/Auckland").in_initial()
    planned = dt.datetime(2026, 1, 14, 10, 0, tzinfo=dt.UTC)  # 23:00 in Auckland
    walk.fire("book_session", scheduled_for=planned.isoformat())
    walk.now = planned + dt.timedelta(hours=2)  # the next day there, the same day in UTC
    walk.fire("record_session")
    assert asks(walk, planned + 2 * DAY) == {"outcome_missing"}


def test_a_transfer_asks_until_the_new_therapist_records_something():
    walk = watched()
    walk.fire("transfer", S, therapist="therapist-2", handover="Talked through.")
    since = walk.now
    assert asks(walk, since + 7 * DAY - dt.timedelta(seconds=1)) == set()
    assert asks(walk, since + 7 * DAY) == {"transfer_open"}
    walk.do("note", by=S)
    walk.fire("record_measure", E, data={"instrument": "phq9", "total": 9})
    walk.fire("note", T)  # the one before
    assert asks(walk, since + 7 * DAY) == {"transfer_open"}
    walk.fire("note", type(T)("therapist-2", "therapist"))
    assert asks(walk, since + 30 * DAY) == set()


def test_who_takes_a_course_over_themselves_has_taken_it_up():
    walk = watched()
    walk.fire("transfer", type(T)("therapist-2", "therapist"), therapist="therapist-2", handover="Talked through.")
    assert asks(walk, walk.now + 30 * DAY) == set()


def test_withdrawn_consent_to_treatment_asks_until_it_is_given_again():
    walk = watched()
    walk.fire("withdraw_consent", scope="sharing")
    assert asks(walk) == set()
    walk.fire("withdraw_consent", scope="treatment")
    assert asks(walk) == {"consent"}
    walk.fire("record_consent", scope="treatment")
    assert asks(walk) == set()


def test_consent_that_a_guardian_withdrew_is_not_given_again_by_the_client():
    walk = watched()
    walk.fire("withdraw_consent", scope="treatment", who="guardian")
    walk.fire("record_consent", scope="treatment", who="client")
    assert asks(walk) == {"consent"}
    walk.fire("record_consent", scope="treatment", who="guardian")
    assert (asks(walk), walk.c.consents) == (set(), ("treatment",))


def test_a_protocol_without_numbers_asks_only_what_needs_none():
    walk = Walk(variant("unwatched", attention=None)).in_initial()
    phq9(walk, 10)
    phq9(walk, 20)
    walk.session("3")
    walk.session("3")
    walk.session()
    walk.fire("book_session", scheduled_for=(walk.now + DAY).isoformat())
    walk.fire("withdraw_consent", scope="treatment")
    walk.fire("transfer", S, therapist="therapist-2", handover="Talked through.")
    assert asks(walk, walk.now + 60 * DAY) == {"consent", "deteriorating"}
