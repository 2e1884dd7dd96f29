"""Reads charts: pages of courses that the caller may see, with their journals, as FHIR resources."""

from collections.abc import AsyncGenerator, Sequence

import msgspec

from ipt_workflow import journal
from ipt_workflow.access.principal import Principal
from ipt_workflow.ehr.fhir.charts import Chart
from ipt_workflow.ehr.fhir.course_resources import plan_definition
from ipt_workflow.ehr.fhir.patients import patient
from ipt_workflow.ehr.fhir.record import Record, Site
from ipt_workflow.ehr.fhir.resources import Patient, PlanDefinition
from ipt_workflow.errors import NotFound
from ipt_workflow.journal import Entry
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.store import courses as stored_courses
from ipt_workflow.store.courses import Filters, StoredCourse

CHUNK = 50  # courses whose journals are in memory at the same time
NOT_THERE = "There is no such resource or version, or you may not see it. Check the id."


class CourseChart(msgspec.Struct, frozen=True):
    """A course of the walk, and the chart that answers for it."""

    course: str
    chart: Chart


class ChartReader:
    """Charts of a clinic."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic

    def plans(self, site: Site) -> list[PlanDefinition]:
        current = self.clinic.catalogue.protocols.values()
        return [plan_definition(each, site, current=each in current) for each in self.clinic.protocols]

    def record(self, site: Site, stored: StoredCourse, entries: Sequence[Entry], version: int | None = None) -> Record | None:
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

    async def walk(
        self,
        principal: Principal,
        site: Site,
        filters: Filters,
        after: str,
        *,
        first: int = CHUNK,
        patients: bool = False,
        whole: bool = False,
    ) -> AsyncGenerator[CourseChart, None]:
        """Courses that the caller may see, after an id, in the order they were opened. `filters` holds what the database can judge.

        `first` is how many courses are read at once at the beginning. With `patients`, each chart has its Patient. With `whole`, a
        chart holds all courses of the client, and stands at the first.
        """
        filters, size = self._visible(principal, filters), min(first, CHUNK)
        while True:
            page = await self.clinic.read(stored_courses.caseload, filters, after, size, self.clinic.clock.now())
            theirs = await self._client_courses(principal, page) if patients or whole else {}
            others = await self._others(page, theirs) if whole else []
            held = {stored.course.id: stored for stored in [*page, *others]}
            journals = await self.clinic.journals_for(principal, list(held))
            plans = self.plans(site)
            for stored in page:
                client, course = stored.course.client, stored.course.id
                courses = theirs.get(client, [course])
                together = [course] if not whole else courses if courses[0] == course else []
                records = [self.record(site, held[each], journals[each]) for each in together if each in held]
                known = [patient(site, client, stored.client_ref, courses)] if theirs and together else []
                yield CourseChart(course, Chart([each for each in records if each], plans, known))
            if len(page) < size:
                return
            after, size = page[-1].course.id, CHUNK

    async def patient(self, principal: Principal, site: Site, client: str) -> Patient | None:
        """A client with the courses of theirs that the caller may see; None without any."""
        stored = await self.clinic.read(
            stored_courses.caseload, self._visible(principal, Filters(client=client)), "", CHUNK, self.clinic.clock.now()
        )
        courses = [each.course.id for each in stored]
        return patient(site, client, stored[0].client_ref, courses) if stored else None

    async def visible_patient(self, principal: Principal, site: Site, client: str) -> Patient:
        """A client as `patient` finds them. Raises NotFound, and records the attempt if others may see the client."""
        found = await self.patient(principal, site, client)
        if found:
            return found
        if hidden := await self.clinic.read(stored_courses.courses_of, client):
            raise await self.clinic.hidden(principal, "see a client", hidden, NOT_THERE)
        raise NotFound(NOT_THERE)

    async def _client_courses(self, principal: Principal, page: Sequence[StoredCourse]) -> dict[str, list[str]]:
        clients = sorted({stored.course.client for stored in page})
        found: dict[str, list[str]] = {}
        who, now = self.clinic.viewer(principal), self.clinic.clock.now()
        for each in await self.clinic.read(stored_courses.courses_of_clients, clients, who, now):
            found.setdefault(each.client_id, []).append(each.course_id)
        return found

    def _visible(self, principal: Principal, filters: Filters) -> Filters:
        return msgspec.structs.replace(filters, viewer=self.clinic.viewer(principal))

    async def _others(self, page: Sequence[StoredCourse], theirs: dict[str, list[str]]) -> list[StoredCourse]:
        present = {stored.course.id for stored in page}
        missing = [course for courses in theirs.values() for course in courses if course not in present]
        return await self.clinic.read(stored_courses.courses_by_id, missing) if missing else []
