"""Marks on clients' records: holds, processing restrictions, objections to secondary use."""

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath, FromQuery

from ipt_workflow.access.marks import KINDS, MarkEnd, NewMark
from ipt_workflow.api import requests
from ipt_workflow.api.addresses import public
from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.courses import After, listed
from ipt_workflow.api.requests import ApiRequest, limit_of, one_of, page, read_body
from ipt_workflow.api.services import services_of
from ipt_workflow.service.privacy.marks import MarkEndPreview, MarkPreview, MarkView
from ipt_workflow.store.marks import MarkFilters


class MarkList(msgspec.Struct, frozen=True):
    items: list[MarkView]
    next: str | None


@post("/v1/clients/marks", summary="Mark a client's record", tags=["privacy"])
async def mark_client(request: ApiRequest, dry_run: FromQuery[bool] = False) -> Response[MarkView | MarkPreview]:
    """Sets a hold, a processing restriction or an objection on the record of the client with exactly this reference, on a `ground`.

    With `dry_run=true` the answer says which courses it would concern, and nothing is written. Needs a person who signed in lately, and no
    fixed token.
    """
    body, marks, principal = await read_body(request), services_of(request).rights.marks, principal_of(request)
    if dry_run:
        return Response(await marks.preview(principal, lambda: body.shape(NewMark)), status_code=200)
    made = await marks.set(principal, lambda: body.shape(NewMark))
    return Response(made, status_code=201, headers={"Location": public(request, f"/v1/clients/marks/{made.id}")})


@get("/v1/clients/marks", summary="Marks on clients' records", tags=["privacy"])
async def marks_on_clients(
    request: ApiRequest,
    kind: FromQuery[str | None] = None,
    ended: FromQuery[bool] = False,
    limit: FromQuery[int | None] = None,
    cursor: FromQuery[str | None] = None,
) -> Response[MarkList]:
    """Marks in force, oldest first, perhaps of one `kind`; with `ended=true` those that have ended."""
    size, after = limit_of(request, limit), requests.cursor(cursor, After, After())
    filters = MarkFilters(kind=one_of("kind", kind, KINDS), in_force=not ended)
    found = await services_of(request).rights.marks.page(principal_of(request), filters, after.id, size + 1)
    items, after_text = page(found, size, lambda each: After(each.id))
    return listed(request, MarkList(items, after_text))


@get("/v1/clients/marks/{mark_id:str}", summary="One mark", tags=["privacy"])
async def one_mark(request: ApiRequest, mark_id: FromPath[str]) -> MarkView:
    """A mark with its ground and its notes, also when it has ended."""
    return await services_of(request).rights.marks.one(principal_of(request), mark_id)


@post("/v1/clients/marks/{mark_id:str}/end", summary="End a mark", tags=["privacy"], status_code=200)
async def end_mark(request: ApiRequest, mark_id: FromPath[str], dry_run: FromQuery[bool] = False) -> MarkView | MarkEndPreview:
    """Ends a mark. Before a processing restriction is lifted, the client is informed: `client_informed` says so.

    With `dry_run=true` nothing is written. Needs a person who signed in lately, and no fixed token.
    """
    body, marks, principal = await read_body(request), services_of(request).rights.marks, principal_of(request)
    if dry_run:
        return await marks.preview_end(principal, mark_id, lambda: body.shape(MarkEnd))
    return await marks.end(principal, mark_id, lambda: body.shape(MarkEnd))


HANDLERS = (mark_client, marks_on_clients, one_mark, end_mark)
