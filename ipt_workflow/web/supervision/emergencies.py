"""Emergency accesses: those that wait for a supervisor's review, and the review."""

from typing import Any

from litestar import Response, get, post
from litestar.params import FromPath

from ipt_workflow.access.break_glass import NewReview
from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.services import services_of
from ipt_workflow.errors import CommandInvalid, EmergencyReviewed, Forbidden
from ipt_workflow.values.faults import shaped
from ipt_workflow.web.course.sent import sent_form
from ipt_workflow.web.language import _, noted
from ipt_workflow.web.pages import PageRequest, page, redirect

PLACE = "/supervision/emergencies"
LISTED_MAX = 100
VERDICTS = ("justified", "not_justified")
CODES = {
    "ETREAT": noted("Emergency treatment"),
    "safeguarding": noted("Safeguarding"),
    "cover_failed": noted("Cover failed"),
    "other": noted("Another reason"),
}
CHOOSE, LONG = noted("Say whether it was justified."), noted("The comment is too long, or has characters that cannot be printed.")
OWN, REVIEWED = noted("Nobody reviews their own emergency access."), noted("Another supervisor has reviewed it meanwhile.")


@get(PLACE, include_in_schema=False)
async def emergencies(request: PageRequest) -> Response[bytes]:
    """The emergency accesses that wait for a review."""
    return await _shown(request)


@post(f"{PLACE}/{{access_id:str}}/review", include_in_schema=False, status_code=303)
async def review(request: PageRequest, access_id: FromPath[str]) -> Response[Any]:
    """Judges an emergency access."""
    services, principal, form = services_of(request), principal_of(request), await sent_form(request)
    typed = {name: value for name in ("verdict", "comment") if (value := form.one(name))}
    try:
        await services.emergencies.review(principal, access_id, lambda: shaped(NewReview, typed))
    except CommandInvalid:
        why = LONG if typed.get("verdict") in VERDICTS else CHOOSE
        return await _shown(request, 422, access_id, _(why), typed)
    except EmergencyReviewed:
        return await _shown(request, 409, access_id, _(REVIEWED), typed)
    except Forbidden:
        return await _shown(request, 403, access_id, _(OWN), typed)
    return redirect(request, PLACE)


async def _shown(
    request: PageRequest, status: int = 200, at: str = "", problem: str = "", typed: dict[str, str] | None = None
) -> Response[bytes]:
    services, principal = services_of(request), principal_of(request)
    found = await services.emergencies.page(principal, False, "", LISTED_MAX)
    names = await services.registry.names(each.person for each in found)
    return page(
        request,
        "supervision/emergencies.html",
        status,
        accesses=found,
        names=names,
        codes={code: _(text) for code, text in CODES.items()},
        at=at,
        problem=problem,
        typed=typed or {},
        me=principal.person,
        may_review=principal.role == "supervisor",
    )


HANDLERS = (emergencies, review)
