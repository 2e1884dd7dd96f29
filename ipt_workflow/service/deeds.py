"""The verb that prepares a page on which somebody fires one trigger: the course, what firing it now would meet, and what it may name."""

from typing import Any

import msgspec

from ipt_workflow import journal
from ipt_workflow.access import policy
from ipt_workflow.access.principal import Principal
from ipt_workflow.course import triggers
from ipt_workflow.errors import NotFound
from ipt_workflow.journal import Entry
from ipt_workflow.machine import Option
from ipt_workflow.protocols.definition import Protocol
from ipt_workflow.service.access.client_labels import ClientLabels
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.service.courses import Courses
from ipt_workflow.service.known_words import known_words
from ipt_workflow.service.reads import CourseReads
from ipt_workflow.service.views import CourseView, EntryView
from ipt_workflow.store import courses as stored_courses
from ipt_workflow.store import people as stored_people
from ipt_workflow.store.courses import StoredCourse
from ipt_workflow.store.people import PersonFilters

COLLEAGUES_MAX = 500
SINCE_MAX = 20
NO_DEED = "This course has no such step. Open the course to see what can be done."


class Colleague(msgspec.Struct, frozen=True):
    """Somebody of the staff whom a command may name."""

    id: str
    name: str


class InventoryName(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody in the client's inventory. `name` is None if none was given, or it was erased."""

    id: str
    name: str | None
    deceased: bool


class DeedView(msgspec.Struct, frozen=True, kw_only=True):
    """What a page needs on which one trigger is fired. `option` says what firing it now would meet, by a complete example.

    `label` is what the clinic calls the client. `known` is what the form goes on from.
    """

    course: CourseView
    label: str | None
    protocol: Protocol
    option: Option
    inventory: tuple[InventoryName, ...]
    formulations: int
    therapists: tuple[Colleague, ...]
    supervisors: tuple[Colleague, ...]
    own_supervisor: str | None
    protocols: tuple[Protocol, ...]
    known: dict[str, Any]

    def name_of(self, person: str | None) -> str:
        """The name of somebody of the staff; their id if nobody of that id is here."""
        return next((each.name for each in (*self.therapists, *self.supervisors) if each.id == person), person or "")


class OpeningView(msgspec.Struct, frozen=True, kw_only=True):
    """What a page needs on which a course is opened: the forms of IPT, each at its newest version, and the therapists."""

    protocols: tuple[Protocol, ...]
    therapists: tuple[Colleague, ...]


class Deeds:
    """Prepares pages on which a clinic's courses are written."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic
        self.reads = CourseReads(clinic)
        self.decisions = Courses(clinic).decisions
        self.labels = ClientLabels(clinic)

    async def one(self, principal: Principal, course_id: str, trigger: str) -> DeedView:
        """A trigger on a course that the caller may change. Raises NotFound, or TriggerNotPermitted and records the attempt."""
        stored = await self.clinic.visible_course(principal, course_id)
        await self.clinic.require(principal, "change a course", [course_id])
        protocol = self.clinic.machine_of(stored.course).protocol
        if triggers.find(trigger, protocol) is None or trigger in triggers.OPENINGS:
            raise NotFound(NO_DEED)
        await self.decisions.permit(principal, [trigger], stored)
        entries = (await self.clinic.entries(course_id))[: stored.course.version]
        other = await self.clinic.read(stored_courses.other_open_course, stored.course.client, course_id)
        option = await self.reads.judged_one(principal, stored, entries, other, trigger)
        await self.clinic.log(principal, "read", f"before {trigger}", [stored])
        context = self.clinic.context(principal, self.clinic.clock.now())
        therapists, supervisors = await self._colleagues("therapist"), await self._colleagues("supervisor")
        known = await self.clinic.read(stored_people.find, stored.course.therapist) if stored.course.therapist else None
        return DeedView(
            course=self.clinic.course_view(stored.course, context, stored.head, stored.client_ref, asked=stored.asked),
            label=(await self.labels.of_courses(principal, [stored.course])).get(course_id),
            protocol=protocol,
            option=option,
            inventory=_inventory(stored, entries),
            formulations=stored.course.formulations,
            therapists=therapists,
            supervisors=supervisors,
            own_supervisor=known.supervisors[0] if known and known.supervisors else None,
            protocols=self._protocols(),
            known=known_words(entries, trigger),
        )

    async def opening(self, principal: Principal) -> OpeningView:
        """What there is to open a course with."""
        await self.clinic.require(principal, "open a course")
        return OpeningView(protocols=self._protocols(), therapists=await self._colleagues("therapist"))

    async def sees(self, principal: Principal, course_id: str) -> bool:
        """Whether the caller may read a course that they opened or changed."""
        stored = await self.clinic.courses.get(course_id) if policy.may(principal, "read courses") else None
        return stored is not None and await self.clinic.seen(principal, stored) is not None

    async def since(self, principal: Principal, course_id: str, version: int) -> list[EntryView]:
        """What was recorded on a course after a version of it, for somebody whose own text was decided on that version."""
        return await self.reads.history(principal, course_id, version, SINCE_MAX)

    async def _colleagues(self, role: str) -> tuple[Colleague, ...]:
        found = await self.clinic.read(stored_people.page, PersonFilters(status="active", role=role), "", COLLEAGUES_MAX)
        return tuple(Colleague(each.id, each.name) for each in sorted(found, key=lambda each: (each.name, each.id)))

    def _protocols(self) -> tuple[Protocol, ...]:
        newest: dict[str, Protocol] = {}
        for each in self.clinic.protocols:
            if each.id not in newest or newest[each.id].version < each.version:
                newest[each.id] = each
        return tuple(sorted(newest.values(), key=lambda each: (each.id != "ipt", each.title)))


def _inventory(stored: StoredCourse, entries: list[Entry]) -> tuple[InventoryName, ...]:
    """The people of the inventory, with the latest name that was given for each."""
    names: dict[str, str] = {}
    recorded = [each for each in entries if each.written.trigger == "record_inventory"]
    for data in journal.given(recorded).values():
        names |= {each["id"]: each["name"] for each in data.get("people", ()) if each.get("name")}
    people = stored.course.inventory.people if stored.course.inventory else ()
    return tuple(InventoryName(id=each.id, name=names.get(each.id), deceased=each.deceased) for each in people)
