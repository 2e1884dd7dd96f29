"""OperationOutcome: the form of a problem document under /fhir."""

from typing import Any

import msgspec
from litestar import Response

from ipt_workflow.ehr.fhir.resources import Issue, OperationOutcome
from ipt_workflow.ehr.fhir.types import concept
from ipt_workflow.errors import Fault

FHIR_JSON = "application/fhir+json"
PREFIX = "/fhir"
CODES = {
    "unauthenticated": "login",
    "forbidden": "forbidden",
    "not-found": "not-found",
    "method-not-allowed": "not-supported",
    "not-acceptable": "not-supported",
    "notice-reused": "conflict",
    "too-large": "too-long",
    "unsupported-media-type": "not-supported",
    "malformed": "structure",
    "invalid": "value",
    "busy": "transient",
    "internal": "exception",
}
"""FHIR's issue type for each kind of problem."""


def is_fhir(path: str) -> bool:
    return path == PREFIX or path.startswith(f"{PREFIX}/")


def response(
    status: int, slug: str, title: str, detail: str, headers: dict[str, str] | None, extra: dict[str, Any]
) -> Response[bytes]:
    """A problem as an OperationOutcome with one issue for each fault."""
    code = CODES.get(slug, "processing")
    outcome = OperationOutcome(
        issue=tuple(
            Issue(
                severity="error",
                code=code,
                details=concept(text=title),
                diagnostics=f"{fault.where}: {fault.message}" if fault.where else fault.message,
            )
            for fault in extra.get("errors") or [Fault("", _diagnostics(detail, extra))]
        )
    )
    return Response(msgspec.json.encode(outcome), status_code=status, media_type=FHIR_JSON, headers=headers or {})


def _diagnostics(detail: str, extra: dict[str, Any]) -> str:
    request_id = extra.get("request_id")
    return f"{detail} Request id: {request_id}." if request_id else detail
