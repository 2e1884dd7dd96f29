"""Exports of the audit log: begun here, their file sent to the browser, and how far each is."""

from typing import Any

import msgspec
from litestar import Response, get, post
from litestar.response import Stream

from ipt_workflow.api.audit_exports import exported
from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.services import services_of
from ipt_workflow.service.audit.exports import ExportRun
from ipt_workflow.store.schema.tables import EXPORT_FORMATS
from ipt_workflow.web.audit import asked, words
from ipt_workflow.web.audit.asked import AskedOfLog
from ipt_workflow.web.language import _, noted
from ipt_workflow.web.pages import PageRequest, page

SHOWN = 20
FORMATS = {
    "csv": noted("A table for a spreadsheet (CSV)"),
    "ndjson": noted("One JSON record on each line"),
    "fhir": noted("FHIR AuditEvents"),
}
STATUSES = {"running": noted("Running"), "done": noted("Whole"), "stopped": noted("Broke off")}
ENDINGS = {"csv": "csv", "ndjson": "ndjson", "fhir": "fhir.ndjson"}


@get("/audit/exports", include_in_schema=False)
async def exports(request: PageRequest) -> Response[bytes]:
    """The form of an export, and the exports that began last."""
    return await _page(request, asked.of_log({}), "csv")


async def _page(request: PageRequest, question: AskedOfLog, chosen: str, status: int = 200) -> Response[bytes]:
    services = services_of(request)
    found = await services.audit_exports.newest(principal_of(request), SHOWN)
    names = await services.audit_names.of([name for each in found for name in (each.person, each.filters.actor)], ())
    runs = [
        {
            "run": each,
            "who": names.person(each.person),
            "format": _(FORMATS[each.format]),
            "status": _(STATUSES[each.status]),
            "of": _what(each, names.person),
        }
        for each in found
    ]
    people = await services.audit_names.everybody(principal_of(request))
    kinds = {kind: _(text) for kind, text in words.KINDS.items()}
    formats = {each: _(text) for each, text in FORMATS.items()}
    return page(
        request,
        "audit/exports.html",
        status,
        question=question,
        chosen=chosen,
        runs=runs,
        people=people,
        kinds=kinds,
        formats=formats,
    )


def _what(run: ExportRun, name: Any) -> str:
    """What an export was narrowed to."""
    parts = [_(words.KINDS[run.filters.kind])] if run.filters.kind in words.KINDS else []
    parts += [name(run.filters.actor)] if run.filters.actor else []
    parts += [_("one client")] if run.filters.course or run.filters.courses is not None else []
    parts += [_("a part of the time")] if run.filters.from_ or run.filters.to else []
    return ", ".join(parts) or _("everything")


@post("/audit/exports", include_in_schema=False, status_code=200)
async def export(request: PageRequest) -> Response[Any] | Stream:
    """Sends the file, as a download."""
    form = await request.form()
    question, chosen = asked.of_log(form), str(form.get("format") or "")
    services, principal = services_of(request), principal_of(request)
    errors = list(question.errors)
    if chosen not in EXPORT_FORMATS:
        errors.append((_("Choose one of the formats."), "format"))
    filters = question.filters
    if question.typed["client"] and not errors:
        filters = msgspec.structs.replace(
            filters, courses=await services.audit_sums.courses_of(principal, question.typed["client"])
        )
        if not filters.courses:
            errors.append((_("No client of this reference has a course that you may see."), "client"))
    if errors:
        wrong = msgspec.structs.replace(question, errors=tuple(errors))
        return await _page(request, wrong, chosen if chosen in EXPORT_FORMATS else "csv", 422)
    chunks = await services.audit_log.export(principal, filters, export_format=chosen)
    stream = exported(request, chunks, chosen)
    stream.headers["Content-Disposition"] = f'attachment; filename="audit.{ENDINGS[chosen]}"'
    return stream


HANDLERS = (exports, export)
