"""The pages on which a facilitator records a session of a group, and signs it."""

from collections.abc import Sequence
from typing import Any

from litestar import Response, get, post
from litestar.params import FromPath

from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.services import services_of
from ipt_workflow.errors import Fault, NotFound
from ipt_workflow.groups.bodies import NewSession, Signing
from ipt_workflow.groups.views import Signed
from ipt_workflow.service.groups.sessions import NO_SESSION
from ipt_workflow.values.faults import shaped
from ipt_workflow.web.course.sent import SentForm, sent_form
from ipt_workflow.web.forms import FieldFault, option_text
from ipt_workflow.web.forms.labels import codes_of
from ipt_workflow.web.forms.posted import CHOOSE
from ipt_workflow.web.groups.forms import FormProblem, context_of, tried, when, whole, write_of
from ipt_workflow.web.groups.register import attendance_words
from ipt_workflow.web.language import gettext
from ipt_workflow.web.pages import PageRequest, page, redirect
from ipt_workflow.web.refusals import sentence

MEDIA = ("face_to_face", "video", "telephone")


@get("/groups/{group_id:str}/record", include_in_schema=False)
async def new(request: PageRequest, group_id: FromPath[str]) -> Response[bytes]:
    """The form of a session: every member with their attendance."""
    await services_of(request).clinic.require(principal_of(request), "record group sessions")
    return await _record_page(request, group_id, SentForm({}))


@post("/groups/{group_id:str}/record", include_in_schema=False, status_code=303)
async def record(request: PageRequest, group_id: FromPath[str]) -> Response[Any]:
    """Records the session on every member's course. What a course refuses waits in the inbox."""
    services, principal, form = services_of(request), principal_of(request), await sent_form(request)
    at, faults = when(form, "occurred_at")
    minutes, wrong = whole(form, "minutes")
    members = form.pairs.get("member", [])
    attendance = {each: form.one(f"attendance.{each}") for each in members}
    faults += [*wrong, *(FieldFault(f"attendance.{each}", CHOOSE) for each, code in attendance.items() if not code)]
    if faults:
        return await _record_page(request, group_id, form, FormProblem(status=422, faults=tuple(faults)))
    additional = {"kind": "additional", "reason": form.one("reason")} if form.one("additional") else {}
    comments = {each: {"comment": text} for each in members if (text := form.one(f"comment.{each}"))}
    body = {"attendance": attendance, **at, **minutes, "medium": form.one("medium") or MEDIA[0], **additional}
    body |= {"details": comments} if comments else {}
    write = write_of(request, form, NewSession, {name: value for name, value in body.items() if value != ""})
    problem = await tried(lambda: services.group_sessions.record(principal, group_id, write), form, _at_member)
    return redirect(request, f"/groups/{group_id}") if problem is None else await _record_page(request, group_id, form, problem)


def _at_member(fault: Fault) -> Fault:
    """A fault of one member's details at its control: `details.<course>.comment` is `comment.<course>`."""
    parts = fault.where.split(".")
    return Fault(f"{parts[2]}.{parts[1]}", fault.message) if parts[0] == "details" and len(parts) == 3 else fault


async def _record_page(request: PageRequest, group_id: str, form: SentForm, problem: FormProblem | None = None) -> Response[bytes]:
    found = await services_of(request).group_registers.one(principal_of(request), group_id)
    return page(
        request,
        "groups/record.html",
        problem.status if problem else 200,
        **context_of(found, form, problem),
        members=[each for each in found.group.members if each.left_at is None],
        attendance=attendance_words(),
        media={code: gettext(option_text("medium", code)) for code in MEDIA},
    )


@get("/groups/{group_id:str}/sessions/{session_id:str}/sign", include_in_schema=False)
async def signing(request: PageRequest, group_id: FromPath[str], session_id: FromPath[str]) -> Response[bytes]:
    """The form by which a facilitator signs a session on the courses of all members."""
    await services_of(request).clinic.require(principal_of(request), "record group sessions")
    return await _sign_page(request, group_id, session_id, SentForm({}))


@post("/groups/{group_id:str}/sessions/{session_id:str}/sign", include_in_schema=False, status_code=303)
async def sign(request: PageRequest, group_id: FromPath[str], session_id: FromPath[str]) -> Response[Any]:
    """Signs the session. What a course refuses is said, and can be signed later."""
    services, principal, form = services_of(request), principal_of(request), await sent_form(request)
    areas = {each: code for each in form.pairs.get("member", []) if (code := form.one(f"focus.{each}"))}
    summary, techniques = form.one("summary"), form.pairs.get("techniques", [])
    body = {"techniques": techniques, **({"summary": summary} if summary else {}), **({"focus": areas} if areas else {})}
    refused: list[Signed] = []

    async def work() -> None:
        refused.append(await services.group_signatures.sign(principal, group_id, session_id, lambda: shaped(Signing, body)))

    problem = await tried(work, form)
    if problem is None and not refused[0].refused:
        return redirect(request, f"/groups/{group_id}")
    return await _sign_page(request, group_id, session_id, form, problem or FormProblem(status=409), refused)


async def _sign_page(
    request: PageRequest,
    group_id: str,
    session_id: str,
    form: SentForm,
    problem: FormProblem | None = None,
    refused: Sequence[Signed] = (),
) -> Response[bytes]:
    services = services_of(request)
    found = await services.group_registers.one(principal_of(request), group_id)
    session = next((each for each in found.group.sessions if each.id == session_id), None)
    if session is None:
        raise NotFound(NO_SESSION)
    protocol = next(
        each
        for each in services.clinic.protocols
        if (each.id, each.version) == (found.group.protocol, found.group.protocol_version)
    )
    why = {each.course: [sentence(refusal) for refusal in each.refusals] for one in refused for each in one.refused}
    return page(
        request,
        "groups/sign.html",
        problem.status if problem else 200,
        **context_of(found, form, problem),
        session=session,
        members=[
            each for each in found.group.members if (one := session.attendance.get(each.course)) and one.attendance in {"5", "6"}
        ],
        areas={code: gettext(option_text("area", code)) for code in protocol.focus.areas},
        techniques={code: gettext(option_text("technique", code)) for code in codes_of("technique")},
        refused=why,
    )


HANDLERS = (new, record, signing, sign)
