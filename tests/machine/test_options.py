"""Options and firing agree for every state, trigger and role."""

import datetime as dt

import msgspec
import pytest
from support.course_walk import DAY, STAGES, WEEK, A, E, S, T, Walk, ipt, reach

from ipt_workflow.course import triggers
from ipt_workflow.errors import TriggerNotPermitted
from ipt_workflow.machine import Accepted, Refused
from ipt_workflow.protocols import definition

ACTORS = (T, S, E, A)


def answer(walk: Walk, example, by) -> Accepted | Refused:
    return walk.preview(example, by=by)


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("by", ACTORS, ids=lambda actor: actor.role)
def test_a_trigger_is_allowed_exactly_when_firing_its_example_is_accepted(stage, by):
    walk = reach(stage)
    for name, option in walk.options(by).items():
        fired = answer(walk, option.example, by)
        assert option.allowed == isinstance(fired, Accepted), name
        if isinstance(fired, Accepted):
            assert fired.course.state == option.to
            assert option.refusals == ()
        else:
            assert {refusal.rule for refusal in fired.refusals} == {
                refusal.rule for refusal in (*option.refusals, *option.warnings)
            }


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("by", ACTORS, ids=lambda actor: actor.role)
def test_only_what_the_role_may_ever_fire_is_offered(stage, by):
    walk = reach(stage)
    offered = walk.options(by)
    assert set(offered) == {
        name
        for name in triggers.names(ipt())
        if by.role in (row := triggers.find(name, ipt())).roles and definition.NEW not in row.sources
    }
    for name in set(triggers.names(ipt())) - set(offered) - {"refer", "adopt"}:
        with pytest.raises(TriggerNotPermitted):
            walk.preview(walk.example(name, T), by=by)


@pytest.mark.parametrize("stage", STAGES)
def test_asking_what_is_allowed_at_another_time_agrees_with_firing_then(stage):
    walk = reach(stage)
    for at in (walk.now + dt.timedelta(minutes=4), walk.now - 3 * DAY, walk.now - 5 * WEEK):
        if at < walk.c.opened_at:
            continue
        for name, option in walk.options(T, at).items():
            assert dt.datetime.fromisoformat(option.example["occurred_at"]) == at
            assert option.allowed == isinstance(answer(walk, option.example, T), Accepted), (name, at)


def test_waiting_until_the_earliest_time_removes_what_waiting_alone_can_remove():
    walk = reach("ready_to_complete", weeks=16)
    option = walk.options(T)["complete"]
    assert option.warnings
    assert option.earliest is not None
    walk.now = option.earliest
    assert walk.options(T)["complete"].warnings == ()


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("by", (T, S), ids=lambda actor: actor.role)
def test_options_and_previews_change_nothing(stage, by):
    walk = reach(stage)
    before = msgspec.json.encode(walk.c), walk.history, dict(walk.given)
    for option in walk.options(by).values():
        answer(walk, option.example, by)
    assert (msgspec.json.encode(walk.c), walk.history, dict(walk.given)) == before


def test_a_stranger_walks_a_course_to_its_end_by_options_alone():
    """Firing, at every step, the first allowed trigger not yet fired leads to the end."""
    walk = Walk().referred()
    wanted = [name for name in triggers.names(ipt()) if name not in SIDEWAYS]
    for _ in range(200):
        if walk.state == "completed":
            break
        options = walk.options(T)
        done = {fact.trigger for fact in walk.history if fact.trigger not in REPEATED}
        onward = [name for name in ("complete", "begin_final", "begin_middle") if options[name].allowed]
        chosen = onward or [name for name in wanted if name in options and options[name].allowed and name not in done]
        if chosen[0] == "record_session":
            walk.now += WEEK
        walk.now += dt.timedelta(minutes=1)
        walk.together(walk.options(T)[chosen[0]].example)
        if chosen[0] in {"start", "begin_final"}:
            walk.measure()
    assert walk.state == "completed"
    assert walk.counted.consumed == walk.counted.contracted


REPEATED = frozenset({"sign_session", "record_session", "record_measure"})
SIDEWAYS = frozenset({
    "decline", "pause", "end_early", "link_session", "record_contact", "book_session", "waive_sick_role", "change_focus",
    "set_dispute_stage", "amend_contract", "extend_phase", "raise_risk", "review_risk", "withdraw_consent", "refer_on", "note",
    "transfer", "change_protocol", "amend", "update_sick_role", "record_measure",
})  # fmt: skip
