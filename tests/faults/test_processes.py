"""Two services on one database, with clients that use both: every course has one order of events."""

import asyncio

import pytest

from faults import after
from faults.histories import Load


@pytest.mark.matrix(2)
def test_what_clients_of_two_services_see_has_one_order(place, seeds):
    async def play():
        async with place.service(name="one") as one, place.service(name="two") as two:
            await asyncio.gather(one.start(), two.start())
            for seed in seeds:
                async with Load([one.url, two.url], place.tokens["therapist"], seed, name="two") as load:
                    await load.open()
                    await load.run(clients=8, most=200)
                    await after.holds(load, place)
                    assert load.acknowledged

    asyncio.run(play())
    after.verifies(place.url)


def test_one_of_two_services_may_be_killed_while_the_other_goes_on(on_postgres, seeds):
    place = on_postgres

    async def play():
        async with place.service(name="one") as one, place.service(name="other") as other:
            await other.start()
            for seed in seeds:
                await one.start(test_kill=f"before_commit:{2 + seed % 7}")
                async with Load([other.url, one.url], place.tokens["therapist"], seed, name="other") as load:
                    await load.open()
                    one.arm()
                    working = asyncio.create_task(load.run(most=10_000, seconds=20))
                    assert await one.killed(seconds=20)
                    await asyncio.sleep(0.1)
                    load.stop()
                    await working
                    load.urls = [other.url]
                    await after.holds(load, place)

    asyncio.run(play())
