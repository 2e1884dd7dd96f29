"""Answers of the FHIR rest-hooks: FHIR R4 in the form that `Prefer` asks for, or this service's own JSON."""

import re
from typing import Any

import msgspec
from litestar import Request, Response

from ipt_workflow.api.fhir_outcomes import FHIR_JSON
from ipt_workflow.api.requests import ApiRequest, preferred_return
from ipt_workflow.api.services import services_of
from ipt_workflow.ehr.fhir.record import Site
from ipt_workflow.ehr.notices import outcomes
from ipt_workflow.ehr.notices.fhir_hooks import REFUSED, Report
from ipt_workflow.ehr.notices.receipts import Receipt
from ipt_workflow.errors import Busy

PREFIX = "/v1/ehr/fhir"
OWN_JSON = "application/json"
APPLIED: dict[str, dict[str, str]] = {
    name.lower(): {"Preference-Applied": f"return={name}"} for name in ("minimal", "representation", "OperationOutcome")
}
_QUALITY = re.compile(r"q=([01](?:\.[0-9]{0,3})?)")


def in_fhir(request: Request[Any, Any, Any]) -> bool:
    """Whether a rest-hook is answered in FHIR: always, unless the sender asks for application/json rather than for FHIR."""
    path: str = request.scope["path"]
    return (path == PREFIX or path.startswith(f"{PREFIX}/")) and not _wants_own(request)


def _wants_own(request: Request[Any, Any, Any]) -> bool:
    if b"_format=" in request.scope["query_string"]:  # HAPI sends it, and means FHIR
        return False
    accepted = _accepted(_header(request, "accept"))
    return accepted.get(OWN_JSON, 0) > accepted.get(FHIR_JSON, 0)


def _header(request: Request[Any, Any, Any], name: str) -> str:
    """A header that may come several times, as one."""
    return ",".join(request.headers.getall(name, []))


def _accepted(header: str) -> dict[str, float]:
    """The media types of an Accept header, each with its quality."""
    found: dict[str, float] = {}
    for part in header.lower().split(","):
        kind, *parameters = (each.strip() for each in part.split(";"))
        qualities = [match[1] for match in map(_QUALITY.fullmatch, parameters) if match]
        found[kind] = float(qualities[0]) if qualities else 1.0
    return found


def answer(request: ApiRequest, receipt: Receipt | Report, sent: bytes) -> Response[Any]:
    """The answer to a message. `sent` is the resource or Bundle to give back by `return=representation`; empty if there is none.

    Raises Busy if an entry of a Bundle could not be kept, unless the answer has a status for each entry.
    """
    fhir = in_fhir(request)
    if isinstance(receipt, Report):
        _check_kept(receipt, by_entry=fhir and receipt.kind == "batch")
    if not fhir:
        return Response(receipt, status_code=202)
    if isinstance(receipt, Report) and receipt.kind in outcomes.RESPONSES:
        return _responses(request, receipt, sent)
    prefers, status = preferred_return(_header(request, "prefer")), 202 if receipt.status in {"waiting", "received"} else 200
    if prefers == "minimal":
        return Response(b"", status_code=204 if status == 200 else status, headers=APPLIED[prefers], media_type=FHIR_JSON)
    if prefers == "representation" and sent and isinstance(receipt, Receipt):
        return Response(sent, status_code=status, headers=APPLIED[prefers], media_type=FHIR_JSON)
    headers = APPLIED[prefers] if prefers == "operationoutcome" else {}  # of anything else there is no representation
    return _fhir(outcomes.outcome(_site(request), receipt), status, headers)


def _check_kept(report: Report, *, by_entry: bool) -> None:
    refused = next((each for each in report.entries if each.status == REFUSED), None)
    if refused and not by_entry:
        raise Busy(refused.problem or "")


def _responses(request: ApiRequest, report: Report, sent: bytes) -> Response[bytes]:
    """A response for each entry. FHIR wants this Bundle whatever is preferred; the preference shapes its entries."""
    prefers = preferred_return(_header(request, "prefer"))
    entries = msgspec.json.decode(sent).get("entry", ()) if prefers == "representation" else ()
    resources = [each.get("resource") for each in entries]
    body = outcomes.responses(_site(request), report, resources, minimal=prefers == "minimal")
    return _fhir(body, 200, APPLIED.get(prefers, {}))


def _site(request: ApiRequest) -> Site:
    """This service's names. An outcome holds no URL."""
    site: Site = services_of(request).fhir.site("")
    return site


def _fhir(body: msgspec.Struct, status: int, headers: dict[str, str]) -> Response[bytes]:
    return Response(msgspec.json.encode(body), status_code=status, headers=headers, media_type=FHIR_JSON)
