"""Cover by colleagues, and restricted courses."""

import msgspec
from litestar import Response, delete, get, post, put
from litestar.params import FromPath, FromQuery

from ipt_workflow.access.cover import NewCover
from ipt_workflow.api import requests
from ipt_workflow.api.addresses import public
from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.courses import After, listed
from ipt_workflow.api.requests import ApiRequest, limit_of, page, read_body
from ipt_workflow.api.services import services_of
from ipt_workflow.service.access.cover import Covers, CoverView
from ipt_workflow.service.access.restrictions import NewRestriction, Restrictions, RestrictionView


class CoverList(msgspec.Struct, frozen=True):
    items: list[CoverView]
    next: str | None


def _covers(request: ApiRequest) -> Covers:
    return services_of(request).covers


def _restrictions(request: ApiRequest) -> Restrictions:
    return services_of(request).restrictions


@post("/v1/cover", summary="Arrange cover", tags=["access"])
async def arrange(request: ApiRequest) -> Response[CoverView]:
    """A colleague sees a therapist's courses, and writes to them, from `from` until `until`. The therapist keeps sight of them.

    More than 21 days without a break take a supervisor. Entries that the colleague writes name the therapist in `on_behalf_of`.
    """
    body = await read_body(request)
    arranged = await _covers(request).arrange(principal_of(request), lambda: body.shape(NewCover))
    return Response(arranged, status_code=201, headers={"Location": public(request, f"/v1/cover/{arranged.id}")})


@get("/v1/cover", summary="Cover", tags=["access"])
async def covers(
    request: ApiRequest, limit: FromQuery[int | None] = None, cursor: FromQuery[str | None] = None
) -> Response[CoverList]:
    """Cover that is planned or in force. Therapists see what they gave and what they got."""
    size, after = limit_of(request, limit), requests.cursor(cursor, After, After())
    found = await _covers(request).page(principal_of(request), after.id, size + 1)
    items, after_text = page(found, size, lambda each: After(each.id))
    return listed(request, CoverList(items, after_text))


@get("/v1/cover/{cover_id:str}", summary="One cover", tags=["access"])
async def cover(request: ApiRequest, cover_id: FromPath[str]) -> CoverView:
    """Cover, also when it is over."""
    return await _covers(request).one(principal_of(request), cover_id)


@post("/v1/cover/{cover_id:str}/end", summary="End cover", tags=["access"], status_code=200)
async def end_cover(request: ApiRequest, cover_id: FromPath[str]) -> CoverView:
    """Ends cover before its time: by either of the two people, a supervisor or an administrator."""
    return await _covers(request).end(principal_of(request), cover_id)


@get("/v1/courses/{course_id:str}/restriction", summary="A course's restriction", tags=["access"])
async def restriction(request: ApiRequest, course_id: FromPath[str]) -> RestrictionView:
    """Whom the course's restriction admits beside its therapist. 404 if it is not restricted."""
    return await _restrictions(request).one(principal_of(request), course_id)


@put("/v1/courses/{course_id:str}/restriction", summary="Restrict a course", tags=["access"])
async def restrict(request: ApiRequest, course_id: FromPath[str]) -> RestrictionView:
    """Only the course's therapist and the `people` see it from now on, each as far as they are related to it.

    Replaces a restriction that is there. Systems and auditors go on seeing the course.
    """
    body = await read_body(request)
    return await _restrictions(request).restrict(principal_of(request), course_id, lambda: body.shape(NewRestriction))


@delete("/v1/courses/{course_id:str}/restriction", summary="Lift a restriction", tags=["access"])
async def lift_restriction(request: ApiRequest, course_id: FromPath[str]) -> None:
    """The course is seen again by whoever is related to it."""
    await _restrictions(request).lift(principal_of(request), course_id)


HANDLERS = (arrange, covers, cover, end_cover, restriction, restrict, lift_restriction)
