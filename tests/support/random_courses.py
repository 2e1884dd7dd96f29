"""Random steps of a course, one trigger at a time, unlike the moves of the exploration; and whether the exploration predicts them."""

import datetime as dt
import random
from typing import Any

from ipt_workflow.gate.driver import Driver
from ipt_workflow.gate.exploration import Exploration
from ipt_workflow.gate.likeness import SUPERVISOR, Spot, key, leaving
from ipt_workflow.gate.steps import moves

PAPERS = (
    "record_evaluation", "record_history", "record_inventory", "record_timeline", "record_formulation", "accept_formulation",
    "assign_sick_role", "relinquish_sick_role", "select_focus", "agree_contract", "record_measure", "announce_ending", "record_gains",
    "plan_for_recurrence", "decide_continuation", "record_consent", "record_contact", "raise_risk", "review_risk", "note",
)  # fmt: skip


def compared(exploration: Exploration, spot: Spot) -> bool:
    """Whether a course counts as one that was explored. If so, every move from it must lead to the same features."""
    driver = exploration.driver
    refusals = driver.refusals(spot)
    here = key(driver.machine, spot, refusals)
    if here not in exploration.onward or leaving(driver.machine, spot.course) in {None, "start"}:
        return False
    onward = exploration.onward[here]
    for move, there in moves(driver, spot, refusals):
        led = key(driver.machine, there, driver.refusals(there)) if isinstance(there, Spot) else None
        beyond_bounds = move == "miss" and move not in onward
        assert beyond_bounds or onward[move] == led, (
            move,
            onward[move],
            led,
            spot.path.steps(),
            exploration.spots[here].path.steps(),
        )
    return True


def chosen(driver: Driver, spot: Spot, chance: random.Random) -> Spot:
    """One more step, if it is accepted. Time passes in the protocol's cadence."""
    there = _tried(driver, spot, chance)
    return there if isinstance(there, Spot) else spot


def _tried(driver: Driver, spot: Spot, chance: random.Random) -> Any:
    pick, following = chance.random(), leaving(driver.machine, spot.course)
    if spot.course.unsigned and pick < 0.9:
        return driver.fire(spot, "sign_session")
    if following and pick < 0.3:
        refusals = driver.refusals(spot)
        forced = chance.random() < 0.1
        return driver.override(spot, following, refusals) if refusals and forced else driver.fire(spot, following)
    if pick < 0.45:
        days = chance.choice((1, 1, 1, 2)) * driver.protocol.contract.cadence_days
        data = {"attendance": chance.choice("5555556634725")}
        return driver.fire(spot, "record_session", after=dt.timedelta(days=days), data=data)
    if pick < 0.5:
        return _out_of_the_ordinary(driver, spot, chance)
    if pick < 0.6:
        return driver.paperwork(spot, _answers(driver, chance))
    return _paper(driver, spot, chance)


def _out_of_the_ordinary(driver: Driver, spot: Spot, chance: random.Random) -> Any:
    name = chance.choice(("pause", "resume", "resume", "extend_phase", "waive_sick_role", "amend_contract", "end_early"))
    if name in {"extend_phase", "waive_sick_role"}:
        return driver.fire(spot, name, SUPERVISOR)
    return driver.fire(spot, name, cosigner=SUPERVISOR, exception=name)


def _answers(driver: Driver, chance: random.Random) -> dict[str, dict[str, Any]]:
    spec = driver.protocol.contract
    terms = {
        "sessions": chance.randint(spec.sessions.min, spec.sessions.max),
        "weeks": chance.randint(spec.weeks.min, spec.weeks.max),
        "missed_count": chance.random() < 0.5,
    }
    return {"agree_contract": terms, "assign_sick_role": {"response": chance.choice(("accepts", "accepts", "declines"))}}


def _paper(driver: Driver, spot: Spot, chance: random.Random) -> Any:
    """One paper, more often one that a refusal names as a remedy."""
    remedies = [remedy.trigger for refusal in driver.refusals(spot) for remedy in refusal.remedies if remedy.trigger in PAPERS]
    known = [name for name in PAPERS if name in driver.machine.triggers]
    name = chance.choice(remedies if remedies and chance.random() < 0.85 else known)
    return driver.fire(spot, name, data=_answers(driver, chance).get(name))
