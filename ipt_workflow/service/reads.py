"""The verbs that read courses. The audit log records every read, with the courses that it showed."""

import datetime as dt
from collections.abc import Collection, Sequence

import msgspec

from ipt_workflow import journal
from ipt_workflow.access.principal import Principal
from ipt_workflow.course import Course, examples
from ipt_workflow.course.rules import Context
from ipt_workflow.course.triggers import MOVES, Command
from ipt_workflow.errors import CommandInvalid, Fault, NotFound, ProcessingRestricted
from ipt_workflow.journal import Entry
from ipt_workflow.machine import Option
from ipt_workflow.service import views
from ipt_workflow.service.access.staff import Staff
from ipt_workflow.service.clinic import Clinic, new_id
from ipt_workflow.service.views import CourseDetails, CourseView, EntryView, Options, details
from ipt_workflow.store import courses as stored_courses
from ipt_workflow.store.courses import Filters, StoredCourse


class CourseReads:
    """Reads a clinic's courses."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic
        self.staff = Staff(clinic)

    async def course(
        self, principal: Principal, course_id: str, as_of: dt.datetime | None = None, known_at: dt.datetime | None = None
    ) -> CourseDetails:
        """A course now, or as it was at `as_of`, by the entries that had been recorded at `known_at`. With words from its journal."""
        stored = await self.clinic.visible_course(principal, course_id)
        await self.clinic.require(principal, "read courses", [course_id])
        await self.clinic.log(principal, "read", "course", [stored])
        context = self.clinic.context(principal, as_of or known_at or self.clinic.clock.now())
        if as_of is None and known_at is None:
            view = self.clinic.course_view(stored.course, context, stored.head, stored.client_ref, asked=stored.asked)
            # perhaps later ones too, which this answer leaves out
            read = await self.clinic.entries_for(principal, course_id, details.READ)
            return self._details(view, stored.course, [each for each in read if each.written.seq <= view.version], context)
        entries = await self.clinic.entries_for(principal, course_id)
        course = journal.replay(entries, as_of=as_of, known_at=known_at)
        if course is None:
            raise NotFound("The course had not been opened then. Choose a later time.")
        head = next(entry.hash for entry in reversed(entries) if entry.written.seq <= course.version)
        view = self.clinic.course_view(course, context, head, stored.client_ref)
        known = [entry for entry in entries if known_at is None or entry.written.recorded_at <= known_at]
        return self._details(view, course, known, context, as_of)

    async def of_client(self, principal: Principal, client_id: str) -> list[str]:
        """The courses of a client that the caller may see: an open one first, then the newest."""
        ids = await self.clinic.read(stored_courses.courses_of, client_id)
        found = [await self._seen(principal, each) for each in ids]
        seen = sorted((each for each in found if each), key=lambda each: (each.course.open, each.course.id), reverse=True)
        return [each.course.id for each in seen]

    async def _seen(self, principal: Principal, course_id: str) -> StoredCourse | None:
        try:
            return await self.clinic.visible_course(principal, course_id)
        except (NotFound, ProcessingRestricted):
            return None

    def _details(
        self, view: CourseView, course: Course, entries: Sequence[Entry], context: Context, as_of: dt.datetime | None = None
    ) -> CourseDetails:
        return views.course_details(view, course, self.clinic.machine_of(course).protocol, entries, context, as_of)

    async def options(self, principal: Principal, course_id: str, at: dt.datetime | None = None) -> Options:
        """The triggers that the caller may fire: for each, whether it would be accepted, and an example body."""
        stored = await self.clinic.visible_course(principal, course_id)
        await self.clinic.require(principal, "read courses", [course_id])
        course = stored.course
        if at is not None and at < course.opened_at:
            raise CommandInvalid(
                [Fault("at", f"lies before the course was opened; choose {course.opened_at.isoformat()} or later")]
            )
        other = await self.clinic.read(stored_courses.other_open_course, course.client, course.id)
        items = await self.judged(principal, stored, await self.clinic.entries(course_id), other, at)
        await self.clinic.log(principal, "read", "options", [stored])
        return Options(version=course.version, items=items)

    async def judged(
        self,
        principal: Principal,
        stored: StoredCourse,
        entries: Sequence[Entry],
        other: str | None,
        at: dt.datetime | None = None,
        leaving_out: Collection[str] = (),
    ) -> tuple[Option, ...]:
        """The triggers that the caller may fire on a course that was read for them. `other` is the client's other open course."""
        context = await self._context(principal, stored, entries, other, at)
        items = self.clinic.machine_of(stored.course).options(
            stored.course, lambda name: self._context_of(stored, name, context), at, leaving_out
        )
        if stored.relation and (allowed := stored.relation.writes) is not None:
            return tuple(each for each in items if each.trigger in allowed)
        return items

    async def judged_one(
        self, principal: Principal, stored: StoredCourse, entries: Sequence[Entry], other: str | None, trigger: str
    ) -> Option:
        """The same of one trigger."""
        machine = self.clinic.machine_of(stored.course)
        context = self._context_of(stored, trigger, await self._context(principal, stored, entries, other, None))
        body = examples.example(machine.protocol, stored.course, trigger, context)
        return machine.option(stored.course, (msgspec.convert(body, Command),), context)[0]

    async def _context(
        self, principal: Principal, stored: StoredCourse, entries: Sequence[Entry], other: str | None, at: dt.datetime | None
    ) -> Context:
        """The context of examples, at a time or now."""
        course = stored.course
        now = max(self.clinic.clock.now(), course.last_recorded_at)
        named = await self.staff.examples(course)
        outside = {"other_open_course": other, "client": new_id(), "course_id": new_id(), "processing": stored.processing, **named}
        return self.clinic.with_history(
            self.clinic.context(principal, max(now, at) if at else now, **outside), entries[: course.version]
        )

    def _context_of(self, stored: StoredCourse, name: str, context: Context) -> Context:
        """The context of one trigger's example. The example names a new client, and another protocol if there is one."""
        protocol = self.clinic.machine_of(stored.course).protocol
        if name == "relink_client":
            return msgspec.structs.replace(context, other_open_course=None)
        if name in MOVES:
            same_id = name == "migrate_protocol"  # it changes the version alone
            known = self.clinic.catalogue.protocols.values()
            others = [each for each in known if each.digest != protocol.digest and (each.id == protocol.id or not same_id)]
            return msgspec.structs.replace(context, target=others[-1] if others else protocol)
        if name == "open_followup":
            return msgspec.structs.replace(context, target=protocol)
        return context

    async def caseload(self, principal: Principal, filters: Filters, after: str, limit: int) -> list[CourseView]:
        """Courses that the caller may see, in the order they were opened."""
        await self.clinic.require(principal, "read courses")
        filters = msgspec.structs.replace(filters, viewer=self.clinic.viewer(principal))
        return await self._courses(principal, "caseload", filters, after, limit)

    async def search(
        self, principal: Principal, client_ref: str | None, filters: Filters, after: str, limit: int
    ) -> list[CourseView]:
        """Courses of one client. HTTP takes the reference in a body, since URLs are logged."""
        await self.clinic.require(principal, "search courses by client")
        if client_ref is not None:
            client = await self.clinic.read(stored_courses.client_id, client_ref)
            filters = msgspec.structs.replace(filters, client=client or "-")
        return await self.caseload(principal, filters, after, limit)

    async def _courses(self, principal: Principal, action: str, filters: Filters, after: str, limit: int) -> list[CourseView]:
        now = self.clinic.clock.now()
        read = await self.clinic.read(stored_courses.caseload, filters, after, limit, now)
        found = list((await self.clinic.all_seen(principal, read)).values())
        await self.clinic.log(principal, "read", action, found)
        context = self.clinic.context(principal, now)
        return [
            self.clinic.course_view(stored.course, context, stored.head, stored.client_ref, asked=stored.asked) for stored in found
        ]

    async def history(self, principal: Principal, course_id: str, after: int, limit: int) -> list[EntryView]:
        """A course's journal, oldest first."""
        stored = await self.clinic.visible_course(principal, course_id)
        await self.clinic.require(principal, "read courses", [course_id])
        await self.clinic.log(principal, "read", "history", [stored])
        known = await self.clinic.entries_for(principal, course_id)
        return list(views.entry_views([entry for entry in known if entry.written.seq > after][:limit], known))

    async def entry(self, principal: Principal, course_id: str, seq: int) -> EntryView:
        found = await self.history(principal, course_id, seq - 1, 1)
        if not found or found[0].seq != seq:
            raise NotFound("The course has no such entry.")
        return found[0]

    async def count_courses(self) -> list[tuple[str, str, int]]:
        return await self.clinic.read(stored_courses.courses_by_state)
