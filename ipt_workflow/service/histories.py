"""The verbs that read a course's history as people do: its steps with their corrections, also as they were known at a moment."""

import datetime as dt
from collections.abc import Sequence

import msgspec

from ipt_workflow import journal
from ipt_workflow.access.principal import Principal
from ipt_workflow.errors import NotFound
from ipt_workflow.journal import Entry
from ipt_workflow.protocols.definition import Protocol
from ipt_workflow.service.access.client_labels import ClientLabels
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.service.views import CourseView
from ipt_workflow.service.views.steps import StepView, step_views
from ipt_workflow.store import people as stored_people
from ipt_workflow.store.courses import StoredCourse

NOT_OPENED = "The course had not been opened then. Choose a later time."
NAMING = ("therapist", "supervisor")  # fields of a step that name somebody of the staff
NO_STEP = "The course has no such step."


class HistoryView(msgspec.Struct, frozen=True, kw_only=True):
    """A course with some of its steps. `course` is as it was known at `known_at`, or as it is now. `names` are those of the staff, by id.

    `count` is the number of all steps that were known then. `label` is what the clinic calls the client.
    """

    course: CourseView
    label: str | None
    protocol: Protocol
    steps: tuple[StepView, ...]
    count: int
    names: dict[str, str]
    known_at: dt.datetime | None

    def name(self, person: str) -> str:
        """The name of somebody of the staff; their id if nobody of that id is known."""
        return self.names.get(person, person)


class Histories:
    """Reads the history of a clinic's courses."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic
        self.labels = ClientLabels(clinic)

    async def page(
        self, principal: Principal, course_id: str, *, known_at: dt.datetime | None = None, skip: int = 0, limit: int
    ) -> HistoryView:
        """Steps of a course, the last that happened first. With `known_at`, those that had been recorded then, as they were then."""
        stored, known = await self._known(principal, course_id, known_at)
        steps = step_views(known)
        shown = steps[::-1][skip : skip + limit]
        return await self._view(principal, stored, known, shown, len(steps), known_at)

    async def step(self, principal: Principal, course_id: str, seq: int) -> HistoryView:
        """One step of a course, by the number of its entry or of a correction of it. Raises NotFound."""
        stored, known = await self._known(principal, course_id, None)
        steps = step_views(known)
        found = [each for each in steps if any(version.entry.seq == seq for version in each.versions)]
        if not found:
            raise NotFound(NO_STEP)
        return await self._view(principal, stored, known, found, len(steps), None)

    async def _known(
        self, principal: Principal, course_id: str, known_at: dt.datetime | None
    ) -> tuple[StoredCourse, Sequence[Entry]]:
        stored = await self.clinic.visible_course(principal, course_id)
        await self.clinic.require(principal, "read courses", [course_id])
        await self.clinic.log(principal, "read", "history", [stored])
        entries = await self.clinic.entries_for(principal, course_id)
        known = [each for each in entries if known_at is None or each.written.recorded_at <= known_at]
        if not known:
            raise NotFound(NOT_OPENED)
        return stored, known

    async def _view(
        self,
        principal: Principal,
        stored: StoredCourse,
        known: Sequence[Entry],
        steps: Sequence[StepView],
        count: int,
        known_at: dt.datetime | None,
    ) -> HistoryView:
        course = journal.replay(known)
        assert course is not None  # there are entries
        context = self.clinic.context(principal, known_at or self.clinic.clock.now())
        people = {course.therapist, course.supervisor}
        for entry in (version.entry for each in steps for version in each.versions):
            people |= {entry.actor.person, entry.cosigned_by, entry.on_behalf_of}
            people |= {each for each in (entry.data.get(name) for name in NAMING) if isinstance(each, str)}
        named = sorted(each for each in people if each)
        return HistoryView(
            course=self.clinic.course_view(course, context, known[-1].hash, stored.client_ref),
            label=(await self.labels.of_courses(principal, [course])).get(course.id),
            protocol=self.clinic.machine_of(course).protocol,
            steps=tuple(steps),
            count=count,
            names=await self.clinic.read(stored_people.names, named),
            known_at=known_at,
        )
