"""What somebody needs who records a meeting: the courses that it may have discussed, and the people who may have met."""

from collections.abc import Sequence

import msgspec

from ipt_workflow.access.principal import Principal
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.service.registry import Registry
from ipt_workflow.service.supervision.agenda import Agenda
from ipt_workflow.service.supervision.meetings import COURSES_MAX, QUESTION
from ipt_workflow.service.views.caseload import CourseLine
from ipt_workflow.store import people as stored_people
from ipt_workflow.store.people import PersonFilters, StoredPerson

PEOPLE_MAX = 500


class MeetingPreparation(msgspec.Struct, frozen=True, kw_only=True):
    """The courses in the order of the agenda, or those that were asked for, and everybody who may be named."""

    courses: tuple[CourseLine, ...]
    supervisors: tuple[StoredPerson, ...]
    therapists: tuple[StoredPerson, ...]

    def supervisor_of(self, principal: Principal) -> str | None:
        """Who most likely supervised: the principal, or else a supervisor of theirs."""
        known = {each.id for each in self.supervisors}
        own = next((each.supervisors for each in self.therapists if each.id == principal.person), ())
        named = [principal.person] if principal.role == "supervisor" else list(own)
        return next((each for each in named if each in known), None)


class Preparations:
    """Prepares the recording of a clinic's meetings."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic
        self.registry = Registry(clinic)
        self.agenda = Agenda(clinic)

    async def prepare(self, principal: Principal, ids: Sequence[str]) -> MeetingPreparation:
        """The courses with these ids that the principal may see; without ids, those of their agenda."""
        await self.clinic.require(principal, QUESTION)
        if ids:
            seen = await self.registry.seen(principal, list(dict.fromkeys(ids))[:COURSES_MAX])
            lines = list((await self.registry.lines(principal, seen)).values())
            await self.clinic.log(principal, "read", "supervision agenda", seen)
        else:
            lines = [each.course for each in (await self.agenda.view(principal, COURSES_MAX)).items]
        return MeetingPreparation(
            courses=tuple(lines), supervisors=await self._people("supervisor"), therapists=await self._people("therapist")
        )

    async def _people(self, role: str) -> tuple[StoredPerson, ...]:
        found = await self.clinic.read(stored_people.page, PersonFilters(status="active", role=role), "", PEOPLE_MAX)
        return tuple(sorted(found, key=lambda each: each.name))
