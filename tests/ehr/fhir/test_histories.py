"""Histories of every kind, of one resource and of all: each version as it was known, newest first, every one once."""

import asyncio
import datetime as dt

import pytest
from support import fhir_validators, http_client, service_walk
from support.fhir_caseload import caseload

from ipt_workflow.ehr.fhir.kinds import KINDS
from ipt_workflow.service.access.tokens import NewToken

VERSIONED = [kind for kind, served in KINDS.items() if served.versions != "none"]
MADE = [kind for kind in VERSIONED if KINDS[kind].make]


async def versions(api, path: str, role: str = "supervisor") -> list[dict]:
    """The entries of all pages."""
    found, path = [], f"/fhir/R4/{path}"
    while path:
        answer = await api.get(path, role)
        assert answer.status_code == 200, answer.text
        assert answer.json()["type"] == "history"
        assert fhir_validators.faults([answer.json()]) == [[]]
        found += answer.json().get("entry", [])
        path = next((link["url"] for link in answer.json()["link"] if link["relation"] == "next"), "")
    return found


async def filled(api) -> list[str]:
    """Courses with a session that was amended, and a measure that was voided."""
    courses = await caseload(api)
    entries = (await api.get(f"/v1/courses/{courses[1]}/transitions?limit=200")).json()["items"]
    session, measure = (
        next(each["seq"] for each in entries if each["trigger"] == name) for name in ("record_session", "record_measure")
    )
    changed = await api.fire(courses[1], "amend", {"supersedes": session, "data": {"attendance": "3"}}, reason="They did not come.")
    assert changed.status_code == 201, changed.text
    voided = await api.fire(courses[1], "amend", {"supersedes": measure, "void": True}, reason="It was another client.")
    assert voided.status_code == 201, voided.text
    return courses


@pytest.mark.parametrize("kind", MADE)
def test_a_kinds_history_holds_every_version_of_every_resource_once_the_newest_first(api, kind):
    async def test(api):
        await filled(api)
        of_kind = [each["resource"] for each in await versions(api, f"{kind}/_history?_count=3")]
        times = [each["meta"]["lastUpdated"] for each in of_kind]
        assert times == sorted(times, reverse=True)
        each_alone = []
        for resource in (await api.get(f"/fhir/R4/{kind}?_count=100", "supervisor")).json()["entry"]:
            own = await versions(api, f"{kind}/{resource['resource']['id']}/_history?_count=2")
            assert own[0]["resource"] == resource["resource"]
            assert (await api.get(f"/fhir/R4/{kind}/{resource['resource']['id']}/_history", "supervisor")).json()["total"] == len(
                own
            )
            each_alone += [entry["resource"] for entry in own]
        key = lambda each: (each["id"], int(each["meta"]["versionId"]))  # noqa: E731
        assert sorted(of_kind, key=key) == sorted(each_alone, key=key)
        for each in of_kind:
            version = f"/fhir/R4/{kind}/{each['id']}/_history/{each['meta']['versionId']}"
            assert (await api.get(version, "supervisor")).json() == each

    api(test)


def test_an_encounter_reads_as_it_was_before_it_was_amended(api):
    async def test(api):
        await filled(api)
        amended = [each for each in await versions(api, "Encounter/_history") if each["resource"]["status"] == "cancelled"]
        (now,) = [each["resource"] for each in amended]
        own = await versions(api, f"Encounter/{now['id']}/_history")
        assert [each["resource"]["status"] for each in own] == ["cancelled", "finished"]
        measure = (await versions(api, "Observation/_history"))[0]["resource"]
        assert measure["status"] == "entered-in-error"

    api(test)


@pytest.mark.parametrize("kind", VERSIONED)
def test_a_history_is_narrowed_by_time_and_by_count(api, kind):
    async def test(api):
        await caseload(api)
        role = "auditor"
        whole = (await api.get(f"/fhir/R4/{kind}/_history?_count=100", role)).json()["entry"]
        assert whole
        none = (await api.get(f"/fhir/R4/{kind}/_history?_since=2199-01-01T00:00:00Z", role)).json() if kind != "AuditEvent" else {}
        assert none.get("entry") is None
        pages = await versions(api, f"{kind}/_history?_count=7", role) if kind != "AuditEvent" else []
        assert len(pages) == (0 if kind == "AuditEvent" else len(whole))
        counted = (await api.get(f"/fhir/R4/{kind}/_history?_count=0", role)).json()
        assert (counted.get("entry"), [link["relation"] for link in counted["link"]]) == (None, ["self"])
        known = whole[0]["resource"]["id"]
        own = (await api.get(f"/fhir/R4/{kind}/{known}/_history?_since=2199-01-01T00:00:00Z", role)).json()
        assert (own["total"], own.get("entry")) == (0, None)

    api(test)


@pytest.mark.parametrize(
    "kind", ["Encounter", "Observation", "QuestionnaireResponse", "Provenance", "PlanDefinition", "AuditEvent"]
)
@pytest.mark.parametrize("number", ["", ".1", ".999", ".x", ".-1"])
def test_what_is_no_resource_of_a_kind_has_no_history_of_it(api, kind, number):
    async def test(api):
        course = (await api.open())["id"]
        if (kind, number) != ("Provenance", ".1"):
            assert (await api.get(f"/fhir/R4/{kind}/{course}{number}/_history", "supervisor")).status_code == 404

    api(test)


def test_a_therapist_sees_the_versions_of_their_own_courses_alone(api):
    async def test(api):
        course = (await api.open())["id"]
        await api.walk(course, "record_consent")
        made = await api.services.tokens.create(http_client.OPERATOR, NewToken(role="therapist", name="therapist-2"))
        api.tokens["other"] = made.token
        assert await versions(api, "EpisodeOfCare/_history", "other") == []
        assert len(await versions(api, "EpisodeOfCare/_history", "therapist")) == 2
        reads = (await api.get("/v1/audit?kind=read&limit=200", "auditor")).json()["items"]
        shown = [each["courses"] for each in reads if each["action"] == "fhir history EpisodeOfCare"]
        assert shown == [[], [course]]

    api(test)


def test_histories_of_kinds_are_the_same_on_both_databases(server, tmp_path):
    async def work(clinic):
        for number in range(3):
            course = await service_walk.open_course(clinic, f"EHR-{number}")
            await service_walk.walk(clinic, course, "record_consent", "start", "record_measure", "record_session")

    settings = service_walk.database(tmp_path, work, server)

    async def test():
        async with http_client.running(settings) as api:
            for kind, many in (("EpisodeOfCare", 15), ("Encounter", 3), ("Provenance", 15)):
                for role in ("supervisor", "therapist"):
                    found = await versions(api, f"{kind}/_history?_count=4", role)
                    assert len(found) == many, (kind, role)
            since = (service_walk.START + dt.timedelta(minutes=9)).isoformat().replace("+00:00", "Z")
            later = await versions(api, f"EpisodeOfCare/_history?_since={since}")
            assert 0 < len(later) < 15

    asyncio.run(test())
