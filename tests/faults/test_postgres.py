"""PostgreSQL stops, ends our backends, or is reachable slowly, one way or not at all. The service keeps running and recovers with it."""

import asyncio

import httpx
import pytest

from faults import after
from faults.proxy import Proxy
from faults.rounds import BOUND_SECONDS, PATIENCE, rounds


def test_the_server_may_stop_at_once_and_come_back(on_postgres, seeds):
    place = on_postgres

    async def harm(chance):
        try:
            await asyncio.to_thread(place.server.stop_at_once)
            await asyncio.sleep(chance.uniform(0, 0.5))
        finally:
            await asyncio.to_thread(place.server.start)

    asyncio.run(rounds(place, seeds, "restart", harm))
    after.verifies(place.url)


def test_all_backends_may_be_ended_again_and_again(on_postgres, seeds):
    place = on_postgres

    async def harm(chance):
        ended = 0
        for _ in range(5):
            ended += await place.server.end_backends(place.name)
            await asyncio.sleep(chance.uniform(0, 0.2))
        assert ended

    asyncio.run(rounds(place, seeds, "ended", harm))
    after.verifies(place.url)


def through_a_proxy(place, seeds, name, harm):
    async def play():
        async with Proxy(place.server.sockets) as proxy:
            await rounds(place, seeds, name, lambda chance: harm(proxy, chance), proxy.url(place.name))

    asyncio.run(play())
    after.verifies(place.url)


def test_the_way_to_the_server_may_be_slow(on_postgres, seeds):
    async def harm(proxy, chance):
        proxy.delay = chance.uniform(0.01, 0.05)
        await asyncio.sleep(0.7)
        proxy.delay = 0.0

    through_a_proxy(on_postgres, seeds, "slow", harm)


def test_connections_may_be_cut_in_the_middle_and_refused_for_a_while(on_postgres, seeds):
    async def harm(proxy, chance):
        cut = 0
        for _ in range(4):
            cut += proxy.cut()
            await asyncio.sleep(chance.uniform(0, 0.15))
        assert cut
        await proxy.refuse()
        proxy.cut()
        await asyncio.sleep(chance.uniform(0.1, 0.3))
        await proxy.listen()

    through_a_proxy(on_postgres, seeds, "cut", harm)


@pytest.mark.parametrize("direction", ("to_server", "to_client"))
def test_connections_may_be_open_one_way_only(on_postgres, seeds, direction):
    """Existing connections pass nothing more and are never closed. New connections work."""

    async def harm(proxy, chance):
        assert proxy.half_open(direction)

    through_a_proxy(on_postgres, seeds, f"half-open-{direction}", harm)


def test_a_silent_server_is_reported_in_time_and_waited_for(on_postgres):
    place = on_postgres

    async def play():
        async with Proxy(place.server.sockets) as proxy, place.service(proxy.url(place.name), **PATIENCE) as service:
            await service.start()
            async with httpx.AsyncClient(base_url=service.url, timeout=BOUND_SECONDS) as http:
                proxy.fall_silent()
                answers = await asyncio.gather(*(http.get("/health/ready") for _ in range(20)))
                assert {answer.status_code for answer in answers} == {503}
                assert (await http.get("/health/live")).status_code == 200
                proxy.speak()
                async with asyncio.timeout(BOUND_SECONDS):
                    while (await http.get("/health/ready")).status_code != 200:
                        await asyncio.sleep(0.1)

    asyncio.run(play())
