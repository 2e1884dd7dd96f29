"""Systems: the programs that get access tokens by proving that they hold a private key."""

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
from ipt_workflow.ehr.smart.systems import NewSystem, SystemChange, Systems, SystemView
from ipt_workflow.values.types import whole


class AfterSystem(msgspec.Struct, frozen=True):
    """The cursor of a list of systems."""

    id: Annotated[str, Meta(max_length=32, pattern=whole(r"[a-z0-9_-]*"))] = ""


class SystemList(msgspec.Struct, frozen=True):
    items: list[SystemView]
    next: str | None


def _systems(request: ApiRequest) -> Systems:
    return services_of(request).systems


@post("/v1/systems", summary="Register a system", tags=["systems"])
async def register(request: ApiRequest) -> Response[SystemView]:
    """Registers a program by its public keys. It asks for tokens at `/oauth/token` as `client_id`. A person does this, and no fixed token."""
    body = await read_body(request)
    made = await _systems(request).add(principal_of(request), lambda: body.shape(NewSystem))
    return Response(made, status_code=201, headers={"Location": public(request, f"/v1/systems/{made.id}")})


@get("/v1/systems", summary="Systems", tags=["systems"])
async def systems(
    request: ApiRequest, limit: FromQuery[int | None] = None, cursor: FromQuery[str | None] = None
) -> Response[SystemList]:
    """The organisation's systems with their scopes, also those that were revoked."""
    size, after = limit_of(request, limit), requests.cursor(cursor, AfterSystem, AfterSystem())
    found = await _systems(request).page(principal_of(request), after.id, size + 1)
    items, after_text = page(found, size, lambda each: AfterSystem(each.id))
    return listed(request, SystemList(items, after_text))


@get("/v1/systems/{system_id:str}", summary="One system", tags=["systems"])
async def system(request: ApiRequest, system_id: FromPath[str]) -> SystemView:
    """A system with its scopes and the ids of its keys."""
    return await _systems(request).one(principal_of(request), system_id)


@patch("/v1/systems/{system_id:str}", summary="Change a system", tags=["systems"])
async def change(request: ApiRequest, system_id: FromPath[str]) -> SystemView:
    """Fields that are left out keep their values. The system's access tokens end, so that it asks for a new one. A person does this, and no fixed token."""
    body = await read_body(request)
    return await _systems(request).change(principal_of(request), system_id, lambda: body.shape(SystemChange))


@post("/v1/systems/{system_id:str}/revoke", summary="Revoke a system", tags=["systems"], status_code=200)
async def revoke(request: ApiRequest, system_id: FromPath[str]) -> SystemView:
    """Ends the system's access tokens at once, and gives it no more. Its id is never given to another system."""
    return await _systems(request).revoke(principal_of(request), system_id)


HANDLERS = (register, systems, system, change, revoke)
