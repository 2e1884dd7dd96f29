"""The clock of a sandbox. Only `ipt-workflow sandbox` serves these routes."""

from litestar import get, post

from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.requests import ApiRequest, read_body
from ipt_workflow.ehr.deliveries.rehearsal import MoveClock, MovedTime, Rehearsal, SandboxTime

HEADER = ("Sandbox", "true")  # in every answer of a sandbox


def _rehearsal(request: ApiRequest) -> Rehearsal:
    found: Rehearsal = request.app.state.rehearsal
    return found


@get("/sandbox/clock", summary="The sandbox's clock", tags=["sandbox"])
async def sandbox_clock(request: ApiRequest) -> SandboxTime:
    """The present moment of the sandbox."""
    return await _rehearsal(request).time(principal_of(request))


@post("/sandbox/clock", summary="Move the sandbox's clock", tags=["sandbox"], status_code=200)
async def move_sandbox_clock(request: ApiRequest) -> MovedTime:
    """Moves the clock forward. Answers when the events that this brings about are published and delivered."""
    body = await read_body(request)
    return await _rehearsal(request).move(principal_of(request), lambda: body.shape(MoveClock))


HANDLERS = (sandbox_clock, move_sandbox_clock)
