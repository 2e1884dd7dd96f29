"""Several processes begin at the same time on a new database: migrations, tokens, services. None fails, and everything is there once."""

import asyncio
import json

import pytest

from faults import service
from faults.conftest import Place

TWINS = 3


@pytest.fixture(params=["sqlite", "postgresql"])
def bare(request, tmp_path):
    """An empty database."""
    if request.param == "sqlite":
        return Place(f"sqlite:///{tmp_path}/ipt.db", {}, tmp_path)
    server = request.getfixturevalue("server")
    return Place(asyncio.run(server.new_database("template0")), {}, tmp_path, server)


async def at_once(place, *args: str) -> list[str]:
    """What a command prints that several processes run at once. All must succeed."""
    done = await asyncio.gather(*(asyncio.to_thread(service.command, place.url, *args, "--json") for _ in range(TWINS)))
    assert [each.returncode for each in done] == [0] * TWINS, [each.stderr for each in done]
    return [each.stdout for each in done]


@pytest.mark.matrix(2)
def test_all_of_them_succeed(bare):
    async def play():
        assert len(set(await at_once(bare, "db", "upgrade"))) == 1
        await at_once(bare, "db", "check")
        made = await at_once(bare, "token", "create", "--role", "admin", "--name", "ada")
        assert len({json.loads(each)["id"] for each in made}) == TWINS
        services = [bare.service(name=f"twin-{number}") for number in range(TWINS)]
        try:
            await asyncio.gather(*(each.start() for each in services))
        finally:
            for each in services:
                await each.stop()
        assert [each.errors() for each in services] == [""] * TWINS
        assert await bare.rows("SELECT count(*) FROM token") == [(TWINS,)]

    asyncio.run(play())
