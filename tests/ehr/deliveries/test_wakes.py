"""A commit wakes the relay at once: with a poll of a minute, what is committed arrives long before the next look."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from support import databases, service_walk, staff
from support.receivers import other_side

from ipt_workflow.access.principal import Principal
from ipt_workflow.course.triggers import Command
from ipt_workflow.ehr.deliveries import relay, wakes
from ipt_workflow.ehr.deliveries.bodies import NewSubscription
from ipt_workflow.ehr.deliveries.relay import SELDOM, Relay
from ipt_workflow.ehr.deliveries.subscriptions import Subscriptions
from ipt_workflow.runtime import settings as configuration
from ipt_workflow.runtime.clock import SystemClock
from ipt_workflow.service.clinic import new_organisation, open_clinic
from ipt_workflow.service.clinics import Clinics
from ipt_workflow.store import organisations

ADMIN = Principal(person="admin-1", role="admin", via="api")
NOTE = Command("note", {"text": "She called."})
POLL = 60
LONG_BEFORE = 20


@asynccontextmanager
async def relaying(clinic):
    stop = asyncio.Event()
    running = asyncio.create_task(Relay(clinic).run(stop))
    try:
        yield
    finally:
        stop.set()
        await running


async def arrived(other, course, sequences) -> None:
    async with asyncio.timeout(LONG_BEFORE):
        while other.sequences(course) != sequences:
            await asyncio.sleep(0.01)


def settings_of(url: str):
    return configuration.load({"IPT_DATABASE_URL": url, "IPT_DEVELOPMENT": "true", "IPT_RELAY_POLL_SECONDS": str(POLL)})


async def subscribed(clinic, other) -> str:
    shown = await Subscriptions(clinic).create(ADMIN, lambda: NewSubscription(url=other.url))
    other.trusts(shown.secret)
    return shown.subscription.id


def test_a_commit_of_its_own_process_wakes_the_relay(database_url):
    async def scene():
        async with service_walk.opened(settings_of(database_url), SystemClock()) as clinic, other_side() as other:
            subscription = await subscribed(clinic, other)
            course = await service_walk.open_course(clinic)
            async with relaying(clinic):
                await arrived(other, course, [1])
                await service_walk.fire(clinic, course, NOTE)
                await arrived(other, course, [1, 2])
                await Subscriptions(clinic).ping(ADMIN, subscription)
                async with asyncio.timeout(LONG_BEFORE):
                    while other.receipts[-1].type != "subscription.ping":
                        await asyncio.sleep(0.01)

    asyncio.run(scene())


@pytest.mark.parametrize("lost", (False, True))
def test_a_commit_of_another_process_wakes_the_relay_through_postgresql(tmp_path, postgres, lost):
    settings = settings_of(databases.empty(tmp_path, postgres).database_url)

    async def scene():
        here, there = [await open_clinic(settings, SystemClock()) for _ in range(2)]
        try:
            async with other_side() as other, wakes.hearing(here.installation), relaying(here), wakes.notifying(there):
                await subscribed(there, other)
                course = await service_walk.open_course(there)
                await listening(there, lost=lost)
                await service_walk.fire(there, course, NOTE)
                await arrived(other, course, [1, 2])
        finally:
            for clinic in (here, there):
                await clinic.installation.close()

    asyncio.run(scene())


LISTENERS = "SELECT pid FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()"


async def listening(clinic, *, lost: bool) -> None:
    """Returns once a connection listens; with `lost`, another one after the first was terminated."""

    async def pids():
        return [row[0] for row in await clinic.database.read(lambda c: c.exec_driver_sql(LISTENERS).all())]

    async with asyncio.timeout(LONG_BEFORE):
        while not (found := await pids()):
            await asyncio.sleep(0.01)
        if lost:
            await clinic.database.read(lambda c: c.exec_driver_sql("SELECT pg_terminate_backend($1)", (found[0],)).all())
            while not set(await pids()) - set(found):
                await asyncio.sleep(0.05)


def test_a_relay_without_subscribers_looks_seldom(database_url, monkeypatch):
    async def scene():
        async with service_walk.opened(settings_of(database_url), SystemClock()) as clinic, other_side() as other:
            await service_walk.open_course(clinic)
            waits, stop = [], asyncio.Event()

            async def first(_stopping, *_signals, seconds):
                waits.append(seconds)
                if len(waits) == 4:  # each pause has a rest first
                    await subscribed(clinic, other)
                    await service_walk.open_course(clinic, "EHR-2")
                if len(waits) == 8:
                    stop.set()

            monkeypatch.setattr(relay, "_first", first)
            await Relay(clinic).run(stop)
            assert set(waits[1:4:2]) == {SELDOM * POLL}
            assert POLL in waits[5:]

    asyncio.run(scene())


def test_a_commit_wakes_the_relay_of_its_own_organisation_alone(database_url):
    async def scene():
        async with service_walk.opened(settings_of(database_url), SystemClock()) as clinic:
            await clinic.database.write(organisations.insert, new_organisation("south", clinic.clock.now()))
            south = await Clinics(clinic).of("south")
            await south.database.write(staff.add, "south")
            heard = []
            with wakes.listening(clinic, lambda: heard.append("first")), wakes.listening(south, lambda: heard.append("south")):
                await service_walk.open_course(south)
        assert set(heard) == {"south"}

    asyncio.run(scene())
