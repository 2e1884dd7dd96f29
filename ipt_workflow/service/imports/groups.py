"""Imports the lines of groups. A session, and its signature, reach every member's course or none."""

import re
from collections.abc import Mapping, Sequence
from typing import TypeVar

import msgspec

from ipt_workflow.access.principal import Principal
from ipt_workflow.errors import CommandInvalid, CommandMalformed, Fault
from ipt_workflow.groups import Group
from ipt_workflow.groups.bodies import CourseId, Facilitating, Joining, Leaving, NewGroup, NewSession, Signing
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.service.groups.groups import Groups
from ipt_workflow.service.groups.sessions import GroupSessions
from ipt_workflow.service.groups.signatures import GroupSignatures
from ipt_workflow.service.imports.lines import LineOfGroup
from ipt_workflow.service.imports.report import LineResult
from ipt_workflow.service.writes import GroupWrite, IdempotencyKey
from ipt_workflow.store import groups as stored_groups
from ipt_workflow.store.units import KeptAnswer
from ipt_workflow.values.faults import decode

Body = TypeVar("Body", bound=msgspec.Struct)
BY_COURSE = ("attendance", "details", "focus")  # the fields of bodies whose keys are courses
OF_THE_LINE = ("session", "person")  # the fields beside `data` in which a group may find a fault
NOBODY = "0" * 36  # has the form of an id
UNKNOWN = "is not opened by an earlier line of this file"


class LeavingCourse(Leaving, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which course leaves, and why."""

    course: CourseId


class GroupImport:
    """The groups of a file. `courses` are the ids of its courses by the file's names."""

    def __init__(self, clinic: Clinic, courses: Mapping[str, str]) -> None:
        self.clinic = clinic
        self.courses = courses
        self.groups = Groups(clinic)
        self.sessions = GroupSessions(clinic)
        self.signatures = GroupSignatures(clinic)
        self.ids: dict[str, str] = {}
        self.session_ids: dict[tuple[str, str | None], str] = {}

    async def take(self, line: LineOfGroup, key: IdempotencyKey, kept: KeptAnswer | None) -> LineResult:
        """Imports a line, unless an earlier run has kept its answer."""
        if line.action != "create":
            self._named(line.group)
        if kept is not None:
            await self._known(line, kept)
            return "known"
        try:
            await self._do(line, key)
        except CommandInvalid as error:
            raise CommandInvalid([_of_line(fault) for fault in error.faults]) from None
        return "accepted"

    async def _known(self, line: LineOfGroup, kept: KeptAnswer) -> None:
        """Takes up the group or the session of an earlier run."""
        if line.action == "create":
            self.ids[line.group] = kept.course_id
        elif line.action == "record":
            group = await self._group(kept.course_id)
            self.session_ids[line.group, line.session] = next(each.id for each in group.sessions if each.seq == kept.last_seq)

    async def _do(self, line: LineOfGroup, key: IdempotencyKey) -> None:
        if line.action == "create":
            body = self._body(line, NewGroup)
            done = await self.groups.create(_principal(line, body.facilitators), lambda: body, key)
            self.ids[line.group] = done.group.id
            return
        group = await self._group(self._named(line.group))
        principal = _principal(line, group.facilitators)
        if line.action == "record":
            await self._record(line, principal, group, key)
        elif line.action == "sign":
            signing = self._body(line, Signing)
            await self.signatures.import_signature(principal, group.id, self._session(line), lambda: signing, key)
        elif line.action == "leave":
            leaving = self._body(line, LeavingCourse)
            await self.groups.leave(principal, group.id, leaving.course, _write(leaving, key))
        elif line.action == "join":
            await self.groups.join(principal, group.id, _write(self._body(line, Joining), key))
        else:
            await self.groups.facilitate(principal, group.id, _write(self._body(line, Facilitating), key))

    async def _record(self, line: LineOfGroup, principal: Principal, group: Group, key: IdempotencyKey) -> None:
        if "all" in line.data:
            raise CommandInvalid([Fault("all", "is true in every import: remove it")])
        body = msgspec.structs.replace(self._body(line, NewSession), all=True)
        done = await self.sessions.record(principal, group.id, _write(body, key))
        self.session_ids[line.group, line.session] = done.recorded.session.id

    def _named(self, name: str) -> str:
        if name not in self.ids:
            raise CommandMalformed(f"group {name!r} is not made by an earlier line of this file: add a line with create before it")
        return self.ids[name]

    async def _group(self, group_id: str) -> Group:
        group = await self.clinic.read(stored_groups.find, group_id)
        assert group is not None  # groups are never removed
        return group

    def _session(self, line: LineOfGroup) -> str:
        known = self.session_ids.get((line.group, line.session))
        if known is None:
            raise CommandInvalid([Fault("session", "is not recorded by an earlier line of this file")])
        return known

    def _body(self, line: LineOfGroup, shape: type[Body]) -> Body:
        """The line's data, with the ids of its courses. Raises CommandInvalid with every fault."""
        data, strangers = dict(line.data), []
        for field in BY_COURSE:
            if isinstance(data.get(field), dict):
                strangers += [Fault(f"{field}.{name}", UNKNOWN) for name in data[field] if name not in self.courses]
                data[field] = {self.courses.get(name, NOBODY): value for name, value in data[field].items()}
        name = data.get("course")
        if isinstance(name, str):
            strangers += [] if name in self.courses else [Fault("course", UNKNOWN)]
            data["course"] = self.courses.get(name, NOBODY)
        body, faults = decode(shape, data)
        if strangers or body is None:
            raise CommandInvalid([*strangers, *faults])
        return body


def _write(body: msgspec.Struct, key: IdempotencyKey) -> GroupWrite:
    return GroupWrite(decode=lambda: body, version_required=False, key=key)


def _principal(line: LineOfGroup, facilitators: Sequence[str]) -> Principal:
    """Who did what the line says: the person it names, or else the group's only facilitator. Raises CommandInvalid."""
    if line.person is None and (len(facilitators) != 1 or line.role != "therapist"):
        raise CommandInvalid([Fault("person", "is required, unless the group's only facilitator did it")])
    return Principal(person=line.person or facilitators[0], role=line.role, via="cli", importing=True)


def _of_line(fault: Fault) -> Fault:
    """A fault at its place in the line: those of a body are in its `data`."""
    inside = fault.where not in OF_THE_LINE and re.match(r"data\b", fault.where) is None
    return Fault(f"data.{fault.where}", fault.message) if inside else fault
