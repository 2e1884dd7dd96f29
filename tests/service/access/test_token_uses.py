"""When a token was last used: noted in memory, and written for all of them at once."""

import asyncio
import datetime as dt

import pytest
from support.http_client import OPERATOR, START, running

from ipt_workflow.errors import Unreachable
from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.runtime.settings import load
from ipt_workflow.service.access.token_uses import TokenUses
from ipt_workflow.store import tokens


async def last_uses(api) -> dict[str, dt.datetime | None]:
    found = await api.services.tokens.list(OPERATOR)
    return {each.name: each.last_used_at for each in found}


def test_the_last_use_of_each_token_is_written_and_never_goes_back(database_url):
    async def test():
        clock = VirtualClock(START)
        async with running(load({"IPT_DATABASE_URL": database_url}), clock) as api:
            uses = api.clinic.installation.token_uses
            await api.get("/v1/courses")
            clock.advance(dt.timedelta(seconds=5))
            await api.get("/v1/courses")
            await api.get("/v1/courses", "auditor")
            assert (await last_uses(api))["therapist"] is None
            await uses.keep()
            later = START + dt.timedelta(seconds=5)
            found = await last_uses(api)
            assert (found["therapist"], found["auditor"], found["supervisor"]) == (later, later, None)
            (therapist,) = [each.id for each in await api.clinic.read(tokens.every) if each.name == "therapist"]
            uses.note(api.clinic.organisation, therapist, START)
            await uses.keep()
            assert (await last_uses(api))["therapist"] == later

    asyncio.run(test())


def test_uses_that_could_not_be_written_wait_and_what_came_since_is_kept():
    class Away:
        async def write(self, *_, organisations):
            uses.note("default", "a", START + dt.timedelta(minutes=1))
            raise Unreachable

    uses = TokenUses(Away())
    uses.note("default", "a", START)
    uses.note("default", "b", START)
    with pytest.raises(Unreachable):
        asyncio.run(uses.keep())
    assert uses._waiting == {"default": {"a": START + dt.timedelta(minutes=1), "b": START}}


def test_uses_are_written_when_the_server_stops(settings):
    async def test():
        async with running(settings) as api:
            await api.get("/v1/courses")
        async with running(settings) as api:
            found = await api.clinic.read(tokens.every)
            assert [each.last_used_at is not None for each in found if each.name == "therapist"] == [True, False]

    asyncio.run(test())
