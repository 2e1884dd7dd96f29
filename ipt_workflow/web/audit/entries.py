"""One step of a course as an auditor sees it: what it says, its bytes, and in words what checking them finds."""

import msgspec
from litestar import Response, get
from litestar.params import FromPath

from ipt_workflow.api.auth import principal_of
from ipt_workflow.api.services import services_of
from ipt_workflow.service.audit.proofs import EntryProof
from ipt_workflow.web.audit import words
from ipt_workflow.web.forms import deed_label
from ipt_workflow.web.language import _, gettext
from ipt_workflow.web.navigation import role_name
from ipt_workflow.web.pages import PageRequest, page


class CheckLine(msgspec.Struct, frozen=True):
    """What was checked, and what was found, in words."""

    holds: bool
    text: str


@get("/audit/courses/{course_id:str}/{seq:int}", include_in_schema=False)
async def entry(request: PageRequest, course_id: FromPath[str], seq: FromPath[int]) -> Response[bytes]:
    """A step with its bytes."""
    services = services_of(request)
    found = await services.proofs.one(principal_of(request), course_id, seq)
    written = found.entry
    people = [written.actor.person, written.cosigned_by, written.on_behalf_of] if written else []
    names = await services.audit_names.of(people, [course_id])
    return page(
        request,
        "audit/entry.html",
        proof=found,
        written=written,
        client=names.clients.get(course_id),
        title=gettext(deed_label(written.trigger).done) if written else _("A step that cannot be read"),
        who=names.person(written.actor.person) if written else "",
        role=role_name(written.actor.role) if written else "",
        agreed_by=names.person(written.cosigned_by) if written and written.cosigned_by else "",
        covered=names.person(written.on_behalf_of) if written and written.on_behalf_of else "",
        passed_over=[words.rule_title(rule) for rule in (written.override or {}).get("rules", ())] if written else [],
        checks=checks(found),
    )


def checks(proof: EntryProof) -> list[CheckLine]:
    """Each check in a sentence."""
    found = proof.checks
    sealed = (
        _("The text was erased, as the law may ask. What remains proves that the step was written.")
        if found.erased and found.sealed
        else _("The text is the one that was written.")
        if found.sealed
        else _("The text is not the one that was written.")
    )
    return [
        CheckLine(
            found.bytes,
            _("The bytes have the fingerprint that was kept with them.")
            if found.bytes
            else _("The bytes do not have the fingerprint that was kept with them: somebody changed them, or the fingerprint."),
        ),
        CheckLine(
            found.link,
            _("The bytes name the fingerprint of the step before.")
            if found.link
            else _("The bytes do not name the fingerprint of the step before: one of the two was changed, or a step was removed."),
        ),
        CheckLine(found.sealed, sealed),
        _chain(proof),
    ]


def _chain(proof: EntryProof) -> CheckLine:
    if proof.chain.fault is None:
        return CheckLine(True, _("All %(number)s steps of the course are as they were written.", number=proof.chain.entries))
    values = {"number": proof.chain.bad_seq, "fault": proof.chain.fault}
    return CheckLine(False, _("The course is not as it was written, first at step %(number)s: %(fault)s.", **values))


HANDLERS = (entry,)
