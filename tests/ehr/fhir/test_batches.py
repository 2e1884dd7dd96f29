"""A batch of reads: each entry is answered as it would be by itself; everything else is refused."""

import pytest
from support import fhir_validators
from support.fhir_caseload import caseload

from ipt_workflow.api import fhir_batch


def get(url: str, **more: str) -> dict:
    return {"request": {"method": "GET", "url": url, **more}}


def bundle(*entries: dict, kind: str = "batch") -> dict:
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries)}


async def sent(api, *entries: dict, role: str = "therapist") -> list[dict]:
    answer = await api.post("/fhir/R4", bundle(*entries), role, Content_Type="application/fhir+json")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/fhir+json"
    assert answer.json()["type"] == "batch-response"
    assert fhir_validators.faults([answer.json()]) == [[]]
    return answer.json().get("entry", [])


def test_each_entry_is_answered_by_itself_and_as_it_would_be_alone(api):
    async def test(api):
        _, course, _ = await caseload(api)
        urls = [
            f"EpisodeOfCare/{course}",
            "Encounter?status=finished&_count=1",
            f"EpisodeOfCare/{course}/_history/2",
            f"CarePlan/{course}?_elements=period",
            "EpisodeOfCare/none",
            "AuditEvent",
            "EpisodeOfCare?date=soon",
            "metadata",
        ]
        entries = await sent(api, *(get(url) for url in urls))
        assert [entry["response"]["status"] for entry in entries] == ["200", "200", "200", "200", "404", "403", "400", "200"]
        for url, entry in zip(urls, entries, strict=True):
            alone = await api.get(f"/fhir/R4/{url}")
            shown = entry["response"]["outcome"] if alone.status_code >= 400 else entry["resource"]
            assert shown == alone.json(), url
            assert entry["response"].get("etag") == alone.headers.get("etag")

    api(test)


def test_an_entry_may_be_named_by_its_full_url_and_be_asked_for_if_it_has_changed(api):
    async def test(api):
        course = (await api.open())["id"]
        full = f"http://ipt/fhir/R4/EpisodeOfCare/{course}"
        entries = await sent(api, get(full), get(f"/fhir/R4/EpisodeOfCare/{course}"), get(full, ifNoneMatch='W/"1"'))
        assert [entry["response"]["status"] for entry in entries] == ["200", "200", "304"]
        assert "resource" not in entries[2]

    api(test)


@pytest.mark.parametrize(
    "url", ["../../v1/courses", "https://elsewhere.example/fhir/R4/Patient", "", "EpisodeOfCare/../metadata", "%2e%2e/R4/metadata"]
)
def test_a_batch_reaches_nothing_but_fhir(api, url):
    async def test(api):
        (entry,) = await sent(api, get(url))
        assert entry["response"]["status"].startswith("404")
        assert entry["response"]["outcome"]["issue"][0]["code"] == "not-found"

    api(test)


def test_a_batch_takes_get_alone_and_the_other_entries_are_answered(api):
    async def test(api):
        course = (await api.open())["id"]
        post = {"request": {"method": "POST", "url": "EpisodeOfCare"}, "resource": {"resourceType": "EpisodeOfCare"}}
        refused, read = await sent(api, post, get(f"EpisodeOfCare/{course}"))
        assert refused["response"]["status"].startswith("405")
        assert read["resource"]["id"] == course

    api(test)


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (bundle(get("metadata"), kind="transaction"), "type"),
        (bundle(kind="message"), "type"),
        ({"resourceType": "Patient", "type": "batch"}, "type"),
        (bundle({"resource": {}}), "entry[0].request"),
        ([], ""),
        (bundle(*[get("metadata")] * 101), "entry"),
    ],
)
def test_what_is_no_batch_of_reads_is_refused_in_fhir(api, body, where):
    async def test(api):
        answer = await api.post("/fhir/R4", body)
        assert answer.status_code == 400
        assert answer.json()["resourceType"] == "OperationOutcome"
        assert answer.json()["issue"][0]["diagnostics"].startswith(where)

    api(test)


def test_a_batch_that_is_no_json_or_comes_as_something_else_is_refused(api):
    async def test(api):
        headers = api.headers("therapist", content_type="application/fhir+json")
        assert (await api.client.post("/fhir/R4", content=b"{", headers=headers)).status_code == 400
        headers = api.headers("therapist", content_type="application/fhir+xml")
        assert (await api.client.post("/fhir/R4", content=b"<Bundle/>", headers=headers)).status_code == 415
        assert (await api.client.post("/fhir/R4", json=bundle())).status_code == 401

    api(test)


def test_answers_beyond_the_size_of_a_batch_are_left_to_another(api, monkeypatch):
    async def test(api):
        monkeypatch.setattr(fhir_batch, "BYTES_MAX", 1000)
        read, left = await sent(api, get("metadata"), get("metadata"))
        assert read["response"]["status"] == "200"
        assert left["response"]["outcome"]["issue"][0]["code"] == "too-costly"

    api(test)


def test_every_read_of_a_batch_is_recorded_under_its_one_request(api):
    async def test(api):
        courses = await caseload(api)
        headers = {"X-Request-Id": "batch-1"}
        answer = await api.post("/fhir/R4", bundle(*(get(f"EpisodeOfCare/{each}") for each in courses)), **headers)
        assert answer.status_code == 200
        found = (await api.get("/v1/audit?kind=read&limit=200", "auditor")).json()["items"]
        reads = [each for each in found if each["action"] == "fhir read EpisodeOfCare"]
        assert [each["courses"] for each in reads] == [[each] for each in courses]
        assert {each["request_id"] for each in reads} == {"batch-1"}

    api(test)
