"""Under /fhir every error is an OperationOutcome; /metadata lists what may be asked."""

import asyncio

import pytest
from support import fhir_validators
from support.http_client import running

from ipt_workflow.ehr.fhir.kinds import KINDS


def outcome(answer, status: int, code: str) -> dict:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/fhir+json"
    body = answer.json()
    assert body["resourceType"] == "OperationOutcome"
    assert body["issue"][0]["code"] == code
    assert body["issue"][0]["diagnostics"]
    assert fhir_validators.faults([body]) == [[]]
    return body


@pytest.mark.parametrize(
    "path",
    ["EpisodeOfCare/x", "Practitioner", "Patient/1", "EpisodeOfCare/x/y", "x/y/z/a/b", "x/_history", "Patient/1/Encounter", "Patient/1/PlanDefinition", "Patient/_history", "Patient/1/_history", "EpisodeOfCare/x/_history", "CarePlan/x/_history", "PlanDefinition/ipt.9",
     "PlanDefinition/ipt.2/_history/1", "EpisodeOfCare/x/_history/1", "Encounter/x.1"],
)  # fmt: skip
def test_what_is_not_there_is_not_found(api, path):
    async def test(api):
        outcome(await api.get(f"/fhir/R4/{path}"), 404, "not-found")

    api(test)


def test_fhir_itself_has_no_page(api):
    async def test(api):
        for path in ("/fhir", "/fhir/", "/fhir/R5/EpisodeOfCare"):
            outcome(await api.get(path), 404, "not-found")
        assert (await api.get("/fhirx")).headers["content-type"] == "application/problem+json"

    api(test)


@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", "EpisodeOfCare/x"), ("DELETE", "EpisodeOfCare/x"), ("PATCH", "EpisodeOfCare/x"), ("POST", "EpisodeOfCare"), ("POST", "metadata"), ("GET", "EpisodeOfCare/_search"), ("GET", "")],
)  # fmt: skip
def test_a_method_that_is_not_supported_says_which_are(api, method, path):
    async def test(api):
        answer = await api.client.request(method, f"/fhir/R4/{path}", headers=api.headers("therapist"))
        outcome(answer, 405, "not-supported")
        assert answer.headers["allow"]
        assert ("HEAD" in answer.headers["allow"]) == ("GET" in answer.headers["allow"])

    api(test)


def test_nobody_reads_without_a_token(api):
    async def test(api):
        for headers in ({}, {"Authorization": "Bearer ipt_nonsense"}):
            answer = await api.client.get("/fhir/R4/EpisodeOfCare", headers=headers)
            outcome(answer, 401, "login")
            assert answer.headers["www-authenticate"].startswith("Bearer")

    api(test)


@pytest.mark.parametrize(
    ("kind", "role"),
    [(kind, "admin") for kind in KINDS if kind != "PlanDefinition"] + [("AuditEvent", "therapist"), ("AuditEvent", "ehr")],
)
def test_a_role_that_may_not_is_forbidden(api, kind, role):
    async def test(api):
        outcome(await api.get(f"/fhir/R4/{kind}", role), 403, "forbidden")
        outcome(await api.get(f"/fhir/R4/{kind}?_summary=count", role), 403, "forbidden")
        outcome(await api.get(f"/fhir/R4/{kind}/x", role), 403, "forbidden")

    api(test)


@pytest.mark.parametrize(
    ("accept", "query"),
    [("application/fhir+xml", ""), ("text/turtle", ""), ("*/*", "?_format=xml"), ("*/*", "?_format=application/fhir%2Bxml")],
)
def test_there_is_json_and_nothing_else(api, accept, query):
    async def test(api):
        outcome(await api.get(f"/fhir/R4/EpisodeOfCare{query}", Accept=accept), 406, "not-supported")

    api(test)


@pytest.mark.parametrize(
    ("accept", "query"),
    [
        ("application/fhir+json", ""),
        ("application/json", ""),
        ("text/html, application/json;q=0.9", ""),
        ("application/fhir+xml", "?_format=json"),
    ],
)
def test_json_is_given_whatever_it_is_called(api, accept, query):
    async def test(api):
        answer = await api.get(f"/fhir/R4/EpisodeOfCare{query}", Accept=accept)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/fhir+json")

    api(test)


def test_a_form_is_the_only_body_of_a_search(api):
    async def test(api):
        answer = await api.client.post(
            "/fhir/R4/EpisodeOfCare/_search", json={"status": "active"}, headers=api.headers("therapist")
        )
        outcome(answer, 415, "not-supported")
        large = await api.client.post(
            "/fhir/R4/EpisodeOfCare/_search", data={"status": "x" * 300_000}, headers=api.headers("therapist")
        )
        outcome(large, 413, "too-long")
        many = "&".join(f"a{n}=1" for n in range(300))
        headers = api.headers("therapist", content_type="application/x-www-form-urlencoded")
        outcome(await api.client.post("/fhir/R4/EpisodeOfCare/_search", content=many, headers=headers), 400, "value")
        outcome(await api.client.post("/fhir/R4/EpisodeOfCare/_search", content=b"status=\xff", headers=headers), 400, "value")

    api(test)


@pytest.mark.parametrize("query", ["EpisodeOfCare?_cursor=nonsense", "EpisodeOfCare?_cursor=e30x"])
def test_a_cursor_that_is_none_is_refused(api, query):
    async def test(api):
        outcome(await api.get(f"/fhir/R4/{query}"), 400, "structure")

    api(test)


def test_history_takes_its_own_parameters_alone(api):
    async def test(api):
        course = (await api.open())["id"]
        path = f"/fhir/R4/EpisodeOfCare/{course}/_history"
        outcome(await api.get(f"{path}?_since=soon"), 400, "value")
        outcome(await api.get(f"{path}?_count=x"), 400, "value")
        assert (await api.get(f"{path}?_at=2026")).status_code == 200
        outcome(await api.get(f"{path}?_at=2026", Prefer="handling=strict"), 400, "value")
        none = (await api.get(f"{path}?_count=0")).json()
        assert (none["total"], none.get("entry")) == (1, None)

    api(test)


def test_an_unexpected_error_tells_nothing_but_its_request(api, monkeypatch):
    async def test(api):
        course = (await api.open("EHR-4711"))["id"]

        async def broken(*_args, **_more):
            raise RuntimeError("EHR-4711")

        monkeypatch.setattr(api.services.fhir, "read", broken)
        body = outcome(await api.get(f"/fhir/R4/EpisodeOfCare/{course}", X_Request_Id="req-7"), 500, "exception")
        assert "req-7" in body["issue"][0]["diagnostics"]
        assert "4711" not in str(body)

    api(test)


# What can be asked


def test_metadata_says_what_is_served(api):
    async def test(api):
        answer = await api.client.get("/fhir/R4/metadata")
        assert answer.status_code == 200
        statement = answer.json()
        assert (statement["fhirVersion"], statement["kind"], statement["status"]) == ("4.0.1", "instance", "active")
        assert [each["type"] for each in statement["rest"][0]["resource"]] == list(KINDS)
        assert statement["implementation"]["url"] == "http://ipt/fhir/R4"
        assert fhir_validators.faults([statement]) == [[]]

    api(test)


def test_everything_metadata_tells_of_is_there(api):
    """Every interaction answers, and every parameter is understood by a caller who is strict."""
    values = {"date": "2026", "uri": "urn:x", "token": "x", "string": "x", "reference": "x"}

    async def test(api):
        statement = (await api.get("/fhir/R4/metadata")).json()
        course = (await api.open())["id"]
        await api.walk(course, "record_consent", "start", "record_measure", "record_session")
        for resource in statement["rest"][0]["resource"]:
            kind, role = resource["type"], "supervisor"
            first = (await api.get(f"/fhir/R4/{kind}?_count=1", role)).json()["entry"][0]["resource"]
            read = await api.get(f"/fhir/R4/{kind}/{first['id']}", role)
            assert read.status_code == 200
            interactions = {each["code"] for each in resource["interaction"]}
            at = first.get("meta", {}).get("versionId", "1")
            version = await api.get(f"/fhir/R4/{kind}/{first['id']}/_history/{at}", role)
            assert (version.status_code == 200) == ("vread" in interactions), kind
            history = await api.get(f"/fhir/R4/{kind}/{first['id']}/_history", role)
            assert (history.status_code == 200) == ("history-instance" in interactions), kind
            of_kind = await api.get(f"/fhir/R4/{kind}/_history", role)
            assert (of_kind.status_code == 200) == ("history-type" in interactions), kind
            for name, includes in (("_include", resource.get("searchInclude")), ("_revinclude", resource.get("searchRevInclude"))):
                for include in includes or ():
                    answer = await api.get(f"/fhir/R4/{kind}?{name}={include}", role, Prefer="handling=strict")
                    assert answer.status_code == 200, (kind, name, include)
            for param in resource["searchParam"]:
                by_identifier = KINDS[kind].param(param["name"]).logical or param["name"] in KINDS[kind].patient
                name = f"{param['name']}:identifier" if by_identifier else param["name"]
                answer = await api.client.post(
                    f"/fhir/R4/{kind}/_search",
                    data={name: values[param["type"]]},
                    headers=api.headers(role, Prefer="handling=strict"),
                )
                assert answer.status_code == 200, (kind, name, answer.text)

    api(test)


def test_metadata_needs_a_token_where_the_schema_is_not_public(settings):
    async def test():
        async with running(settings.model_copy(update={"public_schema": False})) as api:
            outcome(await api.client.get("/fhir/R4/metadata"), 401, "login")
            assert (await api.get("/fhir/R4/metadata")).status_code == 200

    asyncio.run(test())


def test_own_names_begin_as_the_settings_say(settings):
    named = settings.model_copy(
        update={"fhir_canonical": "https://clinic.test/ipt", "fhir_patient_system": "urn:oid:1.2.36.146.595.217.0.1"}
    )

    async def test():
        async with running(named) as api:
            course = (await api.open("EHR-1"))["id"]
            episode = (await api.get(f"/fhir/R4/EpisodeOfCare/{course}")).json()
            assert episode["patient"]["identifier"]["system"] == "urn:oid:1.2.36.146.595.217.0.1"
            assert episode["careManager"]["identifier"]["system"] == "https://clinic.test/ipt/person"
            plan = (await api.get("/fhir/R4/PlanDefinition/ipt.2")).json()
            assert plan["url"] == "https://clinic.test/ipt/PlanDefinition/ipt"
            assert fhir_validators.faults([episode, plan]) == [[], []]

    asyncio.run(test())
