"""Labels of clients: what the clinic calls a client on its pages."""

from litestar import delete, get, put
from litestar.params import FromPath

from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.requests import ApiRequest, read_body
from ipt_workflow.api.services import services_of
from ipt_workflow.service.access.client_labels import ClientLabelView, NewClientLabel


@get("/v1/courses/{course_id:str}/client-label", summary="A client's label", tags=["courses"])
async def client_label(request: ApiRequest, course_id: FromPath[str]) -> ClientLabelView:
    """What the clinic calls the course's client on its pages, beside the EHR's reference. 404 if the client has no label."""
    return await services_of(request).client_labels.one(principal_of(request), course_id)


@put("/v1/courses/{course_id:str}/client-label", summary="Label a client", tags=["courses"])
async def label_client(request: ApiRequest, course_id: FromPath[str]) -> ClientLabelView:
    """Gives the course's client a label, in place of the one they have. It holds for all courses of the client, and can be erased."""
    body = await read_body(request)
    return await services_of(request).client_labels.give(principal_of(request), course_id, lambda: body.shape(NewClientLabel))


@delete("/v1/courses/{course_id:str}/client-label", summary="Take a label away", tags=["courses"])
async def take_label_away(request: ApiRequest, course_id: FromPath[str]) -> None:
    """Erases the label of the course's client."""
    await services_of(request).client_labels.take_away(principal_of(request), course_id)


HANDLERS = (client_label, label_client, take_label_away)
