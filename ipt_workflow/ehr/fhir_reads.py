"""The verbs that read as FHIR. Each read makes the resources of a course from its journal, and is recorded."""

import datetime as dt
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from ipt_workflow import journal
from ipt_workflow.access import policy
from ipt_workflow.access.principal import Principal
from ipt_workflow.ehr import fhir_audit_log
from ipt_workflow.ehr.fhir.course_resources import plan_definition
from ipt_workflow.ehr.fhir.kinds import KINDS, NAME_A_COURSE, Served
from ipt_workflow.ehr.fhir.record import Record, Site
from ipt_workflow.ehr.fhir.resources import AuditEvent
from ipt_workflow.ehr.fhir.search import Term
from ipt_workflow.ehr.fhir.types import Resource
from ipt_workflow.errors import NotFound
from ipt_workflow.journal import Entry
from ipt_workflow.journal.audit import AuditRecord
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.store import courses as stored_courses
from ipt_workflow.store.audit import Position
from ipt_workflow.store.courses import Filters, StoredCourse

NOBODY = "-"  # the id of no client
CHUNK = 50  # courses whose journals are in memory at the same time
NOT_THERE = "There is no such resource or version, or you may not see it. Check the id."


class SearchPosition(msgspec.Struct, frozen=True):
    """The position at which a search continues: after the course `after`, and after `skip` matches of the next course.

    In the audit log: after the record with the id `after` and the time `at`.
    """

    after: Annotated[str, Meta(pattern=r"^([0-9a-f-]{36})?$")] = ""
    skip: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    at: Annotated[dt.datetime, Meta(tz=True)] | None = None

    def __post_init__(self) -> None:
        if self.at and self.at.utcoffset():
            raise ValueError("at must be in UTC")


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """A search. `client` is our own id of the client."""

    terms: tuple[Term, ...] = ()
    client: str | None = None


class Found(msgspec.Struct, frozen=True):
    """One page. `next` is None on the last page."""

    resources: tuple[Resource, ...]
    next: SearchPosition | None = None


class FhirReader:
    """The FHIR verbs over a clinic."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic

    def site(self, base: str) -> Site:
        """This service's names, with the URL `base` for FHIR."""
        settings = self.clinic.settings
        site = Site(
            canonical=settings.fhir_canonical,
            patient_system=settings.fhir_patient_system,
            organisation=self.clinic.organisation,
            base=base,
        )
        return site if site.patient_system else msgspec.structs.replace(site, patient_system=site.own("client-ref"))

    async def audit_events(self, site: Site, records: Sequence[AuditRecord]) -> list[AuditEvent]:
        """Records of the audit log as AuditEvents. The caller has read the records already."""
        return await fhir_audit_log.events(self.clinic, site, records)

    def require(self, principal: Principal, kind: str) -> None:
        """Raises NotFound for an unknown kind, Forbidden if the caller may not read that kind."""
        policy.require(principal, _served(kind).question)

    async def client(self, principal: Principal, site: Site, system: str | None, value: str) -> str:
        """Our id of the client that the EHR's identifier names, or NOBODY if there is none."""
        policy.require(principal, "search courses by client")
        if system not in {None, site.patient_system}:
            return NOBODY
        return await self.clinic.read(stored_courses.client_id, value) or NOBODY

    async def read(self, principal: Principal, site: Site, kind: str, resource_id: str, version: int | None = None) -> Resource:
        """A resource now or at one of its versions. Raises NotFound."""
        served = _served(kind)
        policy.require(principal, served.question)
        if kind == "AuditEvent":
            return await self._audit_event(principal, site, resource_id, version)
        if served.make is None:
            return _only(self._plans(site) if version is None else (), resource_id)
        course_id = resource_id.partition(".")[0]
        stored = await self.clinic.visible_course(principal, course_id)
        entries = await self.clinic.entries(course_id)
        record = self._record(site, stored, entries, version)
        found = _only(served.make(record) if record else (), resource_id)
        if version is not None and (not served.versioned or found.meta is None or found.meta.version_id != str(version)):
            raise NotFound(NOT_THERE)
        await self.clinic.log(principal, "read", f"fhir {'read' if version is None else 'vread'} {kind}", [course_id])
        return found

    async def history(
        self, principal: Principal, site: Site, course_id: str, since: dt.datetime | None, before: int | None, limit: int
    ) -> tuple[list[Resource], int]:
        """Versions of an EpisodeOfCare, newest first, and their total number. A page holds versions below `before`."""
        policy.require(principal, KINDS["EpisodeOfCare"].question)
        stored = await self.clinic.visible_course(principal, course_id)
        entries = await self.clinic.entries(course_id)
        await self.clinic.log(principal, "read", "fhir history EpisodeOfCare", [course_id])
        matching = [entry.written.seq for entry in entries if since is None or entry.written.recorded_at >= since]
        page = [seq for seq in reversed(matching) if before is None or seq < before][:limit]
        records = [self._record(site, stored, entries, seq) for seq in page]
        make = KINDS["EpisodeOfCare"].make
        assert make is not None
        return [make(record)[0] for record in records if record], len(matching)

    async def search(self, principal: Principal, site: Site, kind: str, query: Query, after: SearchPosition, limit: int) -> Found:
        """One page of matches. It may hold fewer than the limit and not be the last: a page reads `page_limit_max` courses at most."""
        served = _served(kind)
        policy.require(principal, served.question)
        if kind == "AuditEvent":
            return await self._audit_events(principal, site, query, after, limit)
        if served.make is None:
            matching = [each for each in self._plans(site) if _matches(query, each)]
            rest = SearchPosition("", after.skip + limit) if len(matching) > after.skip + limit else None
            return Found(tuple(matching[after.skip : after.skip + limit]), rest)
        found: list[Resource] = []
        courses_read, position, skip = 0, after.after, after.skip
        async for stored, matching in self._matching(principal, site, served.make, query, after.after):
            room = limit - len(found)
            found += matching[skip : skip + room]
            if len(matching) > skip + room:
                return await self._page(principal, kind, found, SearchPosition(position, skip + room))
            courses_read, position, skip = courses_read + 1, stored.course.id, 0
            if courses_read == self.clinic.settings.page_limit_max:
                return await self._page(principal, kind, found, SearchPosition(position))
        return await self._page(principal, kind, found, None)

    async def count(self, principal: Principal, site: Site, kind: str, query: Query) -> int:
        """The number of matches. The count is recorded with the courses that it covers."""
        served = _served(kind)
        policy.require(principal, served.question)
        if kind == "AuditEvent":
            return await self._count_audit_events(principal, site, query)
        if served.make is None:
            return sum(_matches(query, each) for each in self._plans(site))
        total, courses = 0, []
        async for stored, matching in self._matching(principal, site, served.make, query, ""):
            total += len(matching)
            courses += [stored.course.id] if matching else []
        await self.clinic.log(principal, "read", f"fhir search {kind}", courses)
        return total

    async def _audit_event(self, principal: Principal, site: Site, event_id: str, version: int | None) -> Resource:
        found = await fhir_audit_log.one(self.clinic, site, event_id) if version is None else None
        if found is None:
            raise NotFound(NOT_THERE)
        await self.clinic.log(principal, "read", "fhir read AuditEvent", _shown(found))
        return found

    async def _audit_events(self, principal: Principal, site: Site, query: Query, after: SearchPosition, limit: int) -> Found:
        position = Position(after.at, after.after) if after.at else Position()
        page = await fhir_audit_log.search(self.clinic, site, query.terms, await self._courses_of(query), position, limit)
        courses = [course for event in page.events for course in _shown(event)]
        await self.clinic.log(principal, "read", "fhir search AuditEvent", courses)
        return Found(page.events, SearchPosition(page.rest.id, at=page.rest.at) if page.rest else None)

    async def _count_audit_events(self, principal: Principal, site: Site, query: Query) -> int:
        total, position = 0, Position()
        courses = await self._courses_of(query)
        await self.clinic.log(principal, "read", "fhir search AuditEvent", courses or ())
        while True:
            page = await fhir_audit_log.search(self.clinic, site, query.terms, courses, position, self.clinic.settings.export_chunk)
            total += len(page.events)
            if page.rest is None:
                return total
            position = page.rest

    async def _courses_of(self, query: Query) -> tuple[str, ...] | None:
        if query.client is None:
            return None
        return await self.clinic.read(stored_courses.courses_of, query.client)

    async def _page(self, principal: Principal, kind: str, found: list[Resource], rest: SearchPosition | None) -> Found:
        courses = [str(each.id).partition(".")[0] for each in found]
        await self.clinic.log(principal, "read", f"fhir search {kind}", courses)
        return Found(tuple(found), rest)

    async def _matching(
        self, principal: Principal, site: Site, make: Callable[[Record], Sequence[Resource]], query: Query, after: str
    ) -> AsyncIterator[tuple[StoredCourse, list[Resource]]]:
        """Courses that the caller may see, after an id, each with its matches. Courses that cannot match are left out."""
        therapist = principal.person if principal.role == "therapist" else None
        filters = Filters(therapist=therapist, client=query.client, ids=_courses_named(query))
        while True:
            now = self.clinic.clock.now()
            page = await self.clinic.read(stored_courses.caseload, filters, after, CHUNK, now)
            journals = await self.clinic.read(stored_courses.entries_of, [stored.course.id for stored in page])
            for stored in page:
                record = self._record(site, stored, journals[stored.course.id])
                yield stored, [each for each in make(record) if _matches(query, each)] if record else []
            if len(page) < CHUNK:
                return
            after = page[-1].course.id

    def _record(self, site: Site, stored: StoredCourse, entries: Sequence[Entry], version: int | None = None) -> Record | None:
        """A course with its journal at a version, or None if it never had that version.

        Entries written after the course was loaded are left out, so that course and journal agree.
        """
        version = stored.course.version if version is None else version
        known = [entry for entry in entries if entry.written.seq <= version]
        course = stored.course if version == stored.course.version else journal.replay(known)
        if course is None or course.version != version:
            return None
        return Record(
            course=course,
            entries=tuple(known),
            protocol=self.clinic.machine_of(course).protocol,
            client_ref=stored.client_ref if course.client == stored.course.client else None,
            site=site,
        )

    def _plans(self, site: Site) -> list[Resource]:
        current = self.clinic.catalogue.protocols.values()
        return [plan_definition(each, site, current=each in current) for each in self.clinic.protocols]


def _served(kind: str) -> Served:
    try:
        return KINDS[kind]
    except KeyError:
        raise NotFound(f"This service has no resources of this kind. It has {', '.join(KINDS)}.") from None


def _shown(event: AuditEvent) -> list[str]:
    """The courses that an AuditEvent names."""
    references = [each.what.reference for each in event.entity if each.what and each.what.reference]
    return [reference.split("/")[1] for reference in references]


def _only(resources: Sequence[Resource], resource_id: str) -> Resource:
    for each in resources:
        if each.id == resource_id:
            return each
    raise NotFound(NOT_THERE)


def _matches(query: Query, resource: Resource) -> bool:
    return all(term.matches(resource) for term in query.terms)


def _courses_named(query: Query) -> tuple[str, ...] | None:
    """The courses to which the search limits itself, or None if it names none."""
    named = [
        {value.text.partition("/_history/")[0].rpartition("/")[2].partition(".")[0] for value in term.values}
        for term in query.terms
        if term.param.name in NAME_A_COURSE
    ]
    return tuple(sorted(set.intersection(*named))) if named else None
