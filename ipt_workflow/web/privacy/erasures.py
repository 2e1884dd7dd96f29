"""The pages about erasures: what one would remove is shown before it is done, and afterwards what went, what remains and why."""

from collections.abc import Mapping
from typing import Any

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath

from ipt_workflow.access import policy
from ipt_workflow.access.erasure import GROUNDS, ErasureGround, NewErasure, RemainingPart
from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.services import services_of
from ipt_workflow.errors import NotFound, RecordHeld
from ipt_workflow.service.privacy.erasures import ERASE, ErasureView
from ipt_workflow.values.faults import shaped
from ipt_workflow.values.types import ClientRef, Seq
from ipt_workflow.web.admin.submission import PAGE, Sheet, asked, confirmed, page_of, send, show, unconfirmed
from ipt_workflow.web.forms import FieldFault
from ipt_workflow.web.language import _, noted
from ipt_workflow.web.pages import PageRequest, page, redirect

ALL = "/admin/erasures"
GROUND_WORDS: Mapping[str, str] = {
    "no_longer_needed": noted("The data are no longer needed (GDPR 17(1)(a))"),
    "consent_withdrawn": noted("Consent was withdrawn, and there is no other basis (GDPR 17(1)(b))"),
    "objection": noted("The client objected (GDPR 17(1)(c))"),
    "unlawful": noted("The processing was unlawful (GDPR 17(1)(d))"),
    "legal_obligation": noted("The law demands the erasure (GDPR 17(1)(e))"),
    "retention": noted("The time for which it was kept has passed"),
    "national_law": noted("National law gives the right"),
}
KIND_WORDS: Mapping[str, str] = {
    "entry_texts": noted("Texts, answers and reasons of entries"),
    "proposals": noted("Proposed commands, and what supervisors wrote about them"),
    "drafts": noted("Forms that somebody had begun"),
    "access_texts": noted("Reasons and notes of emergency access, unmasking, marks and disclosures"),
    "restriction_reasons": noted("Reasons of restrictions of a course"),
    "held_records": noted("Refused records of group sessions"),
    "notices": noted("Contents and names of messages of an EHR"),
    "deliveries": noted("Deliveries that were not sent yet"),
    "digests": noted("Digests of requests and messages"),
    "keys": noted("Keys of sealed texts"),
    "client_label": noted("What the clinic called the client"),
    "client_reference": noted("The EHR's reference of the client"),
}
REMAINS_WORDS: Mapping[str, str] = {
    "structure": noted(
        "The structure: what happened, when and by whom, in codes and counts without words. The journal proves by it."
    ),
    "other_entries": noted("The texts of entries that correct this one, or are corrected by it: %(names)s."),
    "records": noted("The records of the audit log, which prove who read and wrote what."),
    "recipients": noted("What was delivered to other systems: %(names)s. Ask them to erase it."),
    "exports": noted("Exports and prints that people made. Nobody knows where they are."),
    "copies": noted("Backups, replicas and archives of the database, until they are replaced."),
    "shredded": noted("In copies without the table of keys, %(count)s texts cannot be read any more."),
    "unsealed": noted("In copies, %(count)s texts can be read: they were written without keys, so shredding was not possible."),
    "one_key": noted("In copies, the text can be read: shredding was not possible for one entry."),
    "archive": noted("The archive of the server's WAL."),
    "free_pages": noted("Parts in free pages of the file, until somebody runs VACUUM."),
    "old_rows": noted("Old rows of the tables and the WAL, until somebody runs VACUUM FULL."),
}
UNKNOWN = noted("There is no client with this reference here, and no such entry.")
HELD = noted("A hold on the client's record stops the erasure. End it first, if it is over.")


class ErasureForm(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked to erase. `shown`: what would go was shown already."""

    client_ref: ClientRef | None = None
    course: str | None = None
    seq: Seq | None = None
    ground: ErasureGround
    shown: bool = False


def _sheet() -> Sheet:
    return Sheet(
        struct=ErasureForm,
        title=_("Erase a client"),
        action=f"{ALL}/new",
        button=_("Show what would go"),
        back=(ALL, _("Erasures")),
        fresh=True,
        fields=(
            asked("client_ref", "text", _("Client"), _("The EHR's reference, exactly.")),
            asked("course", "text", _("Course"), _("Instead of a client, to erase the text of one entry alone: the course's id.")),
            asked("seq", "number", _("Entry"), _("The number of that entry.")),
            asked("ground", "radios", _("Ground"), required=True, options=[(each, _(GROUND_WORDS[each])) for each in GROUNDS]),
        ),
        intro=_("What is erased cannot be brought back. That something happened, when and by whom, stays."),
    )


@get(ALL, include_in_schema=False)
async def every_erasure(request: PageRequest) -> Response[bytes]:
    """The register, oldest first."""
    principal = principal_of(request)
    after = request.query_params.get("after", "")
    shown, more = page_of(await services_of(request).rights.erasures.page(principal, after, PAGE + 1))
    back = ("/admin", _("Administration")) if principal.role == "admin" else ("/", _("Start"))
    erases = policy.may(principal, ERASE)
    return page(request, "privacy/erasures.html", erasures=shown, more=more, grounds=GROUND_WORDS, erases=erases, back=back)


@get(f"{ALL}/new", include_in_schema=False)
async def new_erasure(request: PageRequest) -> Response[bytes]:
    """The form of an erasure."""
    await services_of(request).clinic.require(principal_of(request), ERASE)
    return show(request, _sheet(), {})


@post(f"{ALL}/new", include_in_schema=False, status_code=200)
async def erase_client(request: PageRequest) -> Response[Any]:
    """Shows what would go, and erases it once that was shown."""
    principal, erasures, sheet = principal_of(request), services_of(request).rights.erasures, _sheet()
    await services_of(request).clinic.require(principal, ERASE)

    async def work(data: dict[str, Any]) -> Response[Any]:
        shown = data.pop("shown", False)
        typed = {name: [str(value)] for name, value in data.items()}
        field = "course" if "course" in data else "client_ref"
        try:
            found = await erasures.erase(principal, lambda: shaped(NewErasure, data), dry_run=not shown)
        except NotFound:
            return show(request, sheet, typed, (FieldFault(field, UNKNOWN),), 422)
        except RecordHeld:
            return show(request, sheet, typed, (FieldFault(field, HELD),), 409)
        if shown:
            return redirect(request, f"{ALL}/{found.id}")
        return page(request, "privacy/erasure_preview.html", sheet=sheet, given=data, **_words(found))

    return await send(request, sheet, work)


@post(f"{ALL}/again", include_in_schema=False, status_code=303)
async def repeat_erasures(request: PageRequest) -> Response[Any]:
    """Repeats the erasures of the register, after a restore."""
    principal = principal_of(request)
    await services_of(request).clinic.require(principal, ERASE)
    if not confirmed(request):
        return unconfirmed(request, (ALL, _("Erasures")))
    await services_of(request).rights.erasures.again(principal, tuple)
    return redirect(request, ALL)


@get(f"{ALL}/{{erasure_id:str}}", include_in_schema=False)
async def one_erasure(request: PageRequest, erasure_id: FromPath[str]) -> Response[bytes]:
    """A line of the register: what went, and what remains and why."""
    found = await services_of(request).rights.erasures.one(principal_of(request), erasure_id)
    return page(request, "privacy/erasure.html", back=(ALL, _("Erasures")), **_words(found))


def _words(found: ErasureView) -> dict[str, Any]:
    return {
        "erasure": found,
        "ground": _(GROUND_WORDS[found.ground]),
        "removed": [(_(KIND_WORDS[kind]), count) for kind, count in found.counts.items()],
        "remains": [_remaining(each) for each in found.remains],
    }


def _remaining(part: RemainingPart) -> str:
    return _(REMAINS_WORDS[part.kind], count=part.count, names=", ".join(part.names))


HANDLERS = (every_erasure, new_erasure, erase_client, repeat_erasures, one_erasure)
