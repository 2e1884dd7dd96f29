"""Errors as pages: what is wrong, and what to do next. Somebody whose session has ended goes to where they sign in."""

from typing import Any

from litestar import Response
from litestar.exceptions import HTTPException, NotFoundException

from ipt_workflow.api import problems
from ipt_workflow.errors import Busy, IptError, QuotaExceeded, SessionOver, SignInRefused, SignInThrottled
from ipt_workflow.web import interrupted
from ipt_workflow.web.answers import said
from ipt_workflow.web.language import accepted, gettext, noted, read_by
from ipt_workflow.web.pages import PageRequest, no_cookie, page, redirect
from ipt_workflow.web.visitors import COOKIE

FORGED = noted(
    "This form was not sent from a page of this service, or its page is too old. Go back, load the page again, and send it again."
)
NOT_FOUND = noted("There is no such page. Check the address.")
UNEXPECTED = noted("An unexpected error occurred. Try again; if it stays, report the number below to the service's administrator.")
UNREADABLE = noted("The request cannot be read. Load the page again.")
SENTENCES = {403: FORGED, 404: NOT_FOUND, 413: noted("The form is too large. Send less.")}


def from_error(request: PageRequest, error: IptError) -> Response[Any]:
    """What this package raises on purpose."""
    kept = bool(request.scope.get("ipt_kept"))
    if isinstance(error, SessionOver) and (kept or request.method == "GET"):
        organisation = error.organisation or request.app.state.settings.organisation
        response = redirect(request, f"/o/{organisation}/sign-in{'?' + interrupted.KEPT + '=1' if kept else ''}")
        response.cookies.extend([no_cookie(COOKIE), interrupted.remembered(request.scope["path"])])
        return response
    if isinstance(error, SignInThrottled):
        response = _error(request, 429, said(error, ""))
        response.headers["Retry-After"] = str(error.retry_seconds)
        return response
    slug = problems.slug_of(error)
    if slug == "internal":
        return from_unexpected(request, error)
    status = problems.PROBLEMS[slug].status
    if isinstance(error, SignInRefused):
        status = 403 if error.forbidden else 400
    response = _error(request, status, said(error, slug))
    if isinstance(error, Busy | QuotaExceeded):
        response.headers["Retry-After"] = str(error.retry_seconds)
    return response


def from_http(request: PageRequest, error: HTTPException) -> Response[Any]:
    """The framework's own errors."""
    if error.status_code >= 500:
        return from_unexpected(request, error)
    return _error(request, error.status_code, gettext(SENTENCES.get(error.status_code, UNREADABLE)))


def from_unexpected(request: PageRequest, error: Exception) -> Response[Any]:
    """Any other error: logged once, without its message."""
    problems.log_unexpected(error)
    return _error(request, 500, gettext(UNEXPECTED))


def unknown_page(request: PageRequest, error: NotFoundException) -> Response[Any]:
    """An address that nothing serves: a page for somebody at a browser, and a problem document for a program."""
    if request.method != "GET" or "text/html" not in request.headers.get("accept", ""):
        return problems.from_http(request, error)
    read_by(accepted(request.headers.get("accept-language", "")))
    return from_http(request, error)


def _error(request: PageRequest, status: int, message: str) -> Response[Any]:
    organisation = request.path_params.get("organisation") or request.app.state.settings.organisation
    number = request.scope.get("ipt_request_id") if status >= 500 else None
    return page(request, "error.html", status, message=message, organisation=organisation, number=number)


HANDLERS: dict[type[Exception] | int, Any] = {IptError: from_error, HTTPException: from_http, Exception: from_unexpected}
