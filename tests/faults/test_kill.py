"""The service is killed, as by `kill -9`, at points where a half-done write would show, or stopped; and started again."""

import asyncio
import itertools
import random
import signal

import pytest

from faults import after
from faults.histories import Load

POINTS = ("before_commit", "after_commit", "before_answer")
STOP = "stop"


@pytest.mark.matrix(2)
def test_nothing_is_lost_or_doubled_when_the_service_is_killed_or_stopped(place, seeds):
    """Each seed ends a service at each point. The service that is started after one end is the one that meets the next."""

    async def play():
        ends = [(seed, point, random.Random(f"{point}/{seed}").randint(2, 30)) for seed in seeds for point in (*POINTS, STOP)]
        async with place.service() as service:
            await service.start(**prepared(*ends[0]))
            for end, following in itertools.zip_longest(ends, ends[1:]):
                seed, point, calls = end
                async with Load([service.url], place.tokens["therapist"], seed, name=f"end-{point}") as load:
                    await load.open()
                    working = asyncio.create_task(load.run(most=10_000, seconds=20))
                    if point == STOP:
                        await asyncio.sleep(calls / 100)
                        assert await service.stop() in {0, -signal.SIGTERM}
                    else:
                        service.arm()
                        assert await service.killed(seconds=20), f"it did not reach {point} {calls} times"
                    load.stop()
                    await working
                    await service.start(**(prepared(*following) if following else {}))
                    await after.holds(load, place)

    asyncio.run(play())
    after.verifies(place.url)


def prepared(seed: int, point: str, calls: int) -> dict[str, str]:
    """The settings of a service that will end at this point."""
    return {} if point == STOP else {"test_kill": f"{point}:{calls}"}
