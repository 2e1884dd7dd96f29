"""Liveness, readiness and metrics."""

import msgspec
from litestar import Response, get

from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.requests import ApiRequest
from ipt_workflow.errors import Busy
from ipt_workflow.store import deliveries


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
    await request.app.state.clinic.installation.ready()
    return Health("ok")


@get("/metrics", summary="Prometheus metrics", tags=["health"], media_type="text/plain; version=0.0.4")
async def metrics(request: ApiRequest) -> Response[bytes]:
    """Transitions and refusals by protocol, trigger and rule; latencies; courses by state; deliveries by status; notices.

    The metrics hold no data about clients.
    """
    await request.app.state.clinic.require(principal_of(request), "read metrics")
    clinic = request.app.state.clinic
    clinic.metrics.set_courses(await request.app.state.reads.count_courses())
    clinic.metrics.set_deliveries(await clinic.read(deliveries.counts))
    clinic.metrics.set_waiting(await request.app.state.notices.count_waiting())
    return Response(clinic.metrics.text())


OPEN_HANDLERS = (live, ready)
HANDLERS = (metrics,)
