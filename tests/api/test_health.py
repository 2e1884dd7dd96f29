"""Whether the service lives, is ready, and how it does."""

import asyncio
import sqlite3
from contextlib import closing

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from support import databases
from support.http_client import running

from ipt_workflow.service.audit.verifier import Verifier
from ipt_workflow.store.schema import revision

SECRET = "EHR-of-nobody-else"


async def samples(api, role: str = "auditor") -> dict[str, list[tuple[dict[str, str], float]]]:
    """Every sample of the metrics, by its name."""
    answer = await api.get("/metrics", role)
    assert answer.status_code == 200, answer.text
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def value(found: dict[str, list[tuple[dict[str, str], float]]], name: str, **labels: str) -> float:
    return sum(number for own, number in found.get(name, []) if labels.items() <= own.items())


def ask(settings, *paths: str) -> list[httpx.Response]:
    """What a service answers on a database in the state it is in now."""

    async def test() -> list[httpx.Response]:
        async with running(settings) as api:
            return [await api.client.get(path) for path in paths]

    return asyncio.run(test())


def test_a_service_lives_and_is_ready_and_says_so_to_anybody(settings):
    for answer in ask(settings, "/health/live", "/health/ready"):
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_readiness_says_how_far_everything_was_read_again(api):
    async def test(api):
        assert (await api.client.get("/health/ready")).json() == {"status": "ok"}
        await api.open("EHR-1")
        await Verifier(api.clinic).read_on()
        found = (await api.client.get("/health/ready")).json()["verification"]
        assert (0 < found["share"] <= 1, found["ok"]) == (True, True)
        installed = await samples(api)
        assert value(installed, "ipt_verification_faults") == 0
        assert value(installed, "ipt_verification_share") == pytest.approx(found["share"], abs=0.01)

    api(test)


def test_a_service_whose_database_is_behind_is_not_ready_says_what_to_run_and_lives(settings, api):
    async def test(api):
        with closing(sqlite3.connect(databases.path_of(settings), isolation_level=None)) as connection:
            connection.execute("UPDATE alembic_version SET version_num = '0000'")
        answer = await api.client.get("/health/ready")
        assert (answer.status_code, answer.json()["type"]) == (503, "/problems/busy")
        assert answer.headers["content-type"] == "application/problem+json"
        assert "0000" in answer.json()["detail"]
        assert "ipt-workflow db upgrade" in answer.json()["detail"]
        assert int(answer.headers["retry-after"]) >= 1
        assert (await api.client.get("/health/live")).status_code == 200
        with closing(sqlite3.connect(databases.path_of(settings), isolation_level=None)) as connection:
            connection.execute("UPDATE alembic_version SET version_num = ?", (revision.HEAD,))
        assert (await api.client.get("/health/ready")).status_code == 200

    api(test)


def test_a_service_whose_tables_are_gone_is_not_ready(settings, api):
    async def test(api):
        with closing(sqlite3.connect(databases.path_of(settings), isolation_level=None)) as connection:
            connection.execute("DELETE FROM alembic_version")
        answer = await api.client.get("/health/ready")
        assert answer.status_code == 503
        assert "revision none" in answer.json()["detail"]

    api(test)


def test_metrics_are_for_those_who_run_and_oversee_the_service(api):
    async def test(api):
        for role in api.tokens:
            answer = await api.get("/metrics", role)
            assert answer.status_code == (200 if role in {"admin", "auditor", "operator"} else 403)
        assert (await api.client.get("/metrics")).status_code == 401
        content_type = (await api.get("/metrics", "admin")).headers["content-type"]
        assert content_type.startswith("text/plain; version=0.0.4")
        assert content_type.count("charset") == 1

    api(test)


def test_transitions_are_counted_by_protocol_and_trigger(api):
    async def test(api):
        for number in range(2):
            course = (await api.open(f"EHR-{number}"))["id"]
            await api.walk(course, "record_consent")
        together = {"together": [{"trigger": "note", "data": {"text": "x"}}] * 3}
        assert (await api.post(f"/v1/courses/{course}/transitions", together)).status_code == 201
        found = await samples(api)
        for trigger, count in (("refer", 2), ("record_consent", 2), ("note", 3)):
            assert value(found, "ipt_transitions_total", protocol="ipt", trigger=trigger) == count
        assert value(found, "ipt_transitions_total") == 7

    api(test)


def test_what_was_replayed_previewed_or_refused_is_no_transition(api):
    async def test(api):
        body = {"client_ref": "EHR-1", "protocol": "ipt", "data": {"source": "General practitioner"}}
        for _ in range(2):
            opened = await api.post("/v1/courses", body, Idempotency_Key="once")
        course = opened.json()["course"]["id"]
        await api.post(f"/v1/courses/{course}/transitions?dry_run=true", {"trigger": "record_consent"}, If_Match='"1"')
        assert (await api.fire(course, "start")).status_code == 409
        found = await samples(api)
        assert value(found, "ipt_transitions_total") == 1

    api(test)


def test_refusals_are_counted_by_protocol_trigger_and_rule(api):
    async def test(api):
        course = (await api.open())["id"]
        for _ in range(2):
            assert (await api.fire(course, "start")).status_code == 409
        assert (
            await api.post("/v1/courses", {"client_ref": "EHR-1", "protocol": "ipt", "data": {"source": "x"}})
        ).status_code == 409
        await api.walk(course, "record_consent", "start")
        refused = (await api.fire(course, "begin_middle")).json()["refusals"]
        found = await samples(api)
        assert value(found, "ipt_refusals_total", protocol="ipt", trigger="start", rule="consent_given") == 2
        assert value(found, "ipt_refusals_total", protocol="ipt", trigger="refer", rule="one_active_course") == 1
        assert len(refused) > 5
        for refusal in refused:
            assert value(found, "ipt_refusals_total", trigger="begin_middle", rule=refusal["rule"]) == 1

    api(test)


def test_courses_are_counted_by_protocol_and_state_as_they_are_now(api):
    async def test(api):
        first, second = (await api.open("EHR-1"))["id"], (await api.open("EHR-2"))["id"]
        await api.walk(second, "record_consent", "start")
        found = await samples(api)
        assert value(found, "ipt_courses", protocol="ipt", state="referred") == 1
        assert value(found, "ipt_courses", protocol="ipt", state="initial") == 1
        await api.walk(first, "decline")
        found = await samples(api)
        assert not [labels for labels, _ in found["ipt_courses"] if labels["state"] == "referred"]
        assert value(found, "ipt_courses", state="not_suitable") == 1

    api(test)


def test_latencies_are_measured_by_method_route_and_status_and_no_id_is_a_label(api):
    async def test(api):
        course = (await api.open())["id"]
        for path in (f"/v1/courses/{course}", "/v1/courses/unknown", "/wp-login.php"):
            await api.get(path)
        await api.client.head(f"/v1/courses/{course}", headers=api.headers("therapist"))
        found = await samples(api)
        seen = {
            (labels["method"], labels["route"], labels["status"]): count for labels, count in found["ipt_request_seconds_count"]
        }
        assert seen["POST", "/v1/courses", "201"] == 1
        assert seen["GET", "/v1/courses/{course_id}", "200"] == 1
        assert seen["GET", "/v1/courses/{course_id}", "404"] == 1
        assert seen["HEAD", "/v1/courses/{course_id}", "200"] == 1
        assert seen["GET", "unmatched", "404"] == 1
        assert value(found, "ipt_request_seconds_sum") > 0
        assert value(found, "ipt_request_seconds_bucket", le="+Inf") == value(found, "ipt_request_seconds_count")

    api(test)


def test_nothing_about_a_client_or_a_person_is_in_the_metrics(api):
    async def test(api):
        course = (await api.open(SECRET))["id"]
        await api.fire(course, "note", {"text": SECRET})
        await api.fire(course, SECRET)
        await api.fire(course, f"begin_{SECRET}")
        await api.get(f"/v1/courses?state={SECRET}")
        await api.get(f"/{SECRET}/{course}")
        await api.client.request(SECRET, f"/v1/courses/{course}", headers=api.headers("therapist"))
        text = (await api.get("/metrics", "admin")).text.casefold()
        for word in (SECRET, course, "therapist-1", "General practitioner"):
            assert word.casefold() not in text

    api(test)


@pytest.mark.parametrize("path", ("/health/live", "/health/ready", "/metrics"))
def test_only_get_and_head_are_answered(api, path):
    async def test(api):
        assert (await api.client.head(path, headers=api.headers("admin"))).status_code == 200
        for method in ("POST", "PUT", "DELETE"):
            answer = await api.client.request(method, path, headers=api.headers("admin"))
            assert (answer.status_code, answer.headers["content-type"]) == (405, "application/problem+json")

    api(test)
