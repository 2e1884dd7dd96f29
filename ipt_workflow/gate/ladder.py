"""The paperwork of each phase with one paper, or one part of a paper, left out. So each rule is once the only one that refuses.

Each rule reads its documents independently of the others. So leaving out one document at a time finds every refusal that leaving out
several would find, and the exploration need not leave out any. `tests/gate` leaves out random sets to confirm it.
"""

from ipt_workflow.gate.driver import Driver, Paper
from ipt_workflow.gate.likeness import Spot
from ipt_workflow.gate.walks import SICK_ROLE_GIVEN, STEPS_MAX, UNWELL, otherwise, session
from ipt_workflow.machine import Refused

CLIMBED = (SICK_ROLE_GIVEN, UNWELL)  # the walks with the most paperwork


def climb(driver: Driver, entries: dict[str, Spot], twist: str) -> None:
    """Leaves out each paper before each trigger of a walk, and follows where overriding leads."""
    for name, spot in entries.items():
        ready = through(driver, name, spot, twist)
        for left_out in rungs(driver, name, spot, twist):
            through(driver, name, spot, twist, frozenset({left_out}))
            if left_out.part:
                again = driver.fire(ready, left_out.trigger, data={left_out.part: None}, says=f"again, without {left_out.part}")
                if isinstance(again, Spot):
                    driver.refusals(again)


def rungs(driver: Driver, name: str, spot: Spot, twist: str = "") -> list[Paper]:
    """Everything that can be left out of the paperwork before a trigger: each paper, and each part of one."""
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
    """Goes on until nothing refuses a trigger or no session is left, and follows where overriding soft rules leads."""
    written = [] if done is None else done
    for _ in range(STEPS_MAX):
        spot = driver.paperwork(spot, otherwise(driver, twist), without, written)
        refusals = driver.refusals(spot)
        if not refusals or spot.course.phase is None:
            break
        driver.override(spot, name, refusals)
        after = session(driver, spot)
        if isinstance(after, Refused):
            break
        spot = after
    return spot
