"""The verbs that read as FHIR. What comes of a course is made from its journal when it is asked for; every read is recorded."""

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

NOBODY = "-"  # a client that nobody is
CHUNK = 50  # courses whose journals are held at once
NOT_THERE = "There is no such resource, or none that you may see."


class Place(msgspec.Struct, frozen=True):
    """Where a search goes on: after a course, and so many matches of the next one. In the audit log: after a record of that time."""

    after: Annotated[str, Meta(pattern=r"^([0-9a-f-]{36})?$")] = ""
    skip: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    at: Annotated[dt.datetime, Meta(tz=True)] | None = None

    def __post_init__(self) -> None:
        if self.at and self.at.utcoffset():
            raise ValueError("at must be in UTC")


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """A search. `client` is our own id, whoever the caller named."""

    terms: tuple[Term, ...] = ()
    client: str | None = None


class Found(msgspec.Struct, frozen=True):
    """One page. `next` is None where it is the last."""

    resources: tuple[Resource, ...]
    next: Place | None = None


class FhirReader:
    """The FHIR verbs over a clinic."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic

    def site(self, base: str) -> Site:
        """This service's names, where FHIR is served at `base`."""
        settings = self.clinic.settings
        named = Site(
            canonical=settings.fhir_canonical,
            patient_system=settings.fhir_patient_system,
            organisation=self.clinic.organisation,
            base=base,
        )
        return named if named.patient_system else msgspec.structs.replace(named, patient_system=named.own("client-ref"))

    async def audit_events(self, site: Site, records: Sequence[AuditRecord]) -> list[AuditEvent]:
        """Records of the audit log, which the caller has been given, as AuditEvents."""
        return await fhir_audit_log.events(self.clinic, site, records)

    def require(self, principal: Principal, kind: str) -> None:
        """Raises NotFound where there are no such resources, Forbidden where the caller may not read them."""
        policy.require(principal, _served(kind).question)

    async def client(self, principal: Principal, site: Site, system: str | None, value: str) -> str:
        """Our id of a client that the EHR's identifier names; NOBODY's where it names none of ours."""
        policy.require(principal, "search courses by client")
        if system not in {None, site.patient_system}:
            return NOBODY
        return await self.clinic.read(stored_courses.client_id, value) or NOBODY

    async def read(self, principal: Principal, site: Site, kind: str, resource_id: str, version: int | None = None) -> Resource:
        """A resource as it is, or as it was at one of its versions. Raises NotFound."""
        served = _served(kind)
        policy.require(principal, served.question)
        if kind == "AuditEvent":
            return await self._audit_event(principal, site, resource_id, version)
        if served.make is None:
            return _only(self._plans(site) if version is None else (), resource_id)
        course_id = resource_id.partition(".")[0]
        stored = await self.clinic.visible(principal, course_id)
        entries = await self.clinic.entries(course_id)
        record = self._record(site, stored, entries, version)
        found = _only(served.make(record) if record else (), resource_id)
        if version is not None and (not served.versioned or found.meta is None or found.meta.version_id != str(version)):
            raise NotFound(NOT_THERE)
        await self.clinic.record(principal, "read", f"fhir {'read' if version is None else 'vread'} {kind}", [course_id])
        return found

    async def history(
        self, principal: Principal, site: Site, course_id: str, since: dt.datetime | None, before: int | None, limit: int
    ) -> tuple[list[Resource], int]:
        """Versions of an EpisodeOfCare, newest first, and how many there are in all; `before` is where a page goes on."""
        policy.require(principal, KINDS["EpisodeOfCare"].question)
        stored = await self.clinic.visible(principal, course_id)
        entries = await self.clinic.entries(course_id)
        await self.clinic.record(principal, "read", "fhir history EpisodeOfCare", [course_id])
        wanted = [entry.written.seq for entry in entries if since is None or entry.written.recorded_at >= since]
        page = [seq for seq in reversed(wanted) if before is None or seq < before][:limit]
        records = [self._record(site, stored, entries, seq) for seq in page]
        make = KINDS["EpisodeOfCare"].make
        assert make is not None
        return [make(record)[0] for record in records if record], len(wanted)

    async def search(self, principal: Principal, site: Site, kind: str, query: Query, after: Place, limit: int) -> Found:
        """One page of what matches. It may hold fewer than the limit and still not be the last: so many courses are looked at a page."""
        served = _served(kind)
        policy.require(principal, served.question)
        if kind == "AuditEvent":
            return await self._audit_events(principal, site, query, after, limit)
        if served.make is None:
            matching = [each for each in self._plans(site) if _matches(query, each)]
            rest = Place("", after.skip + limit) if len(matching) > after.skip + limit else None
            return Found(tuple(matching[after.skip : after.skip + limit]), rest)
        found: list[Resource] = []
        looked, place, skip = 0, after.after, after.skip
        async for stored, matching in self._matching(principal, site, served.make, query, after.after):
            room = limit - len(found)
            found += matching[skip : skip + room]
            if len(matching) > skip + room:
                return await self._page(principal, kind, found, Place(place, skip + room))
            looked, place, skip = looked + 1, stored.course.id, 0
            if looked == self.clinic.settings.page_limit_max:
                return await self._page(principal, kind, found, Place(place))
        return await self._page(principal, kind, found, None)

    async def count(self, principal: Principal, site: Site, kind: str, query: Query) -> int:
        """How many match. That they were counted is recorded, and of which courses."""
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
        await self.clinic.record(principal, "read", f"fhir search {kind}", courses)
        return total

    async def _audit_event(self, principal: Principal, site: Site, event_id: str, version: int | None) -> Resource:
        found = await fhir_audit_log.one(self.clinic, site, event_id) if version is None else None
        if found is None:
            raise NotFound(NOT_THERE)
        await self.clinic.record(principal, "read", "fhir read AuditEvent", _shown(found))
        return found

    async def _audit_events(self, principal: Principal, site: Site, query: Query, after: Place, limit: int) -> Found:
        position = Position(after.at, after.after) if after.at else Position()
        page = await fhir_audit_log.search(self.clinic, site, query.terms, await self._courses_of(query), position, limit)
        courses = [course for event in page.events for course in _shown(event)]
        await self.clinic.record(principal, "read", "fhir search AuditEvent", courses)
        return Found(page.events, Place(page.rest.id, at=page.rest.at) if page.rest else None)

    async def _count_audit_events(self, principal: Principal, site: Site, query: Query) -> int:
        total, place = 0, Position()
        courses = await self._courses_of(query)
        await self.clinic.record(principal, "read", "fhir search AuditEvent", courses or ())
        while True:
            page = await fhir_audit_log.search(self.clinic, site, query.terms, courses, place, self.clinic.settings.export_chunk)
            total += len(page.events)
            if page.rest is None:
                return total
            place = page.rest

    async def _courses_of(self, query: Query) -> tuple[str, ...] | None:
        if query.client is None:
            return None
        return await self.clinic.read(stored_courses.courses_of, query.client)

    async def _page(self, principal: Principal, kind: str, found: list[Resource], rest: Place | None) -> Found:
        courses = [str(each.id).partition(".")[0] for each in found]
        await self.clinic.record(principal, "read", f"fhir search {kind}", courses)
        return Found(tuple(found), rest)

    async def _matching(
        self, principal: Principal, site: Site, make: Callable[[Record], Sequence[Resource]], query: Query, after: str
    ) -> AsyncIterator[tuple[StoredCourse, list[Resource]]]:
        """Every course the caller may see after an id, with what matches of it; those that cannot match are left out."""
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
        """A course with its journal, at a version; None where it never had that one.

        Entries written since the course was loaded are left out: both must tell the same.
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
        raise NotFound(f"This service has no such resources; it has {', '.join(KINDS)}.") from None


def _shown(event: AuditEvent) -> list[str]:
    """The courses that an AuditEvent names."""
    told = [each.what.reference for each in event.entity if each.what and each.what.reference]
    return [reference.split("/")[1] for reference in told]


def _only(resources: Sequence[Resource], resource_id: str) -> Resource:
    for each in resources:
        if each.id == resource_id:
            return each
    raise NotFound(NOT_THERE)


def _matches(query: Query, resource: Resource) -> bool:
    return all(term.matches(resource) for term in query.terms)


def _courses_named(query: Query) -> tuple[str, ...] | None:
    """The courses that the search can only be about, where it names them."""
    named = [
        {told.text.partition("/_history/")[0].rpartition("/")[2].partition(".")[0] for told in term.told}
        for term in query.terms
        if term.param.name in NAME_A_COURSE
    ]
    return tuple(sorted(set.intersection(*named))) if named else None
