"""What may be done with a course: the moves that the exploration makes from each, and what is only tried, since it should not pass."""

import datetime as dt
from collections.abc import Iterator
from typing import Any

from ipt_workflow.course import counters
from ipt_workflow.errors import Refusal
from ipt_workflow.gate import walks
from ipt_workflow.gate.driver import Driver
from ipt_workflow.gate.likeness import EHR, SUPERVISOR, Spot, leaving
from ipt_workflow.machine import Refused
from ipt_workflow.protocols.definition import Protocol

MISSES_MAX = 1
WEEK = dt.timedelta(days=7)
Move = tuple[str, Spot | Refused]
Standing = tuple[Refusal, ...]


def moves(driver: Driver, spot: Spot, standing: Standing) -> Iterator[Move]:
    """Every move from a course, by name, with where it leads or why it does not."""
    course = spot.course
    if not course.open:
        return
    yield from _onward(driver, spot, standing)
    if course.phase is None:
        yield "paperwork", driver.paperwork(spot)
    else:
        yield from _in_phase(driver, spot, standing)
    yield "end_early", _over(driver, driver.fire(spot, "end_early"))
    yield "decline", _over(driver, driver.fire(spot, "decline"))


def may_miss(protocol: Protocol, spot: Spot) -> bool:
    """One miss; and where a phase counts what was held, any more once the weeks have begun: missing is then one way of having a session."""
    held = any(phase.count == "held" for phase in protocol.phases)
    missed = sum(not session.attended for session in spot.course.sessions)
    return missed < MISSES_MAX or (held and counters.first_session_on(spot.course) is not None)


def _onward(driver: Driver, spot: Spot, standing: Standing) -> Iterator[Move]:
    """Every trigger that leads to a phase or completes, in turn or not; what is next also with all that is soft overridden."""
    following = leaving(driver.machine, spot.course)
    for name in driver.onwards:
        there = driver.onward(spot, name) if name == following else driver.fire(spot, name)
        yield name, _begun(driver, there)
    if following and standing:
        yield f"{following} overridden", _begun(driver, driver.override(spot, following, standing))


def _begun(driver: Driver, there: Spot | Refused) -> Spot | Refused:
    """A later phase, with its paperwork; or the end."""
    there = _over(driver, there)
    if isinstance(there, Refused) or there.course.phase in {None, driver.protocol.first.id}:
        return there
    return driver.paperwork(there)


def _over(driver: Driver, there: Spot | Refused) -> Spot | Refused:
    """From a course that is over nothing leads on, whatever was done in it."""
    if isinstance(there, Spot) and not there.course.open:
        _stays(driver, there)
    return there


def _stays(driver: Driver, spot: Spot) -> None:
    for name in driver.onwards:
        driver.fire(spot, name)


def _in_phase(driver: Driver, spot: Spot, standing: Standing) -> Iterator[Move]:
    course = spot.course
    yield "session", _session(driver, spot)
    if may_miss(driver.protocol, spot):
        yield "miss", driver.fire(spot, "record_session", after=WEEK, data={"attendance": "3"}, says="missed")
    if standing:
        yield from _papers(driver, spot)
    if not spot.exception:
        yield "pause and resume", _pause(driver, spot)
    if driver.protocol.phase(course.phase or "").sessions_max_extended:
        yield "extend_phase", driver.fire(spot, "extend_phase", SUPERVISOR)
    if standing and counters.remaining(driver.protocol, course) == 0:
        yield "wait", _wait(spot)
    if course.contract and not spot.exception:
        for words, change in (("longer", 1), ("shorter", -1)):
            terms = {"sessions": course.contract.sessions + change, "weeks": course.contract.weeks + 1}
            amended = driver.fire(spot, "amend_contract", cosigner=SUPERVISOR, exception="amended", data=terms, says=words)
            yield f"amend_contract {words}", amended


def _session(driver: Driver, spot: Spot) -> Spot | Refused:
    """A session held and signed. Where it is refused, no other way to tell of it passes; and none passes after the planned end."""
    held = walks.session(driver, spot)
    if isinstance(held, Refused):
        driver.fire(spot, "record_session", after=WEEK, data={"attendance": "6"}, says="held late")
        driver.fire(spot, "record_session", EHR, after=WEEK, says="told by an EHR")
    clock = counters.clock(spot.course, spot.now)
    if clock and clock.planned_end:
        days = (clock.planned_end - spot.now.date()).days + driver.protocol.contract.grace_days + 1
        driver.fire(spot, "record_session", after=dt.timedelta(days=max(1, days)), says="held too late")
    return held


def _papers(driver: Driver, spot: Spot) -> Iterator[Move]:
    """The paperwork as the examples have it; in the first phase also with other answers to the sick role and the longest contract."""
    course, spec = spot.course, driver.protocol.contract
    yield "paperwork", driver.paperwork(spot)
    if course.phase != driver.protocol.first.id:
        return
    if course.contract is None:
        longest = {"sessions": spec.sessions.max, "weeks": spec.weeks.max, "missed_count": True}
        yield "paperwork, longest contract", driver.paperwork(spot, {"agree_contract": longest})
    yield "assign_sick_role", walks.give_sick_role(driver, spot)
    if course.sick_role.status == "pending" and driver.protocol.sick_role.mode != "not_used":
        yield "paperwork, sick role declined", driver.paperwork(spot, {"assign_sick_role": {"response": "declines"}})
        yield "waive_sick_role", driver.fire(spot, "waive_sick_role", SUPERVISOR)


def _wait(spot: Spot) -> Spot:
    return spot.later(WEEK, "a week later")


def _pause(driver: Driver, spot: Spot) -> Spot | Refused:
    """A pause of two weeks, in which nothing begins and care is not blocked either."""
    paused = driver.fire(spot, "pause", exception="paused")
    if isinstance(paused, Refused):
        return paused
    driver.care(paused)
    _stays(driver, paused)
    return driver.fire(paused, "resume", after=2 * WEEK)


def attempts(driver: Driver, spot: Spot) -> None:
    """What needs a supervisor or cannot be, tried by a therapist alone; an ending is taken back to where it left from, and no further."""
    course, spec = spot.course, driver.protocol.contract
    if not course.open:
        driver.fire(spot, "reopen", SUPERVISOR)
        return
    if course.phase is None:
        return
    change = "amend_contract" if course.contract else "agree_contract"
    for terms in (*_beyond("sessions", spec.sessions.min, spec.sessions.max), *_beyond("weeks", spec.weeks.min, spec.weeks.max)):
        driver.fire(spot, change, data=terms, says="out of range")
    for name in ("extend_phase", "waive_sick_role"):
        driver.fire(spot, name, says="alone")


def _beyond(name: str, least: int, most: int) -> tuple[dict[str, Any], ...]:
    return {name: least - 1}, {name: most + 1}
