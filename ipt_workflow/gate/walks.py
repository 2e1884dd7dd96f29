"""Whole courses from referral to completion, each with at most one thing out of the ordinary, so that every rule meets its case."""

import datetime as dt
from typing import Any, NamedTuple

from ipt_workflow.gate.driver import Driver
from ipt_workflow.gate.likeness import SUPERVISOR, Spot, leaving
from ipt_workflow.machine import Refused
from ipt_workflow.protocols.definition import COMPLETED

STEPS_MAX = 110
UNWELL = "unwell"
WORSE = "worse"
SICK_ROLE_GIVEN = "sick role given"
LATE = "written late"
PLAIN = ("", LATE)  # these complete without a supervisor and without overriding
OUT_OF_THE_ORDINARY = (
    "",
    "quick",
    "unfocused",
    UNWELL,
    "unsigned",
    "at risk",
    "consent withdrawn",
    WORSE,
    "deviating",
    "unimproved",
    "absent",
    SICK_ROLE_GIVEN,
    LATE,
)


class Walked(NamedTuple):
    """The last course of a walk, the refusals that held it, and whether a soft rule was overridden to go on.

    `entries` are the courses at which each trigger first came next.
    """

    spot: Spot
    held: tuple[str, ...]
    overrode: bool
    entries: dict[str, Spot]

    @property
    def words(self) -> str:
        """Why the course did not complete plainly."""
        state = self.spot.course.state
        held = " and ".join(self.held) if self.held else f"it does not end in {STEPS_MAX} steps"
        return held if state == COMPLETED else f"{held}; the course stays in {state}"


def walk(driver: Driver, twist: str = "", spot: Spot | None = None) -> Walked:
    """Leads a course to its end, or as far as it goes. It leaves each phase as early as possible, and overrides soft rules only at last."""
    held: tuple[str, ...] = ()
    spot, overrode, entries = spot or driver.open(), False, dict[str, Spot]()
    for _ in range(STEPS_MAX):
        name = leaving(driver.machine, spot.course)
        if name is None:
            break
        entries.setdefault(name, spot)
        spot = driver.paperwork(spot, otherwise(driver, twist))
        spot = give_sick_role(driver, spot) if twist == SICK_ROLE_GIVEN else spot
        left = _leave(driver, spot, name, twist)
        if isinstance(left, Spot):
            spot = left
            continue
        after = session(driver, spot, twist) if spot.course.phase else left
        if isinstance(after, Spot):
            spot = after
            continue
        held = held or (_words(left, name), _words(after, "record_session"))
        forced = driver.override(spot, name, left.refusals)
        if isinstance(forced, Refused):
            break
        spot, overrode = forced, True
    return Walked(spot, held, overrode, entries)


def give_sick_role(driver: Driver, spot: Spot) -> Spot:
    """Assigns the sick role if the protocol leaves it open."""
    if driver.protocol.sick_role.mode != "optional" or spot.course.sick_role.status != "pending":
        return spot
    given = driver.fire(spot, "assign_sick_role")
    return given if isinstance(given, Spot) else spot


def _words(refused: Refused, name: str) -> str:
    return f"{name} is refused by {', '.join(refusal.rule for refusal in refused.refusals)}"


def _leave(driver: Driver, spot: Spot, name: str, twist: str) -> Spot | Refused:
    """Tries to leave the phase, first with an obstacle if that is the twist."""
    if twist == "at risk":
        risky = driver.fire(spot, "raise_risk", data={"level": "acute", "plan": "Seen daily.", "told": ["Crisis team"]})
        if isinstance(risky, Spot):
            spot = _tried(driver, risky, name, "review_risk", {"level": "none"})
    if twist == "consent withdrawn" and spot.course.phase:
        withdrawn = driver.fire(spot, "withdraw_consent", data={"scope": "treatment"})
        if isinstance(withdrawn, Spot):
            spot = _tried(driver, withdrawn, name, "record_consent", {"scope": "treatment", "who": "client"})
    if twist == WORSE and name == "complete":
        _called_remitted(driver, spot)
    if twist == LATE and name != "start":
        return _leave_late(driver, spot, name)
    if twist == "unimproved" and name == "complete":
        driver.fire(spot, name, data={"outcome": "no_response"})
    return driver.fire(spot, name)


def _tried(driver: Driver, obstructed: Spot, name: str, remedy: str, data: dict[str, Any]) -> Spot:
    """Tries to go on with an obstacle, checks that care is not blocked by it, and removes it."""
    driver.fire(obstructed, name)
    driver.care(obstructed)
    freed = driver.fire(obstructed, remedy, data=data)
    return freed if isinstance(freed, Spot) else obstructed


def _called_remitted(driver: Driver, spot: Spot) -> None:
    """Completes as remission a course that became as bad as the scale goes."""
    for key in (driver.protocol.outcome_scales or ())[:1]:
        scale = driver.protocol.instruments[key]
        for total in (scale.total_min, scale.total_max):
            measured = driver.fire(spot, "record_measure", data={"instrument": key, "items": None, "total": total})
            spot = measured if isinstance(measured, Spot) else spot
        driver.fire(spot, "complete", data={"outcome": "remission"})


def _leave_late(driver: Driver, spot: Spot, name: str) -> Spot | Refused:
    """Writes up the phase on the evening after its next session: signs all, leaves it when that happened, then records that session."""
    evening = sign(driver, spot.later(dt.timedelta(days=driver.protocol.contract.cadence_days), "a session later"), focused=True)
    if isinstance(evening, Refused):
        return evening
    left = driver.fire(evening, name, at=spot.now, says="when it happened")
    if isinstance(left, Refused) or not left.course.open:
        return left
    return driver.fire(left, "record_session", at=evening.now - dt.timedelta(hours=1), says="held before that")


def otherwise(driver: Driver, twist: str) -> dict[str, dict[str, Any]]:
    """The data that a twist changes in the examples."""
    if twist == "absent":
        return {"agree_contract": {"missed_count": True}}
    if twist != UNWELL:
        return {}
    keys = driver.protocol.instruments_for("symptoms")
    cases = [driver.protocol.instruments[key] for key in keys if driver.protocol.instruments[key].caseness is not None]
    if not cases:
        return {}
    worst = {"instrument": cases[0].key, "items": None, "total": cases[0].total_max}
    return {"record_measure": worst}


def session(driver: Driver, spot: Spot, twist: str = "") -> Spot | Refused:
    """One more session after the protocol's cadence, held and signed on the problem area; or the refusal to record it."""
    days = 1 if twist == "quick" else driver.protocol.contract.cadence_days
    after = dt.timedelta(days=days) if spot.course.sessions else dt.timedelta(minutes=1)
    if twist == "absent" and spot.course.phase != driver.protocol.first.id:
        return driver.fire(spot, "record_session", after=after, data={"attendance": "3"}, says="missed")
    held = driver.fire(spot, "record_session", after=after, says="held")
    if isinstance(held, Refused):
        return held
    if twist == LATE:
        return held
    if twist == "deviating":
        held = _deviation(driver, held)
    if twist == "unsigned":
        driver.refusals(held)
        driver.care(held)
    return sign(driver, held, focused=twist != "unfocused")


def _deviation(driver: Driver, spot: Spot) -> Spot:
    """A session beyond the cap, which a supervisor then acknowledges."""
    over = driver.fire(
        spot, "record_session", after=dt.timedelta(hours=3), data={"kind": "additional"}, reason="A crisis.", says="additional"
    )
    if isinstance(over, Refused):
        return spot
    signed = sign(driver, over, focused=True)
    if isinstance(signed, Refused):
        return spot
    driver.refusals(signed)
    driver.care(signed)
    known = driver.fire(signed, "acknowledge_deviation", SUPERVISOR)
    return known if isinstance(known, Spot) else signed


def sign(driver: Driver, spot: Spot, *, focused: bool) -> Spot | Refused:
    """Signs all unsigned sessions."""
    while spot.course.unsigned:
        signed = driver.fire(spot, "sign_session", data={} if focused else {"focus": None})
        if isinstance(signed, Refused):
            return signed
        spot = signed
    return spot
