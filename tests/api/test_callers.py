"""Who failed to authenticate, from where, and what the log says about it."""

import asyncio
import io
import json

import pytest
from support.http_client import Api, running

from ipt_workflow.api.callers import Callers
from ipt_workflow.runtime import logs
from ipt_workflow.service.access import failures
from ipt_workflow.service.access.failures import OTHERS, AuthenticationFailures

PROXIES = "10.0.0.0/8,fd00::/8"


def scope(peer: str | None, *forwarded: str) -> dict[str, object]:
    return {"client": (peer, 5) if peer else None, "headers": [(b"x-forwarded-for", each.encode()) for each in forwarded]}


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    (
        ("192.0.2.1", (), "192.0.2.1"),
        ("192.0.2.1", ("198.51.100.9",), "192.0.2.1"),
        ("10.0.0.1", (), "10.0.0.1"),
        ("10.0.0.1", ("198.51.100.9",), "198.51.100.9"),
        ("10.0.0.1", ("203.0.113.7, 198.51.100.9",), "198.51.100.9"),
        ("10.0.0.1", ("203.0.113.7", "198.51.100.9, 10.0.0.2"), "198.51.100.9"),
        ("10.0.0.1", ("10.0.0.3, 10.0.0.2",), "10.0.0.3"),
        ("10.0.0.1", ("EHR-4711",), "10.0.0.1"),
        ("10.0.0.1", ("EHR-4711, 10.0.0.2",), "10.0.0.2"),
        ("fd00::1", ("2001:db8::1",), "2001:db8::1"),
        ("::ffff:10.0.0.1", ("198.51.100.9",), "198.51.100.9"),
        ("::ffff:192.0.2.1", ("198.51.100.9",), "192.0.2.1"),
        (None, (), "unknown"),
    ),
)
def test_only_a_known_proxy_says_where_a_request_comes_from(peer, forwarded, address):
    assert Callers(PROXIES).address(scope(peer, *forwarded)) == address


async def fail(api: Api, times: int = 1) -> None:
    for _ in range(times):
        assert (await api.client.get("/v1/courses", headers={"Authorization": "Bearer ipt_made_up"})).status_code == 401


async def kept(api: Api) -> list[tuple[str, int]]:
    edge = api.application._edge
    await edge.failures.keep()
    return [(each.address, each.count) for each in await edge.failures.newest(10)]


def test_failures_are_counted_by_address_and_are_in_no_organisations_log(api):
    async def test(api):
        before = len((await api.get("/v1/audit", "auditor")).json()["items"])
        await fail(api, 3)
        assert (await api.client.get("/v1/courses")).status_code == 401
        signed = await api.client.post("/v1/ehr/notices/north", content=b"{}", headers={"webhook-signature": "v1,AAAA"})
        assert signed.status_code == 401
        assert (await api.get("/v1/courses")).status_code == 200
        assert await kept(api) == [("127.0.0.1", 5)]
        log = (await api.get("/v1/audit", "auditor")).json()["items"]
        assert [each["kind"] for each in log[before:]] == ["read", "read"]
        assert "ipt_authentication_failures_total 5.0" in (await api.get("/metrics", "admin")).text

    api(test)


def test_what_was_counted_is_kept_when_the_service_stops(settings):
    async def test() -> None:
        async with running(settings) as first:
            await fail(first, 2)
        async with running(settings) as second:
            assert await kept(second) == [("127.0.0.1", 2)]

    asyncio.run(test())


def test_many_addresses_take_bounded_memory(api, monkeypatch):
    monkeypatch.setattr(failures, "COUNTED_MAX", 3)

    async def test(api):
        counted = AuthenticationFailures(api.clinic.installation)
        for number in range(9):
            counted.count(f"192.0.2.{number}")
        await counted.keep()
        found = {each.address: each.count for each in await counted.newest(10)}
        assert found == {"192.0.2.0": 1, "192.0.2.1": 1, "192.0.2.2": 1, OTHERS: 6}

    api(test)


def test_counts_wait_while_the_database_cannot_take_them(api, monkeypatch):
    async def test(api):
        await fail(api)
        with monkeypatch.context() as patch:

            async def fails(*_: object, **__: object) -> None:
                raise OSError("the disk is gone")

            patch.setattr(api.clinic.installation.database, "write", fails)
            with pytest.raises(OSError, match="gone"):
                await api.application._edge.failures.keep()
        await fail(api)
        assert await kept(api) == [("127.0.0.1", 2)]

    api(test)


@pytest.mark.parametrize("named", (False, True))
def test_the_log_names_addresses_only_if_it_is_told_to(settings, named):
    log = io.StringIO()

    async def test() -> None:
        logs.configure("json", "info", log)
        async with running(settings.model_copy(update={"log_addresses": named})) as api:
            await fail(api)
            await kept(api)

    asyncio.run(test())
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    assert [each.get("address") for each in lines if each.get("status") == 401] == (["127.0.0.1"] if named else [None])
    assert [each["count"] for each in lines if each["event"] == "authentication failed"] == [1]
    assert ("127.0.0.1" in log.getvalue()) == named
