"""The clocks that every other part takes the time from."""

import datetime as dt

import pytest

from ipt_workflow.runtime.clock import SandboxClock, SystemClock, VirtualClock

START = dt.datetime(2026, 1, 5, 9, 0, tzinfo=dt.UTC)


def test_the_system_clock_gives_the_present_moment_in_utc() -> None:
    before = dt.datetime.now(dt.UTC)
    now = SystemClock().now()
    assert before <= now <= dt.datetime.now(dt.UTC)
    assert now.utcoffset() == dt.timedelta(0)


def test_a_virtual_clock_moves_only_when_it_is_moved() -> None:
    clock = VirtualClock(START)
    assert clock.now() == clock.now() == START


def test_a_virtual_clock_advances_by_as_much_as_it_is_now_to_the_microsecond() -> None:
    clock = VirtualClock(START)
    clock.advance(dt.timedelta(days=7))
    clock.advance(dt.timedelta(microseconds=1))
    assert clock.now() == START + dt.timedelta(days=7, microseconds=1)


def test_a_virtual_clock_can_be_set_back() -> None:
    clock = VirtualClock(START)
    clock.set(START - dt.timedelta(weeks=20))
    assert clock.now() == START - dt.timedelta(weeks=20)


def test_a_virtual_clock_gives_utc_in_whichever_zone_it_was_set() -> None:
    clock = VirtualClock(dt.datetime(2026, 1, 5, 10, 0, tzinfo=dt.timezone(dt.timedelta(hours=1))))
    assert clock.now() == START
    assert clock.now().utcoffset() == dt.timedelta(0)


def test_a_virtual_clock_takes_no_time_without_a_zone() -> None:
    with pytest.raises(ValueError, match="needs a zone"):
        VirtualClock(dt.datetime(2026, 1, 5, 9, 0))


def test_a_sandboxs_clock_runs_ahead_at_the_pace_of_the_systems() -> None:
    system = VirtualClock(START)
    clock = SandboxClock(dt.timedelta(days=7), START, system)
    assert clock.now() == START + dt.timedelta(days=7)
    system.advance(dt.timedelta(hours=1))
    assert clock.now() == START + dt.timedelta(days=7, hours=1)
    assert clock.real() == START + dt.timedelta(hours=1)


def test_a_sandboxs_clock_moves_forward_and_never_back() -> None:
    clock = SandboxClock(dt.timedelta(), START, VirtualClock(START))
    clock.move(START + dt.timedelta(weeks=16))
    assert clock.now() == START + dt.timedelta(weeks=16)
    clock.move(START)
    assert clock.now() == START + dt.timedelta(weeks=16)


def test_a_sandboxs_clock_does_not_go_back_when_the_systems_clock_does() -> None:
    system = VirtualClock(START)
    clock = SandboxClock(dt.timedelta(days=1), START + dt.timedelta(days=2), system)
    assert clock.now() == START + dt.timedelta(days=2)
    system.advance(dt.timedelta(days=3))
    assert clock.now() == START + dt.timedelta(days=4)
    system.set(START)
    assert clock.now() == START + dt.timedelta(days=4)
