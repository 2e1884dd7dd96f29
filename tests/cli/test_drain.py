"""A process that is told to stop says so, and serves on until proxies have noticed."""

import asyncio
import os
import signal

import httpx
import pytest
from faults.service import Service, filled

READY, LIVE, SERVED = "/health/ready", "/health/live", "/schema/openapi.json"


@pytest.fixture
def url(tmp_path):
    filled(f"sqlite:///{tmp_path}/ipt.db")
    return f"sqlite:///{tmp_path}/ipt.db"


async def until_it_drains(http: httpx.AsyncClient) -> httpx.Response:
    async with asyncio.timeout(20):
        while (answer := await http.get(READY)).status_code == 200:
            await asyncio.sleep(0.02)
    return answer


def test_a_process_that_drains_is_not_ready_serves_on_and_closes_each_connection(url, tmp_path):
    async def play():
        async with (
            Service(url, tmp_path / "log", drain_seconds="300") as service,
            httpx.AsyncClient(base_url=service.url, timeout=10) as http,
        ):
            await service.start()
            assert "connection" not in (await http.get(LIVE)).headers
            os.kill(service.pid, signal.SIGTERM)
            answer = await until_it_drains(http)
            assert (answer.status_code, answer.json()["type"]) == (503, "/problems/busy")
            assert "about to stop" in answer.json()["detail"]
            assert int(answer.headers["retry-after"]) >= 1
            for path in (LIVE, SERVED, LIVE):  # over a new connection each
                answer = await http.get(path)
                assert (answer.status_code, answer.headers["connection"]) == (200, "close")
            os.kill(service.pid, signal.SIGINT)  # somebody who will not wait
            assert await asyncio.to_thread(service.process.wait, 20) == -signal.SIGTERM
            with pytest.raises(httpx.ConnectError):
                await http.get(LIVE)

    asyncio.run(play())


def test_a_process_ends_by_itself_when_it_has_drained(url, tmp_path):
    async def play():
        async with (
            Service(url, tmp_path / "log", drain_seconds="0.3") as service,
            httpx.AsyncClient(base_url=service.url, timeout=10) as http,
        ):
            await service.start()
            await http.get(LIVE)  # leaves an idle connection
            assert await service.stop() == -signal.SIGTERM
            assert service.errors() == ""

    asyncio.run(play())
