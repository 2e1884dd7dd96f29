"""The agenda of supervision: the courses that wait longest to be discussed come first."""

import asyncio
import datetime as dt
from collections.abc import Iterable

import msgspec

from ipt_workflow.access.principal import Principal
from ipt_workflow.access.relations import at_once
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.service.registry import Registry
from ipt_workflow.service.supervision.records import QUESTION, SupervisionRecord, SupervisionRecords, record
from ipt_workflow.service.views.caseload import CourseLine
from ipt_workflow.store import relations as stored_relations
from ipt_workflow.store import supervision as stored
from ipt_workflow.store.supervision import OpenCourse

DUE_AFTER = dt.timedelta(weeks=4)  # IAPT: ongoing cases every two to four weeks
LOOKED_AT = 500  # open courses of one supervisor's supervisees


class AgendaItem(msgspec.Struct, frozen=True, kw_only=True):
    """A course to discuss. `since` is when it was discussed last, or else its start. `due`: that is more than four weeks ago.

    `last` is the last record, with the actions that were agreed.
    """

    course: CourseLine
    since: dt.datetime | None
    due: bool
    last: SupervisionRecord | None


class AgendaView(msgspec.Struct, frozen=True, kw_only=True):
    """The agenda. `courses` counts all open courses that are in question, `due` those not discussed for four weeks.

    `names` are people's, by id; `supervisees` are those whose courses are in question.
    """

    items: tuple[AgendaItem, ...]
    courses: int
    due: int
    supervisees: tuple[str, ...]
    names: dict[str, str]


class Agenda:
    """What supervision discusses next."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic
        self.registry = Registry(clinic)
        self.records = SupervisionRecords(clinic)

    async def view(self, principal: Principal, limit: int) -> AgendaView:
        """A supervisor's agenda: the open courses of their supervisees. A therapist's: their own."""
        await self.clinic.require(principal, QUESTION)
        people = await self._people(principal)
        found = await self.clinic.read(stored.open_courses_of, people, LOOKED_AT) if people else []
        now = self.clinic.clock.now()
        seen = await self._seen(principal, found)
        seen.sort(key=lambda each: (not is_due(each, now), each.undiscussed_since or now, each.id))
        since = {each.id: each for each in seen[:limit]}
        shown = [each for each in await self.registry.seen(principal, list(since)) if not each.is_glimpse]
        words, lines, _ = await asyncio.gather(
            self.records.words(principal, [each.course.id for each in shown if each.course.discussions]),
            self.registry.lines(principal, shown),
            self.clinic.log(principal, "read", "supervision agenda", shown),
        )
        items = tuple(
            AgendaItem(
                course=lines[each.course.id],
                since=since[each.course.id].undiscussed_since,
                due=is_due(since[each.course.id], now),
                last=record(each.course, each.client_ref, each.course.discussions[-1], words[each.course.id])
                if each.course.discussions
                else None,
            )
            for each in shown
        )
        named = {*people, *(each.last.supervisor for each in items if each.last)}
        return AgendaView(
            items=items,
            courses=len(seen),
            due=sum(is_due(each, now) for each in seen),
            supervisees=tuple(people),
            names=await self.registry.names(named),
        )

    async def _seen(self, principal: Principal, courses: Iterable[OpenCourse]) -> list[OpenCourse]:
        """Those that exist for the principal, and not by emergency access alone."""
        who, known = self.clinic.viewer(principal), {each.id: each for each in courses}
        found = {
            each.id: at_once(who, each.therapist, restricted=each.restricted, shared=each.shared, processing=each.processing)
            for each in known.values()
        }
        found |= await self.clinic.relations_of(principal, [each for each, relation in found.items() if relation is None])
        return [known[each] for each, relation in found.items() if relation is not None and relation.writes is None]

    async def _people(self, principal: Principal) -> list[str]:
        """The therapists whose courses are in question."""
        if principal.role != "supervisor":
            return [principal.person]
        return sorted(await self.clinic.read(stored_relations.supervisees_of, principal.person))


def is_due(course: OpenCourse, now: dt.datetime) -> bool:
    """Whether nobody has discussed a course for four weeks."""
    since = course.undiscussed_since
    return since is not None and now - since >= DUE_AFTER
