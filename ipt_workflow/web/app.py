"""The application with its pages."""

from litestar import Router

from ipt_workflow.api.app import Application, Routes
from ipt_workflow.api.rate_limits import OpenToAll
from ipt_workflow.api.requests import NoNul
from ipt_workflow.runtime.clock import Clock
from ipt_workflow.runtime.settings import Settings
from ipt_workflow.web import (
    caseload,
    client_label,
    day,
    failures,
    inbox,
    launch,
    local_sign_in,
    pages,
    passkeys,
    patterns,
    sign_in,
    start,
)
from ipt_workflow.web.admin import handlers as admin
from ipt_workflow.web.audit import clients, entries, exports, rules, search, verifications
from ipt_workflow.web.course import deeds, opening, overview, papers, score, session
from ipt_workflow.web.forgery import OwnPages, token_check
from ipt_workflow.web.groups import handlers as groups
from ipt_workflow.web.history import put_right, timeline
from ipt_workflow.web.language import Language
from ipt_workflow.web.privacy import client_reports, erasures, marks, retention
from ipt_workflow.web.readable import ReadableForm
from ipt_workflow.web.supervision import handlers as supervision
from ipt_workflow.web.visitors import Visitor

FORM_BYTES_MAX = 65_536
# The modules with pages of those who are signed in, each with its HANDLERS, a line for each part of the house.
SIGNED_IN = (
    *(start, passkeys, launch),
    *(day, caseload, client_label, inbox),
    *(opening, deeds, score, session, overview, papers),
    *(timeline, put_right),
    *(search, clients, rules, exports, verifications, entries),
    *(supervision, groups),
    *(admin, retention),
    *(marks, client_reports, erasures),
)
OPEN = (sign_in, local_sign_in, launch, patterns)  # with OPEN_HANDLERS, which answer everybody


def application(settings: Settings, clock: Clock | None = None, *, sandbox: bool = False) -> Application:
    """The API and the pages. A sandbox has no pages: nobody signs in there."""
    if sandbox:
        return Application(settings, clock, sandbox=True)
    return Application(settings, clock, pages=routers(settings), unknown_page=failures.unknown_page)


def routers(settings: Settings) -> tuple[Router, ...]:
    """The pages of those who are signed in, those that are open to all, and what no browser sends."""
    forms = [NoNul(), Language(), OwnPages(), ReadableForm(), token_check(settings)]
    return (
        _router(tuple(each for module in SIGNED_IN for each in module.HANDLERS), [*forms, Visitor()]),
        _router(tuple(each for module in OPEN for each in module.OPEN_HANDLERS), [*forms, OpenToAll()]),
        _router((*sign_in.UNFORGEABLE_HANDLERS, pages.static), [NoNul()]),
    )


def _router(handlers: tuple, middleware: list) -> Router:  # type: ignore[type-arg]
    return Routes(
        "/",
        route_handlers=handlers,
        middleware=middleware,
        exception_handlers=failures.HANDLERS,
        request_max_body_size=FORM_BYTES_MAX,
    )
