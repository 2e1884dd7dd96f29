"""In `together`, a command names the entry of an earlier one by its place in the request."""

import pytest
from support.course_walk import DAY, HOUR, Walk, reach

from ipt_workflow.course import references, triggers
from ipt_workflow.errors import CommandInvalid

HELD = {"trigger": "record_session", "data": {"attendance": "5", "minutes": 50}}
NOTE = {"trigger": "note", "data": {"text": "x"}}


def sign(place) -> dict:
    return {"trigger": "sign_session", "data": {"session": {"together": place}}}


def faults(walk: Walk, *bodies: dict) -> dict[str, str]:
    with pytest.raises(CommandInvalid) as raised:
        walk.preview(*bodies)
    return {fault.where: fault.message for fault in raised.value.faults}


def test_a_session_is_signed_in_the_request_that_records_it():
    walk = reach("in_initial")
    walk.together(NOTE, HELD, sign(1))
    (session,) = walk.c.sessions
    assert (session.seq, session.signed) == (walk.seq("record_session"), True)
    assert walk.fact(walk.last).data == {"session": session.seq}
    assert walk.drafts[-1].given == {"session": session.seq}


def test_two_sessions_of_one_request_are_each_signed_by_their_place():
    walk = reach("in_initial")
    walk.now += DAY
    first = {**HELD, "occurred_at": (walk.now - DAY + HOUR).isoformat()}
    walk.together(first, HELD, sign(1), sign(0))
    assert [fact.data["session"] for fact in walk.history if fact.trigger == "sign_session"] == [walk.last - 2, walk.last - 3]
    assert all(session.signed for session in walk.c.sessions)


def test_a_late_session_is_signed_in_the_request_that_records_it():
    walk = reach("in_initial")
    walk.now += DAY
    walk.fire("note")
    walk.together({**HELD, "occurred_at": (walk.now - HOUR).isoformat()}, sign(0))
    assert [(session.seq, session.signed) for session in walk.c.sessions] == [(walk.seq("record_session"), True)]


def test_a_formulation_is_named_by_its_place_and_accepted_by_its_version():
    walk = reach("ready_for_middle", without=("accept_formulation", "select_focus"))
    formulation = walk.example("record_formulation")
    answer = {"trigger": "accept_formulation", "data": {"version": {"together": 1}, "response": "accepts"}}
    walk.together(NOTE, formulation, answer)
    assert (walk.c.formulation.version, walk.c.formulation.accepted_version) == (2, 2)
    assert walk.fact(walk.last).data["version"] == 2


def test_late_formulations_are_named_by_the_versions_that_they_get():
    walk = reach("in_initial")
    walk.now += DAY
    walk.fire("note")
    formulation = walk.example("record_formulation")
    later, earlier = ({**formulation, "occurred_at": (walk.now - ago * HOUR).isoformat()} for ago in (1, 2))
    answer = {"trigger": "accept_formulation", "data": {"version": {"together": 0}, "response": "accepts"}}
    walk.together(later, earlier, answer)
    named = walk.fact(walk.seq("accept_formulation")).data["version"]
    assert named == walk.fact(walk.seqs("record_formulation")[0]).data["version"] == walk.c.formulation.accepted_version == 2


@pytest.mark.parametrize(
    ("place", "why"),
    [
        (2, "must name one of the commands together[0] to together[1]"),
        (-1, "must name one of the commands together[0] to together[1]"),
        (1, "must not name its own command; name an earlier one"),
        (0, "must name a record_session; together[0] is another trigger"),
        ("0", 'must be a number, or {"together": n} with the place of an earlier command, counted from 0'),
        (True, 'must be a number, or {"together": n} with the place of an earlier command, counted from 0'),
        (None, 'must be a number, or {"together": n} with the place of an earlier command, counted from 0'),
    ],
)
def test_a_reference_that_names_nothing_says_what_it_may_name(place, why):
    assert faults(reach("in_initial"), NOTE, sign(place)) == {"together[1].data.session": why}


def test_a_reference_names_an_earlier_command():
    assert faults(reach("in_initial"), sign(1), HELD) == {
        "together[0].data.session": "must name an earlier command; put together[1] before this one"
    }


def test_a_command_fired_by_itself_has_nothing_to_refer_to():
    assert faults(reach("in_initial"), sign(0)) == {
        "data.session": "must be a number: a command that is fired by itself has no others to refer to"
    }


def test_an_entry_of_the_same_request_is_not_amended():
    amend = {"trigger": "amend", "reason": "x", "data": {"supersedes": {"together": 0}, "void": True}}
    assert faults(reach("in_initial"), NOTE, amend) == {
        "together[1].data.supersedes": "must be the number of a recorded entry; change together[0] itself instead"
    }


def test_a_bad_reference_is_named_beside_every_other_fault():
    wrong = {"trigger": "sign_session", "data": {"session": {"together": 7}, "summary": ""}}
    found = faults(reach("in_initial"), {"trigger": "note"}, wrong)
    assert found.keys() == {"together[0].data.text", "together[1].data.session", "together[1].data.summary"}


def test_a_field_that_names_no_entry_takes_no_reference():
    wrong = {"trigger": "record_session", "data": {"attendance": "5", "minutes": {"together": 0}}}
    assert faults(reach("in_initial"), NOTE, wrong) == {"together[1].data.minutes": "must be a whole number"}


def test_every_field_that_names_a_session_may_name_it_by_its_place():
    named = {row.name for row in triggers.TABLE if "session" in row.payload.__struct_fields__}
    assert named == {"sign_session", "attest_session", "link_session", "acknowledge_deviation"}
    assert {references.naming_fields(name)["session"] for name in named} == {"record_session"}
