"""The audit log: reading, searching, exporting, verifying."""

from collections.abc import AsyncIterator
from typing import Any, get_args

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency, Provide
from litestar.params import FromQuery
from litestar.response import Stream

from ipt_workflow.api import requests
from ipt_workflow.api.audit_exports import exported
from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.courses import listed
from ipt_workflow.api.request_reader import is_head
from ipt_workflow.api.requests import ApiRequest, FilterText, limit_of, moment, one_of, page, read_body
from ipt_workflow.api.services import services_of
from ipt_workflow.errors import CommandInvalid, Fault
from ipt_workflow.journal.audit import AuditRecord
from ipt_workflow.journal.proof.ipt_verify import Checkpoint
from ipt_workflow.service.audit.log import AuditLog
from ipt_workflow.service.audit.log_verification import KeptInvalid, read_kept
from ipt_workflow.service.views import Verification
from ipt_workflow.store.audit import AuditFilters, Position
from ipt_workflow.store.schema.tables import AUDIT_KINDS, EXPORT_FORMATS
from ipt_workflow.values.types import SharingPurpose

KINDS = ("transition", *AUDIT_KINDS)


class AuditList(msgspec.Struct, frozen=True):
    items: list[AuditRecord]
    next: str | None


class AuditSearch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """Filters of the audit log. Times are RFC 3339; `to` is not included."""

    kind: str | None = None
    course: FilterText | None = None
    actor: FilterText | None = None
    trigger: FilterText | None = None
    group_session: FilterText | None = None
    from_: str | None = None
    to: str | None = None
    limit: int | None = None
    cursor: str | None = None


async def audit_filters(
    request: ApiRequest,
    kind: FromQuery[str | None] = None,
    course: FromQuery[str | None] = None,
    actor: FromQuery[str | None] = None,
    trigger: FromQuery[str | None] = None,
    group_session: FromQuery[str | None] = None,
    to: FromQuery[str | None] = None,
) -> AuditSearch:
    """The filters in a URL."""
    from_ = request.query_params.get("from")  # Python reserves the word, so no parameter can have this name
    return AuditSearch(kind=kind, course=course, actor=actor, trigger=trigger, group_session=group_session, from_=from_, to=to)


FILTERS = {"filters": Provide(audit_filters)}


@get("/v1/audit", summary="The audit log", tags=["audit"], dependencies=FILTERS)
async def audit_log(
    request: ApiRequest,
    filters: NamedDependency[AuditSearch],
    limit: FromQuery[int | None] = None,
    cursor: FromQuery[str | None] = None,
) -> Response[AuditList]:
    """Transitions, refusals, reads, exports and the like, oldest first. `from` and `to` bound the time."""
    return await _list(request, msgspec.structs.replace(filters, limit=limit, cursor=cursor))


@post("/v1/audit/search", summary="Search the audit log", tags=["audit"], status_code=200)
async def audit_search(request: ApiRequest) -> Response[AuditList]:
    """The same as `GET /v1/audit`, with the filters in the body."""
    return await _list(request, (await read_body(request)).shape(AuditSearch))


async def _list(request: ApiRequest, query: AuditSearch) -> Response[AuditList]:
    size, after = limit_of(request, query.limit), requests.cursor(query.cursor, Position, Position())
    found = await services_of(request).audit_log.page(principal_of(request), _checked(query), after, size + 1)
    items, after_text = page(found, size, lambda record: Position(record.recorded_at, record.id))
    return listed(request, AuditList(items, after_text))


def _checked(query: AuditSearch) -> AuditFilters:
    """The filters as the store takes them. Raises CommandInvalid for an unknown kind or a bad time."""
    return AuditFilters(
        kind=one_of("kind", query.kind, KINDS),
        course=query.course,
        actor=query.actor,
        trigger=query.trigger,
        group_session=query.group_session,
        from_=moment("from", query.from_),
        to=moment("to", query.to),
    )


@get("/v1/audit/export", summary="Export the audit log", tags=["audit"], dependencies=FILTERS)
async def audit_export(request: ApiRequest, filters: NamedDependency[AuditSearch]) -> Stream:
    """Streams the whole log as `format=ndjson`, `format=csv` or `format=fhir` (AuditEvents). The export is recorded with its `purpose`.

    Unless it is of one `course`, it leaves out clients who object to secondary use, and of whose data processing is restricted. For a
    `purpose` that does not serve care (`HQUALIMP`, `PUBHLTH`, `HRESCH`) only clients are in it whose consent names that purpose.
    """
    export_format = request.query_params.get("format", "ndjson")
    if export_format not in EXPORT_FORMATS:
        raise CommandInvalid([Fault("format", f"must be one of {', '.join(EXPORT_FORMATS)}")])
    purpose: Any = one_of("purpose", request.query_params.get("purpose", "HOPERAT"), get_args(SharingPurpose))
    audit: AuditLog = services_of(request).audit_log
    checked, principal = _checked(filters), principal_of(request)
    if is_head(request):
        await audit.require_export(principal)
        chunks = _nothing()
    else:
        chunks = await audit.export(principal, checked, export_format=export_format, purpose=purpose)
    return exported(request, chunks, export_format)


async def _nothing() -> AsyncIterator[list[AuditRecord]]:
    """What a HEAD of an export streams: it runs nothing."""
    none: tuple[list[AuditRecord], ...] = ()
    for each in none:
        yield each


@get("/v1/audit/verify", summary="Verify the journal", tags=["audit"])
async def audit_verify(
    request: ApiRequest, course: FromQuery[str | None] = None, kept: FromQuery[str | None] = None
) -> Response[Verification | None]:
    """Checks the chains, columns, sealed documents and snapshots of one course, or of all, and then the log.

    `kept` is a checkpoint that you kept, as `Ipt-Log-Checkpoint` has it. The log must continue it, and only what is newer is read.
    """
    audit: AuditLog = services_of(request).audit_log
    principal = principal_of(request)
    since = _kept(audit, course, kept)
    if is_head(request):
        await audit.require_verification(principal)
        return Response(None)
    return Response(await audit.verify(principal, course, since=since, whole=since is None))


def _kept(audit: AuditLog, course: str | None, text: str | None) -> Checkpoint | None:
    if text is None:
        return None
    if course is not None:
        raise CommandInvalid([Fault("kept", "goes with the whole log: leave out course")])
    try:
        return read_kept(audit.clinic.settings, text)
    except KeptInvalid as error:
        raise CommandInvalid([Fault("kept", f"cannot be used. {error}")]) from None


HANDLERS = (audit_log, audit_search, audit_export, audit_verify)
