"""The verbs that list courses by need, and the courses of a client. The audit log records every read, with the courses that it showed."""

import asyncio
from collections.abc import Iterable, Sequence

import msgspec

from ipt_workflow.access.principal import Principal
from ipt_workflow.course import attention
from ipt_workflow.errors import CommandInvalid, Fault
from ipt_workflow.protocols.definition import ENDED
from ipt_workflow.service.access.client_labels import ClientLabels
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.service.views.caseload import CourseLine, course_line
from ipt_workflow.store import courses as stored_courses
from ipt_workflow.store import people as stored_people
from ipt_workflow.store import registry as stored
from ipt_workflow.store.courses import Filters, StoredCourse
from ipt_workflow.store.people import PersonFilters
from ipt_workflow.store.registry import NEEDS, RegistryFilters

THERAPISTS_MAX = 500


class RegistryPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of courses. `names` are the people's who give therapy in them, by id. `next` is the course after which the next page begins."""

    items: tuple[CourseLine, ...]
    names: dict[str, str]
    next: str | None = None


class Registry:
    """Lists a clinic's courses for people."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic
        self.labels = ClientLabels(clinic)

    async def page(self, principal: Principal, filters: RegistryFilters, after: str | None, limit: int) -> RegistryPage:
        """Open courses that the principal may see: those first that most need somebody."""
        await self.clinic.require(principal, "read courses")
        if filters.attention is not None and filters.attention not in NEEDS:
            raise CommandInvalid([Fault("attention", f"must be one of {', '.join(NEEDS)}")])
        found = await self.open_courses(principal, filters, after, limit + 1)
        return await self._page(principal, "registry", found, limit)

    async def ended(self, principal: Principal, filters: RegistryFilters, after: str, limit: int) -> RegistryPage:
        """Courses that have ended, in the order they were opened."""
        await self.clinic.require(principal, "read courses")
        among = Filters(viewer=self.clinic.viewer(principal), states=ENDED, therapist=filters.therapist, protocol=filters.protocol)
        read = await self.clinic.read(stored_courses.caseload, among, after, limit + 1, self.clinic.clock.now())
        return await self._page(principal, "ended courses", list((await self.clinic.all_seen(principal, read)).values()), limit)

    async def of_client(self, principal: Principal, client_ref: str) -> RegistryPage:
        """The courses of the client with exactly this reference: open or ended."""
        await self.clinic.require(principal, "search courses by client")
        client = await self.clinic.read(stored_courses.client_id, client_ref)
        read = await self.clinic.read(stored_courses.of_client, client) if client else []
        found = list((await self.clinic.all_seen(principal, read)).values())
        return await self._page(principal, "courses of a client", found, max(1, len(found)))

    async def open_courses(
        self, principal: Principal, filters: RegistryFilters, after: str | None, limit: int
    ) -> list[StoredCourse]:
        """The courses themselves, in the order of need. The caller records the read."""
        now, who = self.clinic.clock.now(), self.clinic.viewer(principal)
        ids = await self.clinic.read(stored.page, who, filters, after, limit, now)
        return await self.seen(principal, ids)

    async def seen(self, principal: Principal, ids: Sequence[str]) -> list[StoredCourse]:
        """Those of these courses that the principal may see, in their order."""
        if not ids:
            return []
        read = await self.clinic.read(stored_courses.courses_by_id, ids)
        found = await self.clinic.all_seen(principal, read)
        return [found[each] for each in ids if each in found]

    async def lines(self, principal: Principal, courses: Sequence[StoredCourse]) -> dict[str, CourseLine]:
        """The courses in a line each, by id."""
        context = self.clinic.context(principal, self.clinic.clock.now())
        labels = await self.labels.of_courses(principal, [each.course for each in courses])
        return {
            each.course.id: course_line(
                self.clinic.machine_of(each.course),
                each,
                context,
                label=labels.get(each.course.id),
                attention=self._attention(each),
            )
            for each in courses
        }

    async def therapists(self, principal: Principal) -> list[tuple[str, str]]:
        """The therapists whose courses somebody can choose among, each with their name. A therapist chooses among none."""
        await self.clinic.require(principal, "read courses")
        if not (self.clinic.viewer(principal).sees_organisation or self.clinic.viewer(principal).sees_supervisees):
            return []
        found = await self.clinic.read(stored_people.page, PersonFilters(role="therapist"), "", THERAPISTS_MAX)
        return sorted(((each.id, each.name) for each in found), key=lambda each: each[1])

    async def names(self, people: Iterable[str | None]) -> dict[str, str]:
        """The names of people, by id. Whoever is not known here is left out."""
        wanted = sorted({each for each in people if each})
        return await self.clinic.read(stored_people.names, wanted) if wanted else {}

    async def _page(self, principal: Principal, action: str, found: Sequence[StoredCourse], limit: int) -> RegistryPage:
        shown = found[:limit]
        lines, _ = await asyncio.gather(self.lines(principal, shown), self.clinic.log(principal, "read", action, shown))
        items = tuple(lines.values())
        names = await self.names(name for each in items for name in (each.therapist, each.on_behalf_of))
        return RegistryPage(items=items, names=names, next=shown[-1].course.id if len(found) > limit else None)

    def _attention(self, stored_course: StoredCourse) -> list[str]:
        """The kinds of attention that a course needs now, in the order of need; then those that its row does not hold."""
        machine, now = self.clinic.machine_of(stored_course.course), self.clinic.clock.now()
        due = attention.attention(machine.protocol, machine.bound, stored_course.course, self.clinic.zone)
        kinds = {kind for kind, since in (*due.items(), *stored_course.asked.items()) if since <= now}
        return [*(kind for kind in NEEDS if kind in kinds), *sorted(kinds - {*NEEDS})]
