"""A client's rights: who had to do with them, and what was disclosed of them. A reference is never in a URL, so these are posted."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
from litestar import Response, post
from litestar.response import Stream

from ipt_workflow.api.audit_exports import fhir_lines
from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.fhir_queries import site_of
from ipt_workflow.api.requests import ApiRequest, one_of, read_body
from ipt_workflow.api.services import services_of
from ipt_workflow.ehr.fhir.disclosures import disclosure_event
from ipt_workflow.ehr.fhir.types import Reference
from ipt_workflow.service.privacy import tables
from ipt_workflow.service.privacy.access_reports import AccessReport, ReportQuery
from ipt_workflow.service.privacy.disclosures import Accounting, AccountingQuery, DisclosureReceipt, NewDisclosure

FORMATS = ("json", "csv", "fhir")
LINES = "application/fhir+ndjson"


def _format(request: ApiRequest) -> str:
    """Raises CommandInvalid for an unknown format."""
    return one_of("format", request.query_params.get("format"), FORMATS) or "json"


def _table(content: bytes, name: str) -> Response[Any]:
    return Response(content, media_type="text/csv", headers={"Content-Disposition": f'attachment; filename="{name}.csv"'})


@post("/v1/clients/access-report", summary="Who had to do with a client", tags=["privacy"], status_code=200)
async def access_report(request: ApiRequest) -> Response[AccessReport]:
    """Everybody who read, recorded or tried to see something of a client: why they might, how often, first and last.

    `format=csv` gives a table, and `format=fhir` each record as an AuditEvent on a line. The caller needs a course of the client, and no
    right to read the audit log.
    """
    body, principal, wanted = await read_body(request), principal_of(request), _format(request)
    reports = services_of(request).rights.access_reports
    await reports.require(principal)
    query = body.shape(ReportQuery)
    if wanted == "fhir":
        return Stream(fhir_lines(request, await reports.records(principal, query)), media_type=LINES)  # type: ignore[return-value]
    found = await reports.one(principal, query)
    return _table(tables.accesses_csv(found.items), "access-report") if wanted == "csv" else Response(found)


@post("/v1/clients/accounting", summary="What was disclosed of a client", tags=["privacy"], status_code=200)
async def accounting(request: ApiRequest) -> Response[Accounting]:
    """The accounting of disclosures by 45 CFR 164.528: date, recipient, what, purpose; of repeated ones the first, how many, the last.

    Six years back unless `from` says otherwise. `every` lists also what the rule leaves out. `format` is as for the access report.
    """
    body, principal, wanted = await read_body(request), principal_of(request), _format(request)
    await services_of(request).rights.access_reports.require(principal)
    found = await services_of(request).rights.disclosures.accounting(principal, body.shape(AccountingQuery))
    if wanted == "csv":
        return _table(tables.disclosures_csv(found.items), "disclosures")
    if wanted == "fhir":
        site = site_of(request)
        patient = site.client(found.client_ref, found.client_id)
        return Stream(_events(found, patient, site), media_type=LINES)  # type: ignore[return-value]
    return Response(found)


async def _events(found: Accounting, patient: Reference, site: Any) -> AsyncIterator[bytes]:
    yield msgspec.json.Encoder().encode_lines([disclosure_event(each, patient, site) for each in found.items])


@post("/v1/clients/disclosures", summary="Record a disclosure", tags=["privacy"])
async def record_disclosure(request: ApiRequest) -> Response[DisclosureReceipt]:
    """Keeps what was disclosed of a client by another way than this service, such as a letter to a court. The accounting lists it."""
    body = await read_body(request)
    kept = await services_of(request).rights.disclosures.record(principal_of(request), lambda: body.shape(NewDisclosure))
    return Response(kept, status_code=201)


HANDLERS = (access_report, accounting, record_disclosure)
