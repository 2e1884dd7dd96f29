"""Replay judges a step that was written late as it was judged: with what was on record when it was fired."""

from typing import Any

import msgspec
from support.course_walk import DAY, HOUR, Walk, ipt, version

from ipt_workflow.course.triggers import Command
from ipt_workflow.gate.replay import RefusedCommand, Rejudge, refused_command
from ipt_workflow.machine import Refused, machine_for

WITHOUT_ACCEPTANCE = version(2, {"initial": {"requires": tuple(each for each in ipt().first.requires if each != "acceptance")}})


def rejudged(walk: Walk, refused: RefusedCommand, *rules: str) -> tuple[str, ...]:
    """The rules of a refusal that the candidate would not repeat."""
    context = msgspec.structs.replace(walk.context(), protocols={walk.protocol.digest: walk.protocol})
    judged = Rejudge(machine_for(WITHOUT_ACCEPTANCE), context).refusal(walk.history, refused, rules)
    assert judged is not None
    return judged.rules


def with_a_late_signature() -> tuple[Walk, dict[str, Any]]:
    """A second initial session is signed a day late. The step to the middle phase is dated to before the signature."""
    walk = Walk().ready_for_middle(sessions=1, without=("accept_formulation",))
    walk.session(sign=False)
    step = {"trigger": "begin_middle", "occurred_at": (walk.now + HOUR).isoformat()}
    walk.now += DAY
    return walk, step


def refused(walk: Walk, step: dict[str, Any], *rules: str) -> RefusedCommand:
    answer = walk.preview(step)
    assert isinstance(answer, Refused)
    assert {refusal.rule for refusal in answer.refusals} == set(rules)
    return refused_command(walk.machine, walk.c, msgspec.convert(step, Command), walk.context())


def test_a_late_step_is_judged_again_with_the_signatures_that_were_on_record():
    walk, step = with_a_late_signature()
    walk.fire("sign_session", session=walk.c.unsigned[0].seq)
    kept = refused(walk, step, "formulation_accepted")
    assert rejudged(walk, kept, "formulation_accepted") == ("formulation_accepted",)


def test_a_signature_that_was_not_on_record_is_not_found_though_it_came_later():
    walk, step = with_a_late_signature()
    kept = refused(walk, step, "formulation_accepted", "no_unsigned_session")
    walk.fire("sign_session", session=walk.c.unsigned[0].seq)
    assert rejudged(walk, kept, "formulation_accepted", "no_unsigned_session") == ()


def test_acute_risk_that_was_known_when_a_late_step_was_refused_refuses_it_again():
    walk, step = with_a_late_signature()
    walk.fire("sign_session", session=walk.c.unsigned[0].seq)
    walk.fire("raise_risk", level="acute")
    kept = refused(walk, step, "formulation_accepted", "no_acute_risk")
    assert rejudged(walk, kept, "formulation_accepted", "no_acute_risk") == ()
