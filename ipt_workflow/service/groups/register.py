"""The register of a group: its members and sessions with what a page shows beside them, and who else may join."""

import msgspec

from ipt_workflow.access.principal import Principal
from ipt_workflow.groups import Group
from ipt_workflow.groups.views import GroupSummary, GroupView
from ipt_workflow.protocols.definition import Protocol
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.service.groups.groups import Groups
from ipt_workflow.service.registry import Registry
from ipt_workflow.service.views.caseload import CourseLine
from ipt_workflow.store import people as stored_people
from ipt_workflow.store.courses import StoredCourse
from ipt_workflow.store.people import PersonFilters, StoredPerson
from ipt_workflow.store.registry import RegistryFilters

JOINABLE_MAX = 200
PEOPLE_MAX = 500


class ListedGroups(msgspec.Struct, frozen=True, kw_only=True):
    """Groups, and the names of who facilitates them, by id."""

    items: tuple[GroupSummary, ...]
    names: dict[str, str]


class GroupRegister(msgspec.Struct, frozen=True, kw_only=True):
    """A group as its page shows it. `lines` are the members' courses that the reader may see, and `names` people's, by id.

    `to_sign` counts, by session, the members' records that the reader gave and has not signed. `writes`: the reader facilitates it.
    """

    group: GroupView
    lines: dict[str, CourseLine]
    to_sign: dict[str, int]
    names: dict[str, str]
    writes: bool


class GroupRegisters:
    """Reads a clinic's groups for people."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic
        self.groups = Groups(clinic)
        self.registry = Registry(clinic)

    async def page(self, principal: Principal, after: str, limit: int) -> ListedGroups:
        """Groups in the order they were made."""
        found = await self.groups.page(principal, None, after, limit)
        names = await self.registry.names(person for each in found for person in each.facilitators)
        return ListedGroups(items=tuple(found), names=names)

    async def one(self, principal: Principal, group_id: str) -> GroupRegister:
        """A group with its members and who attended which session."""
        group = await self.groups.visible_group(principal, group_id)
        await self.clinic.require(principal, "read groups", group.courses)
        await self.clinic.log(principal, "read", f"group {group.id}", group.courses)
        courses = await self.groups.courses(group.courses)
        seen = await self.clinic.all_seen(principal, courses.values())
        people = [*group.facilitators, *(each.recorded_by for each in group.sessions)]
        return GroupRegister(
            group=await self.groups.group_view(principal, group),
            lines=await self.registry.lines(principal, list(seen.values())),
            to_sign=_to_sign(principal, group, courses),
            names=await self.registry.names(people),
            writes=principal.role == "therapist" and principal.person in group.facilitators,
        )

    async def joinable(self, principal: Principal, group_id: str) -> list[CourseLine]:
        """The open courses under the group's protocol that the principal may see and that are not in the group."""
        await self.clinic.require(principal, "manage groups")
        group = await self.groups.visible_group(principal, group_id)
        filters = RegistryFilters(protocol=group.protocol)
        found = await self.registry.open_courses(principal, filters, None, JOINABLE_MAX)
        there = {each.course for each in group.present}
        others = [each for each in found if each.course.id not in there and not each.is_glimpse]
        await self.clinic.log(principal, "read", "registry", others)
        return list((await self.registry.lines(principal, others)).values())

    async def to_make(self, principal: Principal) -> tuple[list[Protocol], list[StoredPerson]]:
        """The newest version of every protocol for groups, and the therapists who may facilitate."""
        await self.clinic.require(principal, "manage groups")
        newest = {each.id: each for each in self.clinic.catalogue.protocols.values() if each.group is not None}
        found = await self.clinic.read(stored_people.page, PersonFilters(status="active", role="therapist"), "", PEOPLE_MAX)
        return list(newest.values()), sorted(found, key=lambda each: each.name)


def _to_sign(principal: Principal, group: Group, courses: dict[str, StoredCourse]) -> dict[str, int]:
    found: dict[str, int] = {}
    for session in group.sessions:
        recorded = [courses[each].course.session(one.seq) for each, one in session.told.items() if one.seq and each in courses]
        mine = [each for each in recorded if each and each.attended and not each.signed and each.given_by == principal.person]
        found |= {session.id: len(mine)} if mine else {}
    return found
