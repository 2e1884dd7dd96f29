"""Notices that EHR systems send, signed and without a token, and the inbox, where a person resolves those that wait."""

from typing import Any, Protocol

import msgspec
from litestar import Response, delete, get, post, put
from litestar.exceptions import HTTPException
from litestar.params import FromPath, FromQuery

from ipt_workflow.api import hook_answers, requests
from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.courses import After, listed
from ipt_workflow.api.rate_limits import rate_limits
from ipt_workflow.api.request_reader import incoming_of
from ipt_workflow.api.requests import (
    ApiRequest,
    RequestParts,
    UnsupportedMediaType,
    limit_of,
    media_type,
    one_of,
    page,
    read_body,
)
from ipt_workflow.api.services import services_of
from ipt_workflow.ehr.notices import types as notice_types
from ipt_workflow.ehr.notices.fhir_hooks import INTERACTION, Hook, Report
from ipt_workflow.ehr.notices.inbox import NoticeView, Resolution
from ipt_workflow.ehr.notices.receipts import Receipt
from ipt_workflow.ehr.notices.sources import NOT_AUTHENTIC, STANDARD_WEBHOOKS, Sources, VerifiedSender
from ipt_workflow.ehr.notices.types import NoticeTypes
from ipt_workflow.errors import CommandInvalid, CommandMalformed, SignatureInvalid
from ipt_workflow.store.notices import NoticeFilters
from ipt_workflow.store.schema.tables import NOTICE_STATUSES

JSON = frozenset({"application/json"})
FHIR_JSON = frozenset({"application/fhir+json", "application/json"})
REASONS: tuple[tuple[type[Exception], str], ...] = (
    (SignatureInvalid, "not_authentic"),
    (UnsupportedMediaType, "media_type"),
    (CommandMalformed, "malformed"),
    (CommandInvalid, "invalid"),
    (HTTPException, "too_large"),
)
PROBLEMS = tuple(kind for kind, _ in REASONS)


class NoticeRequest(RequestParts, Protocol):
    """The parts of a request that a message needs. The router's request has them, and so has `Incoming`."""

    @property
    def app(self) -> Any: ...


class NoticeList(msgspec.Struct, frozen=True):
    items: list[NoticeView]
    next: str | None


class TypeView(msgspec.Struct, frozen=True, kw_only=True):
    """One type of notice. `schema` is the JSON schema of the whole body, with one complete example."""

    type: str
    does: str
    trigger: str
    handling: str
    schema: dict[str, Any]
    example: dict[str, Any]


class TypeList(msgspec.Struct, frozen=True):
    items: list[TypeView]


def type_views(types: NoticeTypes) -> list[TypeView]:
    return [
        TypeView(
            type=row.type,
            does=row.does,
            trigger=row.trigger,
            handling=row.handling,
            schema=types.schemas[row.type],
            example=notice_types.example(row),
        )
        for row in types.by_name.values()
    ]


@get("/v1/notices/types", summary="Types of notices", tags=["notices"])
async def types(request: ApiRequest) -> TypeList:
    """Every type that `/v1/ehr/notices` accepts: the trigger that it fires, its schema, and an example."""
    return TypeList(type_views(services_of(request).notices.types))


@post("/v1/ehr/notices/{source:str}", summary="Send a notice", tags=["ehr"], status_code=202)
async def receive(request: ApiRequest, source: FromPath[str]) -> Receipt:
    """Takes one notice of our own types, signed by Standard Webhooks. It is stored before it is answered, and sending it again changes
    nothing."""
    return await received(request, source)


async def received(request: NoticeRequest, source: str) -> Receipt:
    """Takes a notice, for the router and for the fast path."""
    notices = services_of(request).notices
    sender, body = await _authentic(request, source)
    if sender.kind != STANDARD_WEBHOOKS:
        raise _counted(request, "unknown", SignatureInvalid(NOT_AUTHENTIC))
    try:
        receipt: Receipt = await notices.receive(sender, body, _media_problem(request, JSON), _request_id(request))
    except PROBLEMS as error:
        raise _counted(request, source, error) from None
    _log(request, receipt.status)
    return receipt


@post("/v1/ehr/fhir/{source:str}", summary="Send FHIR resources", tags=["ehr"], status_code=202)
async def fhir(request: ApiRequest, source: FromPath[str]) -> Response[Receipt | Report]:
    """Takes a FHIR R4 resource, a Bundle, or a subscription's notification. The answer says what became of each resource."""
    return await _hook(request, source, None)


@post("/v1/ehr/fhir/{source:str}/{kind:str}", summary="Send a FHIR resource", tags=["ehr"], status_code=202)
async def fhir_kind(request: ApiRequest, source: FromPath[str], kind: FromPath[str]) -> Response[Receipt | Report]:  # noqa: ARG001 - the body says it
    """Takes a new resource from servers that post to its type."""
    return await _hook(request, source, None)


@post(
    "/v1/ehr/fhir/{source:str}/{kind:str}/{its_id:str}", summary="Send a FHIR resource by its name", tags=["ehr"], status_code=202
)
async def fhir_post(
    request: ApiRequest, source: FromPath[str], kind: FromPath[str], its_id: FromPath[str]
) -> Response[Receipt | Report]:
    """Does the same as PUT."""
    return await _hook(request, source, f"{kind}/{its_id}")


@put("/v1/ehr/fhir/{source:str}/{kind:str}/{its_id:str}", summary="Put a FHIR resource", tags=["ehr"], status_code=202)
async def fhir_put(
    request: ApiRequest, source: FromPath[str], kind: FromPath[str], its_id: FromPath[str]
) -> Response[Receipt | Report]:
    """Takes the current state of a resource, as HAPI sends it after a creation or an update."""
    return await _hook(request, source, f"{kind}/{its_id}")


@delete(
    "/v1/ehr/fhir/{source:str}/{kind:str}/{its_id:str}", summary="Report a deleted FHIR resource", tags=["ehr"], status_code=202
)
async def fhir_delete(
    request: ApiRequest, source: FromPath[str], kind: FromPath[str], its_id: FromPath[str]
) -> Response[Receipt | Report]:
    """Voids what this source recorded of it, unless that was signed or amended since: then a person decides."""
    return await _hook(request, source, f"{kind}/{its_id}")


async def _hook(request: ApiRequest, source: str, name: str | None) -> Response[Receipt | Report]:
    sender, body = await _authentic(request, source)
    has_body = request.method != "DELETE" and bool(body.strip())
    hook = Hook(
        method=request.method,
        name=name,
        headers=incoming_of(request).headers,
        body=body,
        problem=_media_problem(request, FHIR_JSON) if has_body else None,
        request_id=_request_id(request),
    )
    try:
        receipt: Receipt | Report = await services_of(request).rest_hooks.receive(sender, hook)
    except PROBLEMS as error:
        raise _counted(request, source, error) from None
    _log(request, receipt.status)
    holds_resource = has_body and hook.headers.get(INTERACTION) != "delete"
    return hook_answers.answer(request, receipt, body if holds_resource else b"")


async def _authentic(request: NoticeRequest, source: str) -> tuple[VerifiedSender, bytes]:
    """The sender and the body, which is read only if the headers may prove it.

    Raises SignatureInvalid, QuotaExceeded, HTTPException for a body that is too large, or Busy.
    """
    incoming = incoming_of(request)
    sources: Sources = services_of(request).notices.sources
    try:
        verified = await sources.verify(source, incoming.headers, incoming.body)
    except SignatureInvalid as error:
        _counted(request, "unknown", error)
        raise rate_limits(request.scope).refused(request.scope, error) from None
    except HTTPException as error:
        raise _counted(request, "unknown", error) from None
    rate_limits(request.scope).admit(request.scope, sources.clinic.organisation, f"source {source}")
    return verified


def _media_problem(request: NoticeRequest, known: frozenset[str]) -> Exception | None:
    return None if media_type(request) in known else UnsupportedMediaType()


def _counted(request: NoticeRequest, source: str, error: Exception) -> Exception:
    """Counts a request that is answered with a problem. `source` is `unknown` unless the sender is authentic."""
    reason = next((reason for kind, reason in REASONS if isinstance(error, kind)), None)
    if reason:
        services_of(request).clinic.metrics.notices_refused.labels(source, reason).inc()
    return error


def _request_id(request: NoticeRequest) -> str | None:
    return str(request.scope.get("ipt_request_id") or "") or None


def _log(request: NoticeRequest, status: str) -> None:
    request.scope["ipt_log"] = {"outcome": status}


@get("/v1/notices", summary="The inbox", tags=["notices"])
async def inbox(
    request: ApiRequest,
    status: FromQuery[str | None] = "waiting",
    source: FromQuery[str | None] = None,
    course: FromQuery[str | None] = None,
    risk: FromQuery[bool | None] = None,
    limit: FromQuery[int | None] = None,
    cursor: FromQuery[str | None] = None,
) -> Response[NoticeList]:
    """Notices in the order they came: those that wait, unless another status is requested. Who sees a course sees its notices.
    Supervisors also see those about unknown clients."""
    size, after = limit_of(request, limit), requests.cursor(cursor, After, After())
    filters = NoticeFilters(status=one_of("status", status, NOTICE_STATUSES), source=source, course=course, risk=risk)
    found = await services_of(request).inbox.page(principal_of(request), filters, after.id, size + 1)
    items, after_text = page(found, size, lambda notice: After(notice.id))
    return listed(request, NoticeList(items, after_text))


@get("/v1/notices/{notice_id:str}", summary="One notice", tags=["notices"])
async def notice(request: ApiRequest, notice_id: FromPath[str]) -> NoticeView:
    """A notice. While it waits, with its content, why it waits, and the trigger that it would fire."""
    found: NoticeView = await services_of(request).inbox.one(principal_of(request), notice_id)
    return found


@post("/v1/notices/{notice_id:str}/resolve", summary="Resolve a notice", tags=["notices"], status_code=200)
async def resolve(request: ApiRequest, notice_id: FromPath[str]) -> NoticeView:
    """Retries, corrects or dismisses a notice. A notice that is refused again goes on waiting and says why."""
    principal, body = principal_of(request), await read_body(request)
    resolved: NoticeView = await services_of(request).inbox.resolve(principal, notice_id, lambda: body.shape(Resolution))
    return resolved


SIGNED_HANDLERS = (receive,)
FHIR_HANDLERS = (fhir, fhir_kind, fhir_post, fhir_put, fhir_delete)
OPEN_HANDLERS = (types,)
HANDLERS = (inbox, notice, resolve)
