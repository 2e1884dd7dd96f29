"""Organisations, for the operator of the installation."""

from litestar import Response, get, patch, post
from litestar.params import FromPath

from ipt_workflow.api.addresses import public
from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.requests import ApiRequest, read_body
from ipt_workflow.api.services import services_of
from ipt_workflow.service.organisations import NewOrganisation, OrganisationChange, OrganisationList, OrganisationView


@post("/v1/organisations", summary="Create an organisation", tags=["organisations"])
async def create(request: ApiRequest) -> Response[OrganisationView]:
    """Creates an organisation. Make its first administrator's token at the command line."""
    body = await read_body(request)
    view = await services_of(request).organisations.create(principal_of(request), lambda: body.shape(NewOrganisation))
    return Response(view, status_code=201, headers={"Location": public(request, f"/v1/organisations/{view.id}")})


@get("/v1/organisations", summary="Organisations", tags=["organisations"])
async def every(request: ApiRequest) -> OrganisationList:
    """All organisations of the installation."""
    return await services_of(request).organisations.every(principal_of(request))


@get("/v1/organisations/{organisation:str}", summary="One organisation", tags=["organisations"])
async def one(request: ApiRequest, organisation: FromPath[str]) -> OrganisationView:
    """An organisation with its time zone and status."""
    return await services_of(request).organisations.one(principal_of(request), organisation)


@patch("/v1/organisations/{organisation:str}", summary="Change an organisation", tags=["organisations"])
async def change(request: ApiRequest, organisation: FromPath[str]) -> OrganisationView:
    """Changes title, time zone or status. In a suspended organisation every credential is refused at once, and nothing is delivered."""
    body = await read_body(request)
    principal = principal_of(request)
    return await services_of(request).organisations.change(principal, organisation, lambda: body.shape(OrganisationChange))


HANDLERS = (create, every, one, change)
