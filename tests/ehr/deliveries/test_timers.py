"""The attention scan: each kind is reported once, even if a scan runs twice or is killed in between."""

import asyncio
import datetime as dt

import pytest
import sqlalchemy as sa
from support import service_walk

from ipt_workflow.course.triggers import Command
from ipt_workflow.ehr.deliveries import fan_out, timers
from ipt_workflow.runtime import settings as configuration
from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.store import events
from ipt_workflow.store.schema import tables

BEGUN = ("record_consent", "start", "record_session", "sign_session", "record_evaluation", "record_history", "record_inventory",
         "record_timeline", "record_formulation", "accept_formulation", "agree_contract")  # fmt: skip


def scene(url: str, test):
    """Runs `test(clinic, clock)` on a course that has begun."""
    clock = VirtualClock(service_walk.START)

    async def inside():
        async with service_walk.opened(configuration.load({"IPT_DATABASE_URL": url}), clock) as clinic:
            course = await service_walk.open_course(clinic)
            await service_walk.walk(clinic, course, *BEGUN)
            await test(clinic, clock, course)

    asyncio.run(inside())


async def reported(clinic) -> list[str]:
    """The kinds that were reported, in order."""
    await fan_out.fan_out_all(clinic)
    found = await clinic.database.read(events.after, "default", 0, 1000)
    return [each.detail for each in found if each.kind == "attention"]


def test_nothing_is_reported_of_a_course_that_runs_as_it_should(database_url):
    async def test(clinic, clock, course):
        assert await timers.scan(clinic) == 0
        assert await reported(clinic) == []

    scene(database_url, test)


def test_a_course_without_a_session_for_too_long_is_reported_as_overdue_once(database_url):
    async def test(clinic, clock, course):
        clock.advance(dt.timedelta(days=60))
        assert await timers.scan(clinic) == 1
        assert await timers.scan(clinic) == 0
        await service_walk.fire(clinic, course, Command("note", {"text": "She called."}))
        assert await timers.scan(clinic) == 0
        assert await reported(clinic) == ["overdue"]

    scene(database_url, test)


def test_a_course_that_gets_worse_is_reported_when_it_does_and_once(database_url):
    async def test(clinic, clock, course):
        for total, new in ((10, 0), (20, 1), (21, 0)):
            await service_walk.fire(clinic, course, Command("record_measure", {"instrument": "phq9", "total": total}))
            assert await timers.scan(clinic) == new
        assert await reported(clinic) == ["deteriorating"]

    scene(database_url, test)


def test_every_kind_can_be_reported_of_one_course():
    kinds = (*tables.REPORTED, "sessions")
    assert len(",".join(kinds)) <= tables.attention_told.c.kinds.type.length


def test_attention_is_reported_again_only_after_it_has_ended(database_url):
    async def test(clinic, clock, course):
        clock.advance(dt.timedelta(days=60))
        await timers.scan(clinic)
        await service_walk.walk(clinic, course, "record_session")
        await timers.scan(clinic)
        assert (await reported(clinic)).count("overdue") == 1
        clock.advance(dt.timedelta(days=60))
        await timers.scan(clinic)
        assert (await reported(clinic)).count("overdue") == 2

    scene(database_url, test)


def test_a_restart_reports_what_came_due_meanwhile_and_nothing_twice(database_url):
    settings, clock = configuration.load({"IPT_DATABASE_URL": database_url}), VirtualClock(service_walk.START)

    async def run(days, work=None):
        clock.advance(dt.timedelta(days=days))
        async with service_walk.opened(settings, clock) as clinic:
            if work:
                await work(clinic)
            await timers.scan(clinic)
            return await reported(clinic)

    async def begin(clinic):
        course = await service_walk.open_course(clinic)
        await service_walk.walk(clinic, course, *BEGUN)

    assert asyncio.run(run(0, begin)) == []
    assert asyncio.run(run(60)) == ["overdue"]
    assert asyncio.run(run(1)) == ["overdue"]
    assert sorted(asyncio.run(run(30))) == ["ending", "overdue"]
    assert sorted(asyncio.run(run(1))) == ["ending", "overdue"]


def test_a_pause_is_no_gap_until_its_planned_return_has_passed(database_url):
    async def test(clinic, clock, course):
        back = (clock.now() + dt.timedelta(days=50)).date().isoformat()
        await service_walk.fire(clinic, course, Command("pause", {"planned_return": back}, reason="She travels."))
        clock.advance(dt.timedelta(days=45))
        assert await timers.scan(clinic) == 0
        clock.advance(dt.timedelta(days=10))
        assert await timers.scan(clinic) == 1
        assert await reported(clinic) == ["overdue"]

    scene(database_url, test)


def test_a_risk_that_nobody_has_reviewed_is_reported_and_again_if_it_comes_back(database_url):
    async def test(clinic, clock, course):
        seen = Command("record_measure", {"instrument": "phq9@1", "items": [1] * 9})
        await service_walk.fire(clinic, course, seen)
        assert await timers.scan(clinic) == 1
        await service_walk.walk(clinic, course, "review_risk")
        assert await timers.scan(clinic) == 0
        clock.advance(dt.timedelta(minutes=1))
        await service_walk.fire(clinic, course, seen)
        assert await timers.scan(clinic) == 1
        assert await reported(clinic) == ["risk", "risk"]

    scene(database_url, test)


def test_an_event_and_what_was_reported_are_written_together_or_not_at_all(database_url, monkeypatch):
    async def test(clinic, clock, course):
        clock.advance(dt.timedelta(days=60))

        def fails(*_args):
            raise sa.exc.OperationalError("away", {}, Exception())

        with monkeypatch.context() as patched:
            patched.setattr(timers.due, "record_scan", fails)
            with pytest.raises(sa.exc.OperationalError):
                await timers.scan(clinic)
        assert await reported(clinic) == []
        assert await timers.scan(clinic) == 1

    scene(database_url, test)


def test_scans_at_the_same_time_report_it_once(database_url):
    async def test(clinic, clock, course):
        clock.advance(dt.timedelta(days=60))
        assert sum(await asyncio.gather(*(timers.scan(clinic) for _ in range(4)))) == 1
        assert await reported(clinic) == ["overdue"]

    scene(database_url, test)
