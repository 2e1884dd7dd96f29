"""The pages of somebody who is signed in: who they are, their role, and their sessions."""

from collections.abc import Awaitable, Callable
from typing import Any

from litestar import Response, get, post
from litestar.params import FromPath

from ipt_workflow.api.services import services_of
from ipt_workflow.errors import CommandInvalid, SignInRefused
from ipt_workflow.service.access.people import NewPreferences
from ipt_workflow.service.access.sessions import acting
from ipt_workflow.web import sign_in
from ipt_workflow.web.admin import organisation
from ipt_workflow.web.audit.search import open_search as audit_start
from ipt_workflow.web.day import my_day
from ipt_workflow.web.language import NAMES, _, noted
from ipt_workflow.web.language import chosen as chosen_language
from ipt_workflow.web.pages import PageRequest, cookie, no_cookie, page, redirect
from ipt_workflow.web.supervision.day import start as supervisors_day
from ipt_workflow.web.visitors import COOKIE, request_id, session_of, sessions_of, sign_in_of

BY_LINK = noted("A session by link cannot be confirmed. Use another link.")
BY_EHR = noted("A session that an EHR began is confirmed there. Sign in to the EHR again, and open the course from it.")

# The start page of each role, a line for each part of the house.
BY_ROLE: dict[str, Callable[[PageRequest], Awaitable[Response[bytes]]]] = {
    "therapist": my_day,
    "supervisor": supervisors_day,
    "auditor": audit_start,
    "admin": organisation.start,
}


@get("/", include_in_schema=False)
async def start(request: PageRequest) -> Response[bytes]:
    """The start page of the visitor's role. Who has not chosen a role yet chooses one."""
    return await BY_ROLE.get(session_of(request).role or "", own)(request)


@get("/me", include_in_schema=False)
async def me(request: PageRequest) -> Response[bytes]:
    """Who is signed in, in which role, and where else."""
    return await own(request)


async def own(request: PageRequest) -> Response[bytes]:
    sessions = await sessions_of(request).list(acting(session_of(request), "pages"))
    return await _me(request, sessions=sessions)


async def _me(request: PageRequest, status: int = 200, **context: Any) -> Response[bytes]:
    session, clinic = session_of(request), services_of(request).clinic
    chosen = await clinic.preferences.get(session.person)
    known = {"access_token": None, "sessions": (), "messages": (), "chosen": chosen or NewPreferences(), **context}
    return page(
        request,
        "me.html",
        status,
        session=session,
        roles=session.roles.split(),
        title=await clinic.title(),
        languages=NAMES,
        clinic_zone=clinic.zone.key,
        **known,
    )


@post("/me", include_in_schema=False, status_code=303)
async def prefer(request: PageRequest) -> Response[None] | Response[bytes]:
    """In which language and time zone the visitor reads from now on."""
    form = await request.form()
    language, zone = (str(form.get(name, "")).strip() for name in ("language", "zone"))
    new = NewPreferences(language=chosen_language(language), zone=zone or None)
    try:
        await services_of(request).people.prefer(acting(session_of(request), "pages", request_id(request.scope)), new)
    except CommandInvalid:
        return await _me(request, 422, chosen=new, messages=(_("There is no such time zone. Write one such as Europe/Berlin."),))
    return redirect(request, "/me")


@post("/role", include_in_schema=False, status_code=303)
async def role(request: PageRequest) -> Response[None]:
    """Goes on in another of the person's roles."""
    form = await request.form()
    done = await sessions_of(request).take_role(session_of(request), str(form.get("role", "")), request_id(request.scope))
    response = redirect(request, "/")
    response.cookies.append(cookie(COOKIE, done.secret.cookie))
    return response


@post("/access-token", include_in_schema=False, status_code=200)
async def access_token(request: PageRequest) -> Response[bytes]:
    """Shows a token by which a program acts in this session, and ends with it."""
    secret = await sessions_of(request).open_access(session_of(request), request_id(request.scope))
    return await _me(request, access_token=secret.access)


@get("/confirm", include_in_schema=False)
async def confirm(request: PageRequest) -> Response[None]:
    """Lets the person prove again who they are, for what needs that they did so lately."""
    session = session_of(request)
    if session.method in {"passkey", "password", "recovery"}:
        return redirect(request, f"/o/{session.organisation}/sign-in")
    if session.method != "oidc":
        raise SignInRefused("link", BY_EHR if session.method == "smart" else BY_LINK, forbidden=True)
    return await sign_in.begin(request, session.organisation, again=True)


@post("/sessions/{session_id:str}/end", include_in_schema=False, status_code=303)
async def end(request: PageRequest, session_id: FromPath[str]) -> Response[None]:
    """Ends another session of the person."""
    await sessions_of(request).end(acting(session_of(request), "pages", request_id(request.scope)), session_id)
    return redirect(request, "/me")


@post("/sign-out", include_in_schema=False, status_code=200)
async def sign_out(request: PageRequest) -> Response[bytes]:
    """Ends this session, and goes on to sign out at the identity provider."""
    session = session_of(request)
    provider = await (await sign_in_of(request, session.organisation)).sign_out(session, request_id(request.scope))
    response = page(request, "signed_out.html", organisation=session.organisation, provider=provider)
    response.cookies.append(no_cookie(COOKIE))
    if provider:
        response.headers["Refresh"] = f"0; url={provider}"
    return response


HANDLERS = (start, me, prefer, role, access_token, confirm, end, sign_out)
