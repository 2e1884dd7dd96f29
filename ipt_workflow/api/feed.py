"""The event feed, and course snapshots to continue from."""

from urllib.parse import urlencode

from litestar import Response, get
from litestar.params import FromPath, FromQuery

from ipt_workflow.api.addresses import public
from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.requests import ApiRequest, limit_of
from ipt_workflow.api.services import services_of
from ipt_workflow.ehr.deliveries.bodies import CHECKPOINT
from ipt_workflow.ehr.deliveries.feed import FeedPage, Snapshot


@get("/v1/events", summary="Events", tags=["events"])
async def events(
    request: ApiRequest,
    after: FromQuery[str | None] = None,
    subscription: FromQuery[str | None] = None,
    limit: FromQuery[int | None] = None,
) -> Response[FeedPage]:
    """The same events as the webhooks, after the event `after`. A reader who continues from `last` misses no event.

    With `subscription`: only its events, in the form it receives them. `Ipt-Log-Checkpoint` is the newest checkpoint of the log.
    """
    size, feed = limit_of(request, limit), services_of(request).feed
    found: FeedPage = await feed.page(principal_of(request), after, size, subscription)
    checkpoint = await feed.checkpoint()
    headers = {CHECKPOINT: checkpoint} if checkpoint else {}
    if found.next is not None:
        query = urlencode({**dict(request.query_params), "after": found.next})
        headers["Link"] = f'<{public(request, request.url.path)}?{query}>; rel="next"'
    return Response(found, headers=headers)


@get("/v1/courses/{course_id:str}/snapshot", summary="A snapshot of a course", tags=["events"])
async def snapshot(request: ApiRequest, course_id: FromPath[str]) -> Response[Snapshot]:
    """A course with its sequence, and the event to continue after."""
    found: Snapshot = await services_of(request).feed.snapshot(principal_of(request), course_id)
    return Response(found, headers={"ETag": f'"{found.sequence}"'})


HANDLERS = (events, snapshot)
