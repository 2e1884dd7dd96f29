"""`$everything`: a client with all that is served of their courses, whole or in pages, as far as the caller may see it."""

import pytest
from ehr.fhir.test_patients import other_therapist, patient_of
from support import fhir_validators
from support.http_client import OPERATOR

from ipt_workflow.ehr.fhir.compartment import MEMBERS
from ipt_workflow.service.access.tokens import NewToken

KINDS = [
    "Patient",
    "EpisodeOfCare",
    "CarePlan",
    "Encounter",
    "Observation",
    "QuestionnaireResponse",
    "Provenance",
    "PlanDefinition",
]


async def client_with_two_courses(api) -> str:
    """A client with an ended course and a course that runs, beside a course of somebody else."""
    await api.walk((await api.open("EHR-8"))["id"], "record_consent", "start", "record_session")
    first = (await api.open("EHR-7"))["id"]
    await api.walk(first, "record_consent", "start", "record_measure", "record_session", "end_early")
    await api.walk((await api.open("EHR-7"))["id"], "record_consent", "start")
    return await patient_of(api, first)


async def of(api, client: str, query: str = "", role: str = "therapist"):
    answer = await api.get(f"/fhir/R4/Patient/{client}/$everything{query}", role)
    assert answer.status_code == 200, answer.text
    return answer.json()


def names(bundle) -> list[str]:
    return [f"{each['resource']['resourceType']}/{each['resource']['id']}" for each in bundle["entry"]]


def test_everything_is_what_the_compartment_has_of_each_kind_and_the_protocols_that_plans_follow(api):
    async def test(api):
        client = await client_with_two_courses(api)
        bundle = await of(api, client)
        assert list(dict.fromkeys(name.partition("/")[0] for name in names(bundle))) == KINDS == list(MEMBERS)
        for kind in KINDS[1:-1]:
            found = (await api.get(f"/fhir/R4/Patient/{client}/{kind}?_count=200")).json()
            assert [name for name in names(bundle) if name.startswith(f"{kind}/")] == names(found), kind
        modes = {each["resource"]["resourceType"]: each["search"]["mode"] for each in bundle["entry"]}
        assert modes == {**dict.fromkeys(KINDS, "match"), "PlanDefinition": "include"}
        assert bundle["total"] == len(bundle["entry"]) - 1
        assert [link["relation"] for link in bundle["link"]] == ["self"]
        resources = [each["resource"] for each in bundle["entry"]]
        assert fhir_validators.faults([bundle, *resources]) == [[]] * (len(resources) + 1)

    api(test)


def test_its_pages_together_are_the_whole(api):
    async def test(api):
        client = await client_with_two_courses(api)
        whole, pages, path = names(await of(api, client)), [], "?_count=4"
        while path:
            bundle = await of(api, client, path)
            assert len(bundle["entry"]) <= 4
            pages += names(bundle)
            path = next((f"?{link['url'].partition('?')[2]}" for link in bundle["link"] if link["relation"] == "next"), "")
        assert pages == whole
        counted = await of(api, client, "?_count=0")
        assert (counted["total"], counted.get("entry")) == (len(whole) - 1, None)

    api(test)


def test_kinds_times_of_care_and_changes_narrow_it(api):
    async def test(api):
        client = await client_with_two_courses(api)
        assert {name.partition("/")[0] for name in names(await of(api, client, "?_type=Encounter,Observation"))} == {
            "Encounter",
            "Observation",
        }
        assert {name.partition("/")[0] for name in names(await of(api, client, "?end=2020"))} == {"Patient"}
        assert {name.partition("/")[0] for name in names(await of(api, client, "?_since=2100-01-01T00:00:00Z"))} == {"Patient"}
        everything = names(await of(api, client))
        assert names(await of(api, client, "?start=2020&end=2100-01-01&_since=2020-01-01T00:00:00Z")) == everything
        unknown = await of(api, client, "?_type=Patient&mode=all")
        assert [each["search"]["mode"] for each in unknown["entry"]] == ["outcome", "match"]

    api(test)


@pytest.mark.parametrize(
    "query",
    [
        "start=ge2026",
        "start=soon",
        "end=2026-02-30",
        "end=",
        "start=2026,2027",
        "_type=AuditEvent",
        "_type=Kitten",
        "_since=2026",
        "_count=x",
    ],
)
def test_what_cannot_be_read_is_refused_and_not_repeated(api, query):
    async def test(api):
        client = await patient_of(api, (await api.open("EHR-7"))["id"])
        answer = await api.get(f"/fhir/R4/Patient/{client}/$everything?{query}")
        assert answer.status_code == 400, answer.text
        (issue,) = answer.json()["issue"]
        assert issue["diagnostics"].startswith(query.partition("=")[0])
        assert "Kitten" not in answer.text
        assert (await api.get(f"/fhir/R4/Patient/{client}/$everything?x=1", Prefer="handling=strict")).status_code == 400
        assert (await api.get(f"/fhir/R4/EpisodeOfCare/{client}/$everything")).status_code == 404

    api(test)


def test_nobody_is_told_of_a_client_of_others_and_every_page_is_recorded(api):
    async def test(api):
        client = await client_with_two_courses(api)
        stranger = await other_therapist(api)
        answer = await api.client.get(f"/fhir/R4/Patient/{client}/$everything", headers=stranger)
        never = await api.client.get(f"/fhir/R4/Patient/{'0' * 8}-0000-7000-8000-{'0' * 12}/$everything", headers=stranger)
        assert (answer.status_code, answer.json()) == (never.status_code, never.json())
        await of(api, client, "?_count=1")
        (read,) = [
            each
            for each in (await api.get("/v1/audit?kind=read&limit=200", "auditor")).json()["items"]
            if each["action"] == "fhir everything Patient"
        ]
        courses = [
            each["valueReference"]["reference"].partition("/")[2]
            for each in (await api.get(f"/fhir/R4/Patient/{client}")).json()["extension"]
        ]
        assert read["courses"] == sorted(courses)

    api(test)


def test_scopes_narrow_it_and_refuse_a_kind_that_is_named(api):
    async def test(api):
        client = await client_with_two_courses(api)
        made = await api.services.tokens.create(
            OPERATOR, NewToken(role="ehr", name="ehr-2", scopes=("system/Patient.rs", "system/Encounter.rs"))
        )
        api.tokens["narrow"] = made.token
        assert {name.partition("/")[0] for name in names(await of(api, client, role="narrow"))} == {"Patient", "Encounter"}
        refused = await api.get(f"/fhir/R4/Patient/{client}/$everything?_type=Observation", "narrow")
        assert refused.status_code == 403
        assert "system/Observation.s" in refused.text

    api(test)
