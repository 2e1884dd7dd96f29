"""Rules about moving entries that were about another client to that client's course."""

import pytest
from support.course_walk import HOUR, MINUTE, OTHER_T, S, T, Walk, covers, reach, refused_by

from ipt_workflow.course.rules import GroupHeld

UNWELL = {"instrument": "phq9", "items": [1] * 8 + [2]}


def beside(walk: Walk) -> Walk:
    """The walk beside another client's course, which has begun too."""
    return walk.beside(reach("in_initial"))


def entries(*seqs: int) -> dict:
    return {"course": "course-1", "entries": list(seqs)}


@covers("entries_movable")
def test_only_what_was_told_of_a_client_moves_and_only_while_it_is_in_force():
    walk = reach("in_initial")
    session = walk.session()
    walk.fire("record_measure")
    scale = walk.last
    beside(walk)
    for seq, message in (
        (99, "entries_movable.unknown"),
        (walk.seq("start"), "entries_movable.kind"),
        (walk.seq("sign_session"), "entries_movable.session_first"),
    ):
        assert refused_by(walk, "entries_movable", "move_entries", data=entries(seq), current=seq).message_id == message
    walk.fire("amend", data={"supersedes": scale, "void": True})
    assert refused_by(walk, "entries_movable", "move_entries", data=entries(scale)).message_id == "entries_movable.void"
    assert walk.refused("move_entries", data=entries(session, walk.seq("sign_session"))) == {}


def test_what_was_moved_is_neither_moved_again_nor_amended_here():
    walk, other = reach("in_initial"), reach("in_initial")
    session = walk.session(sign=False)
    walk.move(other, session)
    assert beside(walk).refused("move_entries", data=entries(session))["entries_movable"].message_id == "entries_movable.void"
    refused_by(walk, "entry_amendable", "amend", data={"supersedes": session, "void": True}, current="moved")
    refused_by(walk, "entry_amendable", "amend", S, data={"supersedes": walk.last, "void": True}, required="another trigger")


def test_a_session_of_a_group_and_a_text_that_was_erased_do_not_move():
    walk = reach("in_initial")
    walk.group_session = GroupHeld("group-session-1", held=True, given_by="therapist-1")
    walk.fire("record_session")
    seq = walk.last
    beside(walk)
    assert refused_by(walk, "entries_movable", "move_entries", data=entries(seq)).message_id == "entries_movable.group"
    walk.group_session = None
    other_seq = walk.session(sign=False)
    walk.given = {seq: data for seq, data in walk.given.items() if seq != other_seq}
    assert refused_by(walk, "entries_movable", "move_entries", data=entries(other_seq)).message_id == "entries_movable.erased"


@covers("move_agreed")
@pytest.mark.parametrize("moved", ("scale", "review", "raised"))
def test_a_supervisor_agrees_where_risk_moves(moved):
    walk = reach("in_initial")
    if moved == "scale":
        walk.fire("record_measure", data=UNWELL)
    else:
        walk.fire("review_risk" if moved == "review" else "raise_risk", data={"level": "elevated"})
    beside(walk)
    refusal = refused_by(walk, "move_agreed", "move_entries", data=entries(walk.last))
    assert (refusal.remedies[0].roles, refusal.remedies[0].via) == (("therapist",), "proposal")
    assert walk.refused("move_entries", S, data=entries(walk.last)) == {}
    assert walk.refused("move_entries", T, S, data=entries(walk.last)) == {}


def test_a_scale_without_risk_and_ones_own_session_move_without_a_supervisor():
    walk = reach("in_initial")
    walk.session()
    walk.fire("record_measure", data={"instrument": "gad7", "total": 4})
    assert beside(walk).refused("move_entries", data=entries(walk.seq("record_session"), walk.last)) == {}


def test_a_supervisor_agrees_where_the_entry_or_its_amendment_is_another_persons():
    walk = reach("in_initial")
    walk.fire("note", OTHER_T)
    beside(walk)
    assert list(walk.refused("move_entries", data=entries(walk.last))) == ["move_agreed"]
    walk.fire("note")
    own = walk.last
    walk.fire("amend", S, data={"supersedes": own, "data": {"text": "Prefers evenings."}})
    assert list(walk.refused("move_entries", data=entries(own))) == ["move_agreed"]
    assert walk.refused("move_entries", T, S, data=entries(own)) == {}


@covers("other_course_accepts")
def test_the_other_course_judges_every_entry_by_all_its_rules_and_is_named():
    walk, other = reach("in_initial"), reach("in_initial")
    seq = walk.session(sign=False)
    at = walk.c.session(seq).at
    assert refused_by(walk, "other_course_accepts", "move_entries", data=entries(seq)).message_id.endswith("unknown")
    other.now = at
    other.fire("record_session", at=at + 2 * MINUTE)
    walk.beside(other)
    refusal = refused_by(walk, "other_course_accepts", "move_entries", data=entries(seq), current=[seq], remedies=("amend",))
    (broken,) = refusal.breaks
    assert (broken.seq, broken.trigger) == (seq, "record_session")
    assert [(each.rule, each.severity) for each in broken.refusals] == [("overlaps_session", "soft")]
    assert walk.refused("move_entries", data=entries(seq), override=("overlaps_session",)) == {}


def test_a_session_beyond_the_other_courses_cap_stays_until_it_is_made_additional():
    walk, other = reach("in_initial"), reach("in_initial")
    for _ in range(3):
        other.session()
    walk.now = other.now + HOUR
    seq = walk.session(sign=False)
    (broken,) = walk.beside(other).refused("move_entries", data=entries(seq))["other_course_accepts"].breaks
    assert [each.rule for each in broken.refusals] == ["phase_session_cap"]
    walk.fire("amend", data={"supersedes": seq, "data": {"kind": "additional"}}, reason="It took place.")
    walk.move(other, seq)
    assert other.counted.over["initial"] == 1
