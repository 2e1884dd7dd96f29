"""The OpenAPI document tells what is served, and everything that is."""

import asyncio
import json
import re
from pathlib import Path

import jsonschema
import msgspec
import pytest
from schemathesis.specs.openapi import definitions
from support.http_client import running

from ipt_workflow.api import oauth_errors, openapi, problem_schemas
from ipt_workflow.api.app import litestar_app
from ipt_workflow.api.problems import PROBLEMS
from ipt_workflow.course import triggers
from ipt_workflow.course.rules import KNOWN_RULES
from ipt_workflow.protocols.files import load_catalogue
from ipt_workflow.runtime import settings as configuration

ROOT = Path(__file__).parents[2]
METHODS = {"get", "post", "put", "patch", "delete"}
ITSELF = {"/schema", "/schema/openapi.json"}


@pytest.fixture(scope="module")
def app():
    return litestar_app(configuration.load({}))


@pytest.fixture(scope="module")
def document(app):
    return json.loads(msgspec.json.encode(openapi.document(app)))


def operations(document):
    return {(method, path): operation for path, item in document["paths"].items() for method, operation in item.items()}


def references(node) -> set[str]:
    if isinstance(node, dict):
        own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        return own.union(*map(references, node.values()))
    return set().union(*map(references, node)) if isinstance(node, list) else set()


def test_what_is_served_without_a_token_is_the_committed_document(api):
    async def test(api):
        for _ in range(2):  # asking adds nothing to it
            answer = await api.client.get("/schema/openapi.json")
            assert answer.status_code == 200
            assert answer.headers["content-type"] == "application/vnd.oai.openapi+json"
            assert answer.json() == json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8"))

    api(test)


def test_the_document_is_valid_openapi_3_1(document):
    assert document["openapi"].startswith("3.1")
    assert [error.message for error in definitions.OPENAPI_31_VALIDATOR.iter_errors(document)] == []


def test_every_schema_in_the_document_is_a_json_schema(document):
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_every_reference_in_the_document_leads_somewhere(document):
    known = {f"#/components/{kind}/{name}" for kind, parts in document["components"].items() for name in parts}
    found = references(document)
    assert found
    assert found <= known


def test_every_operation_has_a_name_of_its_own_a_summary_and_an_account_of_itself(document):
    found = operations(document)
    assert len({operation["operationId"] for operation in found.values()}) == len(found)
    for key, operation in found.items():
        assert operation["summary"], key
        assert operation["description"], key


def test_every_route_of_the_application_is_in_the_document(app, document):
    served = {
        (method.lower(), re.sub(r":\w+\}", "}", route.path_format))
        for route in app.routes
        for method in route.methods
        if method.lower() in METHODS and route.path_format not in ITSELF
    }
    assert served == set(operations(document))
    assert len(served) >= 25


def test_every_route_that_reads_a_body_says_which(app, document):
    reading = {
        (method.lower(), re.sub(r":\w+\}", "}", route.path_format))
        for route in app.routes
        for handler in getattr(route, "route_handlers", ())
        if "read_body" in handler.fn.__code__.co_names
        for method in handler.http_methods
    }
    assert len(reading) >= 30
    assert [key for key in sorted(reading) if "requestBody" not in operations(document)[key]] == []


def test_every_part_of_a_path_is_a_parameter_that_must_be_given(document):
    for (method, path), operation in operations(document).items():
        parameters = {each["name"]: each for each in operation["parameters"] if each["in"] == "path"}
        assert set(parameters) == set(re.findall(r"\{(\w+)\}", path)), (method, path)
        assert all(each["required"] for each in parameters.values())


def test_no_parameter_could_carry_a_clients_reference(document):
    for key, operation in operations(document).items():
        assert not [each["name"] for each in operation["parameters"] if "client" in each["name"]], key


def test_every_refusal_is_told_of_as_a_problem_document(document):
    for key, operation in operations(document).items():
        if key[1] == oauth_errors.PATH:
            continue  # see the next test
        errors = {status: answer for status, answer in operation["responses"].items() if int(status) >= 400}
        fhir = key[1].startswith("/fhir")
        assert {"401", "403", "404", "405", "406" if fhir else "422", "500", "503"} <= set(errors), key
        for answer in errors.values():
            kinds = {"application/fhir+json"} if fhir else {"application/problem+json"}
            hook = {"application/fhir+json"} if key[1].startswith("/v1/ehr/fhir") else set()
            assert set(answer["content"]) == kinds | hook, key
            assert answer["description"], key


def test_every_refusal_of_a_token_is_told_of_as_oauth_writes_it(document):
    operation = operations(document)["post", oauth_errors.PATH]
    errors = {status: answer for status, answer in operation["responses"].items() if int(status) >= 400}
    assert {"400", "401", "405", "413", "500", "503"} == set(errors)
    for answer in errors.values():
        assert answer["content"] == {"application/json": {"schema": {"$ref": "#/components/schemas/OAuthError"}}}
    assert set(operation["requestBody"]["content"]) == {"application/x-www-form-urlencoded"}


def test_every_kind_of_problem_has_a_schema_that_only_it_fits(document):
    schemas = document["components"]["schemas"]
    for problem in PROBLEMS.values():
        schema = schemas[problem_schemas.schema_name(problem.slug)]
        assert schema["properties"]["type"]["const"] == f"/problems/{problem.slug}"
        assert schema["properties"]["status"]["const"] == problem.status
    assert schemas["TransitionRefusedProblem"]["properties"]["refusals"]["items"] == {"$ref": "#/components/schemas/Refusal"}
    assert schemas["InvalidProblem"]["properties"]["errors"]["items"] == {"$ref": "#/components/schemas/Fault"}


def test_an_error_refers_to_the_kinds_of_its_status_and_tells_several_apart_by_type(document):
    statuses = {problem_schemas.schema_name(slug): str(problem.status) for slug, problem in PROBLEMS.items()}
    for (method, path), operation in operations(document).items():
        if path.startswith("/fhir") or path == oauth_errors.PATH:
            continue
        for status, answer in operation["responses"].items():
            if int(status) < 400:
                continue
            schema = answer["content"]["application/problem+json"]["schema"]
            named = {each.rpartition("/")[2] for each in references(schema)}
            assert {statuses[name] for name in named} == {status}, (method, path)
            assert len(named) == 1 or set(schema["discriminator"]["mapping"].values()) == references(schema)


def test_a_read_is_not_said_to_be_refused(document):
    reads = [operation for (method, path), operation in operations(document).items() if method == "get" and path.startswith("/v1")]
    assert reads
    assert not [each["operationId"] for each in reads if each["responses"].keys() & {"409", "412", "413", "415", "428"}]
    fired = operations(document)["post", "/v1/courses/{course_id}/transitions"]["responses"]["409"]
    assert "#/components/schemas/TransitionRefusedProblem" in references(fired)


def test_only_what_needs_no_token_says_so(document):
    free = {path for (_, path), operation in operations(document).items() if operation.get("security") == []}
    signed = {
        "/v1/ehr/notices/{source}",
        "/v1/ehr/fhir/{source}",
        "/v1/ehr/fhir/{source}/{kind}",
        "/v1/ehr/fhir/{source}/{kind}/{its_id}",
    }
    smart = {"/oauth/token", "/.well-known/smart-configuration", "/fhir/R4/.well-known/smart-configuration"}
    assert free == {
        "/health/live",
        "/health/ready",
        "/fhir/R4/metadata",
        "/v1/notices/types",
        "/log/ipt_verify.py",
        *smart,
        *signed,
    }
    assert document["security"] == [{"bearer": []}]
    assert document["components"]["securitySchemes"]["bearer"] == {"type": "http", "scheme": "bearer"}


@pytest.mark.parametrize(
    ("method", "path", "status", "kinds"),
    (
        ("get", "/metrics", "200", {"text/plain"}),
        ("get", "/v1/audit/export", "200", {"application/x-ndjson", "text/csv", "application/fhir+ndjson"}),
        ("get", "/fhir/R4/{kind}", "200", {"application/fhir+json"}),
        ("get", "/v1/protocols/{protocol_id}/diagram", "200", {"text/plain"}),
        ("put", "/v1/ehr/fhir/{source}/{kind}/{its_id}", "200", {"application/fhir+json"}),
        ("put", "/v1/ehr/fhir/{source}/{kind}/{its_id}", "202", {"application/fhir+json", "application/json"}),
        ("post", "/v1/courses/{course_id}/transitions", "200", {"application/json"}),
        ("post", "/v1/courses/{course_id}/transitions", "201", {"application/json"}),
    ),
)
def test_the_kinds_of_an_answer_are_those_that_are_sent(document, method, path, status, kinds):
    content = operations(document)[method, path]["responses"][status]["content"]
    assert {kind.partition(";")[0] for kind in content} == kinds


def test_every_trigger_has_one_complete_example_of_its_data_that_its_schema_accepts(api):
    async def test(api):
        items = (await api.get("/v1/triggers")).json()["items"]
        protocol = load_catalogue(ROOT / "config" / "protocols", ROOT / "config" / "instruments", KNOWN_RULES).get("ipt")
        assert [item["trigger"] for item in items] == list(triggers.names(protocol))
        for item in items:
            schema = item["data_schema"]
            shape = schema["$defs"][schema["$ref"].rpartition("/")[2]]
            jsonschema.Draft202012Validator.check_schema(schema)
            assert len(schema["examples"]) == 1, item["trigger"]
            jsonschema.validate(schema["examples"][0], schema)
            assert set(shape["required"]) <= set(schema["examples"][0]), item["trigger"]
            assert shape["additionalProperties"] is False, item["trigger"]
            assert set(item) >= {"trigger", "from", "to", "roles", "rules", "data_schema"}

    api(test)


def test_the_page_of_the_document_loads_nothing_and_names_every_operation(api, document):
    async def test(api):
        answer = await api.client.get("/schema")
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert not re.search(
            r"(?:src|href)\s*=\s*[\"']?\s*(?:https?:)?//|@import|url\(|<script|<iframe|<link", answer.text, re.IGNORECASE
        )
        for method, path in operations(document):
            assert f"<code>{method.upper()} {path}</code>" in answer.text

    api(test)


def test_where_the_document_is_not_public_it_asks_for_a_token(settings):
    async def test():
        async with running(settings.model_copy(update={"public_schema": False})) as api:
            for path in sorted(ITSELF):
                assert (await api.client.get(path)).status_code == 401
                assert (await api.get(path)).status_code == 200

    asyncio.run(test())
