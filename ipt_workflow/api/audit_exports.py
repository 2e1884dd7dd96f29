"""The audit log as a file: JSON lines, a table, or FHIR AuditEvents."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
from litestar.response import Stream

from ipt_workflow.api.fhir_queries import site_of
from ipt_workflow.api.services import services_of
from ipt_workflow.journal.audit import AuditRecord
from ipt_workflow.values.spreadsheets import csv_rows

COLUMNS = (
    "recorded_at", "kind", "action", "person", "role", "via", "cosigned_by", "from", "to", "courses", "seq", "hash", "rules", "request_id", "id",
    "group_session", "basis", "purpose", "on_behalf_of",
)  # fmt: skip


def exported(request: Any, chunks: AsyncIterator[list[AuditRecord]], export_format: str) -> Stream:
    """Streams the chunks in one of EXPORT_FORMATS."""
    if export_format == "csv":
        return Stream(_csv(chunks), media_type="text/csv", headers={"Content-Disposition": 'attachment; filename="audit.csv"'})
    if export_format == "fhir":
        return Stream(_fhir(request, chunks), media_type="application/fhir+ndjson")
    return Stream(_ndjson(chunks), media_type="application/x-ndjson")


async def _ndjson(chunks: AsyncIterator[list[AuditRecord]]) -> AsyncIterator[bytes]:
    encoder = msgspec.json.Encoder()
    async for chunk in chunks:
        yield encoder.encode_lines(chunk)


async def _fhir(request: Any, chunks: AsyncIterator[list[AuditRecord]]) -> AsyncIterator[bytes]:
    site = site_of(request)
    encoder = msgspec.json.Encoder()
    async for chunk in chunks:
        yield encoder.encode_lines(await services_of(request).fhir.audit_events(site, chunk))


async def _csv(chunks: AsyncIterator[list[AuditRecord]]) -> AsyncIterator[bytes]:
    yield csv_rows([COLUMNS])
    async for chunk in chunks:
        yield csv_rows(audit_row(record) for record in chunk)


def audit_row(record: AuditRecord) -> tuple[object, ...]:
    fields = msgspec.to_builtins(record)
    flat = {**fields, **fields["actor"], "courses": " ".join(record.courses), "rules": " ".join(record.rules)}
    return tuple(flat[column] for column in COLUMNS)
