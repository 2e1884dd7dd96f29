"""SMART Backend Services over HTTP: a system proves itself, gets a token for five minutes, and reads what its scopes cover."""

import asyncio
import datetime as dt

import pytest
from support.http_client import OPERATOR, START, running
from support.smart import EC, JWKS, administrator, asked, assertion, form, registered, signed_in

from ipt_workflow.ehr.smart.systems import NewSystem, Systems
from ipt_workflow.runtime.clock import VirtualClock


def is_oauth(answer, status: int, code: str) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert (answer.headers["cache-control"], answer.headers["pragma"]) == ("no-store", "no-cache")
    assert sorted(answer.json()) == ["error", "error_description"]
    assert answer.json()["error"] == code
    return answer.json()["error_description"]


@pytest.mark.parametrize("algorithm", ("ES384", "RS384"))
def test_a_system_gets_a_token_of_five_minutes_and_reads_by_it(settings, algorithm):
    async def test():
        clock = VirtualClock(START)
        async with running(settings, clock) as api:
            course = (await api.open())["id"]
            made = await registered(api)
            assert (made["client_id"], made["keys"]) == ("default.north", ["ec", "rsa"])
            answer = await asked(api, assertion(algorithm=algorithm, now=START), "system/EpisodeOfCare.rs openid")
            assert answer.status_code == 200, answer.text
            assert (answer.headers["cache-control"], answer.headers["pragma"]) == ("no-store", "no-cache")
            body = answer.json()
            assert sorted(body) == ["access_token", "expires_in", "scope", "token_type"]
            assert (body["token_type"], body["expires_in"], body["scope"]) == ("bearer", 300, "system/EpisodeOfCare.rs")
            api.tokens["system"] = body["access_token"]
            assert (await api.get(f"/fhir/R4/EpisodeOfCare/{course}", "system")).status_code == 200
            clock.advance(dt.timedelta(seconds=299))
            assert (await api.get(f"/fhir/R4/EpisodeOfCare/{course}", "system")).status_code == 200
            clock.advance(dt.timedelta(seconds=1))
            assert (await api.get(f"/fhir/R4/EpisodeOfCare/{course}", "system")).status_code == 401

    asyncio.run(test())


def test_an_assertion_is_accepted_once(api):
    async def test(api):
        await registered(api)
        await registered(api, "south")
        asserted = assertion(jti="1")
        assert (await asked(api, asserted)).status_code == 200
        assert "jti was used" in is_oauth(await asked(api, asserted), 401, "invalid_client")
        assert "jti was used" in is_oauth(await asked(api, assertion(jti="1", algorithm="RS384")), 401, "invalid_client")
        assert (await asked(api, assertion("south", jti="1"))).status_code == 200
        answers = await asyncio.gather(*(asked(api, assertion(jti="2")) for _ in range(4)))
        assert sorted(each.status_code for each in answers) == [200, 401, 401, 401]

    api(test)


def test_a_refused_scope_does_not_use_the_assertion_up(api):
    async def test(api):
        await registered(api, scopes=("system/Encounter.rs",))
        asserted = assertion()
        sentence = is_oauth(await asked(api, asserted, "system/Observation.rs"), 400, "invalid_scope")
        assert "system/Encounter.rs" in sentence
        assert (await asked(api, asserted)).json()["scope"] == "system/Encounter.rs"

    api(test)


def test_revoking_a_system_ends_its_access_at_once(api):
    async def test(api):
        await registered(api)
        await signed_in(api)
        assert (await api.get("/fhir/R4/EpisodeOfCare", "system")).status_code == 200
        revoked = await api.post("/v1/systems/north/revoke", None, "admin")
        assert revoked.json()["revoked_at"]
        assert (await api.get("/fhir/R4/EpisodeOfCare", "system")).status_code == 401
        assert "no registered system" in is_oauth(await asked(api, assertion()), 401, "invalid_client")
        assert (await api.post("/v1/systems/north/revoke", None, "admin")).status_code == 404
        assert (
            await api.client.patch("/v1/systems/north", json={"name": "N"}, headers=api.headers("administrator"))
        ).status_code == 404
        again = await api.post("/v1/systems", {"id": "north", "scopes": ["system/*.rs"], "jwks": JWKS}, await administrator(api))
        assert (again.status_code, again.json()["errors"][0]["where"]) == (422, "id")

    api(test)


def test_a_change_of_a_system_ends_its_access_tokens(api):
    async def test(api):
        await registered(api)
        await signed_in(api)
        narrowed = await api.client.patch(
            "/v1/systems/north", json={"scopes": ["system/Task.r"]}, headers=api.headers("administrator")
        )
        assert narrowed.json()["scopes"] == ["system/Task.r"]
        assert (await api.get("/fhir/R4/EpisodeOfCare", "system")).status_code == 401
        is_oauth(await asked(api, assertion(), "system/EpisodeOfCare.rs"), 400, "invalid_scope")
        only_rsa = {"keys": JWKS["keys"][1:]} if JWKS["keys"][0]["kid"] == "ec" else {"keys": JWKS["keys"][:1]}
        changed = await api.client.patch("/v1/systems/north", json={"jwks": only_rsa}, headers=api.headers("administrator"))
        assert changed.json()["keys"] == ["rsa"]
        assert "kid names no key" in is_oauth(await asked(api, assertion(), "system/Task.r"), 401, "invalid_client")
        assert (await asked(api, assertion(algorithm="RS384"), "system/Task.r")).status_code == 200

    api(test)


FORMS = [
    ({"grant_type": None}, 400, "invalid_request"),
    ({"grant_type": "authorization_code"}, 400, "unsupported_grant_type"),
    ({"grant_type": "password"}, 400, "unsupported_grant_type"),
    ({"client_assertion_type": None}, 401, "invalid_client"),
    ({"client_assertion_type": "jwt"}, 401, "invalid_client"),
    ({"client_assertion": None}, 400, "invalid_request"),
    ({"client_assertion": "x"}, 401, "invalid_client"),
    ({"scope": None}, 400, "invalid_request"),
    ({"scope": "patient/*.rs"}, 400, "invalid_scope"),
]  # fmt: skip


@pytest.mark.parametrize(("more", "status", "code"), FORMS, ids=str)
def test_what_is_wrong_with_a_form_is_said_as_oauth_says_it(api, more, status, code):
    async def test(api):
        await registered(api)
        answer = await api.client.post("/oauth/token", data=form(assertion(), **more))
        assert is_oauth(answer, status, code)

    api(test)


def test_what_is_no_form_is_refused_as_oauth_says_it(api):
    async def test(api):
        await registered(api)
        post, kind = api.client.post, {"content-type": "application/x-www-form-urlencoded"}
        is_oauth(await post("/oauth/token", json=form(assertion())), 400, "invalid_request")
        is_oauth(await post("/oauth/token"), 400, "invalid_request")
        is_oauth(await post("/oauth/token", content=b"\xff=1", headers=kind), 400, "invalid_request")
        is_oauth(await post("/oauth/token", content=b"scope=a&scope=b", headers=kind), 400, "invalid_request")
        is_oauth(await post("/oauth/token", content=b"&".join([b"a=1"] * 50), headers=kind), 400, "invalid_request")
        is_oauth(await post("/oauth/token", content=b"a=" + b"1" * 2_000_000, headers=kind), 413, "invalid_request")
        is_oauth(await post("/oauth/token", data=form(assertion()), headers={"authorization": "Basic YTpi"}), 401, "invalid_client")
        is_oauth(await api.client.get("/oauth/token"), 405, "invalid_request")
        is_oauth(await api.client.request("DELETE", "/oauth/token"), 405, "invalid_request")

    api(test)


@pytest.mark.parametrize(
    ("asserted", "sentence"),
    [
        (lambda: assertion("south"), "no registered system"),
        (lambda: assertion(iss="elsewhere.north", sub="elsewhere.north"), "no registered system"),
        (lambda: assertion(header={"kid": "rsa"}), "kid names no key"),
        (lambda: assertion(header={"jku": "https://evil.example/keys"}), "jku must be the registered"),
        (lambda: assertion(aud="https://evil.example/oauth/token"), "aud must be http://ipt/oauth/token"),
        (lambda: assertion(key=type(EC).generate_key("P-384", {"kid": "ec"}, private=True)), "signature"),
    ],
    ids=("unknown", "other organisation", "other kid", "jku", "audience", "key"),
)
def test_an_assertion_that_is_not_the_systems_is_refused_with_the_reason(api, asserted, sentence):
    async def test(api):
        await registered(api)
        assert sentence in is_oauth(await asked(api, asserted()), 401, "invalid_client")

    api(test)


def test_equal_systems_of_two_organisations_each_reach_their_own(api):
    async def test(api):
        made = await api.post("/v1/organisations", {"id": "south", "title": "South Clinic"}, "operator")
        assert made.status_code == 201, made.text
        await registered(api)
        is_oauth(await asked(api, assertion(iss="south.north", sub="south.north")), 401, "invalid_client")
        services = api.front_desk.of(await api.front_desk.clinics.of("south"))
        await services.systems.add(OPERATOR, lambda: NewSystem(id="north", scopes=("system/*.rs",), jwks=JWKS))
        ours = (await api.open())["id"]
        for organisation, seen in (("default", [ours]), ("south", [])):
            name = f"{organisation}.north"
            answer = await asked(api, assertion(iss=name, sub=name, jti="1"))
            api.tokens["system"] = answer.json()["access_token"]
            assert [each["id"] for each in (await api.get("/v1/courses", "system")).json()["items"]] == seen
        suspended = await api.client.patch("/v1/organisations/south", json={"status": "suspended"}, headers=api.headers("operator"))
        assert suspended.status_code == 200, suspended.text
        assert (await api.get("/v1/courses", "system")).status_code == 401
        is_oauth(await asked(api, assertion(iss="south.north", sub="south.north")), 401, "invalid_client")

    api(test)


def test_the_audience_is_the_public_url(settings):
    async def test():
        async with running(settings.model_copy(update={"public_url": "https://clinic.example/ipt"}), VirtualClock(START)) as api:
            await registered(api)
            is_oauth(await asked(api, assertion()), 401, "invalid_client")
            assert (await asked(api, assertion(now=START, aud="https://clinic.example/ipt/oauth/token"))).status_code == 200
            found = (await api.client.get("/fhir/R4/.well-known/smart-configuration")).json()
            assert found["token_endpoint"] == "https://clinic.example/ipt/oauth/token"

    asyncio.run(test())


def test_what_a_system_does_is_recorded_under_its_name(api):
    async def test(api):
        await registered(api)
        await signed_in(api)
        await api.get("/v1/courses", "system")
        items = (await api.get("/v1/audit?actor=system:north", "auditor")).json()["items"]
        assert [(each["kind"], each["action"], each["actor"]["role"]) for each in items] == [
            ("sign_in", "token issued to system north", "ehr"),
            ("read", "caseload", "ehr"),
        ]
        configured = (await api.get("/v1/audit?kind=config", "auditor")).json()["items"]
        assert configured[-1]["action"] == "system north added"

    api(test)


def test_a_system_of_an_auditor_exports_the_audit_log_and_sees_only_that(api):
    async def test(api):
        await registered(api, "siem", ("system/AuditEvent.rs",), role="auditor")
        await signed_in(api, "siem")
        assert (await api.get("/v1/audit/export", "system")).status_code == 200
        assert (await api.get("/fhir/R4/AuditEvent", "system")).status_code == 200
        assert (await api.get("/v1/courses", "system")).status_code == 403

    api(test)


def test_old_assertions_and_tokens_are_removed(settings):
    async def test():
        clock = VirtualClock(START)
        async with running(settings, clock) as api:
            await registered(api)
            for day in range(4):
                await signed_in(api, now=START + dt.timedelta(days=day))
                clock.advance(dt.timedelta(days=1))
            rows = await api.clinic.database.read(
                lambda connection: [
                    connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar()
                    for table in ("system_assertion", "token WHERE system IS NOT NULL")
                ]
            )
            assert rows == [1, 2]

    asyncio.run(test())


@pytest.mark.parametrize(
    ("more", "where"),
    [
        ({"jwks": None}, "jwks"),
        ({"jwks_url": "https://ehr.example/keys"}, "jwks"),
        ({"jwks": {"keys": []}}, "jwks"),
        ({"jwks": None, "jwks_url": "https://10.0.0.1/keys"}, "jwks_url"),
        ({"jwks": None, "jwks_url": "http://ehr.example/keys"}, "jwks_url"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["system/Encounters.rs"]}, "scopes[0]"),
        ({"id": "North"}, "id"),
        ({"role": "admin"}, "role"),
        ({"source": "unknown"}, "source"),
        ({"role": "auditor", "source": "north"}, "source"),
    ],
    ids=str,
)
def test_what_is_wrong_with_a_registration_is_said_where_it_is(api, more, where):
    async def test(api):
        body = {"id": "north", "scopes": ["system/*.rs"], "jwks": JWKS, **more}
        answer = await api.post(
            "/v1/systems", {name: value for name, value in body.items() if value is not None}, await administrator(api)
        )
        assert (answer.status_code, [each["where"] for each in answer.json()["errors"]]) == (422, [where]), answer.text

    api(test)


def test_only_a_person_who_has_just_signed_in_registers_or_changes_a_system(settings):
    async def test():
        clock = VirtualClock(START)
        async with running(settings, clock) as api:
            await registered(api)
            body = {"id": "south", "scopes": ["system/*.rs"], "jwks": JWKS}
            clock.advance(dt.timedelta(minutes=6))
            for role, status, slug in (("admin", 403, "person-needed"), ("administrator", 401, "reauthentication-needed")):
                made = await api.post("/v1/systems", body, role)
                changed = await api.client.patch("/v1/systems/north", json={"name": "N"}, headers=api.headers(role))
                for answer in (made, changed):
                    assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{slug}"), answer.text
            assert (await api.post("/v1/systems/north/revoke", None, "admin")).status_code == 200

    asyncio.run(test())


def test_systems_are_listed_page_by_page(api):
    async def test(api):
        systems = Systems(api.clinic)
        for name in ("b", "a", "c"):
            await systems.add(OPERATOR, lambda name=name: NewSystem(id=name, scopes=("system/*.rs",), jwks=JWKS))
        first = (await api.get("/v1/systems?limit=2", "admin")).json()
        rest = (await api.get(f"/v1/systems?limit=2&cursor={first['next']}", "admin")).json()
        assert [each["id"] for each in (*first["items"], *rest["items"])] == ["a", "b", "c"]
        assert rest["next"] is None

    api(test)


def test_the_configuration_names_what_a_system_needs(api):
    async def test(api):
        found = await api.client.get("/.well-known/smart-configuration")
        below = await api.client.get("/fhir/R4/.well-known/smart-configuration")
        assert found.json() == below.json()
        assert found.headers["content-type"] == below.headers["content-type"] == "application/json"
        body = found.json()
        assert body["token_endpoint"] == "http://ipt/oauth/token"
        assert body["token_endpoint_auth_methods_supported"] == ["private_key_jwt"]
        assert body["token_endpoint_auth_signing_alg_values_supported"] == ["RS384", "ES384"]
        assert body["grant_types_supported"] == ["client_credentials"]
        assert {"client-confidential-asymmetric", "permission-v2"} <= set(body["capabilities"])
        assert {"system/*.rs", "system/Encounter.rs"} <= set(body["scopes_supported"])
        assert (await asked_for(api, body["scopes_supported"])) == ["system/*.cruds"]

    async def asked_for(api, scopes):
        await registered(api, scopes=("system/*.cruds",))
        answer = await asked(api, assertion(), " ".join(scopes))
        return [each for each in answer.json()["scope"].split() if "*" in each]

    api(test)


def test_the_capability_statement_names_the_token_endpoint(api):
    async def test(api):
        (rest,) = (await api.client.get("/fhir/R4/metadata")).json()["rest"]
        assert rest["security"]["service"][0]["coding"][0]["code"] == "SMART-on-FHIR"
        (uris,) = rest["security"]["extension"]
        assert uris["extension"] == [{"url": "token", "valueUri": "http://ipt/oauth/token"}]

    api(test)
