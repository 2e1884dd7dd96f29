"""The application with its pages."""

from litestar import Router

from ipt_workflow.api.app import Application
from ipt_workflow.api.rate_limits import OpenToAll
from ipt_workflow.api.requests import NoNul
from ipt_workflow.runtime.clock import Clock
from ipt_workflow.runtime.settings import Settings
from ipt_workflow.web import failures, launch, local_sign_in, pages, passkeys, sign_in, start
from ipt_workflow.web.course import deeds, opening
from ipt_workflow.web.forgery import OwnPages, token_check
from ipt_workflow.web.language import Language
from ipt_workflow.web.supervision import handlers as supervision
from ipt_workflow.web.visitors import Visitor

FORM_BYTES_MAX = 65_536


def application(settings: Settings, clock: Clock | None = None, *, sandbox: bool = False) -> Application:
    """The API and the pages. A sandbox has no pages: nobody signs in there."""
    return Application(settings, clock, sandbox=sandbox, pages=() if sandbox else routers(settings))


def routers(settings: Settings) -> tuple[Router, ...]:
    """The pages of those who are signed in, those that are open to all, and what no browser sends."""
    forms = [NoNul(), Language(), OwnPages(), token_check(settings)]
    return (
        _router(
            (
                *start.HANDLERS,
                *passkeys.HANDLERS,
                *launch.HANDLERS,
                *opening.HANDLERS,
                *deeds.HANDLERS,
                *supervision.HANDLERS,
            ),
            [*forms, Visitor()],
        ),
        _router((*sign_in.OPEN_HANDLERS, *local_sign_in.OPEN_HANDLERS, *launch.OPEN_HANDLERS), [*forms, OpenToAll()]),
        _router((*sign_in.UNFORGEABLE_HANDLERS, pages.static), [NoNul()]),
    )


def _router(handlers: tuple, middleware: list) -> Router:  # type: ignore[type-arg]
    return Router(
        "/",
        route_handlers=handlers,
        middleware=middleware,
        exception_handlers=failures.HANDLERS,
        request_max_body_size=FORM_BYTES_MAX,
    )
