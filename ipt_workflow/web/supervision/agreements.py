"""What waits for a supervisor's agreement: the list, one request, and what becomes of it."""

from typing import Any

from litestar import Response, get, post
from litestar.params import FromPath

from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.services import services_of
from ipt_workflow.errors import CommandInvalid, ProposalDecided, StaleVersion, TransitionRefused
from ipt_workflow.service.proposals import NewReturn
from ipt_workflow.service.views import ProposalReview
from ipt_workflow.values.faults import shaped
from ipt_workflow.values.types import TEXT_MAX
from ipt_workflow.web.course.sent import key_of, new_key, sent_form
from ipt_workflow.web.course.ways import Doer
from ipt_workflow.web.language import _, noted
from ipt_workflow.web.pages import PageRequest, page, redirect, root
from ipt_workflow.web.supervision.words import LAPSED, STATUSES, command_said, deed_titles

LISTED_MAX = 100
PLACE = "/supervision/agreements"
DECIDED = noted("This has been decided meanwhile. Its status says what became of it.")


@get(PLACE, include_in_schema=False)
async def agreements(request: PageRequest) -> Response[bytes]:
    """The requests that wait, on courses that the reader may see."""
    services, principal = services_of(request), principal_of(request)
    found = await services.proposals.page(principal, "waiting", "", LISTED_MAX)
    seen = await services.registry.seen(principal, sorted({each.course for each in found}))
    lines = await services.registry.lines(principal, seen)
    names = await services.registry.names(each.proposed_by for each in found)
    titles = deed_titles(each.trigger for each in found)
    return page(request, "supervision/agreements.html", proposals=found, courses=lines, names=names, titles=titles)


@get(f"{PLACE}/{{proposal_id:str}}", include_in_schema=False)
async def agreement(request: PageRequest, proposal_id: FromPath[str]) -> Response[bytes]:
    """One request: what is asked for, what has changed since, and what would refuse it now."""
    return await _shown(request, await services_of(request).proposals.one(principal_of(request), proposal_id))


@post(f"{PLACE}/{{proposal_id:str}}/agree", include_in_schema=False, status_code=303)
async def agree(request: PageRequest, proposal_id: FromPath[str]) -> Response[Any]:
    """Agrees to the request on the course as it was seen."""
    services, principal, form = services_of(request), principal_of(request), await sent_form(request)
    key = key_of(request, principal, form)
    try:
        done = await services.proposals.cosign(principal, proposal_id, key, version=form.version, entries_only=True)
    except ProposalDecided:
        problem, status = _(DECIDED), 412
    except StaleVersion:
        problem, status = _("Somebody else wrote to the course meanwhile. Look at what has changed, then decide again."), 412
    except TransitionRefused:
        problem, status = _("The course refuses this now. It goes on waiting."), 409
    else:
        return redirect(request, f"/courses/{done.course_id}")
    return await _shown(request, await services.proposals.one(principal, proposal_id), status, problem=problem)


@post(f"{PLACE}/{{proposal_id:str}}/return", include_in_schema=False, status_code=303)
async def send_back(request: PageRequest, proposal_id: FromPath[str]) -> Response[Any]:
    """Returns the request for revision, with a comment."""
    services, principal, form = services_of(request), principal_of(request), await sent_form(request)
    comment = form.one("comment")
    try:
        await services.proposals.send_back(principal, proposal_id, lambda: shaped(NewReturn, {"comment": comment}))
    except CommandInvalid:
        error = _("Write at most %(most)s characters.", most=TEXT_MAX) if comment else _("Say what should be revised.")
        review = await services.proposals.one(principal, proposal_id)
        return await _shown(request, review, 422, error=error, comment=comment)
    except ProposalDecided:
        review = await services.proposals.one(principal, proposal_id)
        return await _shown(request, review, 412, problem=_(DECIDED), comment=comment)
    return redirect(request, PLACE)


@post(f"{PLACE}/{{proposal_id:str}}/decline", include_in_schema=False, status_code=303)
async def decline(request: PageRequest, proposal_id: FromPath[str]) -> Response[Any]:
    """Ends the request."""
    services, principal = services_of(request), principal_of(request)
    try:
        await services.proposals.decline(principal, proposal_id)
    except ProposalDecided:
        return await _shown(request, await services.proposals.one(principal, proposal_id), 412, problem=_(DECIDED))
    return redirect(request, PLACE)


async def _shown(
    request: PageRequest, review: ProposalReview, status: int = 200, *, problem: str = "", error: str = "", comment: str = ""
) -> Response[bytes]:
    services, principal, proposal = services_of(request), principal_of(request), review.proposal
    seen = await services.registry.seen(principal, [proposal.course])
    lines = await services.registry.lines(principal, seen)
    people = [proposal.proposed_by, proposal.decided_by, *(each.person for each in proposal.since)]
    who = Doer(principal.role, proposal.course, root(request.app.state.settings))
    return page(
        request,
        "supervision/agreement.html",
        status,
        proposal=proposal,
        line=lines[proposal.course],
        version=review.course_version,
        key=new_key(),
        titles=deed_titles([proposal.trigger, *(each.trigger for each in proposal.since)]),
        fields=command_said(proposal.trigger, proposal.command) if proposal.command else (),
        blocked=who.blocking(review.refusals),
        names=await services.registry.names(people),
        status_said=_(STATUSES[proposal.status]),
        lapsed_said=_(LAPSED[proposal.reason]) if proposal.reason else "",
        may_decide=principal.role == "supervisor" and proposal.proposed_by != principal.person and proposal.status == "waiting",
        is_own=proposal.proposed_by == principal.person,
        problem=problem,
        error=error,
        comment=comment,
    )


HANDLERS = (agreements, agreement, agree, send_back, decline)
