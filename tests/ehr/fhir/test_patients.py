"""A client as a Patient: the EHR's identifier and references, and the compartment of what belongs to them."""

import json
import sqlite3
from contextlib import closing

import pytest
from support import databases, fhir_validators
from support.fhir_caseload import caseload, matched, posted
from support.http_client import OPERATOR

from ipt_workflow.service.access.tokens import NewToken


async def patient_of(api, course: str) -> str:
    episode = (await api.get(f"/fhir/R4/EpisodeOfCare/{course}", "supervisor")).json()
    return episode["patient"]["reference"].partition("/")[2]


async def other_therapist(api) -> dict[str, str]:
    created = await api.services.tokens.create(OPERATOR, NewToken(role="therapist", name="therapist-2"))
    return {"Authorization": f"Bearer {created.token}"}


def test_a_patient_has_an_identifier_and_references_to_its_courses_and_nothing_else(api):
    async def test(api):
        first = (await api.open("EHR-7"))["id"]
        await api.walk(first, "record_consent", "start", "end_early")
        second = (await api.open("EHR-7"))["id"]
        client = await patient_of(api, first)
        found = (await api.get(f"/fhir/R4/Patient/{client}", "ehr")).json()
        assert found == {
            "resourceType": "Patient",
            "id": client,
            "extension": [
                {"url": "urn:ipt-workflow:StructureDefinition:course", "valueReference": {"reference": f"EpisodeOfCare/{course}"}}
                for course in (first, second)
            ],
            "identifier": [{"system": "urn:ipt-workflow:client-ref", "value": "EHR-7"}],
            "managingOrganization": {
                "type": "Organization",
                "identifier": {"system": "urn:ipt-workflow:organisation", "value": "default"},
            },
        }
        assert fhir_validators.faults([found]) == [[]]
        reads = (await api.get("/v1/audit?kind=read&limit=200", "auditor")).json()["items"]
        assert next(each for each in reads if each["action"] == "fhir read Patient")["courses"] == sorted([first, second])

    api(test)


def test_a_therapist_sees_their_own_courses_of_a_patient_alone(api):
    async def test(api):
        course = (await api.open("EHR-7"))["id"]
        client, stranger = await patient_of(api, course), await other_therapist(api)
        for path in (f"Patient/{client}", f"Patient/{client}/Encounter"):
            assert (await api.client.get(f"/fhir/R4/{path}", headers=stranger)).status_code == 404, path
        assert matched((await api.client.get("/fhir/R4/Patient", headers=stranger)).json()) == []
        assert (await api.get(f"/fhir/R4/Patient/{client}", "admin")).status_code == 403
        await api.walk(course, "record_consent", "start", "end_early")
        body = {"client_ref": "EHR-7", "protocol": "ipt", "data": {"source": "GP", "indication": "depression"}}
        theirs = (await api.client.post("/v1/courses", json=body, headers=stranger)).json()["course"]["id"]
        seen = (await api.client.get(f"/fhir/R4/Patient/{client}", headers=stranger)).json()
        assert [each["valueReference"]["reference"] for each in seen["extension"]] == [f"EpisodeOfCare/{theirs}"]

    api(test)


def test_an_erased_patient_keeps_our_own_id_alone(api, settings):
    async def test(api):
        course = (await api.open("EHR-4711"))["id"]
        client = await patient_of(api, course)
        with closing(sqlite3.connect(databases.path_of(settings))) as connection:
            connection.execute("UPDATE client SET ref = NULL")
            connection.commit()
        found = (await api.get(f"/fhir/R4/Patient/{client}")).json()
        assert found["identifier"] == [{"system": "urn:ipt-workflow:client", "value": client}]

    api(test)


def test_a_patient_is_found_by_identifier_in_a_form_and_in_no_url(api):
    async def test(api):
        _, course, _ = await caseload(api)
        client = await patient_of(api, course)
        for value in ("EHR-2", "urn:ipt-workflow:client-ref|EHR-2"):
            bundle = (await posted(api, "Patient", identifier=value)).json()
            assert [each["id"] for each in matched(bundle)] == [client]
            assert "EHR-2" not in json.dumps(bundle["link"])
            again = (await api.get(bundle["link"][0]["url"])).json()
            assert matched(again) == matched(bundle)
        for value in ("EHR-9", "urn:elsewhere|EHR-2"):
            assert matched((await posted(api, "Patient", identifier=value)).json()) == []
        refused = await api.get("/fhir/R4/Patient?identifier=EHR-2")
        assert (refused.status_code, "EHR-2" in refused.text) == (400, False)

    api(test)


def test_a_client_whom_the_caller_may_not_see_is_answered_like_one_that_nobody_knows(api):
    async def test(api):
        await caseload(api)
        headers = await other_therapist(api)
        answers = [
            (await api.client.post("/fhir/R4/Patient/_search", data={"identifier": value}, headers=headers)).json()
            for value in ("EHR-2", "EHR-9")
        ]
        assert answers[0]["link"] == answers[1]["link"]

    api(test)


def test_patients_are_not_sorted_by_what_names_them_since_a_position_is_part_of_a_link(api):
    async def test(api):
        await caseload(api)
        bundle = (await api.get("/fhir/R4/Patient?_sort=identifier&_count=1", "supervisor")).json()
        assert "_sort" not in bundle["link"][0]["url"]
        strict = await api.get("/fhir/R4/Patient?_sort=identifier", "supervisor", prefer="handling=strict")
        assert strict.status_code == 400

    api(test)


@pytest.mark.parametrize("kind", ["EpisodeOfCare", "CarePlan", "Encounter", "Observation", "QuestionnaireResponse", "Provenance"])
def test_a_compartment_holds_what_belongs_to_the_patient_page_by_page(api, kind):
    async def test(api):
        _, course, _ = await caseload(api)
        client = await patient_of(api, course)
        by_patient = matched((await api.get(f"/fhir/R4/{kind}?patient=Patient/{client}&_count=100")).json())
        assert {each["id"].partition(".")[0] for each in by_patient} == {course}
        path, seen = f"/fhir/R4/Patient/{client}/{kind}?_count=1", []
        while path:
            page = (await api.get(path)).json()
            assert all(f"/Patient/{client}/{kind}?" in link["url"] for link in page["link"])
            seen += matched(page)
            path = next((link["url"] for link in page["link"] if link["relation"] == "next"), "")
        assert seen == by_patient

    api(test)


def test_a_compartment_is_searched_as_its_kind_is(api):
    async def test(api):
        _, course, other = await caseload(api)
        client, another = await patient_of(api, course), await patient_of(api, other)
        found = (
            await api.get(f"/fhir/R4/Patient/{client}/Encounter?status=finished&_sort=-date&_include=Encounter:patient")
        ).json()
        assert len(matched(found)) == 2
        assert [e["resource"]["id"] for e in found["entry"] if e["search"]["mode"] == "include"] == [client]
        counted = (await api.get(f"/fhir/R4/Patient/{client}/Encounter?_count=0")).json()
        assert counted["total"] == 2
        assert matched((await api.get(f"/fhir/R4/Patient/{client}/Encounter?patient={another}")).json()) == []
        assert (await api.get(f"/fhir/R4/Patient/{client}/AuditEvent")).status_code == 403
        events = matched((await api.get(f"/fhir/R4/Patient/{client}/AuditEvent?action=C", "auditor")).json())
        assert len(events) == 1

    api(test)
