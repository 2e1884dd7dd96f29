"""The verbs about groups: make one, join and leave it, name its facilitators, read it.

Checks run in this order: what the caller may see, what they may do, the idempotency key, the version, and last the body.
One commit writes the line of the group's log, the idempotency key, and the record in the audit log.
"""

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import msgspec

from ipt_workflow import groups
from ipt_workflow.access import relations
from ipt_workflow.access.people import Named
from ipt_workflow.access.principal import Principal
from ipt_workflow.access.relations import FACILITATOR, Relation
from ipt_workflow.errors import CommandInvalid, Fault, GroupRefused, GroupStale, NotFound, Refusal, VersionRequired
from ipt_workflow.groups import Group, views
from ipt_workflow.groups.bodies import Facilitating, Joining, LeaveReason, Leaving, NewGroup
from ipt_workflow.groups.views import GroupCommitted, GroupSummary, GroupView, MemberFacts
from ipt_workflow.protocols.definition import GroupSpec, Protocol
from ipt_workflow.service import seal
from ipt_workflow.service.access.staff import Staff
from ipt_workflow.service.clinic import Clinic, new_id
from ipt_workflow.service.decisions import retrying
from ipt_workflow.service.idempotency import Idempotency
from ipt_workflow.service.writes import GroupWrite, IdempotencyKey
from ipt_workflow.store import groups as stored
from ipt_workflow.store import relations as stored_relations
from ipt_workflow.store.courses import StoredCourse
from ipt_workflow.store.units import CourseGrouped, GroupLine, KeptAnswer, MemberMove, NamedFacilitators, NewTherapyGroup, Unit
from ipt_workflow.values.faults import time_faults

NO_GROUP = "There is no such group, or none that you may see."
NO_MEMBER = "The group has never had such a member."


class GroupChange(msgspec.Struct, frozen=True, kw_only=True):
    """A verb's decision: the content of a line of the group's log, the action in the audit log, and the courses it names."""

    content: NamedFacilitators | MemberMove
    action: str
    courses: tuple[str, ...]


class Groups:
    """Makes, changes and reads the groups of a clinic."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic
        self.staff = Staff(clinic)
        self._idempotency: Idempotency[GroupCommitted] = Idempotency(clinic)

    async def create(
        self, principal: Principal, decode: Callable[[], NewGroup], key: IdempotencyKey | None = None
    ) -> GroupCommitted:
        """Makes a group under a protocol for groups. A therapist who makes one must be among its facilitators."""
        await self.clinic.require(principal, "manage groups")

        async def replay(kept: KeptAnswer) -> GroupCommitted:
            await self.visible_group(principal, kept.course_id)
            return await self._replay(principal, kept)

        return await self._idempotency.run(key, replay, lambda: self._create(principal, decode(), key))

    async def _create(self, principal: Principal, body: NewGroup, key: IdempotencyKey | None) -> GroupCommitted:
        protocol = self.clinic.protocol(body.protocol, body.protocol_version)
        if protocol.group is None:
            raise CommandInvalid([Fault("protocol", f"{protocol.key} is not for groups: its file has no [group]")])
        facilitators = body.facilitators or ((principal.person,) if principal.role == "therapist" else ())
        await self._check_facilitators(principal, facilitators)
        now = self.clinic.clock.now()
        new = NewTherapyGroup(
            label=body.label,
            protocol=protocol.id,
            protocol_version=protocol.version,
            created_at=now,
            created_by=principal.person,
        )
        named = NamedFacilitators(people=facilitators, recorded_by=principal.person, recorded_at=now)
        line = GroupLine(group=new_id(), expected=0, content=named, new=new)
        await self._write(principal, line, "created", (), key)
        return await self._committed(principal, line.group, 1)

    async def page(self, principal: Principal, protocol: str | None, after: str, limit: int) -> list[GroupSummary]:
        """Groups in the order they were made. A therapist sees those that they facilitate."""
        await self.clinic.require(principal, "read groups")
        people = (
            None if self.clinic.viewer(principal).sees_organisation else {principal.person, *await self._supervisees(principal)}
        )
        found = await self.clinic.read(stored.page, people=people, protocol=protocol, after=after, limit=limit)
        await self.clinic.log(principal, "read", "groups", dict.fromkeys(course for group in found for course in group.courses))
        return [views.summary(group) for group in found]

    async def one(self, principal: Principal, group_id: str) -> GroupView:
        """A group with its members, its sessions and who attended them."""
        group = await self.visible_group(principal, group_id)
        await self.clinic.require(principal, "read groups", group.courses)
        await self.clinic.log(principal, "read", f"group {group.id}", group.courses)
        return await self.group_view(principal, group)

    async def join(self, principal: Principal, group_id: str, write: GroupWrite) -> GroupCommitted:
        """Adds a course to the group, if the caller may see the course."""
        return await self._change(principal, group_id, write, self._join)

    async def leave(self, principal: Principal, group_id: str, course: str, write: GroupWrite) -> GroupCommitted:
        """Records that a member has left, with a code for the reason."""
        if course not in (await self.visible_group(principal, group_id)).courses:
            raise NotFound(NO_MEMBER)
        return await self._change(principal, group_id, write, lambda by, group, body: self._leave(by, group, course, body))

    async def facilitate(self, principal: Principal, group_id: str, write: GroupWrite) -> GroupCommitted:
        """Names the people who facilitate the group from now on."""
        return await self._change(principal, group_id, write, self._facilitate)

    async def _change(
        self,
        principal: Principal,
        group_id: str,
        write: GroupWrite,
        decide: Callable[[Principal, Group, Any], Awaitable[GroupChange]],
    ) -> GroupCommitted:
        """Writes the line of the group's log that `decide` makes of the body."""
        group = await self.visible_group(principal, group_id)
        await self.clinic.require(principal, "manage groups", group.courses)

        async def attempt() -> GroupCommitted:
            group = await self.visible_group(principal, group_id)
            change = await decide(principal, group, decoded(write, group))
            line = GroupLine(group=group.id, expected=group.version, content=change.content)
            await self._write(principal, line, change.action, change.courses, write.key)
            return await self._committed(principal, group_id, line.expected + 1)

        overtaken = (CourseGrouped, *(() if write.version is not None else (GroupStale,)))
        busy = "The group is being written by others. Try again."

        async def replay(kept: KeptAnswer) -> GroupCommitted:
            return await self._replay(principal, kept)

        return await self._idempotency.run(write.key, replay, lambda: retrying(attempt, *overtaken, busy=busy))

    async def _join(self, principal: Principal, group: Group, body: Joining) -> GroupChange:
        course = await self._course(principal, body.course)
        at = self._moment("joined_at", body.joined_at)
        last = await self.clinic.read(stored.last_of, body.course)
        refusals = groups.join_refusals(group, self.spec(group), course.course, at, last)
        await self.refuse(principal, "join a group", refusals, (body.course,))
        move = self._move(principal, body.course, (last.nth if last else 0) + 1, joined=True, at=at)
        return GroupChange(content=move, action="member joined", courses=(body.course,))

    async def _leave(self, principal: Principal, group: Group, course: str, body: Leaving) -> GroupChange:
        at = self._moment("left_at", body.left_at)
        await self.refuse(principal, "leave a group", groups.leave_refusals(group, course, at), (course,))
        last = await self.clinic.read(stored.last_of, course)
        assert last is not None  # `leave_refusals` refuses a course that has not joined
        move = self._move(principal, course, last.nth + 1, joined=False, at=at, reason=body.reason)
        return GroupChange(content=move, action="member left", courses=(course,))

    async def _facilitate(self, principal: Principal, group: Group, body: Facilitating) -> GroupChange:
        await self._check_facilitators(principal, body.facilitators)
        named = NamedFacilitators(people=body.facilitators, recorded_by=principal.person, recorded_at=self.clinic.clock.now())
        return GroupChange(content=named, action="facilitators named", courses=group.courses)

    # Shared with the verbs about sessions

    async def visible_group(self, principal: Principal, group_id: str) -> Group:
        """A group, if it exists for the principal. Raises NotFound."""
        group = await self.clinic.read(stored.find, group_id)
        if group is None:
            raise NotFound(NO_GROUP)
        supervisees = await self._supervisees(principal)
        if not relations.may_see_group(self.clinic.viewer(principal), frozenset(group.facilitators), supervisees):
            raise await self.clinic.hidden(principal, "see a group", group.courses, NO_GROUP)
        return group

    async def _supervisees(self, principal: Principal) -> frozenset[str]:
        """The people whose groups a supervisor sees, if they see those alone."""
        if not self.clinic.viewer(principal).sees_supervisees:
            return frozenset()
        return await self.clinic.read(stored_relations.supervisees_of, principal.person)

    def spec(self, group: Group) -> GroupSpec:
        """The group's part of its protocol."""
        spec = self._protocol(group).group
        assert spec is not None  # `create` takes only protocols for groups
        return spec

    def _protocol(self, group: Group) -> Protocol:
        return next(each for each in self.clinic.protocols if (each.id, each.version) == (group.protocol, group.protocol_version))

    async def courses(self, ids: Iterable[str]) -> dict[str, StoredCourse]:
        """The members' courses by their ids."""
        course_ids = list(ids)
        found = await asyncio.gather(*(self.clinic.courses.get(each) for each in course_ids))
        return {course_id: course for course_id, course in zip(course_ids, found, strict=True) if course}

    async def facilitated_courses(self, principal: Principal, ids: Iterable[str]) -> dict[str, StoredCourse]:
        """The members' courses for who records the group's sessions on them, also where they see the course by nothing that lasts."""
        found = await self.courses(ids)
        seen = {key: each for key, each in (await self.clinic.all_seen(principal, found.values())).items() if not each.is_glimpse}
        return {each: seen.get(each) or msgspec.structs.replace(course, relation=FACILITATOR) for each, course in found.items()}

    async def group_view(self, principal: Principal, group: Group) -> GroupView:
        return views.view(group, self.spec(group), await self.known(principal, group))

    async def known(self, principal: Principal, group: Group) -> MemberFacts:
        """The facts that a group's view needs beside the group's log. Whom a restriction shuts out is not told the client."""
        courses = await self.courses(group.courses)
        restricted = [each for each in courses.values() if each.restricted]
        unnamed = {each.course.id for each in restricted} - (await self.clinic.all_seen(principal, restricted)).keys()
        notice_ids = [each.notice for session in group.sessions for each in session.told.values() if each.notice]
        found = await self.clinic.read(stored.held_records, notice_ids)
        return MemberFacts(
            courses={course_id: each.course for course_id, each in courses.items()},
            client_refs={each: None if each in unnamed else course.client_ref for each, course in courses.items()},
            notices={notice_id: each.status for notice_id, each in found.items()},
        )

    async def refuse(self, principal: Principal, action: str, refusals: tuple[Refusal, ...], courses: Iterable[str]) -> None:
        """If there are refusals, records them and raises GroupRefused."""
        if refusals:
            await self.clinic.log(principal, "refusal", action, courses, [refusal.rule for refusal in refusals])
            raise GroupRefused(refusals)

    async def _check_facilitators(self, principal: Principal, people: tuple[str, ...]) -> None:
        """Raises CommandInvalid unless these may facilitate a group together, and the principal may name them."""
        groups.check_facilitators(people)
        if principal.role == "therapist" and principal.person not in people:
            raise CommandInvalid([Fault("facilitators", "must name you; only a supervisor can leave themselves out")])
        named = [Named(f"facilitators[{index}]", each, "facilitator") for index, each in enumerate(people)]
        await self.staff.check(principal, named)

    def _moment(self, name: str, given: dt.datetime | None) -> dt.datetime:
        """The moment of joining or leaving: now by default, never in the future. Raises CommandInvalid."""
        now = self.clinic.clock.now()
        if given is None:
            return now
        faults = list(time_faults(given, name))
        if not faults and given - now > dt.timedelta(seconds=self.clinic.settings.clock_ahead_seconds):
            faults = [Fault(name, "lies ahead")]
        if faults:
            raise CommandInvalid(faults)
        return min(given.astimezone(dt.UTC), now)

    async def _course(self, principal: Principal, course_id: str) -> StoredCourse:
        try:
            seen = await self.clinic.visible_course(principal, course_id)
        except NotFound:
            raise CommandInvalid([Fault("course", "is no course that you may see")]) from None
        await self.clinic.require_lasting(principal, "manage groups", seen)
        await self.clinic.require_processing(principal, "manage groups", seen)
        return seen

    def _move(
        self, principal: Principal, course: str, nth: int, *, joined: bool, at: dt.datetime, reason: LeaveReason | None = None
    ) -> MemberMove:
        recorded_at = self.clinic.clock.now()
        return MemberMove(
            course=course, nth=nth, joined=joined, at=at, reason=reason, recorded_by=principal.person, recorded_at=recorded_at
        )

    async def _write(
        self, principal: Principal, line: GroupLine, action: str, courses: Iterable[str], key: IdempotencyKey | None
    ) -> None:
        seq, now = line.expected + 1, self.clinic.clock.now()
        unit = Unit(
            organisation=self.clinic.organisation,
            changes=(),
            answer=seal.kept_answer(self.clinic, key, line.group, seq, seq, now) if key else None,
            line=line,
            events=(self.clinic.event(principal, "config", f"group {line.group} {action}", courses, why=self._why(principal)),),
        )
        await self.clinic.committer.commit(unit)

    def _why(self, principal: Principal) -> Relation | None:
        """The relation of who changes a group, if it is one to the group."""
        return FACILITATOR if principal.role == "therapist" else None

    async def _committed(self, principal: Principal, group_id: str, version: int, *, replayed: bool = False) -> GroupCommitted:
        """The group as it was at a version."""
        group = await self.clinic.read(stored.find, group_id, version)
        assert group is not None  # a commit has written this version
        return GroupCommitted(group=await self.group_view(principal, group), replayed=replayed)

    async def _replay(self, principal: Principal, kept: KeptAnswer) -> GroupCommitted:
        return await self._committed(principal, kept.course_id, kept.last_seq, replayed=True)


def decoded(write: GroupWrite, group: Group) -> Any:
    """Checks the precondition, then decodes the body. Raises VersionRequired, GroupStale or CommandInvalid."""
    if write.problem:
        raise write.problem
    if write.version is None and write.version_required:
        raise VersionRequired(f"Send the version you decided on as If-Match; the group is at version {group.version}.")
    if write.version is not None and write.version != group.version:
        raise GroupStale(group.version)
    return write.decode()
