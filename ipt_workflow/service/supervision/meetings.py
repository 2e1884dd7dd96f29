"""Records a meeting: one `record_supervision` on every course that was discussed, all in one commit or none."""

import datetime as dt
from collections.abc import Callable
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from ipt_workflow.access.people import Named
from ipt_workflow.access.principal import Principal
from ipt_workflow.course.payloads.supervision import RecordSupervision, Supervisees, SupervisionKind, SupervisionMinutes
from ipt_workflow.course.triggers import Command
from ipt_workflow.errors import CommandInvalid, Fault, StaleVersion
from ipt_workflow.groups.bodies import CourseId
from ipt_workflow.service import seal
from ipt_workflow.service.clinic import Clinic, new_id
from ipt_workflow.service.decisions import Decisions, retrying
from ipt_workflow.service.idempotency import Idempotency
from ipt_workflow.service.writes import IdempotencyKey
from ipt_workflow.store.courses import StoredCourse
from ipt_workflow.store.supervision import RECORDING
from ipt_workflow.store.units import CourseChange, KeptAnswer, Unit
from ipt_workflow.values.faults import time_faults
from ipt_workflow.values.types import Moment, Person, Text, Texts

QUESTION = "record supervision"
COURSES_MAX = 30
BUSY = "The courses are being written by others. Try again."
SAME_PERSON = "is also one of the supervisees; name another supervisor"
TWICE = "names a course for the second time; name each course once"


class DiscussedCourse(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A course that was discussed, what was said, and what was agreed to do."""

    course: CourseId
    discussed: Text | None = None
    actions: Texts | None = None


class NewMeeting(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Supervision that took place: at `occurred_at`, or now without one. `minutes` are those of the whole meeting."""

    supervisor: Person
    supervisees: Supervisees
    kind: SupervisionKind
    minutes: SupervisionMinutes
    courses: Annotated[tuple[DiscussedCourse, ...], Meta(min_length=1, max_length=COURSES_MAX)]
    occurred_at: Moment | None = None
    next_on: dt.date | None = None


class MeetingRecorded(msgspec.Struct, frozen=True, kw_only=True):
    """A meeting that was recorded. Its records share the name `meeting`; `records` counts them, one for each course."""

    meeting: str
    records: int
    replayed: bool = False


class Meetings:
    """Records the supervision of a clinic."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic
        self.decisions = Decisions(clinic)
        self._idempotency: Idempotency[MeetingRecorded] = Idempotency(clinic)

    async def record(
        self, principal: Principal, decode: Callable[[], NewMeeting], key: IdempotencyKey | None = None
    ) -> MeetingRecorded:
        """Records a meeting on every course that was discussed. No rule stands against a record."""
        await self.clinic.require(principal, QUESTION)

        async def replay(kept: KeptAnswer) -> MeetingRecorded:
            return MeetingRecorded(meeting=kept.course_id, records=kept.last_seq, replayed=True)

        return await self._idempotency.run(key, replay, lambda: self._record(principal, decode(), key))

    async def _record(self, principal: Principal, new: NewMeeting, key: IdempotencyKey | None) -> MeetingRecorded:
        meeting = new_id()

        async def attempt() -> MeetingRecorded:
            courses = await self._courses(principal, new)
            changes = await self._changes(principal, new, meeting, courses)
            now, written = self.clinic.clock.now(), len(changes)
            answer = seal.kept_answer(self.clinic, key, meeting, written, written, now) if key else None
            await self.decisions.commit(
                Unit(organisation=self.clinic.organisation, changes=changes, answer=answer, request_id=principal.request_id)
            )
            return MeetingRecorded(meeting=meeting, records=written)

        return await retrying(attempt, StaleVersion, busy=BUSY)

    async def _courses(self, principal: Principal, new: NewMeeting) -> dict[str, StoredCourse]:
        """The courses that were discussed. Raises NotFound, or CommandInvalid with every fault of the body."""
        faults = [*time_faults(new.occurred_at, "occurred_at"), *time_faults(new.next_on, "next_on")]
        faults += [Fault("supervisor", SAME_PERSON)] if new.supervisor in new.supervisees else []
        named = [Named("supervisor", new.supervisor, "supervisor")]
        named += [Named(f"supervisees[{place}]", each, "supervisee") for place, each in enumerate(new.supervisees)]
        faults += await self.decisions.staff.faults(principal, named)
        found: dict[str, StoredCourse] = {}
        for place, each in enumerate(new.courses):
            if each.course in found:
                faults.append(Fault(f"courses[{place}].course", TWICE))
                continue
            found[each.course] = await self.clinic.visible_course(principal, each.course)
        if faults:
            raise CommandInvalid(faults)
        for stored in found.values():
            await self.decisions.permit(principal, (RECORDING,), stored)
        return found

    async def _changes(
        self, principal: Principal, new: NewMeeting, meeting: str, courses: dict[str, StoredCourse]
    ) -> tuple[CourseChange, ...]:
        """Every course with its record. Raises CommandInvalid with the faults that any course finds, such as a time before it was opened."""
        changes: list[CourseChange] = []
        faults: list[Fault] = []
        for each in sorted(
            new.courses, key=lambda discussed: discussed.course
        ):  # always in this order, or two processes could deadlock
            stored = courses[each.course]
            command = Command(RECORDING, _data(new, meeting, each), new.occurred_at)
            context = await self.decisions.context(principal, stored, (command,))
            try:
                answer = self.decisions.decide(stored, (command,), context)
            except CommandInvalid as error:
                faults += [fault for fault in error.faults if fault not in faults]
                continue
            accepted = await self.decisions.accepted(principal, stored, answer, (command,), context)
            changes.append(self.decisions.change(stored, accepted))
        if faults:
            raise CommandInvalid(faults)
        return tuple(changes)


def _data(new: NewMeeting, meeting: str, discussed: DiscussedCourse) -> dict[str, Any]:
    """The data of one course's record."""
    payload = RecordSupervision(
        supervisor=new.supervisor,
        supervisees=new.supervisees,
        kind=new.kind,
        minutes=new.minutes,
        meeting=meeting,
        next_on=new.next_on,
        discussed=discussed.discussed,
        actions=discussed.actions,
    )
    data: dict[str, Any] = msgspec.to_builtins(payload)
    return data
