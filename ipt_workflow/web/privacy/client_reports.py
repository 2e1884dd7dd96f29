"""What a client may ask of the clinic, on pages of one of their courses: who saw it, what was disclosed, and all their data as a file."""

from typing import Any

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath
from litestar.response import Stream

from ipt_workflow.access import policy
from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.privacy_exports import zipped
from ipt_workflow.api.services import services_of
from ipt_workflow.ehr.client_exports import QUESTION, ClientExportQuery
from ipt_workflow.journal.disclosures import DisclosureView
from ipt_workflow.service.privacy.access_reports import ReportQuery
from ipt_workflow.service.privacy.disclosures import AccountingQuery, NewDisclosure
from ipt_workflow.values.faults import shaped
from ipt_workflow.web.admin.submission import Sheet, asked, send, show
from ipt_workflow.web.audit import words
from ipt_workflow.web.audit.clients import access_line
from ipt_workflow.web.language import _, noted, reader
from ipt_workflow.web.pages import PageRequest, page, redirect

RECORD = "record a disclosure"
PURPOSES = {
    "HLEGAL": noted("A court or another legal demand"),
    "PUBHLTH": noted("Public health"),
    "THREAT": noted("A danger to somebody"),
    "GOV": noted("An authority"),
    "FAMRQT": noted("The family asked"),
    "PWATRNY": noted("Somebody who acts for the client"),
    "HRESCH": noted("Research"),
    "HPAYMT": noted("Payment"),
    "HOPERAT": noted("Running the clinic"),
    "TREAT": noted("Treatment"),
    "ETREAT": noted("Treatment in an emergency"),
    "PATRQT": noted("The client asked"),
}
GROUNDS = {
    "gdpr-15": noted("Right of access (GDPR 15)"),
    "gdpr-20": noted("Data portability (GDPR 20)"),
    "hipaa-164.524": noted("Right of access (HIPAA, 45 CFR 164.524)"),
    "national_law": noted("National law"),
    "other": noted("Another ground"),
}
WAYS = {
    "recorded": noted("Recorded by somebody"),
    "delivery": noted("Events sent to a system"),
    "read": noted("Read by a system"),
    "export": noted("Export of the client's data"),
}
LANGUAGES = (("en", "English"), ("de", "Deutsch"))


class DisclosureForm(msgspec.Struct, frozen=True, kw_only=True):
    """A disclosure as it is typed."""

    recipient: str
    what: str
    purpose: str
    address: str | None = None
    authorised: bool = False


class ExportForm(msgspec.Struct, frozen=True, kw_only=True):
    """On what ground the data are wanted. `shown`: what the export holds was shown already."""

    ground: str
    language: str
    shown: bool = False


@get("/courses/{course_id:str}/rights", include_in_schema=False)
async def rights(request: PageRequest, course_id: FromPath[str]) -> Response[bytes]:
    """Who had to do with the client of a course, and everything that was disclosed of them."""
    principal, known = principal_of(request), services_of(request).rights
    report = await known.access_reports.one(principal, ReportQuery(course=course_id))
    accounting = await known.disclosures.accounting(principal, AccountingQuery(course=course_id, every=True))
    return page(
        request,
        "privacy/client.html",
        course_id=course_id,
        report=report,
        accesses=[access_line(each, each.name) for each in report.items],
        disclosures=[_disclosed(each) for each in accounting.items],
        records=policy.may(principal, RECORD),
    )


def _disclosed(each: DisclosureView) -> dict[str, Any]:
    return {
        "recipient": each.recipient or _("The name was erased"),
        "what": "; ".join(words.read(part) for part in each.what),
        "purpose": _(PURPOSES[each.purpose]) if each.purpose in PURPOSES else words.purpose(each.purpose),
        "way": _(WAYS[each.way]),
        "authorised": each.authorised,
        "times": each.times,
        "first_at": each.first_at,
        "last_at": each.last_at,
    }


def _back(course_id: str) -> tuple[str, str]:
    return (f"/courses/{course_id}/rights", _("The client's rights"))


def _disclosure(course_id: str) -> Sheet:
    return Sheet(
        struct=DisclosureForm,
        title=_("Record a disclosure"),
        action=f"/courses/{course_id}/rights/disclosure",
        button=_("Record it"),
        back=_back(course_id),
        fields=(
            asked("recipient", "text", _("To whom"), required=True),
            asked("address", "text", _("Address")),
            asked("what", "area", _("What"), _("Briefly: which document, or which facts."), required=True),
            asked("purpose", "radios", _("Purpose"), required=True, options=[(code, _(text)) for code, text in PURPOSES.items()]),
            asked("authorised", "tick", _("The client agreed to it in writing")),
        ),
        intro=_(
            "What was given away by letter, telephone or otherwise. What this service sends to other systems is listed by itself."
        ),
    )


@get("/courses/{course_id:str}/rights/disclosure", include_in_schema=False)
async def new_disclosure(request: PageRequest, course_id: FromPath[str]) -> Response[bytes]:
    """The form of a disclosure."""
    await _may(request, course_id, RECORD)
    return show(request, _disclosure(course_id), {})


@post("/courses/{course_id:str}/rights/disclosure", include_in_schema=False, status_code=303)
async def record_disclosure(request: PageRequest, course_id: FromPath[str]) -> Response[Any]:
    """Records a disclosure."""
    await _may(request, course_id, RECORD)
    principal, known = principal_of(request), services_of(request).rights.disclosures

    async def work(data: dict[str, Any]) -> Response[None]:
        await known.record(principal, lambda: shaped(NewDisclosure, {"course": course_id, **data}))
        return redirect(request, f"/courses/{course_id}/rights")

    return await send(request, _disclosure(course_id), work)


def _export(course_id: str) -> Sheet:
    return Sheet(
        struct=ExportForm,
        title=_("All data of the client"),
        action=f"/courses/{course_id}/rights/export",
        button=_("Show what it holds"),
        back=_back(course_id),
        fresh=True,
        fields=(
            asked("ground", "radios", _("Ground"), required=True, options=[(code, _(text)) for code, text in GROUNDS.items()]),
            asked("language", "radios", _("Language of the page for the client"), required=True, options=LANGUAGES),
        ),
        intro=_(
            "One file for the client: a page to read, every step with its text and its proof, who saw it, what was disclosed, "
            "and the data for another system."
        ),
    )


@get("/courses/{course_id:str}/rights/export", include_in_schema=False)
async def new_export(request: PageRequest, course_id: FromPath[str]) -> Response[bytes]:
    """The form of an export."""
    await _may(request, course_id, QUESTION)
    return show(request, _export(course_id), {"language": [reader().language]})


@post("/courses/{course_id:str}/rights/export", include_in_schema=False, status_code=200)
async def export(request: PageRequest, course_id: FromPath[str]) -> Response[Any] | Stream:
    """Shows what the file would hold, and sends it once that was shown."""
    await _may(request, course_id, QUESTION)
    principal, exports, sheet = principal_of(request), services_of(request).rights.exports, _export(course_id)

    async def work(data: dict[str, Any]) -> Any:
        shown, given = data.pop("shown", False), {"course": course_id, **data}
        if shown:
            return await zipped(exports, principal, lambda: shaped(ClientExportQuery, given))
        plan = await exports.preview(principal, lambda: shaped(ClientExportQuery, given))
        ground = _(GROUNDS[plan.ground])
        return page(request, "privacy/client_export.html", sheet=sheet, plan=plan, given=data, ground=ground)

    return await send(request, sheet, work)


async def _may(request: PageRequest, course_id: str, question: str) -> None:
    """Raises NotFound or Forbidden unless the person sees the course and may do this with it."""
    clinic, principal = services_of(request).clinic, principal_of(request)
    await clinic.visible_course(principal, course_id)
    await clinic.require(principal, question, [course_id])


HANDLERS = (rights, new_disclosure, record_disclosure, new_export, export)
