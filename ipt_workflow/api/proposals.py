"""Proposals: commands that wait for a supervisor's co-signature."""

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath, FromQuery

from ipt_workflow.api import requests
from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.courses import After, Opened, answer, listed
from ipt_workflow.api.requests import ApiRequest, limit_of, one_of, page, read_body, write_of
from ipt_workflow.api.services import services_of
from ipt_workflow.errors import CommandMalformed
from ipt_workflow.service.proposals import NewReturn
from ipt_workflow.service.views import ProposalReview, ProposalView

STATUSES = ("waiting", "returned", "cosigned", "declined", "lapsed")


class ProposalList(msgspec.Struct, frozen=True):
    items: list[ProposalView]
    next: str | None


@post("/v1/courses/{course_id:str}/proposals", summary="Propose a command", tags=["proposals"])
async def propose(request: ApiRequest, course_id: FromPath[str]) -> Response[ProposalView]:
    """Takes the same body as a transition. It waits until a supervisor decides it, or until it can never pass any more."""
    principal, body = principal_of(request), await read_body(request)
    return Response(
        await services_of(request).proposals.propose(principal, course_id, write_of(request, body, principal)), status_code=201
    )


@get("/v1/proposals", summary="Proposals", tags=["proposals"])
async def proposals(
    request: ApiRequest,
    status: FromQuery[str | None] = None,
    limit: FromQuery[int | None] = None,
    cursor: FromQuery[str | None] = None,
) -> Response[ProposalList]:
    """The proposals on courses that the caller may see."""
    size, after = limit_of(request, limit), requests.cursor(cursor, After, After())
    checked = one_of("status", status, STATUSES)
    found = await services_of(request).proposals.page(principal_of(request), checked, after.id, size + 1)
    items, after_text = page(found, size, lambda proposal: After(proposal.id))
    return listed(request, ProposalList(items, after_text))


@get("/v1/proposals/{proposal_id:str}", summary="One proposal", tags=["proposals"])
async def proposal(request: ApiRequest, proposal_id: FromPath[str]) -> ProposalReview:
    """A proposal with what has changed since, and why it would be refused now. A cosign may name `course_version` in If-Match."""
    review: ProposalReview = await services_of(request).proposals.one(principal_of(request), proposal_id)
    return review


@post("/v1/proposals/{proposal_id:str}/cosign", summary="Cosign a proposal", tags=["proposals"])
async def cosign(request: ApiRequest, proposal_id: FromPath[str]) -> Response[Opened]:
    """Fires the proposed command on the course as it is; with If-Match, only as the cosigner saw it. Nobody may cosign their own."""
    principal = principal_of(request)
    key, version, problem = None, None, None
    try:
        key = requests.key_of(request, requests.Body(b"", None), principal)
        version = requests.if_match(request)
    except CommandMalformed as error:
        problem = error
    minimal = requests.prefers_minimal(request)
    committed = await services_of(request).proposals.cosign(
        principal, proposal_id, key, problem, version=version, entries_only=minimal
    )
    return answer(committed)


@post("/v1/proposals/{proposal_id:str}/decline", summary="Decline a proposal", tags=["proposals"], status_code=200)
async def decline(request: ApiRequest, proposal_id: FromPath[str]) -> ProposalView:
    """Ends the proposal without firing its command."""
    declined: ProposalView = await services_of(request).proposals.decline(principal_of(request), proposal_id)
    return declined


@post("/v1/proposals/{proposal_id:str}/return", summary="Return a proposal for revision", tags=["proposals"], status_code=200)
async def send_back(request: ApiRequest, proposal_id: FromPath[str]) -> ProposalView:
    """Returns the proposal to its proposer with a comment. Their next proposal of the same trigger takes its place."""
    principal, body = principal_of(request), await read_body(request)
    returned: ProposalView = await services_of(request).proposals.send_back(principal, proposal_id, lambda: body.shape(NewReturn))
    return returned


HANDLERS = (propose, proposals, proposal, cosign, decline, send_back)
