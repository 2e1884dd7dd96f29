"""Who had to do with a client, and why they might."""

from typing import Any

import msgspec
from litestar import Response, get, post

from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.services import services_of
from ipt_workflow.store.audit_summaries import AccessSum
from ipt_workflow.web.audit import asked, words
from ipt_workflow.web.audit.asked import AskedOfLog
from ipt_workflow.web.forms import deed_label
from ipt_workflow.web.language import _, gettext, n_
from ipt_workflow.web.navigation import role_name
from ipt_workflow.web.pages import PageRequest, page


class AccessLine(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody did with a client's courses, how often, and why they might."""

    who: str
    role: str
    what: str
    why: str
    times: str
    first_at: Any
    last_at: Any


@get("/audit/clients", include_in_schema=False)
async def start(request: PageRequest) -> Response[bytes]:
    """The form that asks for the client."""
    await services_of(request).audit_sums.require(principal_of(request))
    return _page(request, asked.of_log({}))


def _page(request: PageRequest, question: AskedOfLog, status: int = 200, **found: Any) -> Response[bytes]:
    known = {"lines": None, "courses": (), "more": False, "unknown": False, **found}
    return page(request, "audit/clients.html", status, question=question, **known)


@post("/audit/clients", include_in_schema=False, status_code=200)
async def accesses(request: PageRequest) -> Response[bytes]:
    """Everybody who had to do with the client whom a form names."""
    services, principal = services_of(request), principal_of(request)
    await services.audit_sums.require(principal)
    question = asked.of_log(await request.form())
    if not question.errors and not question.typed["client"]:
        question = msgspec.structs.replace(question, errors=((_("Give the client's reference."), "client"),))
    if question.errors:
        return _page(request, question, 422)
    courses = await services.audit_sums.courses_of(principal, question.typed["client"])
    if not courses:
        return _page(request, question, lines=[], unknown=True)
    found = await services.audit_sums.accesses(principal, courses)
    names = await services.audit_names.of([each.person for each in found.accesses], ())
    return _page(
        request,
        question,
        lines=[access_line(each, names.person(each.person)) for each in found.accesses],
        courses=found.courses,
        more=found.more,
    )


def access_line(access: AccessSum, who: str) -> AccessLine:
    """A sum in words. `who` is the name of the person or the system."""
    rules = access.rules.split(",") if access.rules else []
    return AccessLine(
        who=who,
        role=role_name(access.role) if access.role != "nobody" else _("nobody who was let in"),
        what=_what(access),
        why=words.why(access.basis, access.purpose, rules),
        times=n_("once", "%(num)s times", access.times),
        first_at=access.first_at,
        last_at=access.last_at,
    )


def _what(access: AccessSum) -> str:
    if access.kind == "transition":
        return _("Recorded something")
    action = access.action or ""
    if access.kind == "refusal":
        return _("Refused: %(step)s", step=action if " " in action else gettext(deed_label(action).title))
    return f"{_(words.KINDS[access.kind])}: {words.read(action)}"


HANDLERS = (start, accesses)
