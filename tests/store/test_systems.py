"""Systems on both databases: an assertion is used once by however many ask at once, and revoking leaves no token behind."""

import asyncio
import datetime as dt

from support.http_client import OPERATOR, START, running
from support.smart import JWKS

from ipt_workflow.ehr.smart.systems import NewSystem, Systems
from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.runtime.settings import load
from ipt_workflow.store import systems
from ipt_workflow.store.people import PersonFilters
from ipt_workflow.store.systems import Used
from ipt_workflow.store.tokens import TokenRecord

USED = Used("a" * 64, START + dt.timedelta(minutes=5))


def token(number: int, at: dt.datetime = START) -> TokenRecord:
    expires = at + dt.timedelta(minutes=5)
    return TokenRecord(
        id=f"{number:016x}",
        role="auditor",
        name="north",
        subject="system:north",
        created_at=at,
        expires_at=expires,
        scopes="system/*.rs",
        system="north",
    )


def on_both(database_url, scene) -> None:
    async def test():
        async with running(load({"IPT_DATABASE_URL": database_url}), VirtualClock(START)) as api:
            new = NewSystem(id="north", role="auditor", scopes=("system/*.rs",), jwks=JWKS)
            await Systems(api.clinic).add(OPERATOR, lambda: new)
            await scene(api)

    asyncio.run(test())


def test_of_many_that_use_an_assertion_at_once_one_gets_a_token(database_url):
    async def scene(api):
        asking = [api.clinic.write(systems.issue, "north", USED, token(number), "h") for number in range(5)]
        assert sorted(await asyncio.gather(*asking), key=str) == [None, "used", "used", "used", "used"]
        assert "system:north" not in {each.id for each in await api.services.people.page(OPERATOR, PersonFilters())}

    on_both(database_url, scene)


def test_no_token_outlives_its_system_whichever_came_first(database_url):
    async def scene(api):
        used = [Used(f"{number:064}", USED.expires_at) for number in range(6)]
        asking = [api.clinic.write(systems.issue, "north", each, token(number), "h") for number, each in enumerate(used)]
        asking.insert(3, api.clinic.write(systems.revoke, "north", START))
        done = await asyncio.gather(*asking)
        assert done.pop(3) is True
        assert set(done) <= {None, "gone"}
        left = await api.clinic.read(
            lambda connection, _: connection.exec_driver_sql(
                "SELECT count(*) FROM token WHERE system = 'north' AND revoked_at IS NULL"
            ).scalar()
        )
        assert left == 0
        assert await api.clinic.write(systems.issue, "north", Used("b" * 64, USED.expires_at), token(9), "h") == "gone"

    on_both(database_url, scene)
