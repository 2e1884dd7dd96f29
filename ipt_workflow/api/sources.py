"""Sources: the EHR systems that may send notices."""

from typing import Annotated

import msgspec
from litestar import Response, get, patch, post
from litestar.params import FromPath, FromQuery
from msgspec import Meta

from ipt_workflow.api import requests
from ipt_workflow.api.addresses import public
from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.courses import listed
from ipt_workflow.api.requests import ApiRequest, limit_of, page, read_body
from ipt_workflow.api.services import services_of
from ipt_workflow.ehr.notices.sources import NewSource, ShownKey, SourceChange, SourceRotation, Sources, SourceView
from ipt_workflow.values.types import whole


class AfterName(msgspec.Struct, frozen=True):
    """The cursor of a list of sources."""

    id: Annotated[str, Meta(max_length=32, pattern=whole(r"[a-z0-9_-]*"))] = ""


class SourceList(msgspec.Struct, frozen=True):
    items: list[SourceView]
    next: str | None


def _sources(request: ApiRequest) -> Sources:
    found: Sources = services_of(request).notices.sources
    return found


@post("/v1/sources", summary="Register a source", tags=["sources"])
async def register(request: ApiRequest) -> Response[ShownKey]:
    """Registers an EHR that may send notices, with its first key. Only this response shows a secret that was made."""
    body = await read_body(request)
    shown = await _sources(request).add(principal_of(request), lambda: body.shape(NewSource))
    return Response(shown, status_code=201, headers={"Location": public(request, f"/v1/sources/{shown.source.id}")})


@get("/v1/sources", summary="Sources", tags=["sources"])
async def sources(
    request: ApiRequest, limit: FromQuery[int | None] = None, cursor: FromQuery[str | None] = None
) -> Response[SourceList]:
    """The organisation's sources with their settings and keys, without secrets."""
    size, after = limit_of(request, limit), requests.cursor(cursor, AfterName, AfterName())
    found = await _sources(request).page(principal_of(request), after.id, size + 1)
    items, after_text = page(found, size, lambda each: AfterName(each.id))
    return listed(request, SourceList(items, after_text))


@get("/v1/sources/{source_id:str}", summary="One source", tags=["sources"])
async def source(request: ApiRequest, source_id: FromPath[str]) -> SourceView:
    """A source with its settings and keys, without secrets."""
    return await _sources(request).one(principal_of(request), source_id)


@patch("/v1/sources/{source_id:str}", summary="Change a source", tags=["sources"])
async def change(request: ApiRequest, source_id: FromPath[str]) -> SourceView:
    """Fields that are left out keep their values. A change applies to messages that come later."""
    body = await read_body(request)
    return await _sources(request).change(principal_of(request), source_id, lambda: body.shape(SourceChange))


@post("/v1/sources/{source_id:str}/rotate", summary="Rotate a source's key", tags=["sources"])
async def rotate(request: ApiRequest, source_id: FromPath[str]) -> Response[ShownKey]:
    """Adds a key. Older keys of its kind stay valid during the overlap. Only this response shows a secret that was made."""
    body = await read_body(request)
    shown = await _sources(request).rotate(principal_of(request), source_id, lambda: body.shape(SourceRotation))
    return Response(shown, status_code=201)


@post("/v1/sources/{source_id:str}/disable", summary="Disable a source", tags=["sources"], status_code=200)
async def disable(request: ApiRequest, source_id: FromPath[str]) -> SourceView:
    """Refuses every message of the source from now on."""
    return await _sources(request).disable(principal_of(request), source_id)


@post("/v1/sources/{source_id:str}/enable", summary="Enable a source", tags=["sources"], status_code=200)
async def enable(request: ApiRequest, source_id: FromPath[str]) -> SourceView:
    """Accepts messages from a disabled source again."""
    return await _sources(request).enable(principal_of(request), source_id)


HANDLERS = (register, sources, source, change, rotate, disable, enable)
