"""The OpenAPI document, and a page that shows it without loading anything else.

Handlers read bodies by hand, after the checks of access and precondition, so the framework does not know them. This module adds them
to the document.
"""

import html
import re
from collections.abc import Container, Iterable
from typing import Any

import msgspec
from litestar import Litestar, Response, Router, get
from litestar.handlers import HTTPRouteHandler

from ipt_workflow.api import oauth_errors, problem_schemas
from ipt_workflow.api.fhir_outcomes import CODES, FHIR_JSON, is_fhir
from ipt_workflow.api.fhir_queries import BASE, FORM
from ipt_workflow.api.oauth import ASSERTION_TYPE, GRANT, WELL_KNOWN
from ipt_workflow.api.oauth_errors import OAuthError
from ipt_workflow.api.problems import PROBLEMS
from ipt_workflow.api.request_bodies import WRITES
from ipt_workflow.api.requests import ApiRequest
from ipt_workflow.api.webhooks import webhooks
from ipt_workflow.course import triggers
from ipt_workflow.course.rules import KNOWN_RULES
from ipt_workflow.ehr import signatures
from ipt_workflow.ehr.notices import types as notice_types
from ipt_workflow.ehr.notices.types import NoticeTypes
from ipt_workflow.protocols.files import load_catalogue
from ipt_workflow.values.types import NO_NEWLINE

FHIR_ERRORS = ("400", "401", "403", "404", "405", "406", "413", "415", "500", "503")
SIGNED, HOOKED = "/v1/ehr/notices/{source}", "/v1/ehr/fhir/"
WITHOUT_TOKEN = (
    "/fhir/R4/metadata",
    oauth_errors.PATH,
    WELL_KNOWN,
    f"{BASE}{WELL_KNOWN}",
    "/health",
    "/log/ipt_verify.py",
    SIGNED,
    HOOKED,
    "/v1/notices/types",
)
OAUTH_ERRORS = ("400", "401", "405", "413", "500", "503")
TOKEN_FORM = {
    "type": "object",
    "properties": {
        "grant_type": {"const": GRANT},
        "scope": {"type": "string", "minLength": 1},
        "client_assertion_type": {"const": ASSERTION_TYPE},
        "client_assertion": {"type": "string", "minLength": 1, "description": "A JWT that the system signs with its private key."},
    },
    "required": ["grant_type", "scope", "client_assertion_type", "client_assertion"],
}
REFERENCE = "#/components/schemas/{name}"
OF_GROUPS = (
    "/v1/groups/{group_id}/members",
    "/v1/groups/{group_id}/members/{course_id}/leave",
    "/v1/groups/{group_id}/facilitators",
    "/v1/groups/{group_id}/sessions",
)
COSIGN = "/v1/proposals/{proposal_id}/cosign"
VERSIONED = ("/v1/courses/{course_id}/transitions", "/v1/courses/{course_id}/proposals", COSIGN, *OF_GROUPS)
KEYED = (
    "/v1/courses",
    "/v1/courses/crisis-calls",
    "/v1/courses/{course_id}/transitions",
    COSIGN,
    "/v1/supervision",
    "/v1/groups",
    *OF_GROUPS,
)
PREFERRED = ("/v1/courses", "/v1/courses/{course_id}/transitions", COSIGN)
STREAMS = {"/v1/audit/export": ("application/x-ndjson", "text/csv", "application/fhir+ndjson")}
SEARCH = (
    "_id",
    "_lastUpdated",
    "_sort",
    "_include",
    "_revinclude",
    "_elements",
    "_count",
    "_summary",
    "_total",
    "_cursor",
    "_format",
)
QUERIES = {
    "/v1/courses": ("state",),
    "/v1/audit": ("from",),
    "/v1/audit/consistency": ("from",),
    "/v1/audit/export": ("from", "format"),
    "/fhir/R4/{kind}": SEARCH,
    "/fhir/R4/{kind}/{resource_id}": ("_elements", "_summary", "_format"),
    "/fhir/R4/{kind}/{resource_id}/$everything": ("start", "end", "_since", "_type", "_count", "_cursor", "_format"),
    "/fhir/R4/{kind}/{resource_id}/{member}": SEARCH,
    "/fhir/R4/{kind}/_history": ("_since", "_count", "_cursor", "_format"),
    "/fhir/R4/{kind}/{resource_id}/_history": ("_since", "_count", "_cursor", "_format"),
}


FHIR_RESOURCE = {
    "type": "object",
    "title": "FhirResource",
    "description": "A resource or Bundle of FHIR R4, whose own definition says what else it holds.",
    "properties": {"resourceType": {"type": "string"}},
    "required": ["resourceType"],
    "additionalProperties": True,
}
# Of an event's data, the first that fits is the right one: those with more fields come first.
EVENT_DATA = ("CourseTransition", "CourseChanged", "CourseRefused", "SubscriptionDisabled", "CourseAttention", "SubscriptionPing")
TYPED = {  # fields that the code keeps as plain JSON
    ("FeedEvent", "data"): {"anyOf": [{"$ref": REFERENCE.format(name=name)} for name in EVENT_DATA]},
    ("NoticeView", "faults"): {"type": "array", "items": {"$ref": REFERENCE.format(name="Fault")}},
    ("NoticeView", "refusals"): {"type": "array", "items": {"$ref": REFERENCE.format(name="Refusal")}},
}


class NoPages(Router):
    """Drops the framework's own routes for the document and its pages, which would be open to anybody."""

    def register(self, value: Any) -> list[Any]:  # noqa: ARG002 - the framework passes a value
        return []


def document(app: Litestar) -> dict[str, Any]:
    """The OpenAPI 3.1 document."""
    schema: dict[str, Any] = app.openapi_schema.to_schema()
    schema["paths"] = dict(sorted(schema["paths"].items()))
    references, definitions = msgspec.json.schema_components(_bodies(schema["paths"]), ref_template=REFERENCE)
    _optional(definitions, references)
    _, payloads = msgspec.json.schema_components([row.payload for row in triggers.TABLE], ref_template=REFERENCE)
    schema["components"].setdefault("schemas", {}).update({**payloads, **definitions})
    schema["components"]["schemas"] |= problem_schemas.schemas(REFERENCE)
    schema["components"]["schemas"]["FhirResource"] = FHIR_RESOURCE
    schema["components"]["schemas"]["OperationOutcome"] = _outcome()
    schema["webhooks"], components = webhooks(REFERENCE)
    for kind, each in components.items():
        schema["components"].setdefault(kind, {}).update(each)
    for path, item in schema["paths"].items():
        for method, operation in item.items():
            _complete(path, method, operation)
    _notices(schema, _types(app))
    for (name, field), shape in TYPED.items():
        schema["components"]["schemas"][name]["properties"][field] = shape
    complete: dict[str, Any] = plain(schema)
    return complete


def operation_id(handler: HTTPRouteHandler, _method: Any, _path: Any) -> str:
    """The name that a generated client gives a route: the handler's, after its subject."""
    subject, name = next(iter(handler.resolve_tags()), ""), handler.handler_name
    return name if name.startswith(subject) else f"{subject}_{name}"


def plain(node: Any) -> Any:
    """In the form that generators understand: no choice between one thing, no look-ahead; enums and open objects say so."""
    if isinstance(node, list):
        return [plain(each) for each in node]
    if not isinstance(node, dict):
        return node
    if isinstance(node.get("pattern"), str):
        node = {**node, "pattern": node["pattern"].removesuffix(NO_NEWLINE)}  # in JSON schemas `$` is the very end
    if len(node.get("oneOf", ())) == 1:
        return plain({**{name: value for name, value in node.items() if name != "oneOf"}, **node["oneOf"][0]})
    if node.get("type") == "object" and not node.keys() & {"properties", "additionalProperties"}:
        node = {**node, "additionalProperties": True}
    if isinstance(node.get("enum"), list) and "type" not in node and all(isinstance(each, str) for each in node["enum"]):
        node = {**node, "type": "string"}
    return {name: plain(value) for name, value in node.items()}


def _optional(shapes: dict[str, Any], references: Iterable[dict[str, str]]) -> None:
    """Says the defaults of bodies in words: of a field with a default, generators make one that must be given."""
    for reference in references:
        for field in shapes[reference["$ref"].rpartition("/")[2]].get("properties", {}).values():
            default = field.pop("default", None)
            if default is not None:
                field["description"] = f"Default: {msgspec.json.encode(default).decode()}"


def _reference(name: str) -> dict[str, str]:
    return {"$ref": REFERENCE.format(name=name)}


def _types(app: Litestar) -> NoticeTypes:
    """The table of notice types: the running service's, or without one the table from the settings."""
    if "front_desk" in app.state:
        known: NoticeTypes = app.state.front_desk.first.notices.types
        return known
    settings = app.state.settings
    return notice_types.load(settings.notices, load_catalogue(settings.protocols, settings.instruments, KNOWN_RULES).instruments)


def _notices(schema: dict[str, Any], types: NoticeTypes) -> None:
    """Adds what EHR systems send: signed notices of the declared types, and FHIR R4."""
    operation = schema["paths"][SIGNED]["post"]
    operation["parameters"] += [
        _header(signatures.ID, "Standard Webhooks: the notice's own id. Repeat it when you send the notice again.", required=True),
        _header(signatures.TIMESTAMP, "When this attempt was sent, in Unix seconds.", required=True),
        _header(signatures.SIGNATURE, "`v1,<base64>` or `v1a,<base64>`. Separate several with spaces.", required=True),
    ]
    named = {name: "".join(part.capitalize() for part in re.split(r"[._]", name)) + "Notice" for name in types.schemas}
    schema["components"]["schemas"] |= {named[name]: shape for name, shape in types.schemas.items()}
    mapping = {name: _reference(shape)["$ref"] for name, shape in named.items()}
    shapes = {
        "oneOf": [{"$ref": each} for each in mapping.values()],
        "discriminator": {"propertyName": "type", "mapping": mapping},
    }
    operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": shapes}}}
    for path, item in schema["paths"].items():
        if path.startswith(HOOKED):
            for method, hook in item.items():
                _complete_hook(method, hook)


def _complete_hook(method: str, operation: dict[str, Any]) -> None:
    """Adds what a rest-hook takes, and its answers in FHIR beside those in our own JSON."""
    if method != "delete":
        content = {kind: {"schema": _reference("FhirResource")} for kind in ("application/json", FHIR_JSON)}
        operation["requestBody"] = {"required": False, "content": content}
    operation["parameters"].append(
        _header("Prefer", "`return=minimal`, `return=representation` or `return=OperationOutcome`, as in FHIR.")
    )
    outcome = {FHIR_JSON: {"schema": _reference("FhirResource")}}
    answers = operation["responses"]
    answers["200"] = {"description": "Nothing waits: an OperationOutcome, or the response Bundle of a batch.", "content": outcome}
    answers["202"]["description"] = (
        "Something waits for a person. With `Accept: application/json`: this service's own JSON, whatever became of it."
    )
    answers["202"]["content"] |= outcome
    answers["204"] = {"description": "Nothing waits, and the sender prefers `return=minimal`."}


def _bodies(paths: Container[str]) -> list[type[msgspec.Struct]]:
    """Every Struct that a body of these paths may have."""
    written = (shape for (path, _), shapes in WRITES.items() if path in paths for shape in shapes)
    return list(dict.fromkeys([*written, OAuthError]))


def _complete(path: str, method: str, operation: dict[str, Any]) -> None:
    operation["responses"] |= _oauth_errors() if path == oauth_errors.PATH else _errors(path, method)
    if path in STREAMS:
        operation["responses"]["200"]["content"] = {kind: {"schema": {"type": "string"}} for kind in STREAMS[path]}
    if is_fhir(path) and not path.endswith(WELL_KNOWN):
        _complete_fhir(path, method, operation)
    if path == oauth_errors.PATH:
        operation["requestBody"] = {"required": True, "content": {FORM: {"schema": TOKEN_FORM}}}
    if path.startswith(WITHOUT_TOKEN):
        operation["security"] = []
    parameters = operation.setdefault("parameters", [])
    parameters += [
        {"name": name, "in": "query", "required": False, "schema": {"type": "string"}}
        for name in QUERIES.get(path, ())
        if method == "get"
    ]
    if method == "post" and path in VERSIONED:
        never_blocked = "" if path in OF_GROUPS else " Optional for triggers that are never blocked."
        never_blocked = " Optional." if path == COSIGN else never_blocked
        parameters.append(_header("If-Match", f'The version that the caller saw, as ETag gave it: "7".{never_blocked}'))
    if method == "post" and path in PREFERRED:
        parameters.append(_header("Prefer", "`return=minimal`: the answer has no `course`, and a header `Preference-Applied`."))
    if method == "post" and path in KEYED:
        parameters.append(_header("Idempotency-Key", "A request that repeats the key within a day is not written a second time."))
    shapes = WRITES.get((path, method))
    if shapes:
        references, _ = msgspec.json.schema_components(shapes, ref_template=REFERENCE)
        schema = references[0] if len(references) == 1 else {"oneOf": list(references)}
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}


def _oauth_errors() -> dict[str, Any]:
    error = {"application/json": {"schema": _reference("OAuthError")}}
    return {status: {"description": "An error of RFC 6749", "content": error} for status in OAUTH_ERRORS}


def _errors(path: str, method: str) -> dict[str, Any]:
    """Problem documents, under /fhir OperationOutcomes, from a rest-hook either of them."""
    outcome = {FHIR_JSON: {"schema": {"$ref": REFERENCE.format(name="OperationOutcome")}}}
    if is_fhir(path):
        return {status: {"description": _titles(int(status)), "content": outcome} for status in FHIR_ERRORS}
    answers = problem_schemas.responses(path, method, REFERENCE)
    if path.startswith(HOOKED):
        return {status: {**each, "content": {**each["content"], **outcome}} for status, each in answers.items()}
    return answers


def _complete_fhir(path: str, method: str, operation: dict[str, Any]) -> None:
    operation["responses"]["200"] = {
        "description": "A resource or a Bundle",
        "content": {FHIR_JSON: {"schema": _reference("FhirResource")}},
    }
    if method == "get" and path.endswith(("{resource_id}", "{version}")):
        operation["responses"]["304"] = {"description": "The caller has this version already"}
    if path == BASE:
        bundle = {"type": "object", "properties": {"resourceType": {"const": "Bundle"}, "type": {"const": "batch"}}}
        operation["requestBody"] = {"required": True, "content": {FHIR_JSON: {"schema": bundle}}}
    elif method == "post":
        form = {"type": "object", "additionalProperties": {"type": "string"}}
        operation["requestBody"] = {"required": False, "content": {FORM: {"schema": form}}}


def _outcome() -> dict[str, Any]:
    """The parts of FHIR's OperationOutcome that this service fills."""
    text = {"type": "string"}
    issue = {
        "type": "object",
        "properties": {
            "severity": text,
            "code": {"type": "string", "enum": sorted({*CODES.values(), "processing"})},
            "details": {"type": "object", "properties": {"text": text}},
            "diagnostics": text,
        },
        "required": ["severity", "code"],
    }
    return {
        "type": "object",
        "description": "An OperationOutcome (FHIR R4).",
        "properties": {"resourceType": {"const": "OperationOutcome"}, "issue": {"type": "array", "minItems": 1, "items": issue}},
        "required": ["resourceType", "issue"],
    }


def _header(name: str, description: str, *, required: bool = False) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": required, "description": description, "schema": {"type": "string"}}


def _titles(status: int) -> str:
    return " / ".join(problem.title for problem in PROBLEMS.values() if problem.status == status)


@get("/schema/openapi.json", summary="This document", tags=["schema"], include_in_schema=False)
async def openapi_json(request: ApiRequest) -> Response[bytes]:
    return Response(msgspec.json.encode(document(request.app)), media_type="application/vnd.oai.openapi+json")


@get("/schema", summary="This document as a page", tags=["schema"], include_in_schema=False)
async def openapi_page(request: ApiRequest) -> Response[bytes]:
    return Response(_page(document(request.app)).encode(), media_type="text/html")


def _page(schema: dict[str, Any]) -> str:
    """Plain HTML: every operation with its parameters and the bodies it takes."""
    operations = "".join(
        f"<section><h2><code>{method.upper()} {html.escape(path)}</code></h2><p>{html.escape(operation.get('summary', ''))}. "
        f"{html.escape(operation.get('description', ''))}</p>{_parameters(operation)}{_body(operation)}</section>"
        for path, item in schema["paths"].items()
        for method, operation in item.items()
    )
    shapes = html.escape(msgspec.json.format(msgspec.json.encode(schema["components"]["schemas"])).decode())
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{html.escape(schema['info']['title'])} API</title>"
        f"<h1>{html.escape(schema['info']['title'])} API</h1><p>{html.escape(schema['info'].get('description', ''))} "
        f"The same as <a href=schema/openapi.json>OpenAPI 3.1</a>.</p>{operations}"
        f"<section><h2>Shapes</h2><details><summary>All schemas</summary><pre>{shapes}</pre></details></section></html>"
    )


def _parameters(operation: dict[str, Any]) -> str:
    rows = "".join(
        f"<li><code>{html.escape(each['name'])}</code> in {each['in']}: {html.escape(each.get('description', ''))}</li>"
        for each in operation["parameters"]
    )
    return f"<ul>{rows}</ul>" if rows else ""


def _body(operation: dict[str, Any]) -> str:
    if "requestBody" not in operation:
        return ""
    content = next(iter(operation["requestBody"]["content"].values()))  # every media type has the same schema
    shape = msgspec.json.encode(content["schema"]).decode()
    return f"<p>Body: <code>{html.escape(shape)}</code></p>"


HANDLERS = (openapi_json, openapi_page)
