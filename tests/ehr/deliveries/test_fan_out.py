"""Positions of events: assigned after commit, so that a late commit comes after what a reader has seen, never before."""

import asyncio
import datetime as dt

import sqlalchemy as sa
from support import databases, service_walk

from ipt_workflow.access.principal import Principal
from ipt_workflow.course.triggers import Command
from ipt_workflow.ehr.deliveries import fan_out
from ipt_workflow.ehr.deliveries.bodies import NewSubscription
from ipt_workflow.ehr.deliveries.feed import Feed
from ipt_workflow.ehr.deliveries.redelivery import Deliveries
from ipt_workflow.ehr.deliveries.subscriptions import Subscriptions
from ipt_workflow.runtime import settings as configuration
from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.store import events
from ipt_workflow.store.events import NewEvent
from ipt_workflow.store.units import LoggedEvent

ADMIN = Principal(person="admin-1", role="admin", via="api")
NOTE = Command("note", {"text": "She called."})
REFUSAL = "0197c8f3-2244-7d10-a0b1-6c2e8f9d0e77"


def scene(url: str, test):
    async def inside():
        async with service_walk.opened(configuration.load({"IPT_DATABASE_URL": url}), VirtualClock(service_walk.START)) as clinic:
            await test(clinic)

    asyncio.run(inside())


def disabled(name: str, minutes: int = 0) -> NewEvent:
    at = service_walk.START + dt.timedelta(minutes=minutes)
    return NewEvent(id=name, kind="disabled", subscription="s", detail="gone", created_at=at)


async def ids(clinic, after: int = 0) -> list[str]:
    return [each.id for each in await clinic.database.read(events.after, "default", after, 100)]


def test_what_began_earlier_and_commits_later_comes_after_what_was_read_meanwhile(postgres, tmp_path):
    async def test(clinic):
        async with clinic.installation.database._engine.connect() as slow:
            begun = await slow.begin()
            await slow.exec_driver_sql("SELECT set_config('ipt.organisations', 'default', true)")
            await slow.run_sync(events.publish, "default", disabled("slow", minutes=0))
            await clinic.database.write(events.publish, "default", disabled("quick", minutes=1))
            await fan_out.fan_out_all(clinic)
            assert await ids(clinic) == ["quick"]
            await begun.commit()
        page = await Feed(clinic).page(service_walk.SUPERVISOR, "evt_quick", 10)
        assert [each.id for each in page.items] == ["evt_slow"]

    scene(databases.empty(tmp_path, postgres).database_url, test)


def test_a_new_subscription_gets_nothing_published_before_it_though_another_process_is_fanning_out(postgres, tmp_path):
    async def test(clinic):
        course = await service_walk.open_course(clinic)
        await fan_out.fan_out_all(clinic)
        await service_walk.fire(clinic, course, NOTE)
        async with clinic.installation.database._engine.connect() as slow:
            begun = await slow.begin()
            await slow.exec_driver_sql("SELECT set_config('ipt.organisations', 'default', true)")
            await slow.run_sync(events.lock_task, "default", events.NUMBERING)
            body = NewSubscription(url="https://ehr.example/in", types=["course.changed"])
            creating = asyncio.create_task(Subscriptions(clinic).create(ADMIN, lambda: body))
            waited, _ = await asyncio.wait([creating], timeout=0.3)
            assert not waited
            await slow.run_sync(fan_out.fan_out_batch, "default", 100)
            await begun.commit()
        shown = await creating
        await fan_out.fan_out_all(clinic)
        assert await Deliveries(clinic).page(ADMIN, shown.subscription.id, status=None, after=0, limit=10) == []

    scene(databases.empty(tmp_path, postgres).database_url, test)


def test_processes_that_fan_out_at_once_give_every_event_one_position_without_a_gap(database_url):
    async def test(clinic):
        for n in range(30):
            await clinic.database.write(events.publish, "default", disabled(f"e{n:02}", minutes=n))
        assert sum(await asyncio.gather(*(fan_out.fan_out_all(clinic) for _ in range(5)))) == 30
        found = await clinic.database.read(events.after, "default", 0, 100)
        assert [each.position for each in found] == list(range(1, 31))
        assert [each.id for each in found] == [f"e{n:02}" for n in range(30)]
        assert not await clinic.database.read(events.waiting, "default")

    scene(database_url, test)


def test_entries_of_a_course_keep_the_order_of_its_journal_though_they_are_of_one_moment(database_url):
    async def test(clinic):
        course = await service_walk.open_course(clinic)
        for _ in range(12):
            await service_walk.fire(clinic, course, NOTE)
        await fan_out.fan_out_all(clinic)
        found = await clinic.database.read(events.after, "default", 0, 100)
        assert [each.seq for each in found] == list(range(1, 14))

    scene(database_url, test)


def test_a_refusal_is_an_event_and_what_a_role_may_not_is_none(database_url):
    async def test(clinic):
        course = await service_walk.open_course(clinic)
        refusal = LoggedEvent(
            organisation="default",
            id=REFUSAL,
            kind="refusal",
            recorded_at=service_walk.START,
            person="p",
            role="therapist",
            via="api",
            action="begin_middle",
            rules=("state_allows", "consent_given"),
            courses=(course,),
            published=True,
        )
        await clinic.committer.commit(refusal)
        await clinic.log(service_walk.THERAPIST, "refusal", "decide proposals", [course], ["role"])
        await fan_out.fan_out_all(clinic)
        found = await clinic.database.read(events.after, "default", 0, 100)
        assert [(each.kind, each.course, each.rules) for each in found[1:]] == [
            ("refusal", course, ("state_allows", "consent_given"))
        ]

    scene(database_url, test)


def test_a_position_is_never_assigned_twice_after_events_were_removed(database_url):
    async def test(clinic):
        await clinic.database.write(events.publish, "default", disabled("a"))
        await fan_out.fan_out_all(clinic)
        await clinic.database.write(lambda c: c.execute(sa.delete(events.event)))
        await clinic.database.write(events.publish, "default", disabled("b"))
        await fan_out.fan_out_all(clinic)
        assert (await clinic.database.read(events.position_of, "default", "b")) == 2

    scene(database_url, test)
