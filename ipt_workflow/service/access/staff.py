"""Whoever is named must be a known person who is here, and who may be that."""

import datetime as dt
from collections.abc import Sequence

from ipt_workflow.access import people
from ipt_workflow.access.people import Named
from ipt_workflow.access.principal import Principal
from ipt_workflow.course import Course
from ipt_workflow.errors import CommandInvalid, Fault
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.store import people as stored
from ipt_workflow.store.people import PersonFilters


class Staff:
    """The people of a clinic, as those who are named."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic

    async def faults(self, principal: Principal, named: Sequence[Named]) -> list[Fault]:
        """What is wrong with whom a principal names. What an EHR or an import names is kept as it is."""
        if people.names_anybody(principal):
            return []
        found = [(each, people.why_not(await self.clinic.people.get(each.person), each.named_as)) for each in named]
        return [Fault(each.where, why) for each, why in found if why]

    async def check(self, principal: Principal, named: Sequence[Named]) -> None:
        """Raises CommandInvalid if somebody is named who may not be."""
        if faults := await self.faults(principal, named):
            raise CommandInvalid(faults)

    async def examples(self, course: Course) -> dict[str, str | None]:
        """People whom the examples of a course's commands may name, as fields of a Context."""
        own = course.therapist if course.therapist and not await self.unassigned_since(course) else None
        therapist = own or await self._first("therapist")
        known = await self.clinic.read(stored.find, therapist) if therapist else None
        theirs = [each for each in known.supervisors if await self._acts_as(each, "supervisor")] if known else []
        supervisor = theirs[0] if theirs else await self._first("supervisor", therapist)
        return {"example_therapist": therapist, "example_supervisor": supervisor}

    async def _first(self, role: str, but: str | None = None) -> str | None:
        """The first person who is here and has the role, other than `but`."""
        found = await self.clinic.read(stored.page, PersonFilters(status="active", role=role), "", 2)
        return next((each.id for each in found if each.id != but), None)

    async def _acts_as(self, person: str, role: str) -> bool:
        return people.acts_as(await self.clinic.people.get(person), role)

    async def check_here(self, where: str, principal: Principal) -> None:
        """Raises CommandInvalid if a person acts who has left. Only the command line needs it: sessions and tokens end when somebody leaves."""
        known = await self.clinic.people.get(principal.person) if principal.role in people.STAFF_ROLES else None
        if known is not None and known.status != "active":
            raise CommandInvalid([Fault(where, people.LEFT)])

    async def has_lost(self, person: str, role: str) -> bool:
        """Whether a person who is known has left, or has the role no longer."""
        known = await self.clinic.people.get(person)
        return known is not None and not people.acts_as(known, role)

    async def unassigned_since(self, course: Course) -> dt.datetime | None:
        """Since when an open course has had a therapist who is no person that may give therapy here."""
        if not course.open or course.therapist is None:
            return None
        return people.unassigned_since(course, await self.clinic.people.get(course.therapist))
