"""Scopes at /v1 and /fhir/R4: what a token's scopes do not cover is refused, whatever its role allows."""

import pytest
from support.http_client import OPERATOR

from ipt_workflow.api.app import litestar_app
from ipt_workflow.api.scopes import NEEDS, WITHOUT_SCOPE
from ipt_workflow.runtime import settings as configuration
from ipt_workflow.service.access.tokens import NewToken

SERVED = {
    (method, route.path_format)
    for route in litestar_app(configuration.load({}), sandbox=True).routes
    for method in route.methods - {"OPTIONS", "HEAD"}
}
OPEN = {
    ("GET", "/health/live"), ("GET", "/health/ready"), ("GET", "/v1/notices/types"), ("GET", "/log/ipt_verify.py"), ("GET", "/log/{organisation}/checkpoint"),
    ("GET", "/log/{organisation}/tile/{level}/{place}"), ("POST", "/oauth/token"),
    ("GET", "/.well-known/smart-configuration"), ("GET", "/fhir/R4/.well-known/smart-configuration"),
}  # fmt: skip
SIGNED = "/v1/ehr/notices/", "/v1/ehr/fhir/"
NAMES = {"kind": "Encounter", "member": "Encounter", "resource_id": "x", "version": "1", "seq": "1"}


async def with_scopes(api, role: str, *scopes: str) -> None:
    """The token of the role `scoped`."""
    made = await api.services.tokens.create(OPERATOR, NewToken(role=role, name=f"{role}-1", scopes=scopes or None))
    api.tokens["scoped"] = made.token


def path_of(template: str) -> str:
    parts = [part if not part.startswith("{") else NAMES.get(part.strip("{}"), "x") for part in template.split("/")]
    return "/".join(parts)


def test_every_route_that_takes_a_token_says_which_scope_it_needs():
    guarded = {key for key in SERVED if key not in OPEN and not key[1].startswith(SIGNED)}
    assert set(NEEDS) | WITHOUT_SCOPE == guarded
    assert not set(NEEDS) & WITHOUT_SCOPE


@pytest.mark.matrix(12)
@pytest.mark.parametrize("key", [key for key in NEEDS if not key[1].startswith("/sandbox")], ids=" ".join)
def test_a_route_is_refused_without_its_scope_and_the_attempt_is_recorded(api, key):
    need = NEEDS[key].format(**NAMES)
    letter = need[-1]
    others = "".join(each for each in "cruds" if each != letter)
    method, template = key

    async def test(api):
        await with_scopes(api, "supervisor", f"system/*.{others}")
        answer = await api.client.request(method, path_of(template), json={}, headers=api.headers("scoped"))
        assert answer.status_code == 403, answer.text
        assert answer.headers["www-authenticate"] == f'Bearer realm="ipt", error="insufficient_scope", scope="system/{need}"'
        if template.startswith("/fhir"):
            assert answer.json()["issue"][0]["code"] == "forbidden"
        else:
            assert (answer.json()["type"], answer.json()["scope"]) == ("/problems/scope-missing", f"system/{need}")
        recorded = (await api.get("/v1/audit?kind=refusal", "auditor")).json()["items"]
        assert [(each["action"], each["rules"]) for each in recorded] == [(f"{method} {template}", ["scope"])]

    api(test)


def test_a_scope_opens_its_route_and_no_other(api):
    async def test(api):
        course = (await api.open())["id"]
        await with_scopes(api, "ehr", "system/EpisodeOfCare.r")
        assert (await api.get(f"/fhir/R4/EpisodeOfCare/{course}", "scoped")).status_code == 200
        assert (await api.get(f"/fhir/R4/EpisodeOfCare/{course}/_history", "scoped")).status_code == 200
        for path in ("EpisodeOfCare", f"CarePlan/{course}", "EpisodeOfCare/_history", "Nothing"):
            assert (await api.get(f"/fhir/R4/{path}", "scoped")).status_code == 403
        assert (await api.get(f"/v1/courses/{course}", "scoped")).status_code == 403
        await with_scopes(api, "ehr", "system/*.r")
        assert (await api.get(f"/v1/courses/{course}", "scoped")).status_code == 200
        assert (await api.get("/v1/courses", "scoped")).status_code == 403

    api(test)


def test_scopes_do_not_widen_what_the_role_allows(api):
    async def test(api):
        await with_scopes(api, "ehr", "system/*.cruds")
        for path in ("/v1/audit", "/v1/sources", "/fhir/R4/AuditEvent"):
            answer = await api.get(path, "scoped")
            assert answer.status_code == 403
            assert "www-authenticate" not in answer.headers

    api(test)


def test_a_trigger_is_fired_with_the_scope_to_update_every_kind(api):
    async def test(api):
        course = (await api.open())["id"]
        body = {"trigger": "record_consent", "data": {"scope": "treatment"}}
        for scope, status in (("system/*.rs", 403), ("system/EpisodeOfCare.cruds", 403), ("system/*.u", 201)):
            await with_scopes(api, "ehr", scope)
            answer = await api.post(f"/v1/courses/{course}/transitions", body, "scoped", If_Match='"1"')
            assert answer.status_code == status, answer.text

    api(test)


@pytest.mark.parametrize(
    ("query", "scope"),
    [
        ("Encounter?_include=Encounter:episode-of-care", "system/EpisodeOfCare.s"),
        ("EpisodeOfCare?_revinclude=Encounter:episode-of-care", "system/Encounter.s"),
        ("EpisodeOfCare?_has:Encounter:episode-of-care:status=finished", "system/Encounter.s"),
    ],
)
def test_a_search_brings_along_only_what_the_scopes_cover(api, query, scope):
    kind = query.partition("?")[0]

    async def test(api):
        course = (await api.open())["id"]
        await api.walk(course, "record_consent", "start", "record_session")
        await with_scopes(api, "ehr", f"system/{kind}.rs")
        assert (await api.get(f"/fhir/R4/{kind}", "scoped")).status_code == 200
        refused = await api.get(f"/fhir/R4/{query}", "scoped")
        assert refused.status_code == 403
        assert scope in refused.headers["www-authenticate"]
        await with_scopes(api, "ehr", f"system/{kind}.rs", scope)
        assert (await api.get(f"/fhir/R4/{query}", "scoped")).status_code == 200

    api(test)


def test_each_entry_of_a_batch_is_checked_by_itself(api):
    async def test(api):
        await api.open()
        await with_scopes(api, "ehr", "system/Encounter.s")
        entries = [{"request": {"method": "GET", "url": each}} for each in ("Encounter", "Observation")]
        answer = await api.post("/fhir/R4", {"resourceType": "Bundle", "type": "batch", "entry": entries}, "scoped")
        assert [each["response"]["status"] for each in answer.json()["entry"]] == ["200", "403"]

    api(test)


def test_a_compartment_needs_the_scope_of_what_is_searched_in_it(api):
    async def test(api):
        course = (await api.open())["id"]
        client = (await api.get(f"/fhir/R4/EpisodeOfCare/{course}", "ehr")).json()["patient"]["reference"]
        await with_scopes(api, "ehr", "system/CarePlan.s")
        assert (await api.get(f"/fhir/R4/{client}/CarePlan", "scoped")).status_code == 200
        assert (await api.get(f"/fhir/R4/{client}/Encounter", "scoped")).status_code == 403

    api(test)
