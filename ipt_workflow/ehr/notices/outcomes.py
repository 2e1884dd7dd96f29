"""What became of a message, in FHIR R4: an OperationOutcome, or for a batch or transaction a Bundle with a response for each entry."""

from collections.abc import Iterator, Sequence
from typing import Any

from ipt_workflow.ehr.fhir.record import Site
from ipt_workflow.ehr.fhir.resources import Bundle, BundleEntry, Issue, OperationOutcome, Response
from ipt_workflow.ehr.fhir.types import Extension, concept
from ipt_workflow.ehr.notices import relevance
from ipt_workflow.ehr.notices.fhir_hooks import REFUSED, Entry, Report
from ipt_workflow.ehr.notices.receipts import Receipt, ThingReceipt

STATUSES = {
    "applied": ("Applied", "It is in the journal."),
    "waiting": ("Waiting", "It is kept. A person decides what becomes of it."),
    "received": ("Received", "It is kept, and is being handled."),
    "ignored": ("Ignored", "There is nothing to do."),
    REFUSED: ("Not taken", "Send it again."),
}
"""What each status is called, and what it means."""

REASONS = relevance.REASONS | {
    "kind": "Resources of this kind are never read.",
    "status": "Its status says that it is not agreed yet, under way, or ended without a result.",
    "intent": "It is a proposal or a plan, or an order not to do it.",
    "service": "It has no code of IPT.",
    "scale": "It holds no question of a declared scale.",
    "empty": "It holds nothing of its own: a panel whose answers come as Observations, or an entry without a resource.",
    "person": "It is a Patient without a merge or a death.",
    "interaction": "Entries of a Bundle can only create, update or delete.",
}
"""What each reason to ignore a message means."""

RESPONSES = {"batch": "batch-response", "transaction": "transaction-response"}
POSITIONS = frozenset({"batch", "transaction", "collection", "message", "document", "searchset"})  # entries keep their places
OK, ACCEPTED, METHOD, UNUSABLE, BUSY = (
    "200 OK",
    "202 Accepted",
    "405 Method Not Allowed",
    "422 Unprocessable Entity",
    "503 Service Unavailable",
)


def outcome(site: Site, receipt: Receipt | Report) -> OperationOutcome:
    """An OperationOutcome with an issue for each thing, and one for each remark on how it was read."""
    if isinstance(receipt, Receipt):
        return OperationOutcome(issue=tuple(_issues(site, receipt)))
    found: list[Issue] = []
    for number, entry in enumerate(receipt.entries):
        where = (f"Bundle.entry[{number}]",) if receipt.kind in POSITIONS else ()
        found += _issues(site, entry, where)
    return OperationOutcome(issue=tuple(found) or tuple(_issues(site, Receipt(id=receipt.id, status=receipt.status))))


def responses(site: Site, report: Report, sent: Sequence[Any] = (), *, minimal: bool = False) -> Bundle:
    """A Bundle with a response for each entry, in order. `sent` are the resources to repeat; `minimal` leaves out outcomes of success."""
    entries = []
    for number, entry in enumerate(report.entries):
        status = _status(entry, report.kind)
        failed = not status.startswith("2")
        said = OperationOutcome(issue=tuple(_issues(site, entry, failed=failed))) if failed or not minimal else None
        resource = sent[number] if number < len(sent) else None
        entries.append(BundleEntry(resource=resource, response=Response(status=status, outcome=said)))
    return Bundle(type=RESPONSES[report.kind], entry=tuple(entries))


def _status(entry: Entry, kind: str) -> str:
    """The status line of an entry. Whatever a transaction holds is kept, so that its entries all succeed."""
    if entry.status == REFUSED:
        return BUSY
    if entry.reason == "interaction":
        return METHOD
    if entry.problem and kind == "batch":
        return UNUSABLE
    return ACCEPTED if entry.status == "waiting" else OK


def _issues(site: Site, receipt: Receipt | Entry, where: tuple[str, ...] = (), *, failed: bool = False) -> Iterator[Issue]:
    problem = receipt.problem if isinstance(receipt, Entry) else None
    for thing in receipt.things or (receipt,):
        yield _issue(site, thing, problem, where, failed=failed)
        for remark in thing.says:
            details = concept(text="Remark")
            yield Issue(severity="information", code="informational", details=details, diagnostics=remark, expression=where)


def _issue(
    site: Site, thing: Receipt | Entry | ThingReceipt, problem: str | None, where: tuple[str, ...], *, failed: bool
) -> Issue:
    called, means = STATUSES[thing.status]
    if thing.reason:
        means = REASONS[thing.reason]
    extensions = (("notice", thing.id), ("notice-reason", thing.reason))
    wants_notice = thing.status == "waiting" or thing.reason == "interaction"
    return Issue(
        extension=tuple(
            Extension(url=site.own("StructureDefinition", name), value_string=value) for name, value in extensions if value
        ),
        severity="error" if failed else "warning" if wants_notice else "information",
        code=_code(thing, problem),
        details=concept(site.coding("notice-status", thing.status), text=called),
        diagnostics=f"{problem}. {means}" if problem and thing.status == "waiting" else problem or means,
        expression=where,
    )


def _code(thing: Receipt | Entry | ThingReceipt, problem: str | None) -> str:
    """FHIR's issue type."""
    if thing.reason == "interaction":
        return "not-supported"
    if thing.status == "waiting":
        return "invalid" if problem else "processing"
    return "transient" if thing.status == REFUSED else "informational"
