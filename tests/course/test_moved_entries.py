"""Entries that were about another client leave one course and arrive in the other, each where it happened."""

import pytest
from support.course_walk import DAY, MINUTE, OTHER_T, WEEK, E, S, T, Walk, reach

from ipt_workflow.course.fold import superseded_by
from ipt_workflow.errors import CommandInvalid, TransitionRefused
from ipt_workflow.gate.replay import Rejudge

UNWELL = {"instrument": "phq9", "items": [1] * 8 + [2]}


def evening(walk: Walk) -> tuple[int, int, int, int]:
    """A session, its scale that shows risk, the review of that risk, and the signature."""
    seq = walk.session(sign=False, ref="Appointment/7")
    walk.fire("record_measure", data=UNWELL)
    scale = walk.last
    walk.fire("review_risk", data={"level": "monitored", "plan": "Sees her on Thursday.", "told": ["GP"]})
    review = walk.last
    walk.fire("sign_session", session=seq)
    return seq, scale, review, walk.last


def test_a_session_with_its_scale_and_review_moves_and_its_signature_stays():
    walk, other = reach("in_initial"), reach("in_initial")
    before = walk.c
    seq, scale, review, signature = evening(walk)
    at = walk.c.session(seq).at
    walk.move(other, seq, scale, review, signature, cosigner=S)
    assert (walk.c.sessions, walk.c.measures, walk.c.risk) == (before.sessions, before.measures, before.risk)
    (moved,) = other.c.sessions
    assert (moved.at, moved.ref, moved.given_by, moved.signed) == (at, "Appointment/7", "therapist-1", False)
    assert other.c.measures["phq9@1"].last.total == 10
    assert (other.c.risk.level, other.c.risk.open_since) == ("monitored", None)


def test_each_side_names_the_other():
    walk, other = reach("in_initial"), reach("in_initial")
    seq, scale, review, signature = evening(walk)
    first = other.last + 1
    walk.move(other, seq, scale, review, cosigner=S)
    move = walk.fact(walk.last)
    assert move.data == {
        "course": other.c.id,
        "entries": [seq, scale, review],
        "moved": [{"from": here, "to": there} for here, there in zip((seq, scale, review), range(first, first + 3), strict=True)],
        "left": [signature],
    }
    arrived = [other.fact(number) for number in range(first, first + 3)]
    assert [fact.data["moved_from"] for fact in arrived] == [{"course": walk.c.id, "seq": each} for each in (seq, scale, review)]
    assert {fact.cosigned_by for fact in (move, *arrived)} == {"supervisor-1"}
    assert {superseded_by(walk.history)[each] for each in (seq, scale, review, signature)} == {move.seq}


def test_evidence_of_risk_that_nobody_reviewed_is_owed_a_review_in_the_other_course():
    walk, other = reach("in_initial"), reach("in_initial")
    walk.fire("record_measure", data=UNWELL)
    seen = walk.c.risk.open_since
    assert seen is not None
    walk.move(other, walk.last, by=S)
    assert (walk.c.risk.open_since, other.c.risk.open_since) == (None, seen)
    session = other.session(sign=False)
    assert list(other.refused("sign_session", session=session)) == ["risk_reviewed"]


@pytest.mark.parametrize("way", ("scale", "raised"))
def test_evidence_that_an_amendment_took_back_moves_with_its_entry(way):
    walk, other = reach("in_initial"), reach("in_initial")
    walk.fire("record_measure" if way == "scale" else "raise_risk", data=UNWELL if way == "scale" else {"level": "elevated"})
    entry, seen = walk.last, walk.c.risk.open_since
    less = {"items": [1] * 8 + [0]} if way == "scale" else {"level": "none"}
    walk.fire("amend", T, S, data={"supersedes": entry, "data": less})
    with pytest.raises(TransitionRefused) as refused:
        walk.move(other, entry)
    assert [each.rule for each in refused.value.refusals] == ["move_agreed"]
    walk.move(other, entry, cosigner=S)
    assert (walk.c.risk.open_since, other.c.risk.open_since) == (None, seen)
    other.fire("amend", S, data={"supersedes": other.last, "void": True})
    assert other.c.risk.open_since == seen
    walk, other = other, walk
    walk.fire("amend", S, data={"supersedes": walk.last, "void": True})
    walk.move(other, walk.last, by=S)
    assert (walk.c.risk.open_since, other.c.risk.open_since) == (None, seen)


def test_an_entry_moves_without_an_amendment_that_was_undone():
    walk, other = reach("in_initial"), reach("in_initial")
    walk.fire("record_measure", data={"instrument": "phq9", "total": 10})
    scale = walk.last
    walk.fire("amend", data={"supersedes": scale, "data": {"total": 12}})
    walk.fire("amend", data={"supersedes": walk.last, "void": True})
    walk.move(other, scale)
    assert other.c.measures["phq9@1"].last.total == 10


def test_the_session_counts_where_it_happened_and_is_signed_anew():
    walk, other = reach("in_initial"), reach("in_middle")
    began = other.fact(other.seq("begin_middle")).occurred_at
    walk.now = other.c.sessions[0].at + 30 * MINUTE + DAY / 2
    seq = walk.session(sign=False)
    assert walk.c.session(seq).at > began
    walk.move(other, seq)
    (moved,) = [session for session in other.c.sessions if session.phase == "middle"]
    assert [session.seq for session in other.c.unsigned] == [moved.seq]
    other.fire("sign_session", session=moved.seq)
    assert other.c.unsigned == ()


def test_an_amended_entry_moves_as_it_is_now_under_any_of_its_numbers():
    walk, other = reach("in_initial"), reach("in_initial")
    seq = walk.session(sign=False)
    walk.fire("amend", data={"supersedes": seq, "data": {"attendance": "6", "minutes": 40}})
    amendment = walk.last
    walk.move(other, amendment)
    (moved,) = other.c.sessions
    assert (moved.attendance, moved.minutes) == ("6", 40)
    assert walk.c.sessions == ()
    assert superseded_by(walk.history) == {seq: amendment, amendment: walk.last}


def test_every_reference_that_a_session_has_goes_with_it():
    walk, other = reach("in_initial"), reach("in_initial")
    seq = walk.session(sign=False, ref="Appointment/7")
    walk.fire("link_session", data={"session": seq, "ref": "Encounter/8"})
    walk.move(other, seq)
    (moved,) = other.c.sessions
    assert moved.refs == ("Appointment/7", "Encounter/8")


def test_a_session_that_an_ehr_recorded_is_given_by_the_other_courses_therapist():
    walk, other = reach("in_initial"), reach("in_initial")
    other.fire("transfer", data={"therapist": OTHER_T.person, "handover": "All was told."}, by=S)
    walk.now = other.now
    walk.fire("record_session", E)
    own = walk.session(sign=False)
    walk.move(other, walk.seqs("record_session")[0], own, by=S)
    assert [session.given_by for session in other.c.sessions] == ["therapist-2", "therapist-1"]


def test_a_session_that_was_moved_keeps_its_origin_and_giver_when_it_is_amended():
    walk, other = reach("in_initial"), reach("in_initial")
    walk.session(sign=False)
    walk.move(other, walk.last, by=S)
    seq = other.last
    other.fire("amend", S, data={"supersedes": seq, "data": {"minutes": 30}})
    amended = other.fact(other.last).data["data"]
    assert (amended["minutes"], amended["given_by"]) == (30, "therapist-1")
    assert amended["moved_from"]["course"] == walk.c.id


def test_nothing_moves_if_a_later_entry_of_either_course_would_break():
    walk, other = reach("in_middle"), reach("in_initial")
    (first,) = [session.seq for session in walk.c.sessions]
    refusals = walk.beside(other).refused("move_entries", data={"course": "course-1", "entries": [first]})
    assert {each.trigger for each in refusals["later_entries_hold"].breaks} == {"begin_middle"}
    walk, other = reach("in_initial"), reach("ready_for_final")
    walk.now = max(session.at for session in other.c.sessions) - 3 * DAY
    seq = walk.session(sign=False)
    refusals = walk.beside(other).refused("move_entries", data={"course": "course-1", "entries": [seq]})
    (broken,) = refusals["other_course_accepts"].breaks
    assert [each.rule for each in broken.refusals] == ["later_entries_hold"]


def test_an_entry_of_before_the_other_course_was_opened_does_not_move():
    walk, other = reach("in_initial"), Walk()
    other.now = walk.now + 2 * WEEK
    other.in_initial()
    seq = walk.session(sign=False)
    with pytest.raises(CommandInvalid, match="before the course was opened"):
        walk.move(other, seq)


def test_what_was_moved_by_mistake_is_moved_back():
    walk, other = reach("in_initial"), reach("in_initial")
    seq = walk.session(sign=False, comment="Spoke of her sister.")
    at = walk.c.session(seq).at
    walk.move(other, seq)
    other.move(walk, other.last)
    assert other.c.sessions == ()
    assert [(session.seq, session.at) for session in walk.c.sessions] == [(walk.last, at)]
    assert walk.given[walk.last]["comment"] == "Spoke of her sister."


def test_a_move_that_is_refused_changes_neither_course():
    walk, other = reach("in_initial"), reach("in_initial")
    walk.fire("record_measure", data=UNWELL)
    versions = (walk.last, other.last)
    with pytest.raises(TransitionRefused):
        walk.move(other, walk.last, by=T)
    assert (walk.last, other.last) == versions


def test_a_replay_finds_nothing_new_in_a_course_that_entries_left_or_reached():
    walk, other = reach("in_initial"), reach("in_initial")
    seq, scale, review, _ = evening(walk)
    other.now = walk.now
    other.fire("note")
    walk.move(other, seq, scale, review, by=S)
    other.fire("sign_session", session=other.c.sessions[0].seq)
    for each in (walk, other):
        found = Rejudge(each.machine, each.context()).transitions(each.history)
        assert [one for one in found if one.rules] == []
