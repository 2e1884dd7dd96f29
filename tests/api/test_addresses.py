"""Addresses that leave the service: from the setting `public_url`, and never from a header of the request."""

import asyncio

import pytest
from support.http_client import running

from ipt_workflow.runtime import settings as configuration

PUBLIC = "https://clinic.example/ipt"
FORGED = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "gopher", "Forwarded": "host=evil.example",
          "X-Forwarded-Prefix": "/evil"}  # fmt: skip
REFERRAL = {"protocol": "ipt", "data": {"source": "General practitioner", "indication": "depression"}}


def public(settings, url: str = PUBLIC):
    return settings.model_copy(update={"public_url": url})


def test_every_address_begins_with_the_public_one(settings):
    async def test():
        async with running(public(settings)) as api:
            opened = await api.post("/v1/courses", {**REFERRAL, "client_ref": "EHR-1"})
            course = opened.json()["course"]["id"]
            assert opened.headers["location"] == f"{PUBLIC}/v1/courses/{course}"
            await api.walk(course, "record_consent")
            await api.open("EHR-2")
            for path, role in (
                ("/v1/courses", "therapist"),
                (f"/v1/courses/{course}/transitions", "therapist"),
                ("/v1/audit", "auditor"),
            ):
                listed = await api.get(f"{path}?limit=1", role)
                assert listed.headers["link"].startswith(f"<{PUBLIC}{path}?"), path
            group = {"protocol": "ipt-group", "label": "G-1"}
            assert (await api.post("/v1/groups", group)).headers["location"].startswith(f"{PUBLIC}/v1/groups/")
            hook = await api.post("/v1/subscriptions", {"url": "https://ehr.example/hooks"}, "admin")
            assert hook.headers["location"].startswith(f"{PUBLIC}/v1/subscriptions/")
            assert (await api.get("/v1/courses/none")).json()["instance"] == f"{PUBLIC}/v1/courses/none"
            bundle = (await api.get("/fhir/R4/EpisodeOfCare?_count=1")).json()
            assert bundle["entry"][0]["fullUrl"] == f"{PUBLIC}/fhir/R4/EpisodeOfCare/{course}"
            assert [each["relation"] for each in bundle["link"]] == ["self", "next"]
            assert all(each["url"].startswith(f"{PUBLIC}/fhir/R4/EpisodeOfCare?") for each in bundle["link"])
            history = (await api.get(f"/fhir/R4/EpisodeOfCare/{course}/_history?_count=1")).json()
            assert all(each["url"].startswith(f"{PUBLIC}/fhir/R4/") for each in history["link"])
            assert (await api.get("/fhir/R4/metadata")).json()["implementation"]["url"] == f"{PUBLIC}/fhir/R4"
            assert (await api.get("/schema/openapi.json")).json()["servers"] == [{"url": PUBLIC}]

    asyncio.run(test())


def test_without_the_setting_paths_stand_alone_and_fhir_names_where_it_listens(api):
    async def test(api):
        opened = await api.post("/v1/courses", {**REFERRAL, "client_ref": "EHR-1"})
        assert opened.headers["location"] == f"/v1/courses/{opened.json()['course']['id']}"
        await api.open("EHR-2")
        assert (await api.get("/v1/courses?limit=1")).headers["link"].startswith("</v1/courses?")
        bundle = (await api.get("/fhir/R4/EpisodeOfCare?_count=1")).json()
        assert bundle["entry"][0]["fullUrl"].startswith("http://ipt/fhir/R4/EpisodeOfCare/")

    api(test)


@pytest.mark.parametrize("url", ["", PUBLIC])
def test_no_header_of_a_request_comes_back_in_an_address(settings, url):
    async def test():
        async with running(public(settings, url)) as api:
            await api.open("EHR-1")
            headers = api.headers("therapist") | FORGED
            opened = await api.client.post("/v1/courses", json={**REFERRAL, "client_ref": "EHR-2"}, headers=headers)
            assert opened.status_code == 201
            answers = [opened]
            course = opened.json()["course"]["id"]
            paths = (
                "/v1/courses?limit=1", "/v1/audit?limit=1", f"/v1/courses/{course}", "/v1/events?limit=1", "/v1/nothing", "/schema",
                "/schema/openapi.json", "/fhir/R4/metadata", "/fhir/R4/EpisodeOfCare?_count=1", f"/fhir/R4/EpisodeOfCare/{course}",
                "/fhir/R4/EpisodeOfCare/_history?_count=1", f"/fhir/R4/EpisodeOfCare/{course}/_history", "/fhir/R4/AuditEvent?_count=5",
                "/fhir/R4/nothing", "/v1/audit/export?format=fhir",
            )  # fmt: skip
            answers += [await api.client.get(path, headers=api.headers("auditor") | FORGED) for path in paths]
            for answer in answers:
                assert "evil" not in answer.text, answer.request.url
                assert "gopher" not in answer.text, answer.request.url
                assert "evil" not in str(answer.headers), answer.request.url

    asyncio.run(test())


@pytest.mark.parametrize(
    "url",
    [
        "north.test/ipt",
        "ftp://north.test",
        "https://north.test/",
        "https://north.test/ipt/",
        "https://user@north.test",
        "https://north.test/ipt?x=1",
        "https://north.test/#top",
        "https:///ipt",
        "https://north.test/two words",
    ],
)
def test_what_is_no_address_is_refused_at_the_start_and_not_repeated(url):
    with pytest.raises(configuration.SettingsInvalid) as refused:
        configuration.load({"IPT_PUBLIC_URL": url})
    (fault,) = refused.value.faults
    assert fault.where == "IPT_PUBLIC_URL"
    assert "such as https://clinic.example/ipt" in fault.message
    assert url not in fault.message


@pytest.mark.parametrize("url", ["", "https://clinic.example", "http://10.0.0.7:8080", "https://[::1]:8443/a/b", PUBLIC])
def test_an_address_is_taken(url):
    assert configuration.load({"IPT_PUBLIC_URL": url}).public_url == url
