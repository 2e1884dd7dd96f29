"""Searches over FHIR resources. The audit log records every page with the courses that it showed."""

import datetime as dt
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from ipt_workflow.access.principal import Principal
from ipt_workflow.ehr import fhir_audit_log
from ipt_workflow.ehr.fhir.charts import Chart, Has, Include, included
from ipt_workflow.ehr.fhir.kinds import served_as
from ipt_workflow.ehr.fhir.order import Order, Ranked, placed, ranked
from ipt_workflow.ehr.fhir.record import Site
from ipt_workflow.ehr.fhir.search import Term
from ipt_workflow.ehr.fhir.types import Resource
from ipt_workflow.ehr.fhir_charts import CHUNK, ChartReader, CourseChart
from ipt_workflow.ehr.fhir_filters import narrowed
from ipt_workflow.errors import CommandInvalid, Fault
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.store import courses as stored_courses
from ipt_workflow.store.audit import Position
from ipt_workflow.values.types import whole

PAGE_RESOURCES = 2000  # a page ends with the course that brings it to this number, included resources among them
SORTED_COURSES = 1000  # an order other than the courses' own needs every match, so it reads at most so many courses


class SearchPosition(msgspec.Struct, frozen=True):
    """The position at which a search continues: after the course `after`, and after `skip` matches of the next course.

    In the audit log: after the record with the id `after` and the time `at`. With `_sort`: after the place `last`.
    """

    after: Annotated[str, Meta(pattern=whole(r"([0-9a-f-]{36})?"))] = ""
    skip: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    at: Annotated[dt.datetime, Meta(tz=True)] | None = None
    last: Ranked | None = None

    def __post_init__(self) -> None:
        if self.at and self.at.utcoffset():
            raise ValueError("at must be in UTC")


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """A search. `client` is our own id of the client."""

    terms: tuple[Term, ...] = ()
    has: tuple[Has, ...] = ()
    client: str | None = None
    orders: tuple[Order, ...] = ()
    includes: tuple[Include, ...] = ()

    def selects(self, chart: Chart, resource: Resource) -> bool:
        return all(term.matches(resource) for term in self.terms) and all(has.matches(chart, resource) for has in self.has)


class Found(msgspec.Struct, frozen=True):
    """One page: the matches and the resources that they bring with them. `next` is None on the last page."""

    resources: tuple[Resource, ...]
    included: tuple[Resource, ...] = ()
    next: SearchPosition | None = None


class Match(msgspec.Struct, frozen=True):
    """A match with the chart that holds what it refers to."""

    resource: Resource
    place: Ranked
    chart: Chart


class FhirSearches:
    """The search verbs over a clinic."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic
        self.charts = ChartReader(clinic)

    async def search(self, principal: Principal, site: Site, kind: str, query: Query, after: SearchPosition, limit: int) -> Found:
        """One page of matches. It may hold fewer than the limit and not be the last: a page reads `page_limit_max` courses at most."""
        await self.clinic.require(principal, served_as(kind).question)
        if kind == "AuditEvent":
            return await self._audit_events(principal, site, query, after, limit)
        if kind == "PlanDefinition":
            return self._plans(site, query, after, limit)
        if query.orders:
            return await self._sorted(principal, site, kind, query, after, limit)
        page: list[Match] = []
        brought: dict[str, Resource] = {}
        courses_read, position, skip = 0, after.after, after.skip
        rest: SearchPosition | None = None
        async for course, matches in self._matching(principal, site, kind, query, after.after, limit + 1):
            taken = matches[skip : skip + limit - len(page)]
            page += taken
            for match in taken:
                brought |= included(match.chart, [match.resource], query.includes)
            if len(matches) > skip + len(taken):
                rest = SearchPosition(position, skip + len(taken))
                break
            courses_read, position, skip = courses_read + 1, course, 0
            if courses_read == self.clinic.settings.page_limit_max or len(page) + len(brought) >= PAGE_RESOURCES:
                rest = SearchPosition(position)
                break
        return await self._page(principal, kind, page, brought, rest)

    async def count(self, principal: Principal, site: Site, kind: str, query: Query) -> int:
        """The number of matches. The count is recorded with the courses that it covers."""
        await self.clinic.require(principal, served_as(kind).question)
        if kind == "AuditEvent":
            return await self._count_audit_events(principal, site, query)
        if kind == "PlanDefinition":
            return len(self._matching_plans(site, query))
        total, courses = 0, []
        async for course, matches in self._matching(principal, site, kind, query, ""):
            total += len(matches)
            courses += [course] if matches else []
        await self.clinic.log(principal, "read", f"fhir search {kind}", courses)
        return total

    async def _sorted(self, principal: Principal, site: Site, kind: str, query: Query, after: SearchPosition, limit: int) -> Found:
        """One page in the order of `_sort`. Only the matches of this page are kept while the courses are read."""
        place = placed(query.orders)
        best: list[Match] = []
        courses_read = 0
        async for _course, matches in self._matching(principal, site, kind, query, ""):
            courses_read += 1
            if courses_read > SORTED_COURSES:
                raise CommandInvalid([Fault("_sort", TOO_MANY.format(SORTED_COURSES))])
            later = [each for each in matches if after.last is None or place(each.place) > place(after.last)]
            best = sorted([*best, *later], key=lambda each: place(each.place))[: limit + 1] if later else best
        page = best[:limit]
        brought: dict[str, Resource] = {}
        for match in page:
            brought |= included(match.chart, [match.resource], query.includes)
        rest = SearchPosition(last=page[-1].place) if len(best) > limit else None
        return await self._page(principal, kind, page, brought, rest)

    async def _matching(
        self, principal: Principal, site: Site, kind: str, query: Query, after: str, first: int = CHUNK
    ) -> AsyncIterator[tuple[str, list[Match]]]:
        """Courses that the caller may see, after an id, each with its matches. Courses that cannot match are left out."""
        filters = narrowed(kind, query.terms, query.client, site, self.clinic.protocols)
        of_patients = "Patient" in {kind, *(name for each in query.includes for name in (each.relation.kind, each.relation.target))}
        walk = self.charts.walk(principal, site, filters, after, first=first, patients=of_patients, whole=kind == "Patient")
        async for each in walk:
            yield each.course, _matches(each, kind, query)

    async def _page(
        self, principal: Principal, kind: str, page: Sequence[Match], brought: dict[str, Resource], rest: SearchPosition | None
    ) -> Found:
        courses = {course for match in page for course in courses_in(match.resource)}
        courses |= {course for resource in brought.values() for course in courses_in(resource)}
        await self.clinic.log(principal, "read", f"fhir search {kind}", sorted(courses))
        matches = tuple(match.resource for match in page)
        shown = {each.local for each in matches}
        return Found(matches, tuple(each for name, each in brought.items() if name not in shown), rest)

    def _plans(self, site: Site, query: Query, after: SearchPosition, limit: int) -> Found:
        matches = self._matching_plans(site, query)
        end = after.skip + limit
        return Found(tuple(matches[after.skip : end]), next=SearchPosition(skip=end) if len(matches) > end else None)

    def _matching_plans(self, site: Site, query: Query) -> list[Resource]:
        plans = self.charts.plans(site)
        chart = Chart([], plans)
        place = placed(query.orders)
        matches: list[Resource] = [each for each in plans if query.selects(chart, each)]
        return sorted(matches, key=lambda each: place(ranked(query.orders, each, course_of(each)))) if query.orders else matches

    async def _audit_events(self, principal: Principal, site: Site, query: Query, after: SearchPosition, limit: int) -> Found:
        position = Position(after.at, after.after) if after.at else None
        newest_first = any(order.descending for order in query.orders)
        page = await fhir_audit_log.search(
            self.clinic, principal, site, query.terms, await self._courses_of(query), position, limit, newest_first=newest_first
        )
        courses = [course for event in page.events for course in courses_in(event)]
        await self.clinic.log(principal, "read", "fhir search AuditEvent", courses)
        return Found(page.events, next=SearchPosition(page.rest.id, at=page.rest.at) if page.rest else None)

    async def _count_audit_events(self, principal: Principal, site: Site, query: Query) -> int:
        total, position = 0, None
        courses = await self._courses_of(query)
        await self.clinic.log(principal, "read", "fhir search AuditEvent", courses or ())
        while True:
            page = await fhir_audit_log.search(
                self.clinic, principal, site, query.terms, courses, position, self.clinic.settings.export_chunk
            )
            total += len(page.events)
            if page.rest is None:
                return total
            position = page.rest

    async def _courses_of(self, query: Query) -> tuple[str, ...] | None:
        if query.client is None:
            return None
        return await self.clinic.read(stored_courses.courses_of, query.client)


TOO_MANY = (
    "would have to read more than {} courses. Name the client, the course or the therapist, or leave out _sort: "
    "without it, results come in the order in which courses were opened"
)


def _matches(each: CourseChart, kind: str, query: Query) -> list[Match]:
    found = [resource for resource in each.chart.of(kind) if query.selects(each.chart, resource)]
    return [Match(resource, ranked(query.orders, resource, each.course), each.chart) for resource in found]


def course_of(resource: Resource) -> str:
    """The course in a resource's id: `0197….7` is the resource of entry 7."""
    return str(resource.id).partition(".")[0]


def courses_in(resource: Resource) -> list[str]:
    """The courses that a resource shows, for the audit log. A PlanDefinition shows none."""
    if resource.kind == "PlanDefinition":
        return []
    if resource.kind == "Patient":
        return [name.partition("/")[2] for name in _references(each.value_reference for each in resource.extension)]  # type: ignore[attr-defined]
    if resource.kind == "AuditEvent":
        names = _references(each.what for each in resource.entity)  # type: ignore[attr-defined]
        return [name.split("/")[1] for name in names if name.startswith("EpisodeOfCare/")]
    return [course_of(resource)]


def _references(references: Iterable[object]) -> list[str]:
    return [str(each.reference) for each in references if getattr(each, "reference", None)]  # type: ignore[attr-defined]
