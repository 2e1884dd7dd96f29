"""OperationOutcome: the form of a problem document under /fhir."""

from collections.abc import Iterable
from typing import Any

import msgspec
from litestar import Response

from ipt_workflow.ehr.fhir.resources import Issue, OperationOutcome
from ipt_workflow.ehr.fhir.types import concept

FHIR_JSON = "application/fhir+json"
PREFIX = "/fhir"
CODES = {
    "unauthenticated": "login",
    "forbidden": "forbidden",
    "processing-restricted": "suppressed",
    "scope-missing": "forbidden",
    "not-found": "not-found",
    "method-not-allowed": "not-supported",
    "not-acceptable": "not-supported",
    "notice-reused": "conflict",
    "too-large": "too-long",
    "unsupported-media-type": "not-supported",
    "malformed": "structure",
    "invalid": "value",
    "quota-exceeded": "throttled",
    "busy": "transient",
    "internal": "exception",
}
"""FHIR's issue type for each kind of problem."""


def is_fhir(path: str) -> bool:
    return path == PREFIX or path.startswith(f"{PREFIX}/")


def outcome(code: str, title: str, diagnostics: Iterable[str], severity: str = "error") -> OperationOutcome:
    """One issue for each sentence of `diagnostics`. `code` is FHIR's issue type."""
    return OperationOutcome(
        issue=tuple(Issue(severity=severity, code=code, details=concept(text=title), diagnostics=each) for each in diagnostics)
    )


def problem_outcome(slug: str, title: str, detail: str, extra: dict[str, Any]) -> OperationOutcome:
    """A problem with one issue for each fault in `extra["errors"]`."""
    faults = [f"{each.where}: {each.message}" if each.where else each.message for each in extra.get("errors") or ()]
    return outcome(CODES.get(slug, "processing"), title, faults or [_diagnostics(detail, extra)])


def response(
    status: int, slug: str, title: str, detail: str, headers: dict[str, str] | None, extra: dict[str, Any]
) -> Response[bytes]:
    """A problem as an answer."""
    body = msgspec.json.encode(problem_outcome(slug, title, detail, extra))
    return Response(body, status_code=status, media_type=FHIR_JSON, headers=headers or {})


def _diagnostics(detail: str, extra: dict[str, Any]) -> str:
    request_id = extra.get("request_id")
    return f"{detail} Request id: {request_id}." if request_id else detail
