"""Courses: opening, reading, listing, options."""

import datetime as dt
from typing import Any
from urllib.parse import urlencode

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath, FromQuery

from ipt_workflow.api.addresses import public
from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.requests import (
    ApiRequest,
    FilterText,
    Id,
    cursor,
    keyed,
    limit_of,
    moment,
    one_of,
    page,
    prefers_minimal,
    read_body,
)
from ipt_workflow.api.services import services_of
from ipt_workflow.course.attention import KINDS
from ipt_workflow.service.views import Committed, CourseDetails, CourseView, EntryView, Options
from ipt_workflow.service.writes import CrisisCall, Opening
from ipt_workflow.store.courses import Filters
from ipt_workflow.store.readers import CourseLook

ATTENTION = tuple(KINDS)


class After(msgspec.Struct, frozen=True):
    """A cursor of a list that is ordered by id."""

    id: Id = ""


class CourseList(msgspec.Struct, frozen=True):
    items: list[CourseView]
    next: str | None


class Search(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Filters of courses. A client's reference never appears in a URL."""

    client_ref: FilterText | None = None
    state: FilterText | None = None
    phase: FilterText | None = None
    therapist: FilterText | None = None
    protocol: FilterText | None = None
    attention: FilterText | None = None
    limit: int | None = None
    cursor: str | None = None


class Opened(msgspec.Struct, frozen=True):
    """The answer to one command. With `Prefer: return=minimal` it has no `course`."""

    entry: EntryView
    course: CourseView | msgspec.UnsetType = msgspec.UNSET


class OpenedTogether(msgspec.Struct, frozen=True):
    """The answer to several commands. With `Prefer: return=minimal` it has no `course`."""

    entries: tuple[EntryView, ...]
    course: CourseView | msgspec.UnsetType = msgspec.UNSET


class CourseReaders(msgspec.Struct, frozen=True):
    """Who has read a course, the last one first. One person is listed once for each role and basis."""

    items: list[CourseLook]


class CallEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An entry that a crisis call made."""

    seq: int
    trigger: str
    occurred_at: dt.datetime
    recorded_at: dt.datetime


class CrisisReceipt(msgspec.Struct, frozen=True):
    """The entries that a crisis call made. Of the course they show nothing."""

    entries: tuple[CallEntry, ...]


def created(committed: Committed, *, together: bool) -> tuple[Opened | OpenedTogether, dict[str, str]]:
    """The body and the headers of a 201."""
    course = committed.course or msgspec.UNSET
    body = OpenedTogether(committed.entries, course) if together else Opened(committed.entries[-1], course)
    headers = {"ETag": f'"{committed.version}"'}
    headers |= {"Idempotent-Replayed": "true"} if committed.replayed else {}
    headers |= {} if committed.course else {"Preference-Applied": "return=minimal"}
    return body, headers


def answer(committed: Committed, *, together: bool = False, location: str | None = None) -> Response[Any]:
    """A 201 with the new ETag."""
    body, headers = created(committed, together=together)
    headers |= {"Location": location} if location else {}
    return Response(body, status_code=201, headers=headers)


def listed(request: ApiRequest, body: Any) -> Response[Any]:
    """A page, with a `Link` header to the next one."""
    if body.next is None or request.method != "GET":
        return Response(body)
    query = urlencode({**dict(request.query_params), "cursor": body.next})
    return Response(body, headers={"Link": f'<{public(request, request.url.path)}?{query}>; rel="next"'})


@post("/v1/courses", summary="Open a course", tags=["courses"])
async def open_course(request: ApiRequest) -> Response[Opened]:
    """Opens a course with `refer` for a client, or with `adopt` for a course that began elsewhere."""
    principal = principal_of(request)
    key, body = keyed(request, await read_body(request), principal)
    committed = await services_of(request).courses.open_course(
        principal, lambda: body.shape(Opening), key, body.triggers(), entries_only=prefers_minimal(request)
    )
    return answer(committed, location=public(request, f"/v1/courses/{committed.course_id}"))


@post("/v1/courses/crisis-calls", summary="Take a crisis call", tags=["courses"])
async def take_crisis_call(request: ApiRequest) -> Response[CrisisReceipt]:
    """Records a client's call in a crisis on their course, whoever its therapist is. The caller learns nothing of the course."""
    principal = principal_of(request)
    key, body = keyed(request, await read_body(request), principal)
    committed = await services_of(request).courses.take_crisis_call(principal, lambda: body.shape(CrisisCall), key)
    entries = tuple(msgspec.convert(entry, CallEntry, from_attributes=True) for entry in committed.entries)
    headers = {"Idempotent-Replayed": "true"} if committed.replayed else {}
    return Response(CrisisReceipt(entries), status_code=201, headers=headers)


@get("/v1/courses", summary="The caller's caseload", tags=["courses"])
async def caseload(
    request: ApiRequest,
    phase: FromQuery[str | None] = None,
    therapist: FromQuery[str | None] = None,
    protocol: FromQuery[str | None] = None,
    attention: FromQuery[str | None] = None,
    limit: FromQuery[int | None] = None,
    cursor: FromQuery[str | None] = None,
) -> Response[CourseList]:
    """Courses the caller may see, oldest first. Filters: state, phase, therapist, protocol and kind of attention."""
    state = request.query_params.get("state")  # Litestar reserves the name `state`
    query = Search(
        state=state, phase=phase, therapist=therapist, protocol=protocol, attention=attention, limit=limit, cursor=cursor
    )
    return await _list(request, query)


@post("/v1/courses/search", summary="Search courses", tags=["courses"], status_code=200)
async def search(request: ApiRequest) -> Response[CourseList]:
    """Finds courses by the EHR's client reference, by the filters of `GET /v1/courses`, or by both."""
    return await _list(request, (await read_body(request)).shape(Search))


async def _list(request: ApiRequest, query: Search) -> Response[CourseList]:
    limit = limit_of(request, query.limit)
    after = cursor(query.cursor, After, After())
    one_of("attention", query.attention, ATTENTION)
    filters = msgspec.convert(query, Filters, from_attributes=True)  # the fields have the same names
    reader, principal = services_of(request).reads, principal_of(request)
    if query.client_ref is None:
        found = await reader.caseload(principal, filters, after.id, limit + 1)
    else:
        found = await reader.search(principal, query.client_ref, filters, after.id, limit + 1)
    items, after_text = page(found, limit, lambda course: After(course.id))
    return listed(request, CourseList(items, after_text))


@get("/v1/courses/{course_id:str}", summary="One course", tags=["courses"])
async def course(
    request: ApiRequest, course_id: FromPath[str], as_of: FromQuery[str | None] = None, known_at: FromQuery[str | None] = None
) -> Response[CourseDetails]:
    """The course as it is now, with words and scores from its journal. `as_of` shows an earlier moment; `known_at` leaves out what was recorded later."""
    view = await services_of(request).reads.course(
        principal_of(request), course_id, moment("as_of", as_of), moment("known_at", known_at)
    )
    return Response(view, headers={"ETag": f'"{view.version}"'})


@get("/v1/courses/{course_id:str}/options", summary="What may be fired", tags=["courses"])
async def options(request: ApiRequest, course_id: FromPath[str], at: FromQuery[str | None] = None) -> Response[Options]:
    """Every trigger the caller's role may fire. Each says if it would be accepted now (or at `at`), with a body that fires it."""
    found = await services_of(request).reads.options(principal_of(request), course_id, moment("at", at))
    return Response(found, headers={"ETag": f'"{found.version}"'})


@get("/v1/courses/{course_id:str}/readers", summary="Who saw a course", tags=["courses"])
async def readers(request: ApiRequest, course_id: FromPath[str]) -> CourseReaders:
    """Who has read the course in the last 30 days: why they might, how often, and when last."""
    return CourseReaders(await services_of(request).overviews.looks(principal_of(request), course_id))


HANDLERS = (open_course, take_crisis_call, caseload, search, course, options, readers)
