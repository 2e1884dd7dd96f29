"""Evidence of risk stays until somebody reviews it, whatever becomes of the entry that gave it."""

import pytest
from support.course_walk import DAY, HOUR, E, S, T, Walk, reach, refused_by

from ipt_workflow.errors import CommandInvalid
from ipt_workflow.machine import Refused

SEEN = {"instrument": "phq9", "items": [2] * 8 + [3]}
CALM = {"instrument": "phq9", "items": [2] * 8 + [0]}
WAYS = {
    "a void": {"void": True},
    "other answers": {"data": {"items": CALM["items"]}},
    "a total instead": {"data": {"items": None, "total": 16}},
    "another scale": {"data": {"instrument": "gad7", "items": [0] * 7}},
    "another day": {"data": {"taken_at": "2026-01-05T08:00:00Z"}},
    "another time": {"occurred_at": "2026-01-05T08:00:00Z"},
}


def at_risk(trigger: str = "record_measure", by=T) -> Walk:
    """A course with an unsigned session and evidence of risk."""
    walk = reach("in_initial")
    walk.session(sign=False)
    data = {"record_measure": SEEN, "record_contact": {"kind": "crisis", "risk": True}}.get(trigger)
    walk.fire(trigger, by, **({"data": data} if data else {}))
    return walk


def amendment(walk: Walk, way: str) -> dict:
    change = dict(WAYS[way])
    if "occurred_at" in change:
        change["occurred_at"] = (walk.now - HOUR / 60).isoformat()
    return {"supersedes": walk.last, **change}


@pytest.mark.parametrize("way", WAYS)
def test_a_positive_answer_is_amended_only_with_a_supervisor_and_its_review_stays_owed(way):
    walk = at_risk()
    since, body = walk.c.risk.open_since, amendment(walk, way)
    refused_by(walk, "amendment_agreed", "amend", data=body, current=["a risk that was seen"])
    for by, cosigner in ((S, None), (T, S)):
        agreed = walk.copy()
        agreed.fire("amend", by, cosigner, data=body)
        assert agreed.c.risk.open_since is not None
        assert agreed.c.risk.open_since <= since
        assert "risk_reviewed" in agreed.refused("sign_session", session=agreed.seq("record_session"))
        agreed.fire("review_risk", data={"level": "none", "plan": "It was typed wrongly."})
        assert agreed.c.risk.open_since is None
        agreed.fire("sign_session", session=agreed.seq("record_session"))


def test_a_voided_answer_holds_the_signature_also_in_the_same_step():
    walk = at_risk()
    seq = walk.seq("record_session")
    walk.now += HOUR
    bodies = (walk.body("amend", S, data={"supersedes": walk.last, "void": True}), walk.body("attest_session", S, session=seq))
    assert [each.rule for each in walk.preview(*bodies, by=S).refusals] == ["risk_reviewed"]


@pytest.mark.parametrize(("trigger", "kind"), (("record_contact", "a risk that was seen"), ("raise_risk", "risk or consent")))
def test_a_contact_that_saw_risk_and_a_raised_risk_are_no_more_easily_taken_back(trigger, kind):
    walk = at_risk(trigger)
    body = {"supersedes": walk.last, "void": True}
    refused_by(walk, "amendment_agreed", "amend", data=body, current=[kind])
    walk.fire("amend", S, data=body)
    assert walk.c.risk.level == "none"
    assert walk.c.risk.open_since is not None


def test_what_was_reviewed_before_it_was_amended_is_owed_no_second_review():
    walk = at_risk()
    body = {"supersedes": walk.last, "void": True}
    walk.do("review_risk").fire("amend", S, data=body)
    assert walk.c.risk.open_since is None


def test_an_amendment_that_brings_a_risk_to_light_is_reviewed_after_it():
    walk = reach("in_initial")
    walk.fire("record_measure", data=CALM)
    seq = walk.last
    walk.do("review_risk")
    walk.fire("amend", data={"supersedes": seq, "data": {"items": SEEN["items"]}})
    assert walk.c.risk.open_since == walk.fact(seq).occurred_at
    refused_by(walk, "amendment_agreed", "amend", data={"supersedes": walk.last, "void": True}, current=["a risk that was seen"])
    walk.fire("amend", S, data={"supersedes": walk.last, "void": True})
    assert walk.c.risk.open_since is not None
    assert walk.do("review_risk").c.risk.open_since is None


def test_an_amendment_that_brings_a_risk_to_light_holds_a_signature_of_the_same_request():
    walk = reach("in_initial")
    walk.fire("record_measure", data={"instrument": "phq9", "items": [1] * 8 + [0]})
    scale = walk.last
    walk.fire("review_risk", data={"level": "none"})
    session = walk.session(sign=False)
    walk.now += HOUR
    amended = walk.body("amend", data={"supersedes": scale, "data": {"items": [1] * 8 + [3]}})
    signed = walk.body("sign_session", session=session)
    refused = walk.preview(amended, signed)
    assert isinstance(refused, Refused)
    assert [each.rule for each in refused.refusals] == ["risk_reviewed"]
    walk.together(amended, walk.body("review_risk", data={"level": "monitored"}), signed)
    assert (walk.c.risk.open_since, walk.c.unsigned) == (None, ())


def test_a_level_that_an_amendment_raised_after_a_review_is_not_lowered_by_it():
    walk = reach("in_initial")
    walk.fire("raise_risk", data={"level": "elevated"})
    raised = walk.last
    walk.fire("review_risk", data={"level": "monitored"}, reason="She is safe.")
    walk.fire("amend", S, data={"supersedes": raised, "data": {"plan": "Stays with her sister."}})
    assert walk.c.risk.level == "monitored"
    walk.fire("amend", S, data={"supersedes": walk.last, "data": {"level": "acute", "told": ["General practitioner"]}})
    assert (walk.c.risk.level, walk.c.risk.open_since is None) == ("acute", False)
    walk.fire("amend", S, data={"supersedes": walk.last, "void": True})
    assert (walk.c.risk.level, walk.c.risk.open_since is None) == ("monitored", False)


def test_a_review_covers_what_was_on_record_when_it_was_recorded():
    walk = reach("in_initial")
    seen_at = walk.now
    walk.now += DAY
    walk.fire("review_risk", data={"level": "none"})
    walk.fire("record_measure", E, at=seen_at, data=SEEN)  # it reached us after the review
    assert walk.c.risk.open_since == seen_at
    assert walk.do("review_risk").c.risk.open_since is None


def test_an_acute_risk_that_reached_us_after_a_review_is_not_lowered_by_it():
    walk = reach("in_initial")
    seen_at = walk.now
    walk.now += DAY
    walk.fire("review_risk", data={"level": "none"})
    walk.fire("raise_risk", E, at=seen_at, data={"level": "acute"})
    assert walk.c.risk.level == "acute"


def test_raising_a_risk_never_lowers_it():
    walk = reach("in_initial")
    walk.fire("raise_risk", level="acute")
    for level in ("none", "monitored", "elevated"):
        walk.fire("raise_risk", E, data={"level": level})
        assert walk.c.risk.level == "acute"


@pytest.mark.parametrize("trigger", ("raise_risk", "review_risk"))
def test_a_person_who_finds_an_acute_risk_says_what_is_planned_and_who_was_told(trigger):
    walk = reach("in_initial")
    with pytest.raises(CommandInvalid) as refused:
        walk.fire(trigger, data={"level": "acute"})
    assert [fault.where for fault in refused.value.faults] == ["data.plan", "data.told"]
    walk.fire(trigger, data={"level": "acute", "plan": "Stays with her sister.", "told": ["General practitioner"]})
    with pytest.raises(CommandInvalid) as refused:
        walk.fire("amend", S, data={"supersedes": walk.last, "data": {"told": None}})
    assert [fault.where for fault in refused.value.faults] == ["data.data.told"]


def test_an_ehr_raises_an_acute_risk_without_a_plan_and_the_review_owes_it():
    walk = reach("in_initial")
    walk.fire("raise_risk", E, data={"level": "acute"})
    assert (walk.c.risk.level, walk.c.risk.open_since) == ("acute", walk.now)
    with pytest.raises(CommandInvalid):
        walk.fire("review_risk", data={"level": "acute"})
    walk.fire("review_risk", data={"level": "acute", "plan": "Stays with her sister.", "told": ["General practitioner"]})
    assert (walk.c.risk.level, walk.c.risk.open_since) == ("acute", None)
