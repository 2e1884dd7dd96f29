"""The pages on which a course joins a group, perhaps late, or leaves it."""

from typing import Any

from litestar import Response, get, post
from litestar.params import FromPath

from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.services import services_of
from ipt_workflow.errors import NotFound
from ipt_workflow.groups.bodies import Joining, Leaving
from ipt_workflow.service.groups.groups import NO_MEMBER
from ipt_workflow.web.course.sent import SentForm, sent_form
from ipt_workflow.web.forms import FieldFault
from ipt_workflow.web.forms.posted import CHOOSE
from ipt_workflow.web.groups.forms import FormProblem, context_of, tried, when, write_of
from ipt_workflow.web.groups.register import REASONS
from ipt_workflow.web.language import gettext
from ipt_workflow.web.pages import PageRequest, page, redirect


@get("/groups/{group_id:str}/join", include_in_schema=False)
async def joining(request: PageRequest, group_id: FromPath[str]) -> Response[bytes]:
    """The form by which a course joins. It says what the group has held already."""
    return await _join_page(request, group_id, SentForm({}))


@post("/groups/{group_id:str}/join", include_in_schema=False, status_code=303)
async def join(request: PageRequest, group_id: FromPath[str]) -> Response[Any]:
    """Puts a course into the group."""
    services, principal, form = services_of(request), principal_of(request), await sent_form(request)
    at, faults = when(form, "joined_at")
    faults += [] if form.one("course") else [FieldFault("course", CHOOSE)]
    if faults:
        return await _join_page(request, group_id, form, FormProblem(status=422, faults=tuple(faults)))
    write = write_of(request, form, Joining, {"course": form.one("course"), **at})
    problem = await tried(lambda: services.groups.join(principal, group_id, write), form)
    return redirect(request, f"/groups/{group_id}") if problem is None else await _join_page(request, group_id, form, problem)


async def _join_page(request: PageRequest, group_id: str, form: SentForm, problem: FormProblem | None = None) -> Response[bytes]:
    registers, principal = services_of(request).group_registers, principal_of(request)
    courses = await registers.joinable(principal, group_id)
    return page(
        request,
        "groups/join.html",
        problem.status if problem else 200,
        courses=courses,
        **context_of(await registers.one(principal, group_id), form, problem),
    )


@get("/groups/{group_id:str}/members/{course_id:str}/leave", include_in_schema=False)
async def leaving(request: PageRequest, group_id: FromPath[str], course_id: FromPath[str]) -> Response[bytes]:
    """The form by which a member leaves."""
    await services_of(request).clinic.require(principal_of(request), "manage groups")
    return await _leave_page(request, group_id, course_id, SentForm({}))


@post("/groups/{group_id:str}/members/{course_id:str}/leave", include_in_schema=False, status_code=303)
async def leave(request: PageRequest, group_id: FromPath[str], course_id: FromPath[str]) -> Response[Any]:
    """Takes a course out of the group."""
    services, principal, form = services_of(request), principal_of(request), await sent_form(request)
    at, faults = when(form, "left_at")
    faults += [] if form.one("reason") else [FieldFault("reason", CHOOSE)]
    if faults:
        return await _leave_page(request, group_id, course_id, form, FormProblem(status=422, faults=tuple(faults)))
    write = write_of(request, form, Leaving, {"reason": form.one("reason"), **at})
    problem = await tried(lambda: services.groups.leave(principal, group_id, course_id, write), form)
    return (
        redirect(request, f"/groups/{group_id}")
        if problem is None
        else await _leave_page(request, group_id, course_id, form, problem)
    )


async def _leave_page(
    request: PageRequest, group_id: str, course_id: str, form: SentForm, problem: FormProblem | None = None
) -> Response[bytes]:
    found = await services_of(request).group_registers.one(principal_of(request), group_id)
    member = next((each for each in found.group.members if each.course == course_id and each.left_at is None), None)
    if member is None:
        raise NotFound(NO_MEMBER)
    return page(
        request,
        "groups/leave.html",
        problem.status if problem else 200,
        member=member,
        reasons={code: gettext(text) for code, text in REASONS.items()},
        **context_of(found, form, problem),
    )


HANDLERS = (joining, join, leaving, leave)
