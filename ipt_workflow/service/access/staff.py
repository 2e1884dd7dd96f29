"""Whoever is named must be a known person who is here, and who may be that."""

import datetime as dt
from collections.abc import Sequence

from ipt_workflow.access import people
from ipt_workflow.access.people import Named
from ipt_workflow.access.principal import Principal
from ipt_workflow.course import Course
from ipt_workflow.errors import CommandInvalid, Fault
from ipt_workflow.service.clinic import Clinic


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

    async def has_lost(self, person: str, role: str) -> bool:
        """Whether a person who is known has left, or has the role no longer."""
        known = await self.clinic.people.get(person)
        return known is not None and not people.acts_as(known, role)

    async def unassigned_since(self, course: Course) -> dt.datetime | None:
        """Since when an open course has had a therapist who is no person that may give therapy here."""
        if not course.open or course.therapist is None:
            return None
        return people.unassigned_since(course, await self.clinic.people.get(course.therapist))
