"""Liveness, readiness and metrics."""

import msgspec
from litestar import Response, get

from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.requests import ApiRequest
from ipt_workflow.api.services import front_desk, services_of
from ipt_workflow.errors import Busy


class Health(msgspec.Struct, frozen=True):
    status: str


@get("/health/live", summary="Whether the process runs", tags=["health"])
async def live() -> Health:
    """Answers as long as the process runs."""
    return Health("ok")


@get("/health/ready", summary="Whether requests can be served", tags=["health"])
async def ready(request: ApiRequest) -> Health:
    """Checks that the database has this version's migrations, and that a write succeeds. Answers 503 otherwise, and while the process drains."""
    if request.app.state.draining:
        raise Busy("This process is about to stop. Send requests to another one.")
    await front_desk(request.scope).clinics.installation.ready()
    return Health("ok")


@get("/metrics", summary="Prometheus metrics", tags=["health"], media_type="text/plain; version=0.0.4")
async def metrics(request: ApiRequest) -> Response[bytes]:
    """Transitions and refusals by protocol, trigger and rule; latencies; courses by state; deliveries by status; notices.

    The metrics are those of all organisations together, and hold no data about clients. Where there are several, the operator reads them.
    """
    clinics, services = front_desk(request.scope).clinics, services_of(request)
    active = await clinics.look()
    await services.clinic.require(principal_of(request), "read metrics of all organisations" if len(active) > 1 else "read metrics")
    return Response(await clinics.metrics(active))


OPEN_HANDLERS = (live, ready)
HANDLERS = (metrics,)
