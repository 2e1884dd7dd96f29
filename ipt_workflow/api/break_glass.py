"""Emergency access to the courses of a client, and its review; and an auditor's unmasking of sealed text."""

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath, FromQuery

from ipt_workflow.access.break_glass import NewEmergencyAccess, NewReview, NewUnmasking
from ipt_workflow.api import requests
from ipt_workflow.api.addresses import public
from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.courses import After, listed
from ipt_workflow.api.requests import ApiRequest, limit_of, one_of, page, read_body
from ipt_workflow.api.services import services_of
from ipt_workflow.service.access.break_glass import EmergencyAccessView
from ipt_workflow.service.access.masks import UnmaskingView

REVIEWED = {"waiting": False, "reviewed": True}


class EmergencyAccessList(msgspec.Struct, frozen=True):
    items: list[EmergencyAccessView]
    next: str | None


class UnmaskingList(msgspec.Struct, frozen=True):
    items: list[UnmaskingView]
    next: str | None


@post("/v1/emergency-access", summary="Take emergency access", tags=["access"])
async def take_emergency_access(request: ApiRequest) -> Response[EmergencyAccessView]:
    """Opens the courses of the client with exactly this reference, for an hour unless `minutes` says otherwise.

    The caller reads them, and records `raise_risk`, `review_risk`, `record_contact` and `note` on them. Needs a person who signed in
    lately, and no fixed token. The therapist and the supervisors see it at once, and a supervisor reviews it.
    """
    body = await read_body(request)
    started = await services_of(request).emergencies.start(principal_of(request), lambda: body.shape(NewEmergencyAccess))
    return Response(started, status_code=201, headers={"Location": public(request, f"/v1/emergency-access/{started.id}")})


@get("/v1/emergency-access", summary="Emergency accesses", tags=["access"])
async def emergency_accesses(
    request: ApiRequest,
    review: FromQuery[str | None] = None,
    limit: FromQuery[int | None] = None,
    cursor: FromQuery[str | None] = None,
) -> Response[EmergencyAccessList]:
    """Oldest first; `review=waiting` is the queue of reviews. Therapists see their own, and those to courses of theirs."""
    size, after = limit_of(request, limit), requests.cursor(cursor, After, After())
    chosen = one_of("review", review, tuple(REVIEWED))
    found = await services_of(request).emergencies.page(
        principal_of(request), None if chosen is None else REVIEWED[chosen], after.id, size + 1
    )
    items, after_text = page(found, size, lambda each: After(each.id))
    return listed(request, EmergencyAccessList(items, after_text))


@get("/v1/emergency-access/{access_id:str}", summary="One emergency access", tags=["access"])
async def emergency_access(request: ApiRequest, access_id: FromPath[str]) -> EmergencyAccessView:
    """An emergency access with its reason and its review."""
    return await services_of(request).emergencies.one(principal_of(request), access_id)


@post("/v1/emergency-access/{access_id:str}/end", summary="End emergency access", tags=["access"], status_code=200)
async def end_emergency_access(request: ApiRequest, access_id: FromPath[str]) -> EmergencyAccessView:
    """Ends an access before its time: by whoever took it, or a supervisor."""
    return await services_of(request).emergencies.end(principal_of(request), access_id)


@post("/v1/emergency-access/{access_id:str}/review", summary="Review emergency access", tags=["access"])
async def review_emergency_access(request: ApiRequest, access_id: FromPath[str]) -> Response[EmergencyAccessView]:
    """A supervisor says whether the access was justified. Nobody reviews their own."""
    body = await read_body(request)
    reviewed = await services_of(request).emergencies.review(principal_of(request), access_id, lambda: body.shape(NewReview))
    return Response(reviewed, status_code=201)


@post("/v1/unmasking", summary="Unmask sealed text", tags=["access"])
async def unmask(request: ApiRequest) -> Response[UnmaskingView]:
    """The auditor reads the sealed text of a course, for an hour unless `minutes` says otherwise. Until then they see its structure.

    Only where the organisation's `auditor_text` is `unmask`.
    """
    body = await read_body(request)
    made = await services_of(request).unmaskings.unmask(principal_of(request), lambda: body.shape(NewUnmasking))
    return Response(made, status_code=201)


@get("/v1/unmasking", summary="Unmaskings", tags=["access"])
async def unmaskings(
    request: ApiRequest, limit: FromQuery[int | None] = None, cursor: FromQuery[str | None] = None
) -> Response[UnmaskingList]:
    """Who unmasked the sealed text of which course, and why. Oldest first."""
    size, after = limit_of(request, limit), requests.cursor(cursor, After, After())
    found = await services_of(request).unmaskings.page(principal_of(request), after.id, size + 1)
    items, after_text = page(found, size, lambda each: After(each.id))
    return listed(request, UnmaskingList(items, after_text))


HANDLERS = (
    take_emergency_access,
    emergency_accesses,
    emergency_access,
    end_emergency_access,
    review_emergency_access,
    unmask,
    unmaskings,
)
