"""A running server answers whatever it is sent as its document says, and never with an error of its own.

What is sent is made by schemathesis from the OpenAPI document, the same in every run; the worst that people have thought of follows
by hand.
"""

import base64
import datetime as dt
import json
import os
import socket
import time
from contextlib import closing
from typing import Any

import httpx
import msgspec
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance
from support import group_walk, service_walk
from support.forks import Fork
from support.smart import JWKS
from typer.testing import CliRunner

from ipt_workflow.api import openapi
from ipt_workflow.api.app import litestar_app
from ipt_workflow.api.fhir_outcomes import CODES, FHIR_JSON
from ipt_workflow.api.problems import PROBLEM_JSON, PROBLEMS
from ipt_workflow.cli.main import app
from ipt_workflow.course import triggers
from ipt_workflow.runtime import settings as configuration

ROLES = ("therapist", "supervisor", "auditor", "admin")
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
EXAMPLES = {
    "/v1/ehr/fhir/{source}": 40,
    "/v1/ehr/fhir/{source}/{kind}": 40,
    "/v1/ehr/fhir/{source}/{kind}/{its_id}": 40,
    "/v1/courses": 40,
    "/v1/courses/{course_id}/transitions": 60,
    "/v1/courses/{course_id}/proposals": 40,
}
PAST_THE_DOOR = {200, 201, 202, 204, 403, 404, 409, 412}
SIGNED = {"/v1/ehr/notices/{source}", "/oauth/token"}  # made up, nothing is signed
NAMING = {  # made up, a body names no course that there is, or no trigger of a crisis
    "/v1/unmasking",
    "/v1/groups/{group_id}/members",
    "/v1/groups/{group_id}/sessions",
    "/v1/courses/crisis-calls",
    "/v1/groups",  # nor people who are known
    "/v1/groups/{group_id}/facilitators",
    "/v1/cover",
    "/v1/clients/access-report",  # nor one client, by reference or by course
    "/v1/audit/consistency",  # nor sizes that the log had
}
VISIT = {
    "resourceType": "Encounter",
    "id": "1",
    "status": "cancelled",
    "type": [{"coding": [{"system": "http://snomed.info/sct", "code": "443730003"}]}],
    "subject": {"reference": "Patient/EHR-1"},
}


def document() -> dict[str, Any]:
    """The document, with what only its words say: which data goes with which trigger. The token is always sent."""
    document = json.loads(msgspec.json.encode(openapi.document(litestar_app(configuration.load({})))))
    schemas = document["components"]["schemas"]
    command = schemas["Command"]
    schemas["Command"] = {
        "oneOf": [
            {**command, "properties": {**command["properties"], "trigger": {"const": row.name}, "data": reference(row.payload)}}
            for row in triggers.TABLE
        ]
    }
    opening = schemas["Opening"]["properties"]
    opening |= {
        "protocol": {"const": "ipt"},
        "protocol_version": {"const": 2},
        "data": reference(triggers.BY_NAME["refer"].payload),
    }
    subscription = schemas["NewSubscription"]["properties"]
    subscription |= {"url": {"const": "https://ehr.invalid/"}, "courses": {"type": "null"}}
    subscription["types"]["items"] = {"enum": ["course.changed", "course.attention"]}
    schemas["NewGroup"]["properties"] |= {"protocol": {"const": group_walk.PROTOCOL}, "protocol_version": {"const": 1}}
    del document["security"]
    narrow_identities(schemas)
    return document


def narrow_identities(schema: Any) -> None:
    """What the format `identity` demands beside its pattern, all printable ASCII meets."""
    for each in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        narrow_identities(each)
    if isinstance(schema, dict) and schema.get("format") == "identity":
        schema["pattern"] = "^[!-~]+$"


def reference(payload: type) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{payload.__name__}"}


DOCUMENT = document()
OPERATIONS = [(method, path) for path, item in DOCUMENT["paths"].items() for method in item]
SOURCE = "south"  # administrators may change it, and nobody sends from it
UUID = "0197c8f2-0000-7000-8000-000000000000"
COVER = {
    "therapist": "therapist-1",
    "colleague": "therapist-2",
    "client_told": True,
    "until": (dt.datetime.now(dt.UTC) + dt.timedelta(days=7)).isoformat(),
    "reason": "Holiday.",
}
REFERRAL = {"client_ref": "EHR-1", "protocol": "ipt", "data": {"source": "General practitioner"}}


class Server:
    """A server in a process of its own, with a token for every role, a course with entries and a proposal."""

    def __init__(self, url: str, tokens: dict[str, str]) -> None:
        self.url = url
        self.tokens = tokens
        self.client = httpx.Client(base_url=url, timeout=20)
        self.course = self.post("/v1/courses", REFERRAL).json()["course"]["id"]
        self.walk("record_consent", "start", "record_session")
        body = {"trigger": "extend_phase", "reason": "One more is needed."}
        proposed = self.post(f"{self.course_path}/proposals", body, If_Match=f'"{self.version}"')
        assert proposed.status_code == 201, proposed.text
        self.proposal = proposed.json()["id"]
        subscribed = self.post("/v1/subscriptions", {"url": "https://ehr.invalid/hooks"}, "admin")
        self.subscription = subscribed.json()["subscription"]["id"]
        self.walk("record_measure")
        self.client.get("/v1/events", headers=self.headers("auditor"))
        path = f"/v1/subscriptions/{self.subscription}/deliveries"
        self.delivery = self.client.get(path, headers=self.headers("auditor")).json()["items"][0]["id"]
        answer = self.post("/v1/ehr/fhir/north", VISIT, Accept="application/json")  # it does not say who cancelled, and waits
        assert answer.json()["status"] == "waiting", answer.text
        self.notice = answer.json()["id"]
        self.member = self.post("/v1/courses", {**REFERRAL, "client_ref": "EHR-2", "protocol": group_walk.PROTOCOL}).json()[
            "course"
        ]["id"]
        made = self.post("/v1/groups", {"protocol": group_walk.PROTOCOL, "label": "G-1"})
        self.group = made.json()["group"]["id"]
        self.post(f"/v1/groups/{self.group}/members", {"course": self.member}, If_Match='"1"')
        answer = self.post(f"/v1/groups/{self.group}/sessions", {"attendance": {self.member: "3"}}, If_Match='"2"')
        assert answer.status_code == 201, answer.text
        self.group_session = answer.json()["session"]["id"]
        made = self.post("/v1/people", {"id": "fuzzed-1", "name": "Fuzzed", "roles": ["therapist"]}, "admin")
        assert made.status_code == 201, made.text
        made = self.post("/v1/cover", COVER, "admin")
        assert made.status_code == 201, made.text
        self.cover = made.json()["id"]

    def etag(self, path: str) -> str:
        """Of what a path leads to: the course, or the group."""
        led = f"/v1/groups/{self.group}" if path.startswith("/v1/groups/") else self.course_path
        return self.client.get(led, headers=self.headers("auditor")).headers["etag"]

    @property
    def course_path(self) -> str:
        return f"/v1/courses/{self.course}"

    @property
    def version(self) -> int:
        return self.client.get(self.course_path, headers=self.headers("therapist")).json()["version"]

    def known(self, path: str) -> dict[str, object]:
        """Parts of paths that lead somewhere."""
        if path.startswith("/v1/groups/"):
            return {"group_id": self.group, "session_id": self.group_session, "course_id": self.member}
        fhir = {"kind": "EpisodeOfCare", "resource_id": self.course}
        if path.endswith("{member}"):
            episode = self.client.get(f"/fhir/R4/EpisodeOfCare/{self.course}", headers=self.headers("therapist")).json()
            fhir = {"kind": "Patient", "resource_id": episode["patient"]["reference"].partition("/")[2], "member": "Encounter"}
        return {**fhir, "course_id": self.course, "proposal_id": self.proposal, "protocol_id": "ipt", "version": 2, "seq": 1,
                "subscription_id": self.subscription, "delivery_id": self.delivery,
                "notice_id": self.notice, "source": "north", "its_id": "1", "source_id": SOURCE, "system_id": SOURCE, "organisation": "default",
                "person_id": "fuzzed-1", "cover_id": self.cover, "session_id": UUID, "access_id": UUID, "level": 0, "place": "000.p/1",
                "policy": "none", "mark_id": UUID, "erasure_id": UUID}  # fmt: skip

    def headers(self, role: str, **more: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens[role]}", **{name.replace("_", "-"): value for name, value in more.items()}}

    def post(self, path: str, body: object, role: str = "therapist", **more: str) -> httpx.Response:
        return self.client.post(path, json=body, headers=self.headers(role, **more))

    def raw(self, path: str, body: bytes, kind: str = "application/json", **more: str) -> httpx.Response:
        return self.client.post(path, content=body, headers=self.headers("therapist", Content_Type=kind, **more))

    def walk(self, *triggers: str) -> None:
        for trigger in triggers:
            options = self.client.get(f"{self.course_path}/options", headers=self.headers("therapist")).json()["items"]
            body = next(item["example"] for item in options if item["trigger"] == trigger)
            answer = self.post(f"{self.course_path}/transitions", body, If_Match=f'"{self.version}"')
            assert answer.status_code == 201, answer.text


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzzed")
    database = service_walk.database(folder)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("IPT_")}
    environment = {**kept, "IPT_DATABASE_URL": database.database_url, "IPT_LOG_FORMAT": "json"}
    environment["IPT_CONFIG_DIR"] = str(group_walk.config())
    made = CliRunner().invoke(app, ["source", "add", SOURCE], env=environment)
    assert made.exit_code == 0, made.output
    (folder / "jwks").write_text(json.dumps(JWKS), encoding="utf-8")
    options = ["--scope", "system/*.rs", "--jwks-file", str(folder / "jwks")]
    made = CliRunner().invoke(app, ["system", "add", SOURCE, *options], env=environment)
    assert made.exit_code == 0, made.output
    tokens = {role: token(environment, role) for role in ROLES}
    for role, text in tokens.items():  # an EHR that bears any of these tokens
        (folder / role).write_text(text, encoding="ascii")
        verb = "rotate" if role != ROLES[0] else "add"
        made = CliRunner().invoke(
            app, ["source", verb, "north", "--kind", "bearer", "--secret-file", str(folder / role)], env=environment
        )
        assert made.exit_code == 0, made.output
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = folder / "log"
    with (
        log.open("wb") as stream,
        Fork("serve", "--port", str(port), env=environment, stdout=stream, stderr=stream) as process,
    ):
        try:
            wait_for(f"http://127.0.0.1:{port}/health/ready", process)
            running = Server(f"http://127.0.0.1:{port}", tokens)
            yield running
            running.client.close()
        finally:
            process.terminate()
            process.wait(timeout=20)
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").split("\n") if line]
    assert [line for line in lines if line["level"] not in {"info", "warning"}] == []


def token(environment: dict[str, str], role: str) -> str:
    command = ["token", "create", "--role", role, "--name", role, "--subject", f"{role}-1", "--json"]
    command += ["--source", SOURCE] if role == "ehr" else []
    made = CliRunner().invoke(app, command, env=environment)
    assert made.exit_code == 0, made.output
    return json.loads(made.stdout)["token"]


def wait_for(url: str, process: Fork) -> None:
    for _ in range(200):
        assert process.poll() is None
        try:
            if httpx.get(url, timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise AssertionError(f"{url} does not answer")


def tells_its_refusal(status: int, media_type: str, text: str) -> None:
    """Every refusal is a problem document that names itself, and nothing of our insides."""
    if status < 400:
        return
    problem = json.loads(text)
    if "error_description" in problem:
        assert (media_type, set(problem)) == ("application/json", {"error", "error_description"})
        return
    if media_type == FHIR_JSON:
        assert (problem["resourceType"], problem["issue"][0]["severity"]) == ("OperationOutcome", "error")
        assert problem["issue"][0]["code"] in {*CODES.values(), "processing"}
        return
    assert media_type == PROBLEM_JSON
    kind = PROBLEMS[problem["type"].removeprefix("/problems/")]
    assert (problem["status"], problem["title"]) == (status, kind.title) == (kind.status, kind.title)
    assert not any(word in text for word in ("Traceback", "sqlalchemy", "sqlite3", "SELECT ", "msgspec"))


@pytest.fixture(scope="module")
def schema(server):
    loaded = schemathesis.openapi.from_dict(DOCUMENT)
    loaded.config.update(base_url=server.url)
    return loaded


@pytest.fixture(scope="module")
def session():
    with requests.Session() as kept:
        yield kept


@pytest.mark.matrix(17)
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(("method", "path"), OPERATIONS, ids=lambda value: value)
def test_what_is_made_from_the_document_is_answered_as_the_document_says(server, schema, session, method, path, role):
    parameters = DOCUMENT["paths"][path][method]["parameters"]
    named = {each["name"]: server.known(path)[each["name"]] for each in parameters if each["in"] == "path"}
    version = {"If-Match": server.etag(path)} if any(each["name"] == "If-Match" for each in parameters) else {}
    known = {"path_parameters": named, "headers": version}
    good, bad = GenerationMode.POSITIVE, GenerationMode.NEGATIVE
    ways = [(good, known), (good, known), (bad, known), (good, {}), (bad, {})]
    cases = st.one_of([schema[path][method].as_strategy(mode, **given) for mode, given in ways])
    statuses = set()

    @examples(
        max_examples=EXAMPLES.get(path, 8), derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )
    @given(cases)
    def holds(case) -> None:
        answer = case.call_and_validate(session=session, headers=server.headers(role), checks=CHECKS)
        tells_its_refusal(answer.status_code, answer.headers.get("content-type", [""])[0], answer.text)
        statuses.add(answer.status_code)

    holds()
    past = PAST_THE_DOOR | {422} if path in NAMING else PAST_THE_DOOR
    assert statuses & past or (path in SIGNED and statuses <= {400, 401}), statuses


BAD_BODIES = {
    "nothing": b"",
    "a blank": b" ",
    "no JSON": b"trigger=note",
    "half of it": b'{"trigger": "note", "data": {"text": "x"',
    "more than one": b'{"trigger": "note"} {}',
    "a list": b"[]",
    "a number": b"1",
    "null": b"null",
    "text": b'"note"',
    "bytes that are no UTF-8": b'{"trigger": "note", "data": {"text": "\xff\xfe"}}',
    "UTF-16": '{"trigger": "note", "data": {"text": "x"}}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"trigger": "note", "data": {"text": "x"}}',
    "a lone surrogate": b'{"trigger": "note", "data": {"text": "\\ud800"}}',
    "an overlong slash": b'{"trigger": "note", "data": {"text": "\xc0\xaf"}}',
    "a NUL between": b'{"trigger": "note", \x00 "data": {"text": "x"}}',
    "NaN": b'{"trigger": "sign_session", "data": {"session": NaN}}',
    "a number beyond any float": b'{"trigger": "sign_session", "data": {"session": 1e999}}',
    "a number that no Python reads": b'{"trigger": "sign_session", "data": {"session": ' + b"9" * 9000 + b"}}",
    "lists without end": b"[" * 100_000,
    "objects without end": b'{"a":' * 20_000,
    "deeper than one can go": b'{"trigger": "note", "data": ' + b'{"a":' * 20_000 + b"1" + b"}" * 20_001,
}
BAD_COMMANDS = {
    "nothing in it": b"{}",
    "unknown trigger": b'{"trigger": "explode", "data": {}}',
    "trigger with a NUL": b'{"trigger": "note\\u0000", "data": {"text": "x"}}',
    "trigger of another kind": b'{"trigger": {"note": 1}, "data": {"text": "x"}}',
    "an unknown field": b'{"trigger": "note", "data": {"text": "x"}, "more": 1}',
    "an unknown field of the data": b'{"trigger": "note", "data": {"text": "x", "' + b"m" * 5000 + b'": 1}}',
    "data that is a list": b'{"trigger": "note", "data": []}',
    "empty text": b'{"trigger": "note", "data": {"text": ""}}',
    "more text than is kept": b'{"trigger": "note", "data": {"text": "' + b"x" * 4001 + b'"}}',
    "a huge number": b'{"trigger": "sign_session", "data": {"session": ' + b"9" * 400 + b"}}",
    "a negative number": b'{"trigger": "sign_session", "data": {"session": -1}}',
    "a fraction": b'{"trigger": "sign_session", "data": {"session": 1.5}}',
    "deep, but not too deep": b'{"trigger": "note", "data": ' + b'{"a":' * 200 + b"1" + b"}" * 201,
    "a day that is none": b'{"trigger": "note", "data": {"text": "x"}, "occurred_at": "2026-02-30T10:00:00Z"}',
    "a time without an offset": b'{"trigger": "note", "data": {"text": "x"}, "occurred_at": "2026-02-03T10:00:00"}',
    "together nothing": b'{"together": []}',
    "together something else": b'{"together": "note"}',
    "together too much": b'{"together": [' + b",".join([b'{"trigger": "note", "data": {"text": "x"}}'] * 21) + b"]}",
}


@pytest.mark.parametrize("name", BAD_BODIES)
def test_a_body_that_is_no_json_object_is_malformed(server, name):
    answer = server.raw(f"{server.course_path}/transitions", BAD_BODIES[name], If_Match=f'"{server.version}"')
    assert answer.status_code == 400, answer.text
    tells_its_refusal(400, answer.headers["content-type"], answer.text)


@pytest.mark.parametrize("name", BAD_COMMANDS)
def test_a_body_that_is_no_command_is_invalid_and_its_faults_are_named(server, name):
    answer = server.raw(f"{server.course_path}/transitions", BAD_COMMANDS[name], If_Match=f'"{server.version}"')
    assert answer.status_code == 422, answer.text
    tells_its_refusal(422, answer.headers["content-type"], answer.text)
    errors = answer.json()["errors"]
    assert errors
    assert all(fault["message"] and len(fault["where"]) < 200 for fault in errors)


@pytest.mark.parametrize(
    "path", ("/v1/courses", "/v1/courses/search", "/v1/courses/{course}/transitions", "/v1/courses/{course}/proposals")
)
def test_only_json_is_taken(server, path):
    path, body = path.format(course=server.course), b'{"trigger": "note", "data": {"text": "x"}}'
    for kind in (
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/xml",
        "*/*",
        "json",
    ):
        answer = server.raw(path, body, kind, If_Match=f'"{server.version}"')
        assert answer.status_code == 415, (kind, answer.text)
    without = server.client.build_request(
        "POST", path, content=body, headers=server.headers("therapist", If_Match=f'"{server.version}"')
    )
    assert "content-type" not in without.headers
    assert server.client.send(without).status_code == 415


def test_a_body_may_be_as_large_as_is_said_and_no_larger(server):
    limit = 262_144
    fits = b'{"trigger": "note", "data": {"text": "x"}}'.ljust(limit)
    path = f"{server.course_path}/transitions"
    assert server.raw(path, fits).status_code == 201
    headers = server.headers("therapist", Content_Type="application/json", If_Match=f'"{server.version}"')
    assert server.client.post(path, content=fits + b" ", headers=headers).status_code == 413
    chunks = (b" " * 65_536 for _ in range(10))  # without a Content-Length, what comes is counted
    answer = server.client.post(path, content=chunks, headers=headers)
    assert answer.status_code == 413
    tells_its_refusal(413, answer.headers["content-type"], answer.text)


@pytest.mark.parametrize("if_match", ("*", 'w/"1"', "W/1", '"1", "2"', '"1', '1"', '"-1"', '""', '"x"', '"1234567890"', "1.0"))
def test_an_if_match_that_is_not_one_version_is_malformed(server, if_match):
    answer = server.post(f"{server.course_path}/transitions", {"trigger": "note", "data": {"text": "x"}}, If_Match=if_match)
    assert answer.status_code == 400, answer.text


@pytest.mark.parametrize("key", ("", "a key", "k" * 256, "ké"))
def test_an_idempotency_key_that_is_none_is_malformed(server, key):
    headers = {**server.headers("therapist"), "Idempotency-Key": key.encode("latin-1")}
    for path, body in (
        (f"{server.course_path}/transitions", {"trigger": "note", "data": {"text": "x"}}),
        ("/v1/courses", REFERRAL),
    ):
        assert server.client.post(path, json=body, headers=headers).status_code == 400
    assert server.client.post("/v1/courses", json=REFERRAL, headers={**headers, **server.headers("auditor")}).status_code == 403


@pytest.mark.parametrize(
    "path",
    ("/v1/courses/%FF%FE", "/v1/courses/%ED%A0%80/transitions", f"/v1/courses/{'x' * 5000}",
     "/v1/courses/';DROP%20TABLE%20entry", "/v1/courses/%2E%2E%2Fcourses", "/v1/courses/{course}/transitions/0",
     "/v1/courses/{course}/transitions/-1", f"/v1/courses/{{course}}/transitions/{10 ** 30}", "/v1/courses/{course}/transitions/one",
     "/v1/courses/{course}/transitions/1.5", f"/v1/protocols/ipt/{10 ** 30}", "/v1/protocols/ipt/-1/diagram", "/v1/proposals/unknown/cosign",
     "/v2/courses", "/wp-login.php", "/schema/swagger", "/openapi.json"),
    ids=lambda path: path[:60],
)  # fmt: skip
def test_a_path_that_leads_nowhere_is_not_found(server, path):
    method = "POST" if path.endswith("cosign") else "GET"
    answer = server.client.request(method, path.format(course=server.course), headers=server.headers("supervisor"))
    assert answer.status_code == 404, (path, answer.text)
    tells_its_refusal(404, answer.headers["content-type"], answer.text)


@pytest.mark.parametrize(
    "url",
    ("/v1/courses/%00", "/v1/courses/a%00b/options", "/v1/courses?state=%00", "/v1/courses?therapist=a%00b", "/v1/audit?actor=%00",
     "/v1/audit/verify?course=%00", "/v1/protocols/%00"),
)  # fmt: skip
def test_a_nul_in_a_url_is_malformed_but_for_a_stranger_who_is_not_let_in(server, url):
    answer = server.client.get(url, headers=server.headers("supervisor"))
    assert answer.status_code == 400, answer.text
    tells_its_refusal(400, answer.headers["content-type"], answer.text)
    assert server.client.get(url).status_code == 401


def test_a_nul_in_what_is_searched_for_is_invalid(server):
    for path, field in (("/v1/courses/search", "client_ref"), ("/v1/courses/search", "state"), ("/v1/audit/search", "actor")):
        answer = server.post(path, {field: "a\0b"}, "supervisor")
        assert answer.status_code == 422
        assert [fault["where"] for fault in answer.json()["errors"]] == [field]


def encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


@pytest.mark.parametrize("path", ("/v1/courses", "/v1/proposals", "/v1/audit", "/v1/courses/{course}/transitions"))
@pytest.mark.parametrize(
    "cursor",
    ("", "x", "!!!!", "é", "%00", "A" * 10_000, encoded({}), encoded({}) + "=", encoded([]), encoded("x"), encoded({"id": 1}), encoded({"seq": "1"}),
     encoded({"id": "a", "at": 1}), encoded({"id": "\0"}), encoded({"at": "0001-01-01T00:00:00+14:00", "id": UUID}),
     encoded({"at": "2026-01-01T00:00:00", "id": UUID}), encoded({"seq": 0}), encoded({"id": UUID, "seq": 1}), encoded({"seq": 10**400, "id": {}, "at": None}), base64.urlsafe_b64encode(b'{"id": "\xff"}').decode(),
     base64.urlsafe_b64encode(b'{"id": "\\ud800"}').decode()),
    ids=lambda cursor: cursor[:12],
)  # fmt: skip
def test_a_cursor_that_is_none_of_the_list_is_malformed(server, path, cursor):
    answer = server.client.get(path.format(course=server.course), params={"cursor": cursor}, headers=server.headers("supervisor"))
    assert answer.status_code == 400, answer.text
    tells_its_refusal(400, answer.headers["content-type"], answer.text)


TIMES = (
    ("/v1/courses/{course}", "as_of"),
    ("/v1/courses/{course}", "known_at"),
    ("/v1/courses/{course}/options", "at"),
    ("/v1/audit", "from"),
    ("/v1/audit", "to"),
)


@pytest.mark.parametrize(("path", "name"), TIMES)
@pytest.mark.parametrize(
    "moment",
    ("", "yesterday", "2026", "2026-01-05", "2026-01-05T09:00:00", "2026-02-30T09:00:00Z", "2026-01-05T25:00:00Z", "2026-01-05T09:00:00+99:00",
     "-2026-01-05T09:00:00Z", "20260105T090000Z", "1767603600"),
)  # fmt: skip
def test_a_time_that_is_none_is_invalid_and_the_answer_shows_one(server, path, name, moment):
    answer = server.client.get(path.format(course=server.course), params={name: moment}, headers=server.headers("supervisor"))
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"] == [
        {"where": name, "message": "must be an RFC 3339 time with an offset, such as 2026-03-01T09:00:00Z"}
    ]


@pytest.mark.parametrize(
    ("path", "query"),
    [(path, f"limit={limit}") for path in ("/v1/courses", "/v1/proposals", "/v1/audit", "/v1/courses/{course}/transitions")
     for limit in ("0", "-1", "201", "x", "1.5", str(10**30), "9" * 5000)]
    + [("/v1/courses", "attention=boredom"), ("/v1/proposals", "status=lost"), ("/v1/audit", "kind=gossip"), ("/v1/audit/export", "format=pdf"),
       ("/v1/audit/export", "kind=")],
    ids=lambda value: value[:40],
)  # fmt: skip
def test_a_bad_value_in_a_query_is_invalid_and_named(server, path, query):
    role = "auditor" if path == "/v1/audit/export" else "supervisor"
    answer = server.client.get(f"{path.format(course=server.course)}?{query}", headers=server.headers(role))
    assert answer.status_code == 422, answer.text
    tells_its_refusal(422, answer.headers["content-type"], answer.text)
    assert [fault["where"] for fault in answer.json()["errors"]] == [query.partition("=")[0]]


@pytest.mark.parametrize(
    "moment", ("0001-01-01T00:00:00+14:00", "1899-12-31T23:59:59Z", "9000-01-01T00:00:00Z", "9999-12-31T23:59:59-14:00")
)
@pytest.mark.parametrize(("path", "name"), TIMES)
def test_a_time_beyond_what_can_be_reckoned_with_is_invalid(server, path, name, moment):
    answer = server.client.get(path.format(course=server.course), params={name: moment}, headers=server.headers("supervisor"))
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"] == [{"where": name, "message": "must lie in the years 1900 to 2199"}]


@pytest.mark.parametrize("moment", ("1900-01-01T00:00:00+14:00", "2199-12-31T09:59:59-14:00"))
@pytest.mark.parametrize(("path", "name"), TIMES)
def test_the_first_and_the_last_time_that_can_be_reckoned_with_do_no_harm(server, path, name, moment):
    answer = server.client.get(path.format(course=server.course), params={name: moment}, headers=server.headers("supervisor"))
    assert answer.status_code in {200, 404, 422}, answer.text
    assert "must lie in the years" not in answer.text


def test_a_dry_run_that_is_neither_true_nor_false_is_invalid(server):
    answer = server.post(f"{server.course_path}/transitions?dry_run=perhaps", {"trigger": "note", "data": {"text": "x"}})
    assert answer.status_code == 422
    assert [fault["where"] for fault in answer.json()["errors"]] == ["dry_run"]


@pytest.mark.parametrize("query", ("phase=%FF", "protocol=%ED%A0%80", "state='%20OR%201=1", "state=" + "x" * 5000))
def test_a_filter_that_fits_nothing_finds_nothing(server, query):
    answer = server.client.get(f"/v1/courses?{query}", headers=server.headers("supervisor"))
    assert (answer.status_code, answer.json()) == (200, {"items": [], "next": None})


@pytest.mark.parametrize(("method", "path"), OPERATIONS, ids=lambda value: value)
def test_a_method_that_a_path_does_not_know_is_refused_with_those_it_knows(server, method, path):
    known = {each.upper() for each in DOCUMENT["paths"][path]}
    path = path.format(**server.known(path))
    for other in {"PUT", "PATCH", "DELETE"} - known:
        answer = server.client.request(other, path, headers=server.headers("supervisor"))
        assert answer.status_code == 405, answer.text
        tells_its_refusal(405, answer.headers["content-type"], answer.text)
        assert method.upper() in answer.headers["allow"]


@pytest.mark.parametrize(
    "authorization",
    ("", "Bearer", "Bearer x", "Basic x", "Bearer ipt_", "Bearer ipt_0123456789abcdef_" + "A" * 43, "é", "x" * 9000),
)
def test_what_is_no_token_lets_nobody_in(server, authorization):
    answer = server.client.get("/v1/courses", headers={"Authorization": authorization.encode("latin-1")})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    tells_its_refusal(401, answer.headers["content-type"], answer.text)


def test_after_all_of_it_the_journal_is_whole(server):
    found = server.client.get("/v1/audit/verify", headers=server.headers("auditor")).json()
    assert found["ok"], found
    assert found["checked"] >= 4
