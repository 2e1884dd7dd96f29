"""A supervisor's day, on one page."""

from litestar import Response, get

from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.services import services_of
from ipt_workflow.web.pages import PageRequest, page
from ipt_workflow.web.supervision.words import deed_titles


@get("/supervision", include_in_schema=False)
async def supervision(request: PageRequest) -> Response[bytes]:
    """What waits for a supervisor."""
    return await start(request)


async def start(request: PageRequest) -> Response[bytes]:
    """The same page, as the start of a supervisor."""
    day = await services_of(request).supervisors_desk.day(principal_of(request))
    return page(request, "supervision/day.html", day=day, titles=deed_titles(each.trigger for each in day.proposals))


HANDLERS = (supervision,)
