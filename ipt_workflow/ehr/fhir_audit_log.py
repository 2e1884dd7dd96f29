"""The audit log read as AuditEvents: one, a page of a search, or a chunk of an export."""

import datetime as dt
from collections.abc import Iterable, Sequence

import msgspec

from ipt_workflow.ehr.fhir.audit_events import audit_event
from ipt_workflow.ehr.fhir.record import Site
from ipt_workflow.ehr.fhir.resources import AuditEvent
from ipt_workflow.ehr.fhir.search import Term
from ipt_workflow.journal.audit import AuditRecord
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.store import audit
from ipt_workflow.store import courses as stored_courses
from ipt_workflow.store.audit import AuditFilters, Position

CHUNKS_MAX = 10  # how much of the log one page of a search looks at, in chunks of an export


class Page(msgspec.Struct, frozen=True):
    """What matches, each with its place in the log; `rest` is where the search goes on, None where it is over."""

    events: tuple[AuditEvent, ...]
    rest: Position | None


async def events(clinic: Clinic, site: Site, records: Sequence[AuditRecord]) -> list[AuditEvent]:
    """Records of the audit log as AuditEvents, with the clients of the courses they name."""
    named = sorted({course for record in records for course in record.courses})
    found = await clinic.read(stored_courses.clients_of, named)
    clients = {course: site.client(ref, client) for course, client, ref in found}
    return [audit_event(record, clients, site) for record in records]


async def one(clinic: Clinic, site: Site, event_id: str) -> AuditEvent | None:
    records = await audit.page(clinic.database, clinic.organisation, AuditFilters(id=event_id), Position(), 1)
    made = await events(clinic, site, records)
    return made[0] if made else None


async def search(
    clinic: Clinic, site: Site, terms: Sequence[Term], courses: tuple[str, ...] | None, after: Position, limit: int
) -> Page:
    """One page of what matches, oldest first; of a client's courses where `courses` is given."""
    filters = _filters(terms, courses)
    size = clinic.settings.export_chunk
    found: list[AuditEvent] = []
    for _chunk in range(CHUNKS_MAX):
        records = await audit.page(clinic.database, clinic.organisation, filters, after, size)
        for event in await events(clinic, site, records):
            if all(term.matches(event) for term in terms):
                if len(found) == limit:
                    return Page(tuple(found), after)
                found.append(event)
            after = Position(event.recorded, str(event.id))
        if len(records) < size:
            return Page(tuple(found), None)
    return Page(tuple(found), after)


def _filters(terms: Iterable[Term], courses: tuple[str, ...] | None) -> AuditFilters:
    """What the database can narrow the search by. It may let through what does not match, and leaves out nothing that does."""
    filters = AuditFilters(courses=courses)
    for term in terms:
        told = term.told[0]
        if len(term.told) > 1:
            continue
        if term.param.name == "date" and told.span:
            filters = _bounded(filters, told.prefix, told.span.start, told.span.end)
        elif term.param.name == "_id":
            filters = msgspec.structs.replace(filters, id=told.text)
    return filters


def _bounded(filters: AuditFilters, prefix: str, start: dt.datetime, end: dt.datetime | None) -> AuditFilters:
    if prefix in {"eq", "ge", "gt", "sa"}:
        filters = msgspec.structs.replace(filters, from_=max(filters.from_ or start, start))
    if prefix in {"eq", "le", "lt", "eb"} and end:
        filters = msgspec.structs.replace(filters, to=min(filters.to or end, end))
    return filters
