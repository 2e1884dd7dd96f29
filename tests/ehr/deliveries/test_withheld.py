"""Whether a course is shared, told to subscribers in its place among the course's events; on both databases."""

import asyncio

from support import service_walk

from ipt_workflow.course.triggers import Command
from ipt_workflow.ehr.deliveries import fan_out
from ipt_workflow.runtime import settings as configuration
from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.store import events

NOTE = Command("note", {"text": "She called."})
WITHDRAW = Command("withdraw_consent", {"scope": "sharing", "who": "client"})
GIVE = Command("record_consent", {"scope": "sharing", "who": "client"})
TREATMENT = Command("withdraw_consent", {"scope": "treatment", "who": "client"})


def scene(url: str, test):
    async def inside():
        async with service_walk.opened(configuration.load({"IPT_DATABASE_URL": url}), VirtualClock(service_walk.START)) as clinic:
            await test(clinic)

    asyncio.run(inside())


async def told(clinic, course: str) -> list[int | str]:
    """The seqs and other kinds of a course's events, in order of their positions, which have no gap."""
    found = await clinic.database.read(events.after, "default", 0, 1000)
    assert [each.position for each in found] == list(range(1, len(found) + 1))
    return [each.seq or each.kind for each in found if each.course == course]


def test_the_event_follows_the_entry_that_caused_it_and_stands_before_all_later_ones(database_url):
    async def test(clinic):
        course, other = [await service_walk.open_course(clinic, ref) for ref in ("EHR-1", "EHR-2")]
        for command in (NOTE, WITHDRAW, NOTE):
            await service_walk.fire(clinic, course, command)
            await service_walk.fire(clinic, other, NOTE)
        await service_walk.fire(clinic, other, WITHDRAW)
        await service_walk.fire(clinic, other, NOTE)
        await fan_out.fan_out_all(clinic)
        assert await told(clinic, course) == [1, 2, 3, "withheld", 4]
        assert await told(clinic, other) == [1, 2, 3, 4, 5, "withheld", 6]
        await service_walk.fire(clinic, course, GIVE)
        await service_walk.fire(clinic, course, NOTE)
        await fan_out.fan_out_all(clinic)
        assert await told(clinic, course) == [1, 2, 3, "withheld", 4, 5, "resumed", 6]

    scene(database_url, test)


def test_it_is_told_once_each_time_and_not_of_other_consents(database_url):
    async def test(clinic):
        course = await service_walk.open_course(clinic)
        for command in (GIVE, TREATMENT, WITHDRAW, WITHDRAW, GIVE, GIVE, WITHDRAW):
            await service_walk.fire(clinic, course, command)
            await fan_out.fan_out_all(clinic)
        kinds = [each for each in await told(clinic, course) if isinstance(each, str)]
        assert kinds == ["withheld", "resumed", "withheld"]

    scene(database_url, test)


def test_withdrawn_and_given_again_before_anybody_looked_is_no_event(database_url):
    async def test(clinic):
        course = await service_walk.open_course(clinic)
        for command in (WITHDRAW, NOTE, GIVE):
            await service_walk.fire(clinic, course, command)
        await fan_out.fan_out_all(clinic)
        assert await told(clinic, course) == [1, 2, 3, 4]

    scene(database_url, test)
