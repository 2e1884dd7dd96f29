"""OperationOutcome: what a problem document is under /fhir."""

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
    "not-found": "not-found",
    "method-not-allowed": "not-supported",
    "not-acceptable": "not-supported",
    "too-large": "too-long",
    "unsupported-media-type": "not-supported",
    "malformed": "structure",
    "invalid": "value",
    "busy": "transient",
    "internal": "exception",
}
"""FHIR's issue types, by kind of problem."""


def is_fhir(path: str) -> bool:
    return path == PREFIX or path.startswith(f"{PREFIX}/")


def response(
    status: int, slug: str, title: str, detail: str, headers: dict[str, str] | None, extra: dict[str, Any]
) -> Response[bytes]:
    """A problem as FHIR tells it: an issue a fault. FHIR answers 400 where a parameter cannot be taken."""
    code = CODES.get(slug, "processing")
    faults = [(fault.message, (fault.where,) if fault.where else ()) for fault in extra.get("errors", ())]
    outcome = OperationOutcome(
        issue=tuple(
            Issue(
                severity="error",
                code=code,
                details=concept(text=title),
                diagnostics=f"{where[0]}: {told}" if where else told,
            )
            for told, where in faults or [(_told(detail, extra), ())]
        )
    )
    return Response(
        msgspec.json.encode(outcome), status_code=400 if slug == "invalid" else status, media_type=FHIR_JSON, headers=headers or {}
    )


def _told(detail: str, extra: dict[str, Any]) -> str:
    request_id = extra.get("request_id")
    return f"{detail} Request id: {request_id}." if request_id else detail
