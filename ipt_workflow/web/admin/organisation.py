"""The page of what an organisation decides for itself, and the start page of administrators."""

import datetime as dt
from typing import Any

import msgspec
from litestar import Response, get, post

from ipt_workflow.access.break_glass import AuditorText
from ipt_workflow.access.relations import Supervision
from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.services import services_of
from ipt_workflow.service.access.people import Zone
from ipt_workflow.service.organisations import CrisisContacts, OwnOrganisationChange, Title
from ipt_workflow.values.faults import shaped
from ipt_workflow.web.admin.submission import PAGE, Sheet, asked, first, send, show
from ipt_workflow.web.language import _, noted
from ipt_workflow.web.pages import PageRequest, page, redirect

START = "/admin"
OWN = "/admin/organisation"
EXPIRING_DAYS = 30  # a token that expires so soon is named on the start page
SUPERVISION = {
    "organisation": noted("All courses of the organisation"),
    "supervisees": noted("Those of the therapists whom they supervise"),
}
AUDITOR_TEXT = {
    "open": noted("At any time"),
    "unmask": noted("After they say why, course by course"),
    "never": noted("Never"),
}


class OwnForm(msgspec.Struct, frozen=True, kw_only=True):
    """What an administrator decides of their organisation."""

    title: Title
    zone: Zone | None = None
    supervision: Supervision
    auditor_text: AuditorText
    crisis_contacts: CrisisContacts = ""


def _own() -> Sheet:
    return Sheet(
        struct=OwnForm,
        title=_("Your organisation"),
        action=OWN,
        button=_("Save"),
        back=(START, _("Administration")),
        cleared={"zone": None, "crisis_contacts": ""},
        fields=(
            asked("title", "text", _("Name"), required=True),
            asked(
                "zone",
                "text",
                _("Time zone"),
                _("Such as Europe/Berlin. It decides which day it is. Left empty, it is that of the service."),
            ),
            asked(
                "supervision",
                "radios",
                _("Courses that supervisors see"),
                required=True,
                options=[(code, _(text)) for code, text in SUPERVISION.items()],
            ),
            asked(
                "auditor_text",
                "radios",
                _("When auditors read what was written about clients"),
                required=True,
                options=[(code, _(text)) for code, text in AUDITOR_TEXT.items()],
            ),
            asked(
                "crisis_contacts",
                "textarea",
                _("Whom clients call when they need help at once"),
                _("One a line. It is printed on the sheet for the client."),
            ),
        ),
        intro=_("Every change is recorded, and counts from the next request on."),
    )


@get(OWN, include_in_schema=False)
async def own(request: PageRequest) -> Response[bytes]:
    """What the organisation decides, as a form."""
    found, sheet = await services_of(request).organisations.own(principal_of(request)), _own()
    return show(request, sheet, first(found, sheet))


@post(OWN, include_in_schema=False, status_code=303)
async def change_own(request: PageRequest) -> Response[bytes]:
    """Changes what the organisation decides."""
    known = services_of(request).organisations
    await known.own(principal_of(request))

    async def work(data: dict[str, object]) -> Response[None]:
        await known.change_own(principal_of(request), lambda: shaped(OwnOrganisationChange, data))
        return redirect(request, OWN)

    return await send(request, _own(), work)


@get(START, include_in_schema=False)
async def administration(request: PageRequest) -> Response[bytes]:
    """Where an administrator begins."""
    return await start(request)


async def start(request: PageRequest) -> Response[bytes]:
    """What needs an administrator, and where everything is."""
    principal, services = principal_of(request), services_of(request)
    organisation = await services.organisations.own(principal)
    dead = {key: found["dead"] for key, found in (await services.deliveries.unfinished(principal)).items() if "dead" in found}
    stopped = [each for each in await services.subscriptions.page(principal, "", PAGE) if each.status == "disabled"]
    now = services.clinic.clock.now()
    soon = now + dt.timedelta(days=EXPIRING_DAYS)
    tokens = [each for each in await services.tokens.list(principal) if each.revoked_at is None and now < each.expires_at <= soon]
    waiting = await services.notices.sources.waiting(principal)
    known: dict[str, Any] = {"dead": dead, "stopped": stopped, "tokens": tokens, "waiting": waiting}
    return page(request, "admin/start.html", organisation=organisation, **known)


HANDLERS = (own, change_own, administration)
