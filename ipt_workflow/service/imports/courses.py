"""Imports the lines of courses. What they open and fire goes the way of every other write."""

from ipt_workflow.access.principal import Principal
from ipt_workflow.course import visits
from ipt_workflow.course.triggers import OPENINGS
from ipt_workflow.errors import CommandMalformed
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.service.courses import Courses, crisis_call_faults
from ipt_workflow.service.imports.lines import LineOfCourse
from ipt_workflow.service.imports.report import LineResult
from ipt_workflow.service.proposals import Proposals
from ipt_workflow.service.writes import IdempotencyKey, Opening, Write
from ipt_workflow.store.courses import StoredCourse
from ipt_workflow.store.units import KeptAnswer


class CourseImport:
    """The courses of a file. `ids` are their ids by the file's names. `person` is the actor where nobody else is named."""

    def __init__(self, clinic: Clinic, person: str) -> None:
        self.clinic = clinic
        self.person = person
        self.courses = Courses(clinic)
        self.proposals = Proposals(clinic)
        self.ids: dict[str, str] = {}

    async def take(self, line: LineOfCourse, key: IdempotencyKey, kept: KeptAnswer | None) -> LineResult:
        """Imports a line, unless an earlier run has kept its answer."""
        if line.trigger in OPENINGS:
            if kept is None:
                return await self._open(line, key)
            self.ids[line.course] = kept.course_id
            return "known"
        course_id = self._named(line.course)
        if kept is None:
            return await self._fire(line, course_id, key)
        if line.opens:
            await self._opened(line.opens, kept)
        return "known"

    def with_names(self, text: str) -> str:
        """A text in which the file's names of courses stand for their ids."""
        for name, course_id in self.ids.items():
            text = text.replace(course_id, name)
        return text

    async def _opened(self, name: str, kept: KeptAnswer) -> None:
        """Takes up the course that an `open_followup` opened, which the file calls `name`."""
        entries = await self.clinic.entries(kept.course_id)
        self.ids[name] = entries[kept.last_seq - 1].written.data["course"]

    async def _open(self, line: LineOfCourse, key: IdempotencyKey) -> LineResult:
        if line.client_ref is None:
            raise CommandMalformed(f"{line.trigger} needs client_ref: add the client's reference to the line")
        therapist = line.therapist or (line.person if line.role == "therapist" else None)
        opening = Opening(
            client_ref=line.client_ref,
            protocol=line.protocol,
            protocol_version=line.protocol_version,
            therapist=therapist,
            trigger="adopt" if line.trigger == "adopt" else "refer",
            occurred_at=line.occurred_at,
            reason=line.reason,
            override=line.override,
            data=line.data,
        )
        principal = Principal(person=line.person or therapist or self.person, role=line.role, via="cli", importing=True)
        done = await self.courses.open_course(principal, lambda: opening, key, entries_only=True)
        self.ids[line.course] = done.course_id
        return "accepted"

    async def _fire(self, line: LineOfCourse, course_id: str, key: IdempotencyKey) -> LineResult:
        stored = await self.clinic.courses.get(course_id)
        assert stored is not None  # courses are never removed
        principal = Principal(
            person=line.person or stored.course.therapist or self.person, role=line.role, via="cli", importing=True
        )
        link = self._link(line, stored)
        if link and link.command.data.get("ref") in {None, *link.session.refs}:  # the session lacks nothing that the line says
            return "linked"
        commands = (link.command,) if link else line.commands
        names = tuple(each.trigger for each in commands)
        write = Write(decode=lambda: commands, triggers=names, version_required=False, key=key, entries_only=True)
        if line.cosigned_by:
            cosigner = Principal(person=line.cosigned_by.person, role=line.cosigned_by.role, via="cli", importing=True)
            await self.proposals.import_cosigned(principal, cosigner, course_id, write)
        elif principal.role == "therapist" and principal.person != stored.course.therapist and not crisis_call_faults(commands):
            await self.courses.import_crisis_call(principal, course_id, commands, key)
        else:
            await self.courses.fire(principal, course_id, write)
        kept = await self.clinic.kept_answer(key.scope) if line.opens else None
        if line.opens and kept:
            await self._opened(line.opens, kept)
        return "linked" if link else "accepted"

    def _named(self, name: str) -> str:
        if name not in self.ids:
            raise CommandMalformed(
                f"course {name!r} is not opened by an earlier line of this file: add a line with refer or adopt before it"
            )
        return self.ids[name]

    def _link(self, line: LineOfCourse, stored: StoredCourse) -> visits.Link | None:
        """The link that a line comes to, if its visit is recorded already. A line that overrides the overlap is another visit."""
        another = line.override and "overlaps_session" in line.override.rules
        if line.trigger != "record_session" or line.cosigned_by or another:
            return None
        return visits.link(line.commands[0], stored.course, self.clinic.clock.now(), self.clinic.zone)
