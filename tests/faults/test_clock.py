"""The machine's clock jumps back and forth while the service runs. The journal's recorded times do not go back, and all else holds."""

import asyncio

import pytest

from faults import after
from faults.histories import Load


@pytest.mark.matrix(2)
def test_recorded_times_do_not_go_back_when_the_clock_does(place, seeds):
    async def play():
        async with place.service() as service:
            await service.start(test_clock=str(seeds.start))
            for seed in seeds:
                async with Load([service.url], place.tokens["therapist"], seed, name="clock") as load:
                    await load.open()
                    await load.run(most=100)
                    await after.holds(load, place)
                    assert len(load.acknowledged) >= 10

    asyncio.run(play())
    after.verifies(place.url)
