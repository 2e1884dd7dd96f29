"""The people of a clinic, and the sessions that those who left did not sign."""

from typing import Annotated
from urllib.parse import quote

import msgspec
from litestar import Response, get, patch, post
from litestar.params import FromPath, FromQuery
from msgspec import Meta

from ipt_workflow.access.people import STAFF_ROLES
from ipt_workflow.api import requests
from ipt_workflow.api.addresses import public
from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.courses import After, listed
from ipt_workflow.api.requests import ApiRequest, limit_of, one_of, page, read_body
from ipt_workflow.api.services import services_of
from ipt_workflow.service.access.attestations import CourseToAttest
from ipt_workflow.service.access.people import Departure, NewPerson, PersonChange, PersonView
from ipt_workflow.store.people import PersonFilters
from ipt_workflow.store.schema.tables import PERSON_STATUSES
from ipt_workflow.values.identities import LENGTH_MAX


class AfterPerson(msgspec.Struct, frozen=True):
    """The cursor of a list of people."""

    id: Annotated[str, Meta(max_length=LENGTH_MAX)] = ""


class PersonList(msgspec.Struct, frozen=True):
    items: list[PersonView]
    next: str | None


class CourseToAttestList(msgspec.Struct, frozen=True):
    items: list[CourseToAttest]
    next: str | None


@post("/v1/people", summary="Add a person", tags=["people"])
async def add(request: ApiRequest) -> Response[PersonView]:
    """Adds a person to the staff, with their roles. An id is never given to another person."""
    body = await read_body(request)
    person = await services_of(request).people.add(principal_of(request), lambda: body.shape(NewPerson))
    return Response(person, status_code=201, headers={"Location": public(request, f"/v1/people/{quote(person.id)}")})


@get("/v1/people", summary="People", tags=["people"])
async def people(
    request: ApiRequest,
    status: FromQuery[str | None] = None,
    role: FromQuery[str | None] = None,
    limit: FromQuery[int | None] = None,
    cursor: FromQuery[str | None] = None,
) -> Response[PersonList]:
    """The staff of the organisation in the order of their ids, with those who have left."""
    size, after = limit_of(request, limit), requests.cursor(cursor, AfterPerson, AfterPerson())
    filters = PersonFilters(status=one_of("status", status, PERSON_STATUSES), role=one_of("role", role, STAFF_ROLES))
    found = await services_of(request).people.page(principal_of(request), filters, after.id, size + 1)
    items, after_text = page(found, size, lambda each: AfterPerson(each.id))
    return listed(request, PersonList(items, after_text))


@get("/v1/people/{person_id:str}", summary="One person", tags=["people"])
async def person(request: ApiRequest, person_id: FromPath[str]) -> PersonView:
    """A person of the staff."""
    return await services_of(request).people.one(principal_of(request), person_id)


@patch("/v1/people/{person_id:str}", summary="Change a person", tags=["people"])
async def change(request: ApiRequest, person_id: FromPath[str]) -> PersonView:
    """Fields that are left out keep their values. Tokens for a role that is taken away end at once."""
    body = await read_body(request)
    return await services_of(request).people.change(principal_of(request), person_id, lambda: body.shape(PersonChange))


@post("/v1/people/{person_id:str}/leave", summary="A person leaves", tags=["people"], status_code=200)
async def leave(request: ApiRequest, person_id: FromPath[str]) -> Departure:
    """Ends a person's access at once. Their open courses show the attention `unassigned`; supervisors attest their unsigned sessions."""
    return await services_of(request).people.leave(principal_of(request), person_id)


@post("/v1/people/{person_id:str}/return", summary="A person comes back", tags=["people"], status_code=200)
async def come_back(request: ApiRequest, person_id: FromPath[str]) -> PersonView:
    """Makes a person who left known again, under their id. They get new tokens: what ended stays ended."""
    return await services_of(request).people.come_back(principal_of(request), person_id)


@get("/v1/sessions-to-attest", summary="Sessions to attest", tags=["people"])
async def sessions_to_attest(
    request: ApiRequest, limit: FromQuery[int | None] = None, cursor: FromQuery[str | None] = None
) -> Response[CourseToAttestList]:
    """Unsigned sessions of therapists who have left, or are not known here, by course. A supervisor fires `attest_session` for each."""
    size, after = limit_of(request, limit), requests.cursor(cursor, After, After())
    found = await services_of(request).attestations.page(principal_of(request), after.id, size + 1)
    items, after_text = page(found, size, lambda each: After(each.course))
    return listed(request, CourseToAttestList(items, after_text))


HANDLERS = (add, people, person, change, leave, come_back, sessions_to_attest)
