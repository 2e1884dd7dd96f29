"""The moves that the exploration makes from each course, and attempts that should be refused."""

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
NamedMove = tuple[str, Spot | Refused]
Refusals = tuple[Refusal, ...]


def moves(driver: Driver, spot: Spot, refusals: Refusals) -> Iterator[NamedMove]:
    """Every move from a course, by name, with the course it leads to or its refusal."""
    course = spot.course
    if not course.open:
        return
    yield from _onward(driver, spot, refusals)
    if course.phase is None:
        yield "paperwork", driver.paperwork(spot)
    else:
        yield from _in_phase(driver, spot, refusals)
    yield "end_early", _over(driver, driver.fire(spot, "end_early"))
    yield "decline", _over(driver, driver.fire(spot, "decline"))


def may_miss(protocol: Protocol, spot: Spot) -> bool:
    """Whether the bounds allow a miss: the first one, or any once the weeks have begun if a phase counts held sessions."""
    held = any(phase.count == "held" for phase in protocol.phases)
    missed = sum(not session.attended for session in spot.course.sessions)
    return missed < MISSES_MAX or (held and counters.first_session_on(spot.course) is not None)


def _onward(driver: Driver, spot: Spot, refusals: Refusals) -> Iterator[NamedMove]:
    """Every trigger that leads to a phase or completes, in or out of turn. The next one also with soft rules overridden."""
    following = leaving(driver.machine, spot.course)
    for name in driver.onwards:
        there = driver.onward(spot, name) if name == following else driver.fire(spot, name)
        yield name, _begun(driver, there)
    if following and refusals:
        yield f"{following} overridden", _begun(driver, driver.override(spot, following, refusals))


def _begun(driver: Driver, there: Spot | Refused) -> Spot | Refused:
    """Does the paperwork of a later phase, or tries everything after an ending."""
    there = _over(driver, there)
    if isinstance(there, Refused) or there.course.phase in {None, driver.protocol.first.id}:
        return there
    return driver.paperwork(there)


def _over(driver: Driver, there: Spot | Refused) -> Spot | Refused:
    """Checks that nothing leads on from an ended course."""
    if isinstance(there, Spot) and not there.course.open:
        _stays(driver, there)
    return there


def _stays(driver: Driver, spot: Spot) -> None:
    for name in driver.onwards:
        driver.fire(spot, name)


def _in_phase(driver: Driver, spot: Spot, refusals: Refusals) -> Iterator[NamedMove]:
    course = spot.course
    yield "session", _session(driver, spot)
    if may_miss(driver.protocol, spot):
        yield "miss", driver.fire(spot, "record_session", after=WEEK, data={"attendance": "3"}, says="missed")
    if refusals:
        yield from _papers(driver, spot)
    if not spot.exception:
        yield "pause and resume", _pause(driver, spot)
    if driver.protocol.phase(course.phase or "").sessions_max_extended:
        yield "extend_phase", driver.fire(spot, "extend_phase", SUPERVISOR)
    if refusals and counters.remaining(driver.protocol, course) == 0:
        yield "wait", _wait(spot)
    if course.contract and not spot.exception:
        for words, change in (("longer", 1), ("shorter", -1)):
            terms = {"sessions": course.contract.sessions + change, "weeks": course.contract.weeks + 1}
            amended = driver.fire(spot, "amend_contract", cosigner=SUPERVISOR, exception="amended", data=terms, says=words)
            yield f"amend_contract {words}", amended


def _session(driver: Driver, spot: Spot) -> Spot | Refused:
    """A session held and signed. If it is refused, other ways to record it must be refused too; so must a session after the planned end."""
    held = walks.session(driver, spot)
    if isinstance(held, Refused):
        driver.fire(spot, "record_session", after=WEEK, data={"attendance": "6"}, says="held late")
        driver.fire(spot, "record_session", EHR, after=WEEK, says="recorded by an EHR")
    clock = counters.clock(spot.course, spot.now)
    if clock and clock.planned_end:
        days = (clock.planned_end - spot.now.date()).days + driver.protocol.contract.grace_days + 1
        driver.fire(spot, "record_session", after=dt.timedelta(days=max(1, days)), says="held too late")
    return held


def _papers(driver: Driver, spot: Spot) -> Iterator[NamedMove]:
    """The paperwork of the examples. In the first phase, also with other answers to the sick role and with the longest contract."""
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
    """A pause of two weeks, during which no phase begins and care is never blocked."""
    paused = driver.fire(spot, "pause", exception="paused")
    if isinstance(paused, Refused):
        return paused
    driver.care(paused)
    _stays(driver, paused)
    return driver.fire(paused, "resume", after=2 * WEEK)


def attempts(driver: Driver, spot: Spot) -> None:
    """Tries, as a therapist alone, triggers that need a supervisor, and the next phase with a false date.

    An ended course is reopened, to check its state.
    """
    course, spec = spot.course, driver.protocol.contract
    if not course.open:
        driver.fire(spot, "reopen", SUPERVISOR)
        return
    if course.phase is None:
        return
    following = leaving(driver.machine, course)
    if following:
        driver.fire(spot, following, at=course.started_at, says="dated to the start")
    change = "amend_contract" if course.contract else "agree_contract"
    for terms in (*_beyond("sessions", spec.sessions.min, spec.sessions.max), *_beyond("weeks", spec.weeks.min, spec.weeks.max)):
        driver.fire(spot, change, data=terms, says="out of range")
    for name in ("extend_phase", "waive_sick_role"):
        driver.fire(spot, name, says="alone")


def _beyond(name: str, least: int, most: int) -> tuple[dict[str, Any], ...]:
    return {name: least - 1}, {name: most + 1}
