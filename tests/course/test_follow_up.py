"""What a follow-up course brings from the course that it follows."""

import pytest
from support.course_walk import DAY, WEEK, S, Walk, reach, replaced, variant
from support.follow_up import opened_after

from ipt_workflow.course.course import Focus, Rhythm
from ipt_workflow.course.follow_up import carried_over
from ipt_workflow.protocols.definition import FocusSpec, FollowupSpec, Protocol, RhythmSpec

WHOLE = variant(
    "follows",
    acute=False,
    followup=FollowupSpec(carries=("focus", "formulation", "rhythm")),
    rhythm=RhythmSpec(instrument="srm5", weeks=1),
)
BARE = variant("follows-bare", acute=False)


def opened(walk: Walk, protocol: Protocol, **more) -> Walk:
    """The course that follows, opened a day later."""
    walk.now += DAY
    return opened_after(walk, protocol, **more)


def test_consent_carries_over_and_the_courses_name_each_other():
    walk = reach("completed")
    later = opened(walk, BARE)
    assert (later.c.consents, later.c.consenting) == (walk.c.consents, walk.c.consenting) == (("treatment",), ("treatment:client",))
    assert (later.c.linked_from, walk.c.followed_by) == (walk.c.id, (later.c.id,))
    assert (later.c.focus, later.c.formulation, later.c.therapist) == (None, None, walk.c.therapist)
    assert later.fire("start").state == "initial"


def test_a_withdrawn_consent_is_still_withdrawn():
    walk = reach("completed")
    walk.fire("withdraw_consent", scope="treatment")
    later = opened(walk, BARE)
    assert later.c.withdrawn == ("treatment",)
    assert "consent_given" in later.refused("start")


def test_focus_and_formulation_carry_over_where_the_protocol_says_so_and_the_next_formulation_has_the_next_number():
    walk = reach("completed")
    later = opened(walk, WHOLE)
    assert later.c.formulation == walk.c.formulation
    assert later.c.focus == replaced(walk.c.focus, changes=0)
    later.do("start", "record_formulation")
    assert later.c.formulation.version == walk.c.formulation.version + 1


def test_a_problem_area_that_the_later_protocol_does_not_have_does_not_carry_over():
    course = replaced(
        reach("completed").c, focus=Focus(primary="grief", secondary="role_dispute", further=("role_transition",), changes=2)
    )
    narrow = replaced(WHOLE, focus=FocusSpec(areas=("grief", "role_transition"), max=2))
    assert carried_over(course, narrow).focus == Focus(primary="grief", secondary="role_transition")
    other = replaced(WHOLE, focus=FocusSpec(areas=("role_dispute",), max=1))
    assert carried_over(course, other).focus is None


def test_the_rhythm_carries_over_with_its_weeks_and_targets_and_goes_on():
    walk = Walk(WHOLE).ready_to_complete().do("record_rhythm", "set_rhythm_target", "complete")
    (week,), targets = walk.c.rhythm.weeks, walk.c.rhythm.targets
    later = opened(walk, WHOLE)
    assert later.c.rhythm == Rhythm(count=1, weeks=(replaced(week, seq=1),), targets=targets)
    later.now += 2 * WEEK
    later.do("record_rhythm")
    assert (later.c.rhythm.count, later.c.rhythm.weeks[0].aimed) == (2, 7)  # the example is the week before
    assert opened(walk, BARE).c.rhythm == Rhythm()


def test_a_follow_up_that_is_told_late_begins_when_it_was_opened():
    walk = reach("completed")
    then = walk.now + DAY
    walk.now += 60 * DAY
    later = opened(walk, WHOLE, at=then)
    assert later.c.opened_at == then
    assert later.fact(1).recorded_at == walk.now
    later.fire("start", at=then + DAY)
    assert later.c.started_at == then + DAY


@pytest.mark.parametrize("change", ({"age_band": "40"}, {"source": "Another practice"}))
def test_an_amended_referral_keeps_what_carried_over(change):
    later = opened(reach("completed"), WHOLE)
    known = later.c
    later.fire("amend", S, data={"supersedes": 1, "data": change}, reason="x")
    assert (later.c.consents, later.c.focus, later.c.formulation) == (known.consents, known.focus, known.formulation)
