"""The audit log as a file: JSON lines, a table, or FHIR AuditEvents."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
from litestar.response import Stream

from ipt_workflow.api.fhir_queries import site_of
from ipt_workflow.api.services import services_of
from ipt_workflow.journal.audit import AuditRecord
from ipt_workflow.service.audit import tables
from ipt_workflow.values.spreadsheets import csv_rows


def exported(request: Any, chunks: AsyncIterator[list[AuditRecord]], export_format: str) -> Stream:
    """Streams the chunks in one of EXPORT_FORMATS."""
    if export_format == "csv":
        return Stream(_csv(chunks), media_type="text/csv", headers={"Content-Disposition": 'attachment; filename="audit.csv"'})
    if export_format == "fhir":
        return Stream(fhir_lines(request, chunks), media_type="application/fhir+ndjson")
    return Stream(_ndjson(chunks), media_type="application/x-ndjson")


async def _ndjson(chunks: AsyncIterator[list[AuditRecord]]) -> AsyncIterator[bytes]:
    encoder = msgspec.json.Encoder()
    async for chunk in chunks:
        yield encoder.encode_lines(chunk)


async def fhir_lines(request: Any, chunks: AsyncIterator[list[AuditRecord]]) -> AsyncIterator[bytes]:
    """Each record as an AuditEvent on a line."""
    site = site_of(request)
    encoder = msgspec.json.Encoder()
    async for chunk in chunks:
        yield encoder.encode_lines(await services_of(request).fhir.audit_events(site, chunk))


async def _csv(chunks: AsyncIterator[list[AuditRecord]]) -> AsyncIterator[bytes]:
    yield csv_rows([tables.COLUMNS])
    async for chunk in chunks:
        yield csv_rows(tables.row(record) for record in chunk)
