"""One visit is one session: whoever records it, in whatever order, late or amended."""

import datetime as dt

import pytest
from support.course_walk import DAY, HOUR, MINUTE, WEEK, E, S, T, Walk, covers, reach, refused_by

from ipt_workflow.course import triggers
from ipt_workflow.errors import CommandInvalid
from ipt_workflow.machine import Refused

RULE = "overlaps_session"
ROLES = triggers.BY_NAME["link_session"].roles
HELD = {"attendance": "5"}


def recorded(by=E, **data) -> tuple[Walk, int, dt.datetime]:
    """A walk whose first session an EHR recorded a day ago: its seq and its time."""
    walk = reach("in_initial")
    walk.now += DAY
    walk.fire("record_session", by, data={**HELD, "ref": "Encounter/1", **data})
    at = walk.now
    walk.now += DAY
    return walk, walk.last, at


def again(walk: Walk, at: dt.datetime, by=T, **data) -> dict:
    """The rules that refuse one more session at a time."""
    return walk.refused("record_session", by, at=at, data={**HELD, **data})


@covers("overlaps_session")
@pytest.mark.parametrize("minutes", (1, 5, 49))
@pytest.mark.parametrize("earlier", (True, False), ids=("before", "after"))
@pytest.mark.parametrize(("first", "second"), ((E, T), (T, E), (T, T), (E, E)), ids=lambda actor: actor.role)
def test_the_same_visit_told_twice_is_refused_in_either_order(first, second, earlier, minutes):
    walk, seq, at = recorded(first)
    other = at - minutes * MINUTE if earlier else at + minutes * MINUTE
    refused_by(
        walk,
        RULE,
        "record_session",
        second,
        severity="soft",
        at=other,
        data=HELD,
        current=[seq],
        required="a time that no other session takes",
        remedies=(),
    )
    walk.fire("record_session", second, at=other, data=HELD, override=(RULE,))
    assert (walk.counted.attended["initial"], walk.c.overrides) == (2, 1)


@pytest.mark.parametrize("minutes", (50, 60, 8 * 60))
def test_sessions_that_follow_each_other_are_two_visits(minutes):
    walk, _, at = recorded()
    assert again(walk, at + minutes * MINUTE) == {}
    assert again(walk, at - minutes * MINUTE) == {}


def test_a_session_takes_the_minutes_it_says():
    walk, _, at = recorded(minutes=90)
    assert list(again(walk, at + 89 * MINUTE)) == [RULE]
    assert again(walk, at + 90 * MINUTE) == {}
    assert list(again(walk, at - 60 * MINUTE, minutes=61)) == [RULE]
    assert again(walk, at - 60 * MINUTE, minutes=60) == {}
    short, _, at = recorded(minutes=10)
    assert again(short, at + 10 * MINUTE) == {}


def test_a_session_of_which_only_the_day_is_known_takes_its_whole_local_day():
    walk = Walk(zone="Pacific/Auckland").in_initial()
    walk.now = dt.datetime(2026, 1, 7, 22, 0, tzinfo=dt.UTC)  # 11:00 on the 8th in Auckland
    walk.fire("record_session", E, data={**HELD, "day_only": True})
    walk.now += 3 * DAY
    midnight = dt.datetime(2026, 1, 7, 11, 0, tzinfo=dt.UTC)
    assert list(again(walk, midnight)) == [RULE]
    assert list(again(walk, midnight + 23 * HOUR)) == [RULE]
    assert list(again(walk, midnight - 10 * MINUTE)) == [RULE], "it reaches into the day"
    assert again(walk, midnight - 50 * MINUTE) == {}
    assert again(walk, midnight + 24 * HOUR) == {}


def test_a_day_overlaps_every_session_of_it():
    walk, _, at = recorded()
    noon = at.replace(hour=12, minute=0)
    assert list(again(walk, noon, day_only=True)) == [RULE]
    assert again(walk, noon - DAY, day_only=True) == {}


def test_a_moved_session_is_known_by_its_planned_time_too():
    walk, _, at = recorded(scheduled_for="2026-01-05T15:00:00+00:00")
    planned = dt.datetime(2026, 1, 5, 15, 0, tzinfo=dt.UTC)
    assert list(again(walk, planned + 10 * MINUTE)) == [RULE]
    assert again(walk, planned + 50 * MINUTE) == {}
    assert list(again(walk, at + 2 * HOUR, scheduled_for=planned.isoformat())) == [RULE]
    assert list(again(walk, at + 2 * HOUR, scheduled_for=(at + 5 * MINUTE).isoformat())) == [RULE]


def test_the_remedy_links_the_recorded_session_to_the_new_name():
    walk, seq, at = recorded(T)
    refusal = again(walk, at + 5 * MINUTE, E, ref="Appointment/7")[RULE]
    (remedy,) = refusal.remedies
    assert (refusal.message_id, refusal.current) == ("overlaps_session.link", [seq])
    assert (remedy.trigger, remedy.roles, remedy.data) == ("link_session", ROLES, {"session": seq, "ref": "Appointment/7"})
    walk.fire(remedy.trigger, E, data=remedy.data)
    assert walk.c.session(seq).refs == ("Encounter/1", "Appointment/7")
    assert list(again(walk, at + 5 * MINUTE, E, ref="Appointment/7")) == ["session_already_recorded"]
    assert walk.counted.attended["initial"] == 1


def test_at_the_very_same_moment_the_remedy_is_the_same():
    walk, seq, at = recorded(T)
    refusals = again(walk, at, E, ref="Appointment/7")
    assert list(refusals) == ["session_already_recorded"]
    assert [each.data for each in refusals["session_already_recorded"].remedies] == [{"session": seq, "ref": "Appointment/7"}]
    assert again(walk, at, E, ref="Encounter/1")["session_already_recorded"].remedies == ()


def test_a_session_keeps_all_its_names():
    walk, seq, _ = recorded(T)
    for ref in ("Appointment/7", "Encounter/8", "Appointment/7"):
        walk.fire("link_session", E, data={"session": seq, "ref": ref})
    session = walk.c.session(seq)
    assert (session.refs, session.ref) == (("Encounter/1", "Encounter/8", "Appointment/7"), "Appointment/7")
    for ref in session.refs:
        assert list(again(walk, walk.now - 5 * HOUR, E, ref=ref)) == ["session_already_recorded"]
    walk.fire("record_session", T, data=HELD)
    refused_by(walk, "session_already_recorded", "link_session", E, data={"session": walk.last, "ref": "Encounter/1"}, current=seq)


def test_a_link_without_a_name_is_not_valid():
    walk, seq, _ = recorded()
    with pytest.raises(CommandInvalid, match=r"data\.ref"):
        walk.fire("link_session", data={"session": seq})


def test_a_link_ends_the_booking_of_that_name():
    walk, seq, _ = recorded(T)
    walk.fire("book_session", E, ref="Appointment/7")
    walk.fire("book_session", E, ref="Appointment/8")
    walk.fire("link_session", E, data={"session": seq, "ref": "Appointment/7"})
    assert [booking.ref for booking in walk.c.bookings] == ["Appointment/8"]


# Attendance

FREES = ({"attendance": "4"}, {"attendance": "2"}, {"attendance": "2", "late_notice": True, "excused": True})
TAKES = ({"attendance": "3"}, {"attendance": "7"}, {"attendance": "6"}, {"attendance": "2", "late_notice": True}, HELD)


@pytest.mark.parametrize("freed", FREES)
@pytest.mark.parametrize("order", (1, -1))
def test_a_cancellation_in_time_and_its_replacement_are_two_appointments(freed, order):
    one, other = (freed, HELD)[::order]
    walk = reach("in_initial")
    walk.now += DAY
    walk.fire("record_session", data=one)
    assert again(walk, walk.now, **other) != {}, "at the same moment they are one"
    walk.now += 30 * MINUTE
    assert again(walk, walk.now, **other) == {}


@pytest.mark.parametrize("one", TAKES, ids=str)
@pytest.mark.parametrize("other", TAKES, ids=str)
def test_what_was_held_missed_or_cancelled_too_late_takes_its_time(one, other):
    walk = reach("in_initial")
    walk.now += DAY
    walk.fire("record_session", data=one)
    walk.now += 30 * MINUTE
    assert list(again(walk, walk.now, **other)) == [RULE]


def test_one_cancellation_told_twice_is_one():
    walk = reach("in_initial")
    walk.fire("record_session", data=FREES[0])
    walk.now += 5 * MINUTE
    assert list(again(walk, walk.now, **FREES[1])) == [RULE]


# Late entries, several together, amendments, adoption


def test_of_two_told_together_the_second_is_refused_whichever_comes_first():
    walk = reach("in_initial")
    walk.now += WEEK
    bodies = [walk.body("record_session", at=walk.now - minutes * MINUTE, data=HELD) for minutes in (0, 20)]
    for together in (bodies, bodies[::-1]):
        answer = walk.preview(*together)
        assert isinstance(answer, Refused)
        assert [refusal.rule for refusal in answer.refusals] == [RULE]
    allowed = [{**body, "override": {"rules": [RULE], "reason": "Two visits."}} for body in bodies]
    assert len(walk.together(*allowed).sessions) == 2


def test_a_session_amended_into_the_time_of_another_is_refused():
    walk, seq, at = recorded()
    walk.fire("record_session")
    body = {"supersedes": walk.last, "occurred_at": (at + 20 * MINUTE).isoformat()}
    refusal = refused_by(walk, RULE, "amend", data=body, severity="soft", current=[seq], remedies=())
    assert refusal.message_id == "overlaps_session.amended"
    walk.fire("amend", data=body, override=(RULE,))
    assert (walk.counted.attended["initial"], walk.c.overrides) == (2, 1)


def test_a_session_amended_to_take_longer_is_refused_where_it_reaches_another():
    walk, seq, at = recorded(T)
    walk.fire("record_session", at=at + 60 * MINUTE, data=HELD)
    refused_by(walk, RULE, "amend", data={"supersedes": seq, "data": {"minutes": 90}}, severity="soft", current=[walk.last])
    walk.fire("amend", data={"supersedes": seq, "data": {"minutes": 60}})


def test_what_overlaps_with_a_reason_is_amended_without_another():
    walk, seq, at = recorded(T)
    walk.fire("record_session", at=at + 20 * MINUTE, data=HELD, override=(RULE,))
    second = walk.last
    walk.fire("amend", S, data={"supersedes": second, "data": {"comment": "In the other room."}})
    walk.fire("amend", S, data={"supersedes": seq, "data": {"comment": "In this room."}})
    assert walk.counted.attended["initial"] == 2


def test_an_overlap_with_a_reason_covers_no_further_session():
    walk, seq, at = recorded(T)
    walk.fire("record_session", at=at - 20 * MINUTE, data=HELD, override=(RULE,))
    walk.fire("record_session", at=at + 80 * MINUTE, data=HELD)
    longer = {"supersedes": seq, "data": {"minutes": 100}}
    refused_by(walk, RULE, "amend", data=longer, severity="soft", current=[seq + 1, walk.last])


def test_the_first_of_two_is_made_void_and_the_second_recorded_in_one_request():
    walk, seq, at = recorded(T)
    void = walk.body("amend", data={"supersedes": seq, "void": True}, reason="Told twice.")
    walk.together(void, walk.body("record_session", at=at + 5 * MINUTE, data=HELD))
    assert [session.at for session in walk.c.sessions] == [at + 5 * MINUTE]
    back = {"supersedes": seq + 1, "data": {"comment": "It was right."}}
    refused_by(walk, RULE, "amend", data=back, severity="soft", current=[walk.last])


def test_to_take_back_an_amendment_is_to_move_the_session_back():
    walk, seq, at = recorded(T)
    walk.fire("amend", data={"supersedes": seq, "occurred_at": (at - 4 * HOUR).isoformat()})
    moved = walk.last
    walk.fire("record_session", at=at + 5 * MINUTE, data=HELD)
    refused_by(walk, RULE, "amend", data={"supersedes": moved, "void": True}, severity="soft", current=[walk.last])
    assert len(walk.fire("amend", data={"supersedes": moved, "void": True}, override=(RULE,)).sessions) == 2


def test_an_adopted_course_judges_its_sessions_alike():
    walk = Walk()
    walk.fire("adopt", S, attended={"initial": 1}, reason="Begun elsewhere.")
    walk.now += DAY
    walk.fire("record_session", E, data={**HELD, "ref": "Encounter/1"})
    assert list(again(walk, walk.now - 5 * MINUTE)) == [RULE]
    assert walk.counted.attended["initial"] == 2


def test_no_course_completes_by_a_final_visit_told_twice():
    walk = reach("ready_to_complete", sessions=2)
    seq, at = walk.c.sessions[-1].seq, walk.c.sessions[-1].at
    walk.now += HOUR
    for minutes in (1, 5, 49):
        assert list(again(walk, at + minutes * MINUTE, E)) == [RULE]
    refused_by(walk, "final_held", "complete", alone=False)
    walk.fire("link_session", E, data={"session": seq, "ref": "Encounter/12"})
    refused_by(walk, "final_held", "complete", alone=False)
    walk.session()
    assert walk.fire("complete", override=("final_attended",)).state == "completed"
