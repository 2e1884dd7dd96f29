"""The start of the audit pages, and the search of the audit log."""

from typing import Any

import msgspec
from litestar import Response, get, post

from ipt_workflow.api import requests
from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.services import services_of
from ipt_workflow.journal.audit import AuditRecord
from ipt_workflow.service.audit.names import AuditNames
from ipt_workflow.store.audit import NEWEST, Position
from ipt_workflow.web.audit import asked, words
from ipt_workflow.web.audit.asked import AskedOfLog
from ipt_workflow.web.forms import deed_label
from ipt_workflow.web.language import _, gettext
from ipt_workflow.web.navigation import role_name
from ipt_workflow.web.pages import PageRequest, page

PAGE = 50


class AuditLine(msgspec.Struct, frozen=True, kw_only=True):
    """A record in words. `clients` are courses with the references of their clients. `rules` are those that refused or were overridden."""

    at: Any
    who: str
    role: str
    what: str
    why: str
    clients: tuple[tuple[str, str | None], ...]
    rules: tuple[str, ...]
    agreed_by: str
    entry: str


@get("/audit", include_in_schema=False)
async def start(request: PageRequest) -> Response[bytes]:
    return await open_search(request)


async def open_search(request: PageRequest) -> Response[bytes]:
    """What can be asked of the audit log. It is an auditor's start page too."""
    return await _page(request, asked.of_log({}))


async def _page(request: PageRequest, question: AskedOfLog, status: int = 200, **found: Any) -> Response[bytes]:
    people = await services_of(request).audit_names.everybody(principal_of(request))
    known = {"lines": None, "older": None, "unknown": False, **found}
    kinds = {kind: _(text) for kind, text in words.KINDS.items()}
    return page(request, "audit/search.html", status, question=question, people=people, kinds=kinds, **known)


@post("/audit", include_in_schema=False, status_code=200)
async def search(request: PageRequest) -> Response[bytes]:
    """Records that meet what was asked, the newest first."""
    form = await request.form()
    question = asked.of_log(form)
    if question.errors:
        return await _page(request, question, 422)
    services, principal = services_of(request), principal_of(request)
    filters = question.filters
    if question.typed["client"]:
        courses = await services.audit_sums.courses_of(principal, question.typed["client"])
        filters = msgspec.structs.replace(filters, courses=courses)
        if not courses:
            return await _page(request, question, lines=[], unknown=True)
    after = requests.cursor(str(form["after"]) if form.get("after") else None, Position, NEWEST)
    found = await services.audit_log.page(principal, filters, after, PAGE + 1, newest_first=True)
    records, older = requests.page(found, PAGE, lambda record: Position(record.recorded_at, record.id))
    return await _page(request, question, lines=await lines(request, records), older=older)


async def lines(request: PageRequest, records: list[AuditRecord]) -> list[AuditLine]:
    """Records in words, with the names of whom they tell of."""
    people = [name for each in records for name in (each.actor.person, each.cosigned_by, each.on_behalf_of)]
    names = await services_of(request).audit_names.of(people, [course for each in records for course in each.courses])
    return [_line(each, names) for each in records]


def _line(record: AuditRecord, names: AuditNames) -> AuditLine:
    step = gettext(deed_label(record.trigger).done) if record.trigger and _is_deed(record) else record.action
    covered = _("for %(name)s", name=names.person(record.on_behalf_of)) if record.on_behalf_of else ""
    return AuditLine(
        at=record.recorded_at,
        who=names.person(record.actor.person),
        role=_role(record.actor.role),
        what=words.what(record, step),
        why=words.why(record.basis, record.purpose, record.rules, covered),
        clients=tuple((course, names.clients.get(course)) for course in record.courses),
        rules=tuple(words.rule_title(rule) for rule in record.rules if rule not in words.DENIED),
        agreed_by=names.person(record.cosigned_by) if record.cosigned_by else "",
        entry=f"/audit/courses/{record.courses[0]}/{record.seq}" if record.seq and record.courses else "",
    )


def _is_deed(record: AuditRecord) -> bool:
    return record.kind in {"transition", "refusal"}


def _role(role: str) -> str:
    return role_name(role) if role != "nobody" else _("nobody who was let in")


HANDLERS = (start, search)
