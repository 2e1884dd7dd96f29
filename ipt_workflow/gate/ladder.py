"""The paperwork of each phase with one paper left out, or one part of a paper: so that each rule is once the only one that stands.

Gates read their papers apart from each other: what stands without two papers is what stands without the one, and without the other. So
one left out at a time tells what all sets of them would, and the exploration need not know them (`tests/gate` leaves out random sets).
"""

from ipt_workflow.gate.driver import Driver, Paper
from ipt_workflow.gate.likeness import Spot
from ipt_workflow.gate.walks import SICK_ROLE_GIVEN, STEPS_MAX, UNWELL, otherwise, session
from ipt_workflow.machine import Refused

CLIMBED = (SICK_ROLE_GIVEN, UNWELL)  # walks on whose way there is most to write


def climb(driver: Driver, entries: dict[str, Spot], twist: str) -> None:
    """What is held by one paper alone, before each trigger that comes next in a course; and where overriding that leads."""
    for name, spot in entries.items():
        ready = through(driver, name, spot, twist)
        for left_out in rungs(driver, name, spot, twist):
            through(driver, name, spot, twist, frozenset({left_out}))
            if left_out.part:
                again = driver.fire(ready, left_out.trigger, data={left_out.part: None}, says=f"again, without {left_out.part}")
                if isinstance(again, Spot):
                    driver.standing(again)


def rungs(driver: Driver, name: str, spot: Spot, twist: str = "") -> list[Paper]:
    """What can be left out of the paperwork before a trigger: every paper, and every part of one."""
    done: list[Paper] = []
    through(driver, name, spot, twist, done=done)
    kinds = dict.fromkeys(paper.trigger for paper in done)
    return [*done, *(Paper(trigger, part=part) for trigger in kinds for part in driver.parts(spot, trigger))]


def through(
    driver: Driver,
    name: str,
    spot: Spot,
    twist: str = "",
    without: frozenset[Paper] = frozenset(),
    done: list[Paper] | None = None,
) -> Spot:
    """Goes on until nothing stands against a trigger, or no session is left. What is soft alone is overridden, to see where that leads."""
    written = [] if done is None else done
    for _ in range(STEPS_MAX):
        spot = driver.paperwork(spot, otherwise(driver, twist), without, written)
        standing = driver.standing(spot)
        if not standing or spot.course.phase is None:
            break
        driver.override(spot, name, standing)
        after = session(driver, spot)
        if isinstance(after, Refused):
            break
        spot = after
    return spot
