"""The audit log as AuditEvents: one, a page of a search, or a chunk of an export."""

import datetime as dt
import re
from collections.abc import Iterable, Sequence

import msgspec

from ipt_workflow.access.principal import Principal
from ipt_workflow.ehr.fhir.audit_events import audit_event
from ipt_workflow.ehr.fhir.record import Site
from ipt_workflow.ehr.fhir.resources import AuditEvent
from ipt_workflow.ehr.fhir.search import Term
from ipt_workflow.journal.audit import AuditRecord
from ipt_workflow.service.audit.shown import shown
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.store import audit
from ipt_workflow.store import courses as stored_courses
from ipt_workflow.store.audit import NEWEST, AuditFilters, Position

_COURSE = re.compile(r".*EpisodeOfCare/([^/]+)(/_history/[^/]+)?")
CHUNKS_MAX = 10  # one page of a search reads at most this many chunks of the log


class AuditEventPage(msgspec.Struct, frozen=True):
    """One page of matches. `rest` is the position at which the search continues, or None at its end."""

    events: tuple[AuditEvent, ...]
    rest: Position | None


async def events(clinic: Clinic, site: Site, records: Sequence[AuditRecord]) -> list[AuditEvent]:
    """Records of the audit log as AuditEvents, with the clients of the courses they name."""
    named = sorted({course for record in records for course in record.courses})
    found = await clinic.read(stored_courses.clients_of, named)
    clients = {each.course_id: site.client(each.ref, each.client_id) for each in found}
    return [audit_event(record, clients, site) for record in records]


async def one(clinic: Clinic, principal: Principal, site: Site, event_id: str) -> AuditEvent | None:
    records = await audit.page(clinic.database, clinic.organisation, AuditFilters(id=event_id), Position(), 1)
    found = await events(clinic, site, await shown(clinic, principal, records))
    return found[0] if found else None


async def search(
    clinic: Clinic,
    principal: Principal,
    site: Site,
    terms: Sequence[Term],
    courses: tuple[str, ...] | None,
    after: Position | None,
    limit: int,
    *,
    newest_first: bool = False,
    since: dt.datetime | None = None,
) -> AuditEventPage:
    """One page of matches, the oldest first or the newest. `courses` limits it to a client's courses. None: from the beginning."""
    filters = _filters(terms, AuditFilters(courses=courses, from_=since), site)
    after = after or (NEWEST if newest_first else Position())
    size = clinic.settings.export_chunk
    found: list[AuditEvent] = []
    for _chunk in range(CHUNKS_MAX):
        records = await audit.page(clinic.database, clinic.organisation, filters, after, size, newest_first=newest_first)
        for event in await events(clinic, site, await shown(clinic, principal, records)):
            if all(term.matches(event) for term in terms):
                if len(found) == limit:
                    return AuditEventPage(tuple(found), after)
                found.append(event)
            after = Position(event.recorded, str(event.id))
        if len(records) < size:
            return AuditEventPage(tuple(found), None)
        after = Position(records[-1].recorded_at, records[-1].id)
    return AuditEventPage(tuple(found), after)


def _filters(terms: Iterable[Term], filters: AuditFilters, site: Site) -> AuditFilters:
    """The filters for the database. They may let events through that do not match, and never drop one that does."""
    for term in terms:
        if len(term.values) != 1 or term.modifier == "not":
            continue
        value = term.values[0]
        if term.param.name == "date" and value.span:
            filters = _bounded(filters, value.prefix, value.span.start, value.span.end)
        elif term.param.name == "_id":
            filters = msgspec.structs.replace(filters, id=value.text)
        elif term.param.name == "entity" and (course := _COURSE.fullmatch(value.text)):
            filters = msgspec.structs.replace(filters, course=course[1])
        elif term.param.name == "agent" and value.text and value.system == site.own("person"):
            filters = msgspec.structs.replace(filters, actor=value.text)
    return filters


def _bounded(filters: AuditFilters, prefix: str, start: dt.datetime, end: dt.datetime | None) -> AuditFilters:
    if prefix in {"eq", "ge", "gt", "sa"}:
        filters = msgspec.structs.replace(filters, from_=max(filters.from_ or start, start))
    if prefix in {"eq", "le", "lt", "eb"} and end:
        filters = msgspec.structs.replace(filters, to=min(filters.to or end, end))
    return filters
