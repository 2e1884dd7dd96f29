"""Groups: creating them, members, facilitators, sessions."""

from typing import TypeVar

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath, FromQuery

from ipt_workflow.access.principal import Principal
from ipt_workflow.api import requests
from ipt_workflow.api.addresses import public
from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.courses import After, listed
from ipt_workflow.api.requests import ApiRequest, Body, if_match, keyed, limit_of, page, read_body
from ipt_workflow.api.services import services_of
from ipt_workflow.errors import CommandMalformed
from ipt_workflow.groups.bodies import Facilitating, Joining, Leaving, NewGroup, NewSession, Signing, SigningSeveral
from ipt_workflow.groups.views import GroupCommitted, GroupSummary, GroupView, Recorded, SessionCommitted, Signed, SignedSessions
from ipt_workflow.service.writes import GroupWrite

Shape = TypeVar("Shape", bound=msgspec.Struct)


class GroupList(msgspec.Struct, frozen=True):
    items: list[GroupSummary]
    next: str | None


class GroupAnswer(msgspec.Struct, frozen=True):
    group: GroupView


def _write(request: ApiRequest, body: Body, principal: Principal, shape: type[Shape]) -> GroupWrite:
    """The write to a group in the form that the service takes."""
    key, keyed_body = keyed(request, body, principal)
    try:
        version, problem = if_match(request), None
    except CommandMalformed as error:
        version, problem = None, error
    return GroupWrite(decode=lambda: keyed_body.shape(shape), problem=problem, version=version, key=key)


def _headers(version: int, *, replayed: bool) -> dict[str, str]:
    return {"ETag": f'"{version}"'} | ({"Idempotent-Replayed": "true"} if replayed else {})


def _answer(committed: GroupCommitted, location: str | None = None) -> Response[GroupAnswer]:
    headers = _headers(committed.group.version, replayed=committed.replayed) | ({"Location": location} if location else {})
    return Response(GroupAnswer(committed.group), status_code=201, headers=headers)


@post("/v1/groups", summary="Make a group", tags=["groups"])
async def create(request: ApiRequest) -> Response[GroupAnswer]:
    """Makes a group under a group protocol, with the therapists who facilitate it. Its label must identify no person."""
    principal = principal_of(request)
    key, body = keyed(request, await read_body(request), principal)
    committed = await services_of(request).groups.create(principal, lambda: body.shape(NewGroup), key)
    return _answer(committed, public(request, f"/v1/groups/{committed.group.id}"))


@get("/v1/groups", summary="Groups", tags=["groups"])
async def groups(
    request: ApiRequest,
    protocol: FromQuery[str | None] = None,
    limit: FromQuery[int | None] = None,
    cursor: FromQuery[str | None] = None,
) -> Response[GroupList]:
    """Therapists see the groups that they facilitate. Supervisors and auditors see all."""
    size, after = limit_of(request, limit), requests.cursor(cursor, After, After())
    found = await services_of(request).groups.page(principal_of(request), protocol, after.id, size + 1)
    items, after_text = page(found, size, lambda group: After(group.id))
    return listed(request, GroupList(items, after_text))


@get("/v1/groups/{group_id:str}", summary="One group", tags=["groups"])
async def group(request: ApiRequest, group_id: FromPath[str]) -> Response[GroupView]:
    """The group's members and sessions, with attendance."""
    view = await services_of(request).groups.one(principal_of(request), group_id)
    return Response(view, headers={"ETag": f'"{view.version}"'})


@post("/v1/groups/{group_id:str}/members", summary="Put a course into a group", tags=["groups"])
async def join(request: ApiRequest, group_id: FromPath[str]) -> Response[GroupAnswer]:
    """Adds an open course that runs the group's protocol and that the caller may see. A course is in one group at a time."""
    principal = principal_of(request)
    write = _write(request, await read_body(request), principal, Joining)
    return _answer(await services_of(request).groups.join(principal, group_id, write))


@post("/v1/groups/{group_id:str}/members/{course_id:str}/leave", summary="Take a course out of a group", tags=["groups"])
async def leave(request: ApiRequest, group_id: FromPath[str], course_id: FromPath[str]) -> Response[GroupAnswer]:
    """Records that a member left, with a coded reason. The course itself continues until a trigger ends it."""
    principal = principal_of(request)
    write = _write(request, await read_body(request), principal, Leaving)
    return _answer(await services_of(request).groups.leave(principal, group_id, course_id, write))


@post("/v1/groups/{group_id:str}/facilitators", summary="Name a group's facilitators", tags=["groups"])
async def facilitate(request: ApiRequest, group_id: FromPath[str]) -> Response[GroupAnswer]:
    """Sets who facilitates the group from now on."""
    principal = principal_of(request)
    write = _write(request, await read_body(request), principal, Facilitating)
    return _answer(await services_of(request).groups.facilitate(principal, group_id, write))


@post("/v1/groups/{group_id:str}/sessions", summary="Record a group's session", tags=["groups"])
async def record(request: ApiRequest, group_id: FromPath[str]) -> Response[Recorded]:
    """Fires `record_session` on every member's course, with that member's attendance.

    The accepted entries are committed together. Refused ones wait in the inbox. With `all`, one refusal means that nothing is recorded.
    """
    principal = principal_of(request)
    write = _write(request, await read_body(request), principal, NewSession)
    committed: SessionCommitted = await services_of(request).group_sessions.record(principal, group_id, write)
    headers = _headers(committed.recorded.version, replayed=committed.replayed)
    return Response(committed.recorded, status_code=201, headers=headers)


@post(
    "/v1/groups/{group_id:str}/sessions/{session_id:str}/sign", summary="Sign a group's session", tags=["groups"], status_code=200
)
async def sign(request: ApiRequest, group_id: FromPath[str], session_id: FromPath[str]) -> Signed:
    """Fires `sign_session` on every member's course where the caller gave the session and has not signed it. No version is needed."""
    principal, body = principal_of(request), await read_body(request)
    signed: Signed = await services_of(request).group_signatures.sign(principal, group_id, session_id, lambda: body.shape(Signing))
    return signed


@post("/v1/groups/{group_id:str}/sign", summary="Sign several of a group's sessions", tags=["groups"], status_code=200)
async def sign_several(request: ApiRequest, group_id: FromPath[str]) -> SignedSessions:
    """Signs sessions that were written up together, each as the route of one session does, in one commit. No version is needed."""
    principal, body = principal_of(request), await read_body(request)
    signed: SignedSessions = await services_of(request).group_signatures.sign_several(
        principal, group_id, lambda: body.shape(SigningSeveral)
    )
    return signed


HANDLERS = (create, groups, group, join, leave, facilitate, record, sign, sign_several)
