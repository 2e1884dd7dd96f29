"""Two services on one database for a while, with slow clients throughout and one hazard after another.

IPT_SOAK_SECONDS is how long the hazards last: `make soak` takes ten minutes, with a minute in which the database is read-only.
"""

import asyncio
import itertools
import os
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import asyncpg
import pytest

from faults import after
from faults.conftest import Place
from faults.histories import Load
from faults.service import Service
from faults.slow import SlowClients

SECONDS = float(os.environ.get("IPT_SOAK_SECONDS", "16"))
ROUND_SECONDS = 60.0  # at most
CALM_SECONDS = 0.3
PAUSE_SECONDS = 0.02  # of each client between two requests, at most
DRAIN_SECONDS = 1
ENOUGH = 5  # writes of other courses that must be acknowledged beside a locked one
WAIT_SECONDS = 30
Hazard = Callable[[Place, list[Service], Load, random.Random], Awaitable[None]]


async def killed(_place: Place, services: list[Service], _load: Load, chance: random.Random) -> None:
    """A process is killed, and started again."""
    service = chance.choice(services)
    await service.kill()
    await asyncio.sleep(chance.uniform(0, CALM_SECONDS))
    await service.start()


async def backends_ended(place: Place, _services: list[Service], _load: Load, _chance: random.Random) -> None:
    """The server ends every connection."""
    assert place.server
    assert await place.server.end_backends(place.name)


async def restarted_one_by_one(_place: Place, services: list[Service], _load: Load, _chance: random.Random) -> None:
    for service in services:
        await service.stop()
        await service.start()


@asynccontextmanager
async def transaction(place: Place) -> AsyncIterator[asyncpg.Connection]:
    """A transaction of somebody else, which is rolled back."""
    connection = await asyncpg.connect(place.url)
    try:
        await connection.execute("BEGIN")
        yield connection
    finally:
        connection.terminate()


async def row_locked(place: Place, _services: list[Service], load: Load, chance: random.Random) -> None:
    """A course's row is locked by somebody, until enough writes of the other courses were acknowledged."""
    locked = chance.choice(list(load.versions))
    async with transaction(place) as connection:
        await connection.execute("SELECT 1 FROM course WHERE id = $1 FOR UPDATE", locked)
        began = time.monotonic()

        def beside() -> int:
            return sum(each.outcome == "ok" and each.course != locked and each.invoked > began for each in load.acknowledged)

        async with asyncio.timeout(WAIT_SECONDS):
            while beside() < ENOUGH:
                await asyncio.sleep(0.05)


async def read_only(place: Place, _services: list[Service], load: Load, chance: random.Random) -> None:
    """The database can only be read for the rest of the round, as after a failover to a standby or with a full disk."""
    assert place.server
    began = time.monotonic()
    await place.server.run("ALTER SYSTEM SET default_transaction_read_only = on")
    await place.server.run("SELECT pg_reload_conf()")
    try:
        await asyncio.sleep(seconds_of_a_round() - CALM_SECONDS)
        assert any("503 busy" in each.seen for each in load.sent if each.invoked > began), "it was never read-only"
    finally:
        await place.server.run("ALTER SYSTEM RESET default_transaction_read_only")
        await place.server.run("SELECT pg_reload_conf()")


HAZARDS: tuple[Hazard, ...] = (killed, row_locked, restarted_one_by_one, read_only, backends_ended)


def seconds_of_a_round() -> float:
    return SECONDS / rounds()


def rounds() -> int:
    """Each hazard comes at least once."""
    return max(len(HAZARDS), round(SECONDS / ROUND_SECONDS))


async def endured(place: Place, services: list[Service], load: Load, hazard: Hazard, chance: random.Random) -> None:
    """A round: clients work, and the hazard comes again and again. Afterwards all checks must pass."""
    await load.open()
    until = time.monotonic() + seconds_of_a_round()
    working = asyncio.create_task(load.run(most=1_000_000, seconds=seconds_of_a_round() + 3 * WAIT_SECONDS))
    try:
        while time.monotonic() < until:
            await asyncio.sleep(CALM_SECONDS)
            await hazard(place, services, load, chance)
    finally:
        load.stop()
        await working
    await after.holds(load, place, seconds=WAIT_SECONDS)
    assert load.acknowledged


@pytest.mark.rest
@pytest.mark.timeout(120 + 4 * SECONDS)
def test_nothing_is_lost_doubled_or_answered_with_an_error_whatever_happens(on_postgres):
    place = on_postgres
    token = place.tokens["therapist"]
    settings = dict.fromkeys(("head_seconds", "body_seconds", "answer_seconds"), "2") | {"drain_seconds": str(DRAIN_SECONDS)}

    async def play():
        async with place.service(name="one", **settings) as one, place.service(name="two", **settings) as two:
            services = [one, two]
            await asyncio.gather(*(each.start() for each in services))
            urls = [each.url for each in services]
            async with Load(urls, token, 0, name="slow") as others:
                await others.open(courses=1)
            async with SlowClients([each.port for each in services], token, *others.versions) as slow:
                for number, hazard in zip(range(rounds()), itertools.cycle(HAZARDS)):
                    async with Load(urls, token, number, name=f"soak-{hazard.__name__}", pause=PAUSE_SECONDS) as load:
                        await endured(place, services, load, hazard, random.Random(number))
            assert slow.answered["408"], "no slow client was sent away"
            assert {status for status in slow.answered if status.startswith("5")} <= {"503"}
            assert [each.errors() for each in services] == ["", ""]

    asyncio.run(play())
    after.verifies(place.url)
