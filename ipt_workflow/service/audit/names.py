"""The verb that says who is meant in the audit log: staff by name, clients by their reference."""

from collections.abc import Iterable

import msgspec

from ipt_workflow.access.principal import Principal
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.store import courses as stored_courses
from ipt_workflow.store import people as stored_people
from ipt_workflow.store.people import PersonFilters

EVERYBODY_MAX = 500


class AuditNames(msgspec.Struct, frozen=True, kw_only=True):
    """Names of people by id, and references of clients by course. A client who was erased has None."""

    people: dict[str, str]
    clients: dict[str, str | None]

    def person(self, person: str) -> str:
        """A person's name; their id if nobody of that id is known."""
        return self.people.get(person, person)


class AuditNaming:
    """Names whom the audit log of a clinic tells of."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic

    async def of(self, people: Iterable[str | None], courses: Iterable[str]) -> AuditNames:
        """Names for records that the caller was shown: their courses exist for them."""
        wanted, named = sorted({each for each in people if each}), sorted(set(courses))
        found = await self.clinic.read(stored_people.names, wanted) if wanted else {}
        clients = await self.clinic.read(stored_courses.clients_of, named) if named else []
        return AuditNames(people=found, clients={each.course_id: each.ref for each in clients})

    async def everybody(self, principal: Principal) -> dict[str, str]:
        """The names of the staff of now and of before, by id: whom the log can be searched for."""
        await self.clinic.require(principal, "read the audit log")
        found = await self.clinic.read(stored_people.page, PersonFilters(), "", EVERYBODY_MAX)
        return {each.id: each.name for each in sorted(found, key=lambda each: (each.name, each.id))}
