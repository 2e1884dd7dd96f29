"""The verbs over groups: make one, join and leave, say who facilitates, read. Sessions are in `group_sessions`.

The order of checks is that of every write: what the caller may not see, what they may not do, the idempotency key, the group's version,
and only then the body. A line of a group's log is committed with its key and its record in the audit log.
"""

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import msgspec

from ipt_workflow import groups
from ipt_workflow.access import policy
from ipt_workflow.access.principal import Principal
from ipt_workflow.errors import Busy, CommandInvalid, Fault, GroupRefused, GroupStale, NotFound, Refusal, VersionRequired
from ipt_workflow.groups import Group, views
from ipt_workflow.groups.bodies import Facilitating, Joining, Leaving, NewGroup
from ipt_workflow.groups.views import GroupCommitted, GroupSummary, GroupView, MemberFacts
from ipt_workflow.protocols.definition import GroupSpec, Protocol
from ipt_workflow.service import seal
from ipt_workflow.service.clinic import Clinic, new_id
from ipt_workflow.service.idempotency import Idempotency
from ipt_workflow.service.writes import GroupWrite, IdempotencyKey
from ipt_workflow.store import groups as stored
from ipt_workflow.store.courses import KeptAnswer, StoredCourse
from ipt_workflow.store.units import CourseGrouped, GroupLine, Unit
from ipt_workflow.values.faults import time_faults

ATTEMPTS = 8
NO_GROUP = "There is no such group, or none that you may see."
NO_MEMBER = "The group has never had such a member."


class Groups:
    """The verbs over a clinic."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic
        self._idempotency: Idempotency[GroupCommitted] = Idempotency(clinic)

    async def create(
        self, principal: Principal, decode: Callable[[], NewGroup], key: IdempotencyKey | None = None
    ) -> GroupCommitted:
        """Makes a group under a protocol that is for groups. A therapist who makes it is one of its facilitators."""
        await self.clinic.require(principal, "manage groups")
        return await self._idempotency.run(key, self._replay, lambda: self._create(principal, decode(), key))

    async def _create(self, principal: Principal, told: NewGroup, key: IdempotencyKey | None) -> GroupCommitted:
        protocol = self.clinic.protocol(told.protocol, told.protocol_version)
        if protocol.group is None:
            raise CommandInvalid([Fault("protocol", f"{protocol.key} is not for groups: it has no [group]")])
        facilitators = told.facilitators or ((principal.person,) if principal.role == "therapist" else ())
        _check_facilitators(principal, facilitators)
        group, now = new_id(), self.clinic.clock.now()
        row = {
            "organisation": self.clinic.organisation,
            "id": group,
            "label": told.label,
            "protocol": protocol.id,
            "protocol_version": protocol.version,
            "version": 1,
            "created_at": now,
            "created_by": principal.person,
        }
        line = msgspec.structs.replace(self._facilitators(principal, group, 0, facilitators, now), new=row)
        await self._write(principal, line, "created", (), key)
        return await self._committed(group, 1)

    async def page(self, principal: Principal, protocol: str | None, after: str, limit: int) -> list[GroupSummary]:
        """Groups in the order they were made; a therapist's are those that they facilitate."""
        policy.require(principal, "read groups")
        person = principal.person if principal.role == "therapist" else None
        found = await self.clinic.database.read(
            lambda c: stored.page(c, self.clinic.organisation, person=person, protocol=protocol, after=after, limit=limit)
        )
        await self.clinic.record(principal, "read", "groups", dict.fromkeys(course for group in found for course in group.courses))
        return [views.summary(group) for group in found]

    async def one(self, principal: Principal, group_id: str) -> GroupView:
        """A group with its members, its sessions and who attended them."""
        group = await self.visible(principal, group_id)
        policy.require(principal, "read groups")
        await self.clinic.record(principal, "read", f"group {group.id}", group.courses)
        return await self.view(group)

    async def join(self, principal: Principal, group_id: str, write: GroupWrite) -> GroupCommitted:
        """Puts a course that the caller sees into the group."""
        return await self._change(principal, group_id, write, self._join)

    async def leave(self, principal: Principal, group_id: str, course: str, write: GroupWrite) -> GroupCommitted:
        """Says that a member has left, and why, as a code."""
        if course not in (await self.visible(principal, group_id)).courses:
            raise NotFound(NO_MEMBER)
        return await self._change(principal, group_id, write, lambda by, group, told: self._leave(by, group, course, told))

    async def facilitate(self, principal: Principal, group_id: str, write: GroupWrite) -> GroupCommitted:
        """Says who facilitates the group from now on."""
        return await self._change(principal, group_id, write, self._facilitate)

    async def _change(
        self,
        principal: Principal,
        group_id: str,
        write: GroupWrite,
        decide: Callable[[Principal, Group, Any], Awaitable[tuple[GroupLine, str, tuple[str, ...]]]],
    ) -> GroupCommitted:
        """Writes the line of the log that `decide` makes of what is told; with it what it is called, and which courses it touches."""
        group = await self.visible(principal, group_id)
        await self.clinic.require(principal, "manage groups", group.courses)
        return await self._idempotency.run(write.key, self._replay, lambda: self._decided(principal, group_id, write, decide))

    async def _decided(self, principal: Principal, group_id: str, write: GroupWrite, decide: Callable[..., Any]) -> GroupCommitted:
        for _attempt in range(ATTEMPTS):
            group = await self.visible(principal, group_id)
            told = decoded(write, group)
            line, action, courses = await decide(principal, group, told)
            try:
                await self._write(principal, line, action, courses, write.key)
            except CourseGrouped:
                continue
            except GroupStale:
                if write.version is not None:
                    raise
                continue
            return await self._committed(group_id, line.expected + 1)
        raise Busy("The group is being written by others. Try again.")

    async def _join(self, principal: Principal, group: Group, told: Joining) -> tuple[GroupLine, str, tuple[str, ...]]:
        course = await self._course(principal, told.course)
        at = self._moment("joined_at", told.joined_at)
        last = await self.clinic.read(stored.last_of, told.course)
        await self.stand(
            principal, "join a group", groups.join_refusals(group, self.spec(group), course.course, at, last), (told.course,)
        )
        row = self._member(principal, group, told.course, (last.nth if last else 0) + 1, joined=True, at=at)
        return _line(group, "group_member", row), "member joined", (told.course,)

    async def _leave(
        self, principal: Principal, group: Group, course: str, told: Leaving
    ) -> tuple[GroupLine, str, tuple[str, ...]]:
        at = self._moment("left_at", told.left_at)
        await self.stand(principal, "leave a group", groups.leave_refusals(group, course, at), (course,))
        last = await self.clinic.read(stored.last_of, course)
        assert last is not None  # it has joined
        row = self._member(principal, group, course, last.nth + 1, joined=False, at=at)
        return _line(group, "group_member", {**row, "reason": told.reason}), "member left", (course,)

    async def _facilitate(self, principal: Principal, group: Group, told: Facilitating) -> tuple[GroupLine, str, tuple[str, ...]]:
        _check_facilitators(principal, told.facilitators)
        now = self.clinic.clock.now()
        line = self._facilitators(principal, group.id, group.version, told.facilitators, now)
        return line, "facilitators named", group.courses

    # What the verbs share, also those over sessions

    async def visible(self, principal: Principal, group_id: str) -> Group:
        """A group, if it exists for the principal. Raises NotFound."""
        group = await self.clinic.read(stored.find, group_id)
        if group is None or not policy.may_see_group(principal, group.facilitators):
            raise NotFound(NO_GROUP)
        return group

    def spec(self, group: Group) -> GroupSpec:
        """What the group's protocol asks of groups."""
        spec = self._protocol(group).group
        assert spec is not None  # no group was made under another
        return spec

    def _protocol(self, group: Group) -> Protocol:
        return next(each for each in self.clinic.protocols if (each.id, each.version) == (group.protocol, group.protocol_version))

    async def courses(self, ids: Iterable[str]) -> dict[str, StoredCourse]:
        """Courses that were members'."""
        wanted = list(ids)
        found = await asyncio.gather(*(self.clinic.courses.get(each) for each in wanted))
        return {its_id: course for its_id, course in zip(wanted, found, strict=True) if course}

    async def view(self, group: Group) -> GroupView:
        return views.view(group, self.spec(group), await self.known(group))

    async def known(self, group: Group) -> MemberFacts:
        """What a group's view needs beside its log."""
        courses = await self.courses(group.courses)
        waited = [told.notice for session in group.sessions for told in session.told.values() if told.notice]
        found = await self.clinic.read(stored.notices, waited)
        return MemberFacts(
            courses={its_id: each.course for its_id, each in courses.items()},
            client_refs={its_id: each.client_ref for its_id, each in courses.items()},
            notices={its_id: status for its_id, (status, _) in found.items()},
        )

    async def stand(self, principal: Principal, action: str, refusals: tuple[Refusal, ...], courses: Iterable[str]) -> None:
        """Records what stands against a line of the log, and raises it as GroupRefused."""
        if refusals:
            await self.clinic.record(principal, "refusal", action, courses, [refusal.rule for refusal in refusals])
            raise GroupRefused(refusals)

    def _moment(self, name: str, told: dt.datetime | None) -> dt.datetime:
        """When somebody joined or left: now, unless told; never to come."""
        now = self.clinic.clock.now()
        if told is None:
            return now
        faults = list(time_faults(told, name))
        if not faults and told - now > dt.timedelta(seconds=self.clinic.settings.clock_ahead_seconds):
            faults = [Fault(name, "lies ahead")]
        if faults:
            raise CommandInvalid(faults)
        return min(told.astimezone(dt.UTC), now)

    async def _course(self, principal: Principal, course_id: str) -> StoredCourse:
        try:
            return await self.clinic.visible(principal, course_id)
        except NotFound:
            raise CommandInvalid([Fault("course", "is no course that you may see")]) from None

    def _facilitators(
        self, principal: Principal, group: str, version: int, facilitators: Iterable[str], now: dt.datetime
    ) -> GroupLine:
        told = {"told_by": principal.person, "told_at": now}
        rows = [
            {"organisation": self.clinic.organisation, "group_id": group, "seq": version + 1, "person": person, **told}
            for person in facilitators
        ]
        return GroupLine(group=group, expected=version, table="group_facilitator", rows=tuple(rows))

    def _member(
        self, principal: Principal, group: Group, course: str, nth: int, *, joined: bool, at: dt.datetime
    ) -> dict[str, Any]:
        return {
            "organisation": self.clinic.organisation,
            "course_id": course,
            "nth": nth,
            "group_id": group.id,
            "seq": group.version + 1,
            "joined": joined,
            "at": at,
            "reason": None,
            "told_by": principal.person,
            "told_at": self.clinic.clock.now(),
        }

    async def _write(
        self, principal: Principal, line: GroupLine, action: str, courses: Iterable[str], key: IdempotencyKey | None
    ) -> None:
        seq, now = line.expected + 1, self.clinic.clock.now()
        unit = Unit(
            organisation=self.clinic.organisation,
            changes=(),
            answer=seal.kept_answer(self.clinic, key, line.group, seq, seq, now) if key else None,
            line=line,
            events=(self.clinic.event(principal, "config", f"group {line.group} {action}", courses),),
        )
        await self.clinic.committer.commit(unit)

    async def _committed(self, group_id: str, version: int, *, replayed: bool = False) -> GroupCommitted:
        """The group as it was at a version."""
        group = await self.clinic.read(stored.find, group_id, version)
        assert group is not None  # it was committed
        return GroupCommitted(group=await self.view(group), replayed=replayed)

    async def _replay(self, kept: KeptAnswer) -> GroupCommitted:
        return await self._committed(kept.course_id, kept.last_seq, replayed=True)


def decoded(write: GroupWrite, group: Group) -> Any:
    """Precondition first, then the body."""
    if write.problem:
        raise write.problem
    if write.version is None and write.version_required:
        raise VersionRequired(f"Say in If-Match on which version you decided; the group is at version {group.version}.")
    if write.version is not None and write.version != group.version:
        raise GroupStale(group.version)
    return write.decode()


def _line(group: Group, table: str, row: Mapping[str, Any]) -> GroupLine:
    return GroupLine(group=group.id, expected=group.version, table=table, rows=(row,))


def _check_facilitators(principal: Principal, told: tuple[str, ...]) -> None:
    groups.check_facilitators(told)
    if principal.role == "therapist" and principal.person not in told:
        raise CommandInvalid([Fault("facilitators", "must name you; a supervisor can name others alone")])
