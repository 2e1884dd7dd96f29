"""Liveness, readiness and metrics."""

import datetime as dt
from collections.abc import Sequence

import msgspec
from litestar import Response, get

from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.requests import ApiRequest
from ipt_workflow.api.services import front_desk, services_of
from ipt_workflow.errors import Busy
from ipt_workflow.store.verification_rounds import RoundView


class Health(msgspec.Struct, frozen=True, omit_defaults=True):
    """`verification` is there once the verifier in the background has begun."""

    status: str
    verification: "VerificationHealth | None" = None


class VerificationHealth(msgspec.Struct, frozen=True):
    """How much of its round the verifier has read, of the organisation that is behind. All was read since `read_since`. `ok`: no fault was found."""

    share: float
    read_since: dt.datetime | None
    ok: bool


@get("/health/live", summary="Whether the process runs", tags=["health"])
async def live() -> Health:
    """Answers as long as the process runs."""
    return Health("ok")


@get("/health/ready", summary="Whether requests can be served", tags=["health"])
async def ready(request: ApiRequest) -> Health:
    """Checks that the database has this version's migrations, and that a write succeeds. Answers 503 otherwise, and while the process drains.

    `verification` says how far everything has been read again.
    """
    if request.app.state.draining:
        raise Busy("This process is about to stop. Send requests to another one.")
    installation = front_desk(request.scope).clinics.installation
    await installation.ready()
    return Health("ok", _verification(list(installation.rounds.values())))


def _verification(rounds: Sequence[RoundView]) -> VerificationHealth | None:
    if not rounds:
        return None
    since = [each.read_since for each in rounds]
    return VerificationHealth(
        share=round(min(each.share for each in rounds), 3),
        read_since=None if None in since else min(each for each in since if each),
        ok=not any(each.fault for each in rounds),
    )


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
