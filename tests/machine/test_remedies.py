"""A refusal's remedies really remove it."""

from typing import Any

import pytest
from support.course_walk import BY_ROLE, S2, STAGES, WEEK, S, T, Walk, reach

from ipt_workflow.errors import Refusal

DEPTH = 4
ROUNDS = 40
# The data with which a remedy helps.
SAYING: dict[tuple[str, str], dict[str, Any]] = {
    ("contracted_weeks_served", "amend_contract"): {"weeks": 1},
    ("dispute_stage_legal", "select_focus"): {"primary": "role_dispute", "stage": "renegotiation", "people": ["p1"]},
}


def refusals_at(stage: str) -> list[tuple[str, Refusal]]:
    """Every refusal that offers a remedy, of every trigger that therapist or supervisor may fire at a stage."""
    walk = reach(stage)
    found: dict[tuple[str, str], Refusal] = {}
    for by in (T, S):
        for name, option in walk.options(by).items():
            found |= {(name, refusal.rule): refusal for refusal in (*option.refusals, *option.warnings) if refusal.remedies}
    return [(name, refusal) for (name, _), refusal in found.items()]


def perform(walk: Walk, trigger: str, depth: int, **data: Any) -> bool:
    """Fires a trigger as an actor who may, after the remedies of its own refusals."""
    by = T if trigger in walk.options(T) else S
    if trigger == "record_session":
        walk.now += WEEK
    for _ in range(ROUNDS):
        refusals = walk.refused(trigger, by, S if by is T else None, **data)
        hard = [refusal for refusal in refusals.values() if refusal.severity == "hard"]
        if not hard:
            walk.fire(trigger, by, S if by is T else None, override=tuple(refusals), **data)
            return True
        if depth == 0 or not any(remedied(walk, refusal, depth - 1) for refusal in hard):
            return False
    return False


def remedied(walk: Walk, refusal: Refusal, depth: int) -> bool:
    """Whether any of a refusal's remedies can be performed. The walk goes on from there."""
    for remedy in refusal.remedies:
        trial = walk.copy()
        reason = {"reason": "It took place."} if remedy.data.get("kind") == "additional" else {}
        if perform(trial, remedy.trigger, depth, **reason, **remedy.data, **SAYING.get((refusal.rule, remedy.trigger), {})):
            walk.__dict__.update(trial.__dict__)
            return True
    return False


def refusal_by(walk: Walk, trigger: str, rule: str) -> Refusal | None:
    return walk.refused(trigger, T if trigger in walk.options(T) else S).get(rule)


@pytest.mark.matrix(5)
@pytest.mark.parametrize("stage", STAGES)
def test_following_the_remedies_removes_the_refusal(stage):
    offered = refusals_at(stage)
    for trigger, refusal in offered:
        walk = reach(stage)
        if all(remedy.trigger == trigger and not remedy.data for remedy in refusal.remedies):
            for remedy in refusal.remedies:
                (role,) = remedy.roles
                assert refusal.rule not in walk.refused(trigger, BY_ROLE[role], S2 if remedy.via == "proposal" else None)
            continue
        remaining: Refusal | None = refusal
        for _ in range(ROUNDS):
            if remaining is None or not remedied(walk, remaining, DEPTH):
                break
            remaining = refusal_by(walk, trigger, refusal.rule)
        assert remaining is None, f"{trigger} is still refused by {refusal.rule} after {[r.trigger for r in refusal.remedies]}"


def test_every_remedy_names_who_may_fire_it():
    for stage in STAGES:
        for _, refusal in refusals_at(stage):
            for remedy in refusal.remedies:
                assert remedy.roles
                assert any(remedy.trigger in reach(stage).options(BY_ROLE[role]) for role in remedy.roles if role in BY_ROLE)
