"""Sources over HTTP: registered, changed, rotated, switched off and on. A secret is shown once."""

import pytest
from support.ehr_sender import Ehr, started, status
from support.http_client import START

from ipt_workflow.ehr import signatures
from ipt_workflow.runtime.clock import VirtualClock

ONE = "/v1/sources/north"
ROUTES = (
    ("GET", ONE, None),
    ("PATCH", ONE, {"other_visits": "ignore"}),
    ("POST", f"{ONE}/rotate", {}),
    ("POST", f"{ONE}/disable", None),
    ("POST", f"{ONE}/enable", None),
)
CONSENT = {"client_ref": "EHR-1", "scope": "sharing"}


async def call(api, method: str, path: str, body=None, role: str = "admin"):
    return await api.client.request(method, path, json=body, headers=api.headers(role))


async def registered(api, **more) -> dict:
    answer = await api.post("/v1/sources", {"id": "north", **more}, "admin")
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == ONE
    return answer.json()


def faults(answer) -> dict[str, str]:
    assert answer.status_code == 422, answer.text
    return {each["where"]: each["message"] for each in answer.json()["errors"]}


def test_a_source_that_is_registered_over_http_sends_at_once_and_its_secret_is_shown_once(api):
    async def test(api):
        await started(api)
        made = await registered(api, client_prefix="")
        ehr = Ehr(api, "north", "standard-webhooks", made["secret"])
        assert status(await ehr.notify("consent.given", CONSENT)) == "applied"
        assert (await call(api, "GET", ONE)).json() == made["source"]
        assert made["source"]["created_by"] == "admin-1"
        for path in (ONE, "/v1/sources", "/v1/audit"):
            text = (await api.get(path, "auditor" if "audit" in path else "admin")).text
            assert made["secret"][6:] not in text
            assert "digest" not in text

    api(test, VirtualClock(START))


def test_a_secret_of_the_ehr_itself_is_not_repeated(api):
    async def test(api):
        given = signatures.mint_shared()
        assert (await registered(api, secret=given))["secret"] is None
        rotated = await call(api, "POST", f"{ONE}/rotate", {"kind": "bearer", "secret": "a-secret-of-the-ehr-itself"})
        assert (rotated.status_code, rotated.json()["secret"]) == (201, None)
        assert "a-secret-of-the-ehr-itself" not in rotated.text

    api(test)


def test_settings_are_changed_and_what_is_left_out_stays(api):
    async def test(api):
        made = await registered(api, all_visits=True)
        assert made["source"]["other_visits"] == "wait"
        changed = (await call(api, "PATCH", ONE, {"other_visits": "ignore", "all_visits": False})).json()
        assert changed == {**made["source"], "other_visits": "ignore", "all_visits": False}
        assert (await call(api, "PATCH", ONE, {})).json() == changed
        assert (await call(api, "PATCH", ONE, {"names_persons": True})).json() == {**changed, "names_persons": True}

    api(test)


def test_after_a_rotation_both_keys_sign_until_the_overlap_ends_and_a_disabled_source_is_refused(api):
    async def test(api):
        await started(api)
        first = Ehr(api, "north", "standard-webhooks", (await registered(api))["secret"])
        rotated = (await api.post(f"{ONE}/rotate", {"overlap_hours": 1}, "admin")).json()
        second = Ehr(api, "north", "standard-webhooks", rotated["secret"])
        second.sent = 100
        assert [status(await ehr.notify("consent.given", CONSENT)) for ehr in (first, second)] == ["applied", "applied"]
        assert [key["expires_at"] is None for key in rotated["source"]["keys"]] == [False, True]
        assert (await call(api, "POST", f"{ONE}/disable")).json()["disabled_at"] is not None
        assert (await second.notify("consent.given", CONSENT)).status_code == 401
        assert (await call(api, "POST", f"{ONE}/enable")).json()["disabled_at"] is None
        assert status(await second.notify("consent.given", CONSENT)) == "applied"
        records = (await api.get("/v1/audit?kind=config", "auditor")).json()["items"]
        verbs = [each["action"] for each in records if each["action"].startswith("source")]
        assert verbs == [f"source north {verb}" for verb in ("added", "rotated", "disabled", "enabled")]

    api(test, VirtualClock(START))


def test_sources_are_listed_by_page(api):
    async def test(api):
        for name in ("west", "east", "south"):
            assert (await api.post("/v1/sources", {"id": name, "kind": "bearer"}, "admin")).status_code == 201
        first = await api.get("/v1/sources?limit=2", "admin")
        assert [each["id"] for each in first.json()["items"]] == ["east", "south"]
        assert first.headers["link"].endswith('; rel="next"')
        rest = (await api.get(f"/v1/sources?cursor={first.json()['next']}", "admin")).json()
        assert ([each["id"] for each in rest["items"]], rest["next"]) == (["west"], None)

    api(test)


@pytest.mark.parametrize(
    ("body", "where"),
    (
        ({}, {"id"}),
        ({"id": "North!", "kind": "password"}, {"id", "kind"}),
        ({"id": "south", "secret": "short"}, {"secret"}),
        ({"id": "south", "other_visits": "maybe"}, {"other_visits"}),
        ({"id": "south", "digest_key": "AAAA"}, {"digest_key"}),
        ({"id": "south", "secret": signatures.mint_private()}, {"secret"}),
        ({"id": "group"}, {"id"}),
        ({"id": "north"}, {"id"}),
    ),
)
def test_what_is_wrong_with_a_source_is_said_at_once(api, body, where):
    async def test(api):
        await registered(api)
        assert set(faults(await api.post("/v1/sources", body, "admin"))) == where

    api(test)


def test_what_is_wrong_with_a_change_or_a_rotation_is_said(api):
    async def test(api):
        await registered(api)
        assert set(faults(await call(api, "PATCH", ONE, {"client_prefix": "X-", "all_visits": 1}))) == {
            "client_prefix",
            "all_visits",
        }
        assert set(faults(await call(api, "POST", f"{ONE}/rotate", {"overlap_hours": -1, "kind": "none"}))) == {
            "overlap_hours",
            "kind",
        }
        assert (
            await api.client.patch(ONE, content=b"{", headers=api.headers("admin", Content_Type="text/plain"))
        ).status_code == 415
        assert (await call(api, "DELETE", ONE)).status_code == 405

    api(test)


def test_a_source_that_is_not_there_is_not_found(api):
    async def test(api):
        for method, path, body in ROUTES:
            assert (await call(api, method, path, body)).status_code == 404, (method, path)

    api(test)
