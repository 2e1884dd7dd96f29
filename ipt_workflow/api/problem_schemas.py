"""Problem documents in the OpenAPI document: one schema for each kind, and which kinds a route may answer with.

A generated client then has the refusals of a 409 and the faults of a 422 as types, and tells kinds apart by `type`.
"""

from typing import Any

import msgspec

from ipt_workflow.api.problems import PROBLEM_JSON, PROBLEMS, Problem
from ipt_workflow.errors import Fault, MemberRefused, Refusal

MEMBERS: dict[str, dict[str, Any]] = {  # what a kind has beside the members of every problem
    "trigger-not-permitted": {"trigger": str, "roles": tuple[str, ...]},
    "transition-refused": {
        "trigger": str,
        "state": str | None,
        "version": int,
        "together": int | None,
        "refusals": tuple[Refusal, ...],
    },
    "group-refused": {"refusals": tuple[Refusal, ...]},
    "group-session-refused": {"members": tuple[MemberRefused, ...]},
    "scope-missing": {"scope": str},
    "stale-version": {"version": int},
    "invalid": {"errors": tuple[Fault, ...]},
    "quota-exceeded": {"violated-policies": tuple[str, ...]},
    "internal": {"request_id": str | None},
}
OF_EVERY_PROBLEM = {"title": {"type": "string"}, "detail": {"type": "string"}, "instance": {"type": "string"}}
OF_CONNECTIONS = frozenset({"timeout", "uri-too-long", "head-too-large"})  # answered before there is a route
ONLY_FHIR = frozenset({"not-acceptable"})
ONLY_WRITES = frozenset({409, 412, 413, 415, 428})
AREAS = {  # the kinds that only some paths answer with
    "transition-refused": ("/v1/courses", "/v1/proposals", "/v1/notices", "/v1/groups", "/v1/supervision"),
    "trigger-not-permitted": ("/v1/courses", "/v1/proposals", "/v1/notices", "/v1/groups", "/v1/supervision"),
    "group-refused": ("/v1/groups", "/v1/notices"),
    "group-session-refused": ("/v1/groups", "/v1/notices"),
    "notice-reused": ("/v1/ehr",),
}


def schema_name(slug: str) -> str:
    """`transition-refused` is TransitionRefusedProblem."""
    return "".join(part.capitalize() for part in slug.split("-")) + "Problem"


def schemas(reference: str) -> dict[str, Any]:
    """The schema of each kind, those that they refer to, and `Problem`, which describes a problem of any kind."""
    types = [each for members in MEMBERS.values() for each in members.values()]
    _, found = msgspec.json.schema_components(types, ref_template=reference)
    kinds = {schema_name(problem.slug): _schema(problem, reference) for problem in PROBLEMS.values()}
    return {**found, **kinds, "Problem": _any_problem()}


def responses(path: str, method: str, reference: str) -> dict[str, Any]:
    """The problems that a route may answer with, by status."""
    found: dict[str, list[Problem]] = {}
    for problem in PROBLEMS.values():
        if _possible(problem, path, method):
            found.setdefault(str(problem.status), []).append(problem)
    return {
        status: {
            "description": " / ".join(problem.title for problem in problems),
            "content": {PROBLEM_JSON: {"schema": _one_of(problems, reference)}},
        }
        for status, problems in found.items()
    }


def _possible(problem: Problem, path: str, method: str) -> bool:
    writes = method in {"post", "put", "patch", "delete"}
    if problem.slug in OF_CONNECTIONS | ONLY_FHIR or (not writes and (problem.status in ONLY_WRITES or problem.slug in AREAS)):
        return False
    if problem.slug == "quota-exceeded" and path.startswith("/health/"):
        return False
    return path.startswith(AREAS.get(problem.slug, ""))


def _one_of(problems: list[Problem], reference: str) -> dict[str, Any]:
    names = {f"/problems/{problem.slug}": reference.format(name=schema_name(problem.slug)) for problem in problems}
    if len(names) == 1:
        return {"$ref": next(iter(names.values()))}
    return {"oneOf": [{"$ref": each} for each in names.values()], "discriminator": {"propertyName": "type", "mapping": names}}


def _schema(problem: Problem, reference: str) -> dict[str, Any]:
    members = MEMBERS.get(problem.slug, {})
    shapes, _ = msgspec.json.schema_components([*members.values()], ref_template=reference)
    properties = {
        "type": {"type": "string", "const": f"/problems/{problem.slug}"},
        "status": {"type": "integer", "const": problem.status},
        **OF_EVERY_PROBLEM,
        **dict(zip(members, shapes, strict=True)),
    }
    return {
        "type": "object",
        "title": schema_name(problem.slug),
        "description": problem.means,
        "properties": properties,
        "required": [*properties],
    }


def _any_problem() -> dict[str, Any]:
    return {
        "type": "object",
        "description": "A problem document (RFC 9457).",
        "properties": {
            "type": {"type": "string", "enum": [f"/problems/{slug}" for slug in PROBLEMS]},
            "status": {"type": "integer"},
            **OF_EVERY_PROBLEM,
        },
        "required": ["type", "title", "status", "detail", "instance"],
    }
