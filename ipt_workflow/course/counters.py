"""Counts sessions and weeks. Both limits hold, each on its own (`machine.md`, Counting; domain.md 6.0)."""

import datetime as dt
from collections.abc import Iterable
from zoneinfo import ZoneInfo

import msgspec

from ipt_workflow.course.course import Contract, Course, Session, Tally
from ipt_workflow.protocols.definition import PhaseSpec, Protocol

UTC = ZoneInfo("UTC")
NONE = Tally()


class Counters(msgspec.Struct, frozen=True, kw_only=True):
    """Sessions. `attended` counts towards the bounds of each phase.

    With the phase's `count` of `held`, it includes sessions held without the client. `remaining` is None until a contract is agreed. `over` counts sessions beyond a cap, which never count towards anything.
    """

    attended: dict[str, int]
    missed: dict[str, int]
    over: dict[str, int]
    caps: dict[str, int | None]
    consumed: int
    contracted: int | None
    remaining: int | None
    session: int  # the n of `session n of N`: the next session, or the last one of the contract, or the last one before the ending


class WeekClock(msgspec.Struct, frozen=True, kw_only=True):
    """Weeks, in the organisation's time zone, from the first session that the client attended or their group held.

    `paused_days` are the days since then on which a pause stopped the clock.
    """

    started_on: dt.date
    week: int  # the w of `week w of W`
    weeks: int | None
    planned_end: dt.date | None
    paused_days: int


def counters(protocol: Protocol, course: Course) -> Counters:
    contract = course.contract
    tallies = {phase.id: _tally(course, phase) for phase in protocol.phases}
    consumed = _consumed(protocol, course, contract)
    remaining = max(0, contract.sessions - consumed) if contract else None
    upcoming = consumed + course.open
    return Counters(
        attended={phase.id: phase_count(course, phase) for phase in protocol.phases},
        missed={phase_id: tally.missed for phase_id, tally in tallies.items()},
        over={phase_id: tally.over for phase_id, tally in tallies.items()},
        caps={phase.id: phase_cap(protocol, course, phase) for phase in protocol.phases},
        consumed=consumed,
        contracted=contract.sessions if contract else None,
        remaining=remaining,
        session=min(upcoming, contract.sessions) if contract else upcoming,
    )


def phase_count(course: Course, phase: PhaseSpec) -> int:
    """Sessions of a phase that count towards its bounds: attended by the client, or with `count = "held"` all that took place."""
    return attended_in(course, phase) + _held_without(course, phase)


def attended_in(course: Course, phase: PhaseSpec) -> int:
    """Sessions of a phase that the client attended, including those before an adoption."""
    return _tally(course, phase).counted + _adopted(course, phase.id)


def _tally(course: Course, phase: PhaseSpec) -> Tally:
    return course.tallies.get(phase.id, NONE)


def used_total(protocol: Protocol, course: Course) -> int:
    """Sessions used up without regard to misses: attended, or held without the client if the phase counts held sessions."""
    adopted = sum(course.adopted.attended.values()) if course.adopted else 0
    attended = sum(tally.counted for tally in course.tallies.values()) + adopted
    return attended + sum(_held_without(course, phase) for phase in protocol.phases)


def _held_without(course: Course, phase: PhaseSpec) -> int:
    """Sessions of a phase that were held without the client; 0 unless the phase counts held sessions."""
    return _tally(course, phase).held_without if phase.count == "held" else 0


def needed(protocol: Protocol, course: Course, phase: PhaseSpec) -> int:
    """The fewest sessions that the phase must have for this client.

    What a member of a group must attend counts from joining: sessions that the group held before are taken off the phases that
    count held sessions, in their order. At least one session of each phase is held with the client as a member (design).
    """
    if course.held_before is None:
        return phase.sessions_min
    before = course.held_before.sessions
    for each in protocol.phases[: protocol.position(phase.id)]:
        before -= _taken_off(each, before)
    return phase.sessions_min - _taken_off(phase, before)


def _taken_off(phase: PhaseSpec, before: int) -> int:
    return min(before, max(0, phase.sessions_min - 1)) if phase.count == "held" else 0


def _used_before_joining(protocol: Protocol, course: Course, contract: Contract | None) -> int:
    """Sessions of the contract that the group had held before the client joined."""
    if contract is None or course.held_before is None or contract.from_joining:
        return 0
    fewest_since = sum(needed(protocol, course, phase) for phase in protocol.phases)
    return min(course.held_before.sessions, max(0, contract.sessions - fewest_since))


def counts_in(phase: PhaseSpec, session: Session) -> bool:
    """Whether a session of this phase counts towards its bounds and uses up a session of the contract, apart from misses."""
    return session.kind == "session" and (session.held if phase.count == "held" else session.attended)


def fewest(protocol: Protocol, course: Course, phase: PhaseSpec) -> int:
    """The fewest sessions of a contract while the course is in a phase: those used, and those that the phases still need."""
    missing = max(0, needed(protocol, course, phase) - phase_count(course, phase))
    return used_total(protocol, course) + missing + reserved_after(protocol, course, phase)


def remaining(protocol: Protocol, course: Course) -> int | None:
    return max(0, course.contract.sessions - _consumed(protocol, course, course.contract)) if course.contract else None


def consumed(protocol: Protocol, course: Course) -> int:
    return _consumed(protocol, course, course.contract)


def consumed_in_last(protocol: Protocol, course: Course) -> int:
    """Sessions of the last phase that are used up: attended, or missed if the contract counts misses."""
    last = protocol.last
    used = phase_count(course, last) + _counted_misses(course, course.contract, (last,))
    return min(used, last.sessions_max or used)


def phase_cap(protocol: Protocol, course: Course, phase: PhaseSpec) -> int | None:
    """The most sessions that the phase may have now. Without a cap of its own: the sessions that the contract leaves to it."""
    if phase.sessions_max is not None:
        extended = (
            phase.sessions_max_extended if phase.id in course.extended else None
        )  # None if the phase was extended under another protocol
        return extended or phase.sessions_max
    return _left_to(protocol, course, phase, course.contract.sessions) if course.contract else None


def most_in(protocol: Protocol, course: Course, phase: PhaseSpec) -> int:
    """The phase's cap. Before a contract: the sessions that the longest contract without a supervisor would leave to it."""
    cap = phase_cap(protocol, course, phase)
    return _left_to(protocol, course, phase, protocol.contract.sessions.max) if cap is None else cap


def _left_to(protocol: Protocol, course: Course, phase: PhaseSpec, sessions: int) -> int:
    before = sum(phase_count(course, earlier) for earlier in protocol.phases[: protocol.position(phase.id)])
    before += _used_before_joining(protocol, course, course.contract)
    return max(0, sessions - before - reserved_after(protocol, course, phase))


def reserved_after(protocol: Protocol, course: Course, phase: PhaseSpec) -> int:
    """Sessions of the contract that are reserved for later phases: the fewest that each of them must have."""
    return sum(needed(protocol, course, later) for later in protocol.phases[protocol.position(phase.id) + 1 :])


def _consumed(protocol: Protocol, course: Course, contract: Contract | None) -> int:
    """Sessions used, plus the misses that the contract counts. Earlier misses never use up sessions of the last phase."""
    used = used_total(protocol, course) + _used_before_joining(protocol, course, contract)
    if contract is None or not contract.missed_count:
        return used
    used_earlier = used - phase_count(course, protocol.last)
    room = max(0, contract.sessions - needed(protocol, course, protocol.last) - used_earlier)
    misses_earlier = min(_counted_misses(course, contract, protocol.phases[:-1]), room)
    return min(contract.sessions, used_earlier + misses_earlier + consumed_in_last(protocol, course))


def _counted_misses(course: Course, contract: Contract | None, phases: Iterable[PhaseSpec]) -> int:
    """Misses that use up a session because the contract counts them. Phases that count held sessions are left out."""
    if contract is None or not contract.missed_count:
        return 0
    return sum(_tally(course, phase).chargeable for phase in phases if phase.count == "attended")


def _adopted(course: Course, phase_id: str) -> int:
    return course.adopted.attended.get(phase_id, 0) if course.adopted else 0


def clock(course: Course, at: dt.datetime, zone: ZoneInfo = UTC) -> WeekClock | None:
    """The course's weeks at a moment, or None before the first session that the client attended or their group held.

    They stop with the ending.
    """
    started_on = first_session_on(course, zone)
    if started_on is None:
        return None
    contract = course.contract
    at = min(at, course.ending.at) if course.ending else at
    paused = _stopped_days(course, started_on, at, zone)
    elapsed = max(0, (at.astimezone(zone).date() - started_on).days - paused)
    before = weeks_before(course, started_on, zone)
    return WeekClock(
        started_on=started_on,
        week=elapsed // 7 + 1 + before,
        weeks=contract.weeks if contract else None,
        planned_end=_end(contract, started_on, before, paused) if contract else None,
        paused_days=paused,
    )


def planned_end(course: Course, at: dt.datetime, zone: ZoneInfo = UTC) -> dt.date | None:
    """The day on which the contracted weeks end, as known at a moment; None without a contract or before the weeks begin."""
    contract, started_on = course.contract, first_session_on(course, zone)
    if contract is None or started_on is None:
        return None
    return _end(contract, started_on, weeks_before(course, started_on, zone), _stopped_days(course, started_on, at, zone))


def _end(contract: Contract, started_on: dt.date, before: int, paused: int) -> dt.date:
    """The day on which the contracted weeks end, of which the group had met for so many before, with so many days paused."""
    return started_on + dt.timedelta(weeks=contract.weeks - before, days=paused)


def weeks_before(course: Course, started_on: dt.date, zone: ZoneInfo = UTC) -> int:
    """Whole weeks of the contract that the group had met before this client's weeks began; 0 without a contract for all of them."""
    if course.held_before is None or course.contract is None or course.contract.from_joining:
        return 0
    return max(0, (started_on - course.held_before.since.astimezone(zone).date()).days // 7)


def first_session_on(course: Course, zone: ZoneInfo = UTC) -> dt.date | None:
    if course.adopted and course.adopted.first_session_on:
        return course.adopted.first_session_on
    return course.begun_at.astimezone(zone).date() if course.begun_at else None


def _stopped_days(course: Course, started_on: dt.date, at: dt.datetime, zone: ZoneInfo) -> int:
    """Whole days up to `at` on which pauses and absences stopped the clock, if the contract says so: each day once, from `started_on`."""
    if course.contract is None or not course.contract.pause_stops_clock:
        return 0
    stopped, counted_until = course.adopted.paused_days if course.adopted else 0, started_on
    for pause in sorted(course.interruptions, key=lambda each: each.since):
        begins = max(pause.since.astimezone(zone).date(), counted_until)
        ends = min(pause.until or at, at).astimezone(zone).date()
        stopped += max(0, (ends - begins).days)
        counted_until = max(counted_until, ends)
    return stopped


def midnight(day: dt.date, zone: ZoneInfo = UTC) -> dt.datetime:
    """The moment a day begins in the organisation's time zone, in UTC."""
    return dt.datetime.combine(day, dt.time(), zone).astimezone(dt.UTC)
