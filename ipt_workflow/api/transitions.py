"""Transitions: firing, previewing, and a course's history."""

from typing import Annotated, Any

import msgspec
from litestar import Response, get, post
from litestar.openapi import ResponseSpec
from litestar.params import FromPath, FromQuery
from msgspec import Meta

from ipt_workflow.api import requests
from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.courses import Opened, OpenedTogether, created, listed
from ipt_workflow.api.requests import ApiRequest, RequestParts, limit_of, page, read_body, write_of
from ipt_workflow.api.services import services_of
from ipt_workflow.service.courses import Courses
from ipt_workflow.service.views import EntryView, Preview
from ipt_workflow.store import loader
from ipt_workflow.store.courses import StoredCourse

PREVIEWED = ResponseSpec(Preview, generate_examples=False, description="The result of a dry run")


class AfterSeq(msgspec.Struct, frozen=True):
    """The cursor of a course's history."""

    seq: Annotated[int, Meta(ge=1)] = 0


class EntryList(msgspec.Struct, frozen=True):
    items: list[EntryView]
    next: str | None


@post("/v1/courses/{course_id:str}/transitions", summary="Fire a trigger", tags=["transitions"], responses={200: PREVIEWED})
async def fire(
    request: ApiRequest, course_id: FromPath[str], dry_run: FromQuery[bool] = False
) -> Response[Opened | OpenedTogether]:
    """Fires one command, or several `together`. With `dry_run=true` it makes the same checks and writes nothing."""
    courses = services_of(request).courses
    if dry_run:
        principal, body = principal_of(request), await read_body(request)
        preview: Any = await courses.preview(principal, course_id, write_of(request, body, principal))
        return Response(preview, status_code=200)
    content, headers = await fired(request, courses, course_id)
    return Response(content, status_code=201, headers=headers)


async def fired(
    request: RequestParts, courses: Courses, course_id: str, pending: loader.PendingLookup[StoredCourse] | None = None
) -> tuple[Opened | OpenedTogether, dict[str, str]]:
    """Fires the commands of a request. Returns the body and the headers of its 201. `pending` is a lookup of the course under way."""
    principal, body = principal_of(request), await read_body(request)
    committed = await courses.fire(principal, course_id, write_of(request, body, principal), pending)
    return created(committed, together="together" in body.value())


@get("/v1/courses/{course_id:str}/transitions", summary="A course's history", tags=["transitions"])
async def history(
    request: ApiRequest,
    course_id: FromPath[str],
    limit: FromQuery[int | None] = None,
    cursor: FromQuery[str | None] = None,
) -> Response[EntryList]:
    """The journal's entries, oldest first."""
    size, after = limit_of(request, limit), requests.cursor(cursor, AfterSeq, AfterSeq())
    found = await services_of(request).reads.history(principal_of(request), course_id, after.seq, size + 1)
    items, after_text = page(found, size, lambda entry: AfterSeq(entry.seq))
    return listed(request, EntryList(items, after_text))


@get("/v1/courses/{course_id:str}/transitions/{seq:int}", summary="One entry", tags=["transitions"])
async def entry(request: ApiRequest, course_id: FromPath[str], seq: FromPath[int]) -> EntryView:
    """One entry of the journal, with the bytes that its hash covers."""
    found: EntryView = await services_of(request).reads.entry(principal_of(request), course_id, seq)
    return found


HANDLERS = (fire, history, entry)
