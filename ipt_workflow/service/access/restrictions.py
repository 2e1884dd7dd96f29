"""The verbs about restricted courses: such as that of a client who works here. Only the therapist and named people see them."""

import datetime as dt
from collections.abc import Callable
from typing import Annotated

import msgspec
from msgspec import Meta

from ipt_workflow.access import people
from ipt_workflow.access.principal import Principal
from ipt_workflow.errors import CommandInvalid, Fault, NotFound
from ipt_workflow.service.clinic import NOT_SEEN, Clinic, Touched, new_id
from ipt_workflow.store import restrictions as stored_restrictions
from ipt_workflow.store.courses import StoredCourse
from ipt_workflow.store.restrictions import StoredRestriction
from ipt_workflow.values.types import Person, Text

PEOPLE_MAX = 50
NOT_RESTRICTED = "The course is not restricted."


class NewRestriction(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A restriction to be set. It admits the course's therapist and these people, each as far as they are related to the course."""

    people: Annotated[tuple[Person, ...], Meta(max_length=PEOPLE_MAX)]
    reason: Text


class RestrictionView(msgspec.Struct, frozen=True, kw_only=True):
    """A restriction in force."""

    course: str
    people: tuple[str, ...]
    reason: str
    set_by: str
    set_at: dt.datetime


class Restrictions:
    """Restricts the courses of a clinic."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic

    async def one(self, principal: Principal, course_id: str) -> RestrictionView:
        course = await self._course(principal, course_id)
        await self.clinic.require(principal, "read restrictions", [course_id])
        await self.clinic.log(principal, "read", "restriction", [course])
        return await self._in_force(course_id)

    async def restrict(self, principal: Principal, course_id: str, decode: Callable[[], NewRestriction]) -> RestrictionView:
        """Restricts a course from now on, in place of the restriction that it has."""
        course = await self._to_restrict(principal, course_id)
        new = decode()
        await self._check(new)
        restriction = StoredRestriction(
            id=new_id(),
            course_id=course_id,
            people=tuple(dict.fromkeys(new.people)),
            reason=new.reason,
            set_by=principal.person,
            set_at=self.clinic.clock.now(),
        )
        await self.clinic.write(stored_restrictions.restrict, restriction)
        await self.clinic.log(principal, "access", "course restricted", [course])
        return await self._in_force(course_id)

    async def lift(self, principal: Principal, course_id: str) -> None:
        course = await self._to_restrict(principal, course_id)
        if not await self.clinic.write(stored_restrictions.end, course_id, principal.person, self.clinic.clock.now()):
            raise NotFound(NOT_RESTRICTED)
        await self.clinic.log(principal, "access", "restriction lifted", [course])

    async def _check(self, new: NewRestriction) -> None:
        """Raises CommandInvalid if somebody is named who may see no course anyway."""
        faults = []
        for index, person in enumerate(new.people):
            member = await self.clinic.people.get(person)
            why = [people.why_not(member, each) for each in ("therapist", "supervisor")]
            faults += [Fault(f"people[{index}]", why[0])] if why[0] and why[1] else []
        if faults:
            raise CommandInvalid(faults)

    async def _course(self, principal: Principal, course_id: str) -> Touched:
        """A course that the principal may see. An administrator restricts courses without seeing them. Raises NotFound."""
        if principal.role != "admin":
            return await self.clinic.visible_course(principal, course_id)
        if "\x00" in course_id or await self.clinic.courses.get(course_id) is None:
            raise NotFound(NOT_SEEN)
        return course_id

    async def _to_restrict(self, principal: Principal, course_id: str) -> Touched:
        """A course that the principal may restrict. Not by emergency access alone: they would let themselves in for good."""
        course = await self._course(principal, course_id)
        await self.clinic.require(principal, "restrict a course", [course_id])
        if isinstance(course, StoredCourse):
            await self.clinic.require_lasting(principal, "restrict a course", course)
        return course

    async def _in_force(self, course_id: str) -> RestrictionView:
        found = await self.clinic.read(stored_restrictions.find, course_id)
        if found is None:
            raise NotFound(NOT_RESTRICTED)
        return RestrictionView(course=course_id, people=found.people, reason=found.reason, set_by=found.set_by, set_at=found.set_at)
