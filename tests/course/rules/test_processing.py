"""A processing restriction stands over everything that may be blocked, and over nothing else."""

import pytest
from support.course_walk import Walk, covers, reach, refused_by

from ipt_workflow.course.triggers import TABLE

GROUND = "accuracy_contested"


@covers("processing_not_restricted")
def test_what_may_be_blocked_is_refused_until_the_restriction_is_lifted():
    walk = reach("in_initial")
    walk.processing = GROUND
    refusal = refused_by(walk, "processing_not_restricted", "record_session", current=f"restricted: {GROUND}", remedies=())
    assert refusal.parameters == {"ground": GROUND}
    walk.processing = None
    assert walk.fire("record_session").sessions


def test_no_course_is_opened_meanwhile():
    walk = Walk()
    walk.processing = GROUND
    refused_by(walk, "processing_not_restricted", "refer")


def test_it_is_one_refusal_among_the_others():
    walk = reach("in_initial")
    walk.processing = GROUND
    refused_by(walk, "processing_not_restricted", "begin_middle", alone=False)
    assert len(walk.refused("begin_middle")) > 1


@pytest.mark.parametrize("trigger", [each.name for each in TABLE if each.never_blocked and each.needs is None])
def test_what_is_never_blocked_is_recorded_all_the_same(trigger):
    walk = reach("in_initial")
    walk.processing = GROUND
    assert walk.fire(trigger).version > reach("in_initial").c.version


def test_what_is_recorded_late_does_not_judge_what_came_after_it_anew():
    walk = reach("in_middle")
    walk.processing = GROUND
    assert walk.fire("raise_risk", at=walk.history[3].occurred_at).risk.level != "none"
