"""The agenda of supervision: the courses that wait longest to be discussed come first."""

import datetime as dt
from collections.abc import Mapping, Sequence

import msgspec

from ipt_workflow.access.principal import Principal
from ipt_workflow.course import attention, counters
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.service.supervision.records import QUESTION, SupervisionRecord, SupervisionRecords, record
from ipt_workflow.store import relations as stored_relations
from ipt_workflow.store import supervision as stored
from ipt_workflow.store.courses import StoredCourse

DUE_AFTER = dt.timedelta(weeks=4)  # IAPT: ongoing cases every two to four weeks
LOOKED_AT = 500  # open courses of one supervisor's supervisees
ASKS = ("risk", "deteriorating", "not_improving", "deviation", "blocked", "overdue", "unsigned", "not_attending", "ending")


class AgendaItem(msgspec.Struct, frozen=True, kw_only=True):
    """A course to discuss. `since` is when it was discussed last, or else its start. `due`: that is more than four weeks ago.

    `attention` are the kinds that supervision asks about. `last` is the last record, with the actions that were agreed.
    """

    course: str
    client_ref: str | None
    therapist: str | None
    state: str
    session: int
    contracted: int | None
    since: dt.datetime | None
    due: bool
    attention: tuple[str, ...]
    last: SupervisionRecord | None


class AgendaView(msgspec.Struct, frozen=True, kw_only=True):
    """The agenda. `courses` counts all open courses that are in question, `due` those not discussed for four weeks."""

    items: tuple[AgendaItem, ...]
    courses: int
    due: int


class Agenda:
    """What supervision discusses next."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic
        self.records = SupervisionRecords(clinic)

    async def view(self, principal: Principal, limit: int) -> AgendaView:
        """A supervisor's agenda: the open courses of their supervisees. A therapist's: their own."""
        await self.clinic.require(principal, QUESTION)
        people = [principal.person]
        if principal.role == "supervisor":
            people = sorted(await self.clinic.read(stored_relations.supervisees_of, principal.person))
        found = await self.clinic.read(stored.open_courses_of, people, LOOKED_AT) if people else []
        seen = list((await self.clinic.all_seen(principal, found)).values())
        now = self.clinic.clock.now()
        seen.sort(key=lambda each: (not _is_due(each, now), each.course.undiscussed_since or now, each.course.id))
        shown = [each for each in seen if not each.is_glimpse][:limit]
        words = await self.records.words(principal, [each.course.id for each in shown if each.course.discussions])
        await self.clinic.log(principal, "read", "supervision agenda", shown)
        items = tuple(self._item(each, words, now) for each in shown)
        return AgendaView(items=items, courses=len(seen), due=sum(_is_due(each, now) for each in seen))

    def _item(
        self, stored_course: StoredCourse, words: Mapping[str, Mapping[int, dict[str, object]]], now: dt.datetime
    ) -> AgendaItem:
        course = stored_course.course
        protocol = self.clinic.machine_of(course).protocol
        counted = counters.counters(protocol, course)
        last = course.discussions[-1] if course.discussions else None
        return AgendaItem(
            course=course.id,
            client_ref=stored_course.client_ref,
            therapist=course.therapist,
            state=course.state,
            session=counted.session,
            contracted=counted.contracted,
            since=course.undiscussed_since,
            due=_is_due(stored_course, now),
            attention=self.asks(stored_course, now),
            last=record(course, stored_course.client_ref, last, words[course.id]) if last else None,
        )

    def asks(self, stored_course: StoredCourse, now: dt.datetime, kinds: Sequence[str] = ASKS) -> tuple[str, ...]:
        """The kinds of attention among these that a course needs now."""
        machine = self.clinic.machine_of(stored_course.course)
        since = attention.attention(machine.protocol, machine.bound, stored_course.course, self.clinic.zone)
        since = {**since, **stored_course.asked}
        return tuple(kind for kind in kinds if kind in since and since[kind] <= now)


def _is_due(stored_course: StoredCourse, now: dt.datetime) -> bool:
    since = stored_course.course.undiscussed_since
    return since is not None and now - since >= DUE_AFTER
