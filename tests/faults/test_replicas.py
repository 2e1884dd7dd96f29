"""A streaming standby: the commands that read run on it, a service on it says that it is not ready, and takes over when it is promoted."""

import asyncio
import json

import httpx

from faults import after
from faults.histories import Load
from faults.replicas import standby_of
from faults.rounds import BOUND_SECONDS, PATIENCE
from faults.service import command

UNRECORDED = "The audit log has no record of this command."


async def run(url: str, *args: str):
    return await asyncio.to_thread(command, url, *args)


def test_verify_export_and_check_run_on_a_standby_and_say_what_they_could_not_record(on_postgres, seeds):
    place = on_postgres

    async def play():
        async with place.service() as service, Load([service.url], place.tokens["therapist"], seeds[0], name="standby") as load:
            await service.start()
            await load.open()
            await load.run(most=60)
            await after.holds(load, place)
        async with standby_of(place.server) as standby:
            await standby.caught_up()
            url = standby.url(place.name)
            verified = await run(url, "audit", "verify")
            assert (verified.returncode, UNRECORDED in verified.stderr) == (0, True), verified.stderr
            assert verified.stdout == (await run(place.url, "audit", "verify")).stdout
            exported = await run(url, "audit", "export")
            assert (exported.returncode, UNRECORDED in exported.stderr) == (0, True), exported.stderr
            seen = [json.loads(line)["id"] for line in exported.stdout.splitlines()]
            there = [json.loads(line)["id"] for line in (await run(place.url, "audit", "export")).stdout.splitlines()]
            assert seen == there[: len(seen)]
            assert (await run(url, "db", "check")).returncode == 0
            refused = await run(url, "token", "create", "--role", "admin", "--name", "ada")
            assert (refused.returncode, refused.stdout) == (1, "")
            assert "read-only" in refused.stderr
            assert "Traceback" not in refused.stderr

    asyncio.run(play())


def test_a_service_goes_on_with_the_standby_that_is_promoted(on_postgres, seeds):
    """Its URL names both servers, and asks for the one that can be written."""
    place = on_postgres

    async def play():
        async with standby_of(place.server) as standby:
            hosts = f"{place.server.sockets},{standby.sockets}"
            both = f"postgresql://postgres@/{place.name}?host={hosts}&target_session_attrs=read-write"
            alone = place.service(standby.url(place.name), name="alone")
            async with place.service(both, **PATIENCE) as service, alone:
                await service.start()
                async with Load([service.url], place.tokens["therapist"], seeds[0], name="failover") as load:
                    await load.open()
                    await load.run(most=60)
                    before = len(load.acknowledged)
                    await standby.caught_up()
                    await reads_only(alone, place.tokens["auditor"])
                    await asyncio.to_thread(place.server.stop_at_once)
                    try:
                        await standby.promote()
                        await load.run(most=60)
                        moved = Moved(place, standby)
                        await after.holds(load, moved)
                        assert len(load.acknowledged) > before
                        assert (await asyncio.to_thread(command, moved.url, "audit", "verify")).returncode == 0
                    finally:
                        await asyncio.to_thread(place.server.start)

    asyncio.run(play())


class Moved:
    """A place whose database is on another server now."""

    def __init__(self, place, standby) -> None:
        self.tokens = place.tokens
        self.url = standby.url(place.name)
        self._run = lambda statement: standby.run(statement, database=place.name)

    async def rows(self, statement: str) -> list[tuple[object, ...]]:
        return [tuple(row) for row in await self._run(statement)]


async def reads_only(service, token: str) -> None:
    """A service on a standby lives, is not ready, and answers nothing that it cannot record."""
    service.process = service._started({})
    async with (
        httpx.AsyncClient(base_url=service.url, timeout=BOUND_SECONDS, verify=False) as http,
        asyncio.timeout(2 * BOUND_SECONDS),
    ):
        while True:
            try:
                if (await http.get("/health/live")).status_code == 200:
                    break
            except httpx.TransportError:
                await asyncio.sleep(0.1)
        for path in ("/health/ready", "/v1/courses"):
            answer = await http.get(path, headers={"Authorization": f"Bearer {token}"})
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1"), answer.text
            assert "standby" in answer.json()["detail"]
