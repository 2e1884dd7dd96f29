"""Organisations: many clinics in one database, each with its own courses, days and credentials, under equal names."""

import asyncio
import datetime as dt
from typing import Any

import httpx
import msgspec
import pytest
import sqlalchemy as sa
from support.http_client import OPERATOR, Api

from ipt_workflow.api.services import Services
from ipt_workflow.ehr.notices.sources import NewSource, Sources
from ipt_workflow.service.access.tokens import NewToken
from ipt_workflow.store import organisations
from ipt_workflow.store.schema.tables import organisation

SOUTH = {"id": "south", "title": "South Clinic", "zone": "Pacific/Auckland"}
CONSENT = {"type": "consent.given", "data": {"client_ref": "EHR-1", "scope": "treatment"}}


async def with_south(api: Api) -> Services:
    """A second organisation, whose therapist has the first one's name."""
    made = await api.post("/v1/organisations", SOUTH, "operator")
    assert made.status_code == 201, made.text
    assert made.headers["location"] == "/v1/organisations/south"
    clinic = await api.front_desk.clinics.of("south")
    services = api.front_desk.of(clinic)
    for role in ("therapist", "supervisor", "auditor", "ehr", "admin"):
        new = NewToken(role=role, name=role, subject=f"{role}-1")
        api.tokens[f"south {role}"] = (await services.tokens.create(OPERATOR, new)).token
    return services


async def open_south(api: Api) -> str:
    body = {"client_ref": "EHR-1", "protocol": "ipt", "data": {"source": "General practitioner", "indication": "depression"}}
    answer = await api.post("/v1/courses", body, "south therapist")
    assert answer.status_code == 201, answer.text
    return answer.json()["course"]["id"]


def test_two_organisations_have_the_same_names_and_see_nothing_of_each_other(api):
    async def test(api):
        await with_south(api)
        ours, theirs = (await api.open("EHR-1"))["id"], await open_south(api)
        for role in ("therapist", "supervisor", "auditor", "ehr"):
            assert [each["id"] for each in (await api.get("/v1/courses", role)).json()["items"]] == [ours]
            assert [each["id"] for each in (await api.get("/v1/courses", f"south {role}")).json()["items"]] == [theirs]
            assert (await api.get(f"/v1/courses/{theirs}", role)).status_code == 404
            assert (await api.get(f"/v1/courses/{ours}", f"south {role}")).status_code == 404
        crossed = await api.post(
            f"/v1/courses/{ours}/transitions", {"trigger": "note", "data": {"text": "x"}}, "south therapist", If_Match='"1"'
        )
        assert crossed.status_code == 404
        fired = await api.post(
            f"/v1/courses/{theirs}/transitions", {"trigger": "note", "data": {"text": "x"}}, "south therapist", If_Match='"1"'
        )
        assert fired.status_code == 201, fired.text
        assert await api.version(ours) == 1

    api(test)


def test_equal_idempotency_keys_of_two_organisations_are_two_keys(api):
    async def test(api):
        await with_south(api)
        body = {"client_ref": "EHR-7", "protocol": "ipt", "data": {"source": "General practitioner", "indication": "depression"}}
        first = await api.post("/v1/courses", body, "therapist", Idempotency_Key="k-1")
        second = await api.post("/v1/courses", body, "south therapist", Idempotency_Key="k-1")
        assert (first.status_code, second.status_code) == (201, 201)
        assert first.json()["course"]["id"] != second.json()["course"]["id"]

    api(test)


@pytest.mark.parametrize("zone", (None, "Pacific/Auckland"))
def test_a_day_is_that_of_the_organisations_zone(api, zone):
    """At nine in the evening of Berlin it is the next day in Auckland."""

    async def test(api):
        services = await with_south(api)
        await api.client.patch("/v1/organisations/south", json={"zone": zone or "Europe/Berlin"}, headers=api.headers("operator"))
        await api.get("/v1/courses", "south therapist")
        late = dt.datetime(2026, 1, 5, 21, tzinfo=dt.UTC)
        assert late.astimezone(services.clinic.zone).day == (6 if zone else 5)

    api(test)


def test_a_suspended_organisation_is_refused_at_once_and_works_again_when_it_is_resumed(api):
    async def test(api):
        await with_south(api)
        course = await open_south(api)
        changed = await api.client.patch("/v1/organisations/south", json={"status": "suspended"}, headers=api.headers("operator"))
        assert changed.json()["status"] == "suspended"
        refused = await api.get(f"/v1/courses/{course}", "south therapist")
        assert refused.status_code == 401
        assert "suspended" in refused.json()["detail"]
        assert (await api.get("/v1/courses")).status_code == 200
        await api.client.patch("/v1/organisations/south", json={"status": "active"}, headers=api.headers("operator"))
        assert (await api.get(f"/v1/courses/{course}", "south therapist")).status_code == 200

    api(test)


@pytest.mark.parametrize(
    ("body", "where"),
    (
        ({**SOUTH, "id": "South"}, "id"),
        ({**SOUTH, "id": "s" * 41}, "id"),
        ({**SOUTH, "id": "default"}, "id"),
        ({**SOUTH, "zone": "Berlin"}, "zone"),
        ({**SOUTH, "title": ""}, "title"),
        ({"id": "south"}, "title"),
        ({**SOUTH, "colour": "red"}, "colour"),
    ),
)
def test_an_organisation_that_cannot_be_made_is_refused_with_its_place(api, body, where):
    async def test(api):
        answer = await api.post("/v1/organisations", body, "operator")
        assert answer.status_code == 422, answer.text
        assert [each["where"] for each in answer.json()["errors"]] == [where]
        assert len((await api.get("/v1/organisations", "operator")).json()["items"]) == 1

    api(test)


def test_what_the_operator_did_is_in_the_organisations_own_log(api):
    async def test(api):
        await with_south(api)
        await api.client.patch(
            "/v1/organisations/south", json={"title": "South", "zone": "Europe/Berlin"}, headers=api.headers("operator")
        )
        found = await api.post("/v1/audit/search", {"kind": "config"}, "south auditor")
        done = [
            (each["action"], each["actor"]["role"]) for each in found.json()["items"] if each["action"].startswith("organisation")
        ]
        assert done == [
            ("organisation created", "operator"),
            ("organisation title changed", "operator"),
            ("organisation zone Europe/Berlin", "operator"),
        ]

    api(test)


def test_what_an_organisation_decides_counts_from_the_next_request_and_leaves_its_other_settings(api):
    async def test(api):
        await with_south(api)
        course, kept = await open_south(api), b'{"launch":[],"sign_in":{"passwords":true}}'
        update = sa.update(organisation).where(organisation.c.id == "south").values(settings=kept)
        await api.clinic.database.write(lambda connection: connection.execute(update))
        path = "/v1/organisations/south"

        async def change(**body: str | None) -> dict[str, Any]:
            answer = await api.client.patch(path, json=body, headers=api.headers("operator"))
            assert answer.status_code == 200, answer.text
            return answer.json()

        async def seen() -> tuple[int, bool]:
            """Whether the supervisor sees the course, and the auditor its text."""
            entry = await api.get(f"/v1/courses/{course}/transitions/1", "south auditor")
            return (await api.get(f"/v1/courses/{course}", "south supervisor")).status_code, "General" in entry.text

        assert await seen() == (200, True)
        await change(supervision="supervisees")
        assert await seen() == (404, True)
        changed = await change(auditor_text="never")
        assert (changed["supervision"], changed["auditor_text"], changed["zone"]) == ("supervisees", "never", SOUTH["zone"])
        assert await seen() == (404, False)
        await change(supervision="organisation", auditor_text="open", zone=None)
        assert (await change(crisis_contacts="Crisis line: 116 123\nClinic: 01 234"))["crisis_contacts"].endswith("01 234")
        assert (await change(title="South"))["crisis_contacts"].startswith("Crisis line")
        assert await seen() == (200, True)
        record = await api.clinic.database.read(lambda connection: organisations.find(connection, "south"))
        settings = msgspec.json.decode(record.settings)
        assert (record.zone, settings["sign_in"], settings["launch"]) == (None, {"passwords": True}, [])
        for body in (
            {"supervision": None},
            {"auditor_text": "sometimes"},
            {"status": "gone"},
            {"zone": "Berlin"},
            {"crisis_contacts": "x" * 1001},
        ):
            answer = await api.client.patch(path, json=body, headers=api.headers("operator"))
            assert (answer.status_code, [each["where"] for each in answer.json()["errors"]]) == (422, list(body))

    api(test)


def test_of_several_organisations_only_the_operator_reads_the_metrics(api):
    async def test(api):
        assert (await api.get("/metrics", "admin")).status_code == 200
        await with_south(api)
        await api.open("EHR-1")
        await open_south(api)
        assert (await api.get("/metrics", "admin")).status_code == 403
        text = (await api.get("/metrics", "operator")).text
        assert 'ipt_courses{protocol="ipt",state="referred"} 2.0' in text

    api(test)


async def send(api: Api, path: str, secret: str) -> httpx.Response:
    visit = {"resourceType": "Encounter", "id": "1", "status": "cancelled", "subject": {"reference": "Patient/EHR-1"}}
    return await api.client.post(path, json=visit, headers={"accept": "application/json", "Authorization": f"Bearer {secret}"})


def test_an_address_names_the_organisation_of_a_source_and_an_old_one_means_the_first(api):
    async def test(api):
        south = await with_south(api)
        await open_south(api)
        ours = (await Sources(api.clinic).add(OPERATOR, lambda: NewSource(id="ehr", kind="bearer"))).secret
        theirs = (await Sources(south.clinic).add(OPERATOR, lambda: NewSource(id="ehr", kind="bearer"))).secret
        for path, secret, status in (
            ("/v1/ehr/fhir/ehr", ours, 200),
            ("/v1/ehr/fhir/default/ehr", ours, 200),
            ("/v1/ehr/fhir/south/ehr", theirs, 202),
            ("/v1/ehr/fhir/south/ehr/Encounter", theirs, 202),
            ("/v1/ehr/fhir/south/ehr", ours, 401),
            ("/v1/ehr/fhir/ehr", theirs, 401),
            ("/v1/ehr/fhir/north/ehr", ours, 401),
        ):
            answer = await send(api, path, secret)
            assert (answer.status_code == 401) == (status == 401), (path, answer.text)
        waits = await api.get("/v1/notices", "south supervisor")
        assert {each["source"] for each in waits.json()["items"]} == {"ehr"}

    api(test)


def test_tokens_of_an_organisation_that_a_process_has_not_opened_are_known_to_it(api):
    async def test(api):
        await with_south(api)
        api.front_desk.clinics._open.pop("south")
        answers = await asyncio.gather(*(api.get("/v1/courses", "south therapist") for _ in range(5)))
        assert [each.status_code for each in answers] == [200] * 5

    api(test)
