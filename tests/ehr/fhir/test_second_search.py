"""The search beside a second implementation, over a demonstration: the same matches in the same order, on both databases."""

import asyncio
import datetime as dt
import random
from typing import Any

import pytest
from support import fhir_random_queries as queries
from support import fhir_search_model as model
from support import fhir_validators, http_client, service_walk
from support.fhir_caseload import matched

from ipt_workflow.service import demo

SEEDS = range(60)
SEARCHES = 8  # of each seed and kind of caller
CALLERS = ("supervisor", "therapist")


async def pages(api: http_client.Api, path: str, role: str) -> list[dict[str, Any]]:
    """Every page of a search."""
    found = []
    while path:
        answer = await api.get(path, role)
        assert answer.status_code == 200, (path, answer.text)
        found.append(answer.json())
        path = next((link["url"] for link in found[-1]["link"] if link["relation"] == "next"), "")
        assert len(found) < 300, path
    return found


async def universe_of(api: http_client.Api, role: str) -> model.Universe:
    """Every resource that the caller may see."""
    return {
        kind: [each for page in await pages(api, f"/fhir/R4/{kind}?_count=200", role) for each in matched(page)]
        for kind in queries.KINDS
    }


async def varied(clinic) -> None:
    """The demonstration, and what it lacks: a client with two courses, and entries that were amended and voided."""
    await demo.make(clinic)
    first = await service_walk.open_course(clinic, "EHR-twice")
    await service_walk.walk(clinic, first, "record_consent", "start", "record_measure", "record_session", "end_early")
    second = await service_walk.open_course(clinic, "EHR-twice")
    await service_walk.walk(clinic, second, "record_consent", "start", "record_measure", "record_session", "pause")


@pytest.fixture(scope="module")
def filled(server, tmp_path_factory):
    """Settings of a full database, with all resources by caller."""
    settings = service_walk.database(tmp_path_factory.mktemp("second"), varied, server)

    async def read():
        async with http_client.running(settings) as api:
            return {role: await universe_of(api, role) for role in CALLERS}

    return settings, asyncio.run(read())


def searched(parameters: list[tuple[str, str]], expected: int, chance: random.Random) -> list[tuple[str, str]]:
    """The parameters with a size of pages that leads to a few pages."""
    return [*parameters, ("_count", str(chance.choice((200, max(1, expected // 3), max(1, expected // 2)))))]


async def compared(
    api: http_client.Api, universe: model.Universe, role: str, kind: str, chance: random.Random
) -> list[dict[str, Any]]:
    """One search by both implementations. Returns its pages."""
    parameters = queries.query(chance, universe, kind)
    expected = model.found(universe, kind, parameters)
    sent = searched(parameters, len(expected), chance)
    query = str(http_client.httpx.QueryParams(sent))
    found = await pages(api, f"/fhir/R4/{kind}?{query}", role)
    elements = dict(parameters).get("_elements")
    shown = [model.part(each, elements) for each in expected] if elements else expected
    assert [each for page in found for each in matched(page)] == shown, (role, kind, sent)
    for page in found:
        brought = {model.local(entry["resource"]) for entry in page.get("entry", ()) if entry["search"]["mode"] == "include"}
        names = {model.local(each) for each in matched(page)}
        of_page = [each for each in expected if model.local(each) in names]
        assert brought == model.included(universe, of_page, parameters), (role, kind, sent)
    if chance.random() < 0.2:
        counted = (await api.get(f"/fhir/R4/{kind}?{query}&_summary=count", role)).json()
        assert (counted["total"], matched(counted)) == (len(expected), []), (role, kind, sent)
    return found


@pytest.mark.matrix(2 * len(SEEDS))
@pytest.mark.parametrize("seed", SEEDS)
def test_every_search_finds_what_the_second_implementation_finds(filled, seed):
    settings, universes = filled
    chance = random.Random(seed)
    small = settings.model_copy(update={"page_limit_default": 5, "page_limit_max": 7}) if seed % 4 == 1 else settings

    async def test():
        bundles = []
        async with http_client.running(small) as api:
            for role in CALLERS:
                for _ in range(SEARCHES):
                    kind = chance.choice([each for each in queries.KINDS if small is settings or each != "Provenance"])
                    bundles += await compared(api, universes[role], role, kind, chance)
        return bundles

    bundles = asyncio.run(test())
    faults = [fault for found in fhir_validators.faults(chance.sample(bundles, min(12, len(bundles)))) for fault in found]
    assert faults == []


@pytest.mark.matrix(2 * 12)
@pytest.mark.parametrize("seed", range(12))
def test_the_audit_log_is_searched_alike(filled, seed):
    settings, _ = filled
    chance = random.Random(seed)

    async def test():
        async with http_client.running(settings) as api:
            before = f"lt{dt.datetime.now(dt.UTC).isoformat().replace('+00:00', 'Z')}"  # the log grows while it is read
            events = [
                each
                for page in await pages(api, f"/fhir/R4/AuditEvent?date={before}&_count=200", "auditor")
                for each in matched(page)
            ]
            for _ in range(SEARCHES):
                parameters = [("date", before), *queries.query(chance, {"AuditEvent": events}, "AuditEvent")]
                parameters = [(name, value) for name, value in parameters if name != "_elements"]
                expected = model.found({"AuditEvent": events}, "AuditEvent", parameters)
                sent = http_client.httpx.QueryParams(searched(parameters, len(expected), chance))
                found = await pages(api, f"/fhir/R4/AuditEvent?{sent}", "auditor")
                assert [each["id"] for page in found for each in matched(page)] == [each["id"] for each in expected], sent

    asyncio.run(test())


@pytest.mark.matrix(3)
def test_the_searches_are_of_every_kind_and_find_something(filled):
    """So that the comparison cannot pass by finding nothing."""
    universe = filled[1]["supervisor"]
    asked = [(kind, queries.query(random.Random(f"{kind}{seed}"), universe, kind)) for kind in queries.KINDS for seed in range(60)]
    finding = [(kind, parameters) for kind, parameters in asked if model.found(universe, kind, parameters)]
    assert len(finding) > len(asked) / 3
    names = {name for _, parameters in finding for name, _ in parameters}
    assert {"_sort", "_include", "_revinclude", "_elements"} <= names
    assert any(":not" in name for name in names)
    assert any(":missing" in name for name in names)
    assert any(name.startswith("_has:") for name in names)
