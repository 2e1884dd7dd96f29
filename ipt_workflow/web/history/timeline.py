"""The history of a course, as it is known now or as it was known on a day; and one of its steps, to be printed."""

import datetime as dt
from typing import Any

from litestar import Response, get
from litestar.params import FromPath

from ipt_workflow.access import policy
from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.services import services_of
from ipt_workflow.values.faults import YEARS
from ipt_workflow.web.course.progress import standing
from ipt_workflow.web.history.words import step_line
from ipt_workflow.web.language import _, reader
from ipt_workflow.web.pages import PageRequest, page

STEPS = 50
PAGES_MAX = 1000


@get("/courses/{course_id:str}/history", include_in_schema=False)
async def history(request: PageRequest, course_id: FromPath[str]) -> Response[bytes]:
    """Every step once, with its corrections at its place, the last that happened first."""
    typed, number = request.query_params.get("known", ""), _page_number(request)
    known_at, error = _end_of(typed)
    found = await services_of(request).histories.page(
        principal_of(request), course_id, known_at=known_at, skip=(number - 1) * STEPS, limit=STEPS
    )
    return page(
        request,
        "history/timeline.html",
        422 if error else 200,
        history=found,
        lines=[step_line(found, each) for each in found.steps],
        standing=standing(found.course),
        typed=typed,
        error=error,
        known_at=known_at,
        number=number,
        earlier=number + 1 if found.count > number * STEPS else None,
        later=number - 1 if number > 1 else None,
        **_may(request),
    )


@get("/courses/{course_id:str}/history/{seq:int}", include_in_schema=False)
async def step(request: PageRequest, course_id: FromPath[str], seq: FromPath[int]) -> Response[bytes]:
    """One step, with everything that it says."""
    found = await services_of(request).histories.step(principal_of(request), course_id, seq)
    return page(request, "history/step.html", history=found, line=step_line(found, found.steps[0]), **_may(request))


def _may(request: PageRequest) -> dict[str, Any]:
    """What the reader's role may do with a step."""
    principal = principal_of(request)
    return {
        "corrects": policy.may(principal, "change a course") and principal.role != "ehr",
        "verifies": policy.may(principal, "verify the journal"),
    }


def _page_number(request: PageRequest) -> int:
    typed = request.query_params.get("page", "1")
    return min(max(int(typed), 1), PAGES_MAX) if typed.isdecimal() and len(typed) < 6 else 1


def _end_of(typed: str) -> tuple[dt.datetime | None, str]:
    """The last moment of a day in the reader's zone, and what is wrong with the day. No day is now."""
    if not typed:
        return None, ""
    try:
        day = dt.date.fromisoformat(typed)
    except ValueError:
        return None, _("Give a day that exists, such as 2026-03-01.")
    if day.year not in YEARS:
        return None, _("Give a day of a year that can be.")
    return dt.datetime.combine(day, dt.time.max, reader().zone).astimezone(dt.UTC), ""


HANDLERS = (history, step)
