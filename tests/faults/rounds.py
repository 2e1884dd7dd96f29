"""Rounds of one harm: clients work while it is done, and all checks must pass afterwards."""

import asyncio
import random
from collections.abc import Awaitable, Callable

from faults import after
from faults.histories import Load

PATIENCE = {"statement_seconds": "1", "commit_patience_seconds": "3"}  # shorter than the defaults, because the tests wait for them
BOUND_SECONDS = 10


async def rounds(place, seeds, name: str, harm: Callable[[random.Random], Awaitable[None]], url: str = "") -> None:
    """For each seed, clients work while `harm` runs; afterwards all checks must pass. The service is not restarted."""
    async with place.service(url, **PATIENCE) as service:
        await service.start()
        for seed in seeds:
            chance = random.Random(f"{name}/{seed}")
            async with Load([service.url], place.tokens["therapist"], seed, name=name) as load:
                await load.open()
                working = asyncio.create_task(load.run(most=10_000, seconds=3))
                await asyncio.sleep(chance.uniform(0.1, 0.4))
                try:
                    await harm(chance)
                    await asyncio.sleep(0.3)
                finally:
                    load.stop()
                    await working
                await after.holds(load, place)
                assert load.acknowledged
                assert service.running
