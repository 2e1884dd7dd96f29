"""The audit log: reading, searching, exporting, verifying."""

import csv
import io
from collections.abc import AsyncIterator

import msgspec
from litestar import Response, get, post
from litestar.params import FromQuery
from litestar.response import Stream

from ipt_workflow.api import requests
from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.courses import listed
from ipt_workflow.api.fhir_queries import site_of
from ipt_workflow.api.requests import ApiRequest, Sought, limit_of, moment, one_of, page, read_body
from ipt_workflow.errors import CommandInvalid, Fault
from ipt_workflow.journal.audit import AuditRecord
from ipt_workflow.service.views import Verification
from ipt_workflow.store.audit import AuditFilters, Position
from ipt_workflow.store.schema.tables import AUDIT_KINDS

KINDS = ("transition", *AUDIT_KINDS)
FORMATS = ("ndjson", "csv", "fhir")
COLUMNS = (
    "recorded_at", "kind", "action", "person", "role", "via", "cosigned_by", "from", "to", "courses", "seq", "hash", "rules", "request_id", "id",
    "group_session",
)  # fmt: skip
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would take for one


class AuditList(msgspec.Struct, frozen=True):
    items: list[AuditRecord]
    next: str | None


class AuditSearch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """What the audit log is narrowed by. Times are RFC 3339; `to` is not included."""

    kind: str | None = None
    course: Sought | None = None
    actor: Sought | None = None
    trigger: Sought | None = None
    group_session: Sought | None = None
    from_: str | None = None
    to: str | None = None
    limit: int | None = None
    cursor: str | None = None


@get("/v1/audit", summary="The audit log", tags=["audit"])
async def audit_log(
    request: ApiRequest,
    kind: FromQuery[str | None] = None,
    course: FromQuery[str | None] = None,
    actor: FromQuery[str | None] = None,
    trigger: FromQuery[str | None] = None,
    group_session: FromQuery[str | None] = None,
    to: FromQuery[str | None] = None,
    limit: FromQuery[int | None] = None,
    cursor: FromQuery[str | None] = None,
) -> Response[AuditList]:
    """Transitions, refusals, reads, exports and the like, in the order they were written; `from` and `to` bound the time."""
    from_ = request.query_params.get("from")  # a keyword of Python, and so no parameter's name
    told = AuditSearch(
        kind=kind,
        course=course,
        actor=actor,
        trigger=trigger,
        group_session=group_session,
        from_=from_,
        to=to,
        limit=limit,
        cursor=cursor,
    )
    return await _list(request, told)


@post("/v1/audit/search", summary="Search the audit log", tags=["audit"], status_code=200)
async def audit_search(request: ApiRequest) -> Response[AuditList]:
    """The same as reading it, with what narrows it in a body."""
    return await _list(request, (await read_body(request)).shape(AuditSearch))


async def _list(request: ApiRequest, told: AuditSearch) -> Response[AuditList]:
    size, after = limit_of(request, told.limit), requests.cursor(told.cursor, Position, Position())
    found = await request.app.state.audit_log.page(principal_of(request), _filters(told), after, size + 1)
    items, after_text = page(found, size, lambda record: Position(record.recorded_at, record.id))
    return listed(request, AuditList(items, after_text))


def _filters(told: AuditSearch) -> AuditFilters:
    return AuditFilters(
        kind=one_of("kind", told.kind, KINDS),
        course=told.course,
        actor=told.actor,
        trigger=told.trigger,
        group_session=told.group_session,
        from_=moment("from", told.from_),
        to=moment("to", told.to),
    )


@get("/v1/audit/export", summary="Export the audit log", tags=["audit"])
async def audit_export(
    request: ApiRequest,
    kind: FromQuery[str | None] = None,
    course: FromQuery[str | None] = None,
    actor: FromQuery[str | None] = None,
    trigger: FromQuery[str | None] = None,
    group_session: FromQuery[str | None] = None,
    to: FromQuery[str | None] = None,
) -> Stream:
    """The whole log, streamed, as `format=ndjson`, `format=csv` or `format=fhir` (AuditEvents). That it was exported is recorded."""
    wanted = request.query_params.get("format", "ndjson")
    if wanted not in FORMATS:
        raise CommandInvalid([Fault("format", f"must be one of {', '.join(FORMATS)}")])
    from_ = request.query_params.get("from")
    told = AuditSearch(kind=kind, course=course, actor=actor, trigger=trigger, group_session=group_session, from_=from_, to=to)
    filters = _filters(told)
    chunks = await request.app.state.audit_log.export(principal_of(request), filters)
    if wanted == "csv":
        return Stream(_csv(chunks), media_type="text/csv", headers={"Content-Disposition": 'attachment; filename="audit.csv"'})
    if wanted == "fhir":
        return Stream(_fhir(request, chunks), media_type="application/fhir+ndjson")
    return Stream(_ndjson(chunks), media_type="application/x-ndjson")


async def _ndjson(chunks: AsyncIterator[list[AuditRecord]]) -> AsyncIterator[bytes]:
    encoder = msgspec.json.Encoder()
    async for chunk in chunks:
        yield encoder.encode_lines(chunk)


async def _fhir(request: ApiRequest, chunks: AsyncIterator[list[AuditRecord]]) -> AsyncIterator[bytes]:
    site = site_of(request)
    encoder = msgspec.json.Encoder()
    async for chunk in chunks:
        made = await request.app.state.fhir.audit_events(site, chunk)
        yield encoder.encode_lines(made)


async def _csv(chunks: AsyncIterator[list[AuditRecord]]) -> AsyncIterator[bytes]:
    yield _rows([COLUMNS])
    async for chunk in chunks:
        yield _rows([_row(record) for record in chunk])


def _rows(rows: list[tuple[str, ...]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _row(record: AuditRecord) -> tuple[str, ...]:
    told = msgspec.to_builtins(record)
    flat = {**told, **told["actor"], "courses": " ".join(record.courses), "rules": " ".join(record.rules)}
    return tuple(_cell(flat[column]) for column in COLUMNS)


def _cell(value: object) -> str:
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(FORMULA) else text


@get("/v1/audit/verify", summary="Verify the journal", tags=["audit"])
async def audit_verify(request: ApiRequest, course: FromQuery[str | None] = None) -> Verification:
    """Checks chains, columns, sealed documents and folds: of one course, or of all."""
    found: Verification = await request.app.state.audit_log.verify(principal_of(request), course)
    return found


HANDLERS = (audit_log, audit_search, audit_export, audit_verify)
