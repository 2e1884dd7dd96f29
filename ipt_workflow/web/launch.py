"""The pages by which an EHR opens a course: the launch, its answer, and the course of the client in context."""

import msgspec
from litestar import Response, get
from litestar.params import FromPath

from ipt_workflow.access.oidc import public_keys
from ipt_workflow.api.services import services_of
from ipt_workflow.ehr.smart.launch import Launches
from ipt_workflow.service.access.sessions import acting
from ipt_workflow.web import sign_in
from ipt_workflow.web.pages import PageRequest, page, redirect
from ipt_workflow.web.visitors import address, browser_of, clinic_of, request_id, session_of

NOBODY = "nobody"  # in an address, a client who is not known here


async def _launches(request: PageRequest, organisation: str) -> Launches:
    state, clinic = request.app.state, await clinic_of(request, organisation)
    return Launches(clinic, state.providers, state.smart_servers, f"{address(request)}/o/{organisation}")


@get("/o/{organisation:str}/launch", include_in_schema=False)
async def launch(request: PageRequest, organisation: FromPath[str]) -> Response[None]:
    """An EHR opens a course (SMART App Launch): sends the browser back to it, to say who is there and which client is in context."""
    iss, opaque = (request.query_params.get(name, "") for name in ("iss", "launch"))
    browser = sign_in.new_browser(request)
    return sign_in.sent_away(await (await _launches(request, organisation)).begin(iss, opaque, browser), browser)


@get("/o/{organisation:str}/launch/callback", include_in_schema=False)
async def callback(request: PageRequest, organisation: FromPath[str]) -> Response[None]:
    """The EHR's answer, which the browser brings."""
    query = {name: request.query_params[name] for name in sign_in.PARAMETERS if name in request.query_params}
    done = await (await _launches(request, organisation)).complete(query, browser_of(request), request_id(request.scope))
    return await sign_in.signed_in(request, done.signed_in, f"/clients/{done.client or NOBODY}")


@get("/o/{organisation:str}/launch/keys", include_in_schema=False)
async def keys(request: PageRequest, organisation: FromPath[str]) -> Response[bytes]:
    """The public keys with which EHRs check who asks them (`private_key_jwt`)."""
    found = [key for each in await (await _launches(request, organisation)).private_keys() for key in public_keys(each)["keys"]]
    return Response(msgspec.json.encode({"keys": found}), media_type="application/jwk-set+json")


@get("/clients/{client_id:str}", include_in_schema=False)
async def client(request: PageRequest, client_id: FromPath[str]) -> Response[bytes]:
    """The client's open course that the person may see, or else the newest. Says so if there is none."""
    services, principal = services_of(request), acting(session_of(request), "pages", request_id(request.scope))
    found = await services.reads.of_client(principal, client_id)
    if not found:
        return page(request, "no_course.html")
    return redirect(request, f"/courses/{found[0]}")  # type: ignore[return-value]


OPEN_HANDLERS = (launch, callback, keys)
HANDLERS = (client,)
