"""How many requests a credential, an organisation and an address may send, and what they are told."""

import asyncio
import re
from typing import Any

import httpx
import pytest
from support.ehr_sender import Ehr
from support.http_client import OPERATOR, Api, running
from support.two_clinics import other_clinic

from ipt_workflow.api import rate_limits
from ipt_workflow.api.callers import Callers
from ipt_workflow.service.access.tokens import NewToken

POLICY_ITEM = re.compile(r'"([a-z]+)";q=([0-9]+);w=([0-9]+)')  # of draft-ietf-httpapi-ratelimit-headers: strings with integers
LIMIT_ITEM = re.compile(r'"([a-z]+)";r=([0-9]+);t=([0-9]+)')
BAD = {"Authorization": "Bearer ipt_made_up"}


@pytest.fixture
def time_stands(monkeypatch):
    """Stops the time by which requests are counted. Returns a list whose one number is that time."""
    now = [1000.0]
    monkeypatch.setattr(rate_limits.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def limited(settings, time_stands):
    """Runs a test on a service with these limits within 60 seconds, where time stands still. 0 is no limit."""

    def run(test: Any, **limits: Any) -> None:
        counts = {f"rate_limit_{name}": limits.pop(name, 0) for name in ("credential", "organisation", "address")}
        chosen = settings.model_copy(update={"rate_limit_seconds": 60, **counts, **limits})

        async def inside() -> None:
            async with running(chosen) as api:
                await test(api)

        asyncio.run(inside())

    return run


def is_refused(answer: httpx.Response, policy: str, seconds: int) -> None:
    assert answer.status_code == 429, answer.text
    assert answer.headers["retry-after"] == str(seconds)
    assert LIMIT_ITEM.fullmatch(answer.headers["ratelimit"]).groups() == (policy, "0", str(seconds))
    if "/fhir/R4" in str(answer.url):
        assert answer.headers["content-type"] == "application/fhir+json"
        assert answer.json()["issue"][0]["code"] == "throttled"
        return
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "/problems/quota-exceeded"
    assert answer.json()["violated-policies"] == [policy]


async def statuses(answers: Any) -> list[int]:
    return [(await each).status_code for each in answers]


def test_a_credential_sends_as_many_at_once_and_then_as_many_as_time_brings(limited, time_stands):
    async def test(api: Api) -> None:
        for left in (2, 1, 0):
            answer = await api.get("/v1/courses")
            assert answer.status_code == 200
            assert POLICY_ITEM.findall(answer.headers["ratelimit-policy"]) == [("credential", "3", "60")]
            assert LIMIT_ITEM.fullmatch(answer.headers["ratelimit"]).groups() == ("credential", str(left), "20")
        is_refused(await api.get("/v1/courses"), "credential", 20)
        time_stands[0] += 15
        is_refused(await api.get("/fhir/R4/EpisodeOfCare"), "credential", 5)
        time_stands[0] += 5
        assert await statuses(api.get("/v1/courses") for _ in range(2)) == [200, 429]

    limited(test, credential=3)


def test_another_credential_of_the_same_person_and_address_goes_on(limited):
    async def test(api: Api) -> None:
        assert await statuses(api.get("/v1/courses") for _ in range(3)) == [200, 200, 429]
        other = await api.services.tokens.create(OPERATOR, NewToken(role="therapist", name="therapist-1"))
        assert (await api.client.get("/v1/courses", headers={"Authorization": f"Bearer {other.token}"})).status_code == 200

    limited(test, credential=2)


def test_a_write_that_is_refused_was_not_done_and_can_be_sent_again(limited, time_stands):
    async def test(api: Api) -> None:
        course = await api.open()
        path, note = f"/v1/courses/{course['id']}/transitions", {"trigger": "note", "data": {"text": "x"}}
        keyed = {"Idempotency_Key": "one", "If_Match": '"1"'}
        assert (await api.get("/v1/courses")).status_code == 200
        is_refused(await api.post(path, note, **keyed), "credential", 30)
        time_stands[0] += 30
        assert (await api.post(path, note, **keyed)).status_code == 201

    limited(test, credential=2)


def test_credentials_of_an_organisation_share_its_limit(limited):
    async def test(api: Api) -> None:
        answers = [await api.get("/v1/courses", role) for role in ("therapist", "supervisor", "auditor", "ehr")]
        assert [each.status_code for each in answers] == [200, 200, 200, 429]
        assert POLICY_ITEM.findall(answers[0].headers["ratelimit-policy"]) == [
            ("credential", "9", "60"),
            ("organisation", "3", "60"),
        ]
        is_refused(answers[-1], "organisation", 20)

    limited(test, organisation=3, credential=9)


def test_one_organisation_cannot_starve_another(limited):
    async def test(api: Api) -> None:
        other = await other_clinic(api)  # by a request of the first organisation's operator
        assert await statuses(api.get("/v1/courses", role) for role in ("therapist", "supervisor")) == [200, 429]
        assert await statuses(other.get("/v1/courses", role) for role in ("therapist", "supervisor", "auditor")) == [200, 200, 429]

    limited(test, organisation=2)


def test_refused_credentials_count_for_their_address_and_keep_no_neighbour_out(limited):
    async def test(api: Api) -> None:
        answers = [await api.client.get("/v1/courses", headers=BAD) for _ in range(4)]
        assert [each.status_code for each in answers] == [401, 401, 401, 429]
        assert POLICY_ITEM.findall(answers[0].headers["ratelimit-policy"]) == [("address", "3", "60")]
        is_refused(answers[-1], "address", 20)
        is_refused(await api.client.get("/fhir/R4/EpisodeOfCare"), "address", 20)
        assert (await api.get("/v1/courses")).status_code == 200
        assert "ipt_authentication_failures_total 5.0" in (await api.get("/metrics", "admin")).text

    limited(test, address=3)


def test_routes_open_to_all_count_for_the_address(limited):
    async def test(api: Api) -> None:
        paths = ("/schema", "/schema/openapi.json", "/fhir/R4/metadata", "/v1/notices/types")
        assert await statuses(api.client.get(path) for path in paths) == [200, 200, 200, 200]
        for path in paths:
            is_refused(await api.client.get(path), "address", 15)

    limited(test, address=4)


def test_health_is_never_limited(limited):
    async def test(api: Api) -> None:
        await api.client.get("/schema")
        await api.get("/v1/courses")
        for path in ("/health/live", "/health/ready") * 3:
            answer = await api.client.get(path)
            assert answer.status_code == 200
            assert "ratelimit" not in answer.headers

    limited(test, address=1, credential=1, organisation=1)


def test_a_source_is_a_credential_and_a_forged_signature_counts_for_its_address(limited):
    async def test(api: Api) -> None:
        north, south = await Ehr.register(api, "north"), await Ehr.register(api, "south")
        notice = {"type": "consent.given", "timestamp": "2026-01-05T09:00:00Z", "data": {"client_ref": "EHR-1", "scope": "sharing"}}
        assert await statuses(north.send(notice) for _ in range(3)) == [202, 202, 429]
        assert (await south.send(notice)).status_code == 202
        forged = {"webhook-id": "m", "webhook-timestamp": "1", "webhook-signature": "v1,AAAA"}
        paths = ("/v1/ehr/notices/north", "/v1/ehr/notices/nobody", "/v1/ehr/notices/nowhere/north", "/v1/ehr/fhir/north")
        assert await statuses(api.client.post(path, content=b"{}", headers=forged) for path in paths) == [401, 401, 401, 429]

    limited(test, credential=2, address=3)


def test_each_entry_of_a_batch_counts(limited):
    async def test(api: Api) -> None:
        entries = [{"request": {"method": "GET", "url": "EpisodeOfCare"}}] * 5
        bundle = {"resourceType": "Bundle", "type": "batch", "entry": entries}
        answer = await api.client.post("/fhir/R4", json=bundle, headers=api.headers("therapist"))
        assert answer.status_code == 200
        assert [each["response"]["status"] for each in answer.json()["entry"]] == ["200", "200", "200", "429", "429"]

    limited(test, credential=4)


def test_refusals_are_counted_by_policy(limited):
    async def test(api: Api) -> None:
        for _ in range(3):
            await api.client.get("/v1/courses", headers=BAD)
            await api.get("/v1/courses")
        text = (await api.get("/metrics", "admin")).text
        assert 'ipt_rate_limited_total{policy="address"} 2.0' in text
        assert 'ipt_rate_limited_total{policy="credential"} 1.0' in text

    limited(test, address=1, credential=2)


def test_without_limits_nothing_is_counted_and_nothing_said(limited):
    async def test(api: Api) -> None:
        answer = await api.get("/v1/courses")
        assert "ratelimit" not in answer.headers
        assert "ratelimit-policy" not in answer.headers
        refused = await api.client.get("/v1/courses", headers=BAD)
        assert refused.status_code == 401
        assert "ratelimit-policy" not in refused.headers

    limited(test)


async def from_address(api: Api, peer: str, **headers: str) -> int:
    transport = httpx.ASGITransport(app=api.application, client=(peer, 5))
    async with httpx.AsyncClient(transport=transport, base_url="http://ipt") as client:
        return (
            await client.get("/v1/courses", headers=BAD | {name.replace("_", "-"): value for name, value in headers.items()})
        ).status_code


def test_callers_behind_a_known_proxy_are_told_apart_and_nobody_makes_an_address_up(limited):
    async def test(api: Api) -> None:
        assert await from_address(api, "10.0.0.1", X_Forwarded_For="198.51.100.1") == 401
        assert await from_address(api, "10.0.0.1", X_Forwarded_For="203.0.113.9, 198.51.100.1") == 429
        assert await from_address(api, "10.0.0.1", X_Forwarded_For="198.51.100.2") == 401
        assert await from_address(api, "192.0.2.7", X_Forwarded_For="198.51.100.3") == 401
        assert await from_address(api, "192.0.2.7", X_Forwarded_For="198.51.100.4") == 429

    limited(test, address=1, proxy_networks="10.0.0.0/8")


def test_behind_a_proxy_that_is_not_named_nobody_with_a_valid_credential_is_kept_out(limited):
    async def test(api: Api) -> None:
        for number in range(5):
            await from_address(api, "127.0.0.1", X_Forwarded_For=f"198.51.100.{number}")
        assert await from_address(api, "127.0.0.1", X_Forwarded_For="198.51.100.9") == 429
        assert (await api.get("/v1/courses", X_Forwarded_For="198.51.100.9")).status_code == 200

    limited(test, address=2)


@pytest.mark.parametrize(
    ("address", "network"),
    (
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.2", "192.0.2.2"),
    ),
)
def test_one_caller_has_one_key_though_they_have_a_whole_network_of_ipv6(address, network):
    assert Callers("").network({"client": (address, 5), "headers": []}) == network
