"""Imports courses from NDJSON. Each line is one trigger of one course, or several together, and the machine judges it.

A line names its course by a key of the file's own. The line that opens a course also names the client and the protocol.
An idempotency key made of the line keeps its result, so that a corrected or longer file can be imported again without doubles.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Literal

import msgspec

from ipt_workflow import journal
from ipt_workflow.access import policy
from ipt_workflow.access.principal import Principal
from ipt_workflow.course import Course, visits
from ipt_workflow.course.facts import Fact
from ipt_workflow.course.rules import Context
from ipt_workflow.course.triggers import OPENINGS, Command, Override, Role
from ipt_workflow.errors import CommandInvalid, CommandMalformed, Fault, Faulty, IptError, NotFound, TransitionRefused
from ipt_workflow.machine import Accepted, machine_for
from ipt_workflow.runtime.documents import json_value
from ipt_workflow.service.clinic import NOT_SEEN, Clinic, new_id
from ipt_workflow.service.courses import Courses, checked_commands, crisis_call_faults, followup
from ipt_workflow.service.writes import FOR_EVER, IdempotencyKey, Opening, Write
from ipt_workflow.store import courses as stored_courses
from ipt_workflow.store.courses import StoredCourse
from ipt_workflow.store.units import KeptAnswer
from ipt_workflow.values.faults import shaped
from ipt_workflow.values.types import ClientRef, Code, FileKey, Moment, Person, Seq, Text

LINE_BYTES_MAX = 1_048_576


class Line(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line: a `trigger`, or commands `together`. `person` and `role` name who did it, by default the course's therapist.

    `opens` is the file's key of the course that an `open_followup` opens.
    """

    course: FileKey
    trigger: str | None = None
    together: tuple[Command, ...] = ()
    data: dict[str, Any] = {}
    occurred_at: Moment | None = None
    reason: Text | None = None
    override: Override | None = None
    person: Person | None = None
    role: Role = "therapist"
    client_ref: ClientRef | None = None
    protocol: Code = "ipt"
    protocol_version: Seq | None = None
    therapist: Person | None = None
    opens: FileKey | None = None


LineResult = Literal["accepted", "known", "linked"]


class RefusedLine(msgspec.Struct, frozen=True):
    line: int
    course: str | None
    why: str


class ImportReport(msgspec.Struct, kw_only=True):
    """The results of the lines: `accepted` now, `known` from an earlier run, or `refused`, each with the reason.

    `linked` are visits that the course had recorded otherwise. The session got the line's reference, and is still one.
    """

    accepted: int = 0
    known: int = 0
    linked: int = 0
    refused: list[RefusedLine] = []


class ImportedCourse(msgspec.Struct, kw_only=True):
    """A course of the file. A dry run also keeps the course as it would be by now, with its facts and data."""

    id: str
    therapist: str | None
    course: Course | None = None
    facts: tuple[Fact, ...] = ()
    given: dict[int, dict[str, Any]] = {}


async def run(
    clinic: Clinic,
    lines: Sequence[bytes],
    *,
    person: str = "import",
    dry_run: bool = False,
    progress: Callable[[], None] = lambda: None,
) -> ImportReport:
    """Imports the lines in order. `person` is the actor of lines that name nobody, in courses without a therapist.

    With `dry_run` every line is judged, and nothing is written.
    """
    task = _Import(clinic, person=person, dry_run=dry_run)
    for number, raw in enumerate(lines, start=1):
        if raw.strip():
            await task.take(number, raw)
        progress()
    return task.report


class _Import:
    def __init__(self, clinic: Clinic, *, person: str, dry_run: bool) -> None:
        self.person = person
        self.clinic = clinic
        self.courses = Courses(clinic)
        self.dry_run = dry_run
        self.report = ImportReport()
        self.imported: dict[str, ImportedCourse] = {}
        self._seen: dict[str, int] = {}

    async def take(self, number: int, raw: bytes) -> None:
        """Imports one line, and adds its result to the report."""
        line: Line | None = None
        try:
            line = _line(raw)
            result = await self._take(line, self._key(line, raw))
            self.report.accepted += result == "accepted"
            self.report.known += result == "known"
            self.report.linked += result == "linked"
        except IptError as error:
            self.report.refused.append(RefusedLine(number, line.course if line else None, _why(error)))

    async def _take(self, line: Line, key: IdempotencyKey) -> LineResult:
        """Imports one line."""
        kept = await self.clinic.kept_answer(key.scope)
        if line.trigger in OPENINGS:
            if kept is None:
                await self._open(line, key)
            else:
                await self._known(line.course, kept.course_id)
        elif kept is None:
            return await self._fire(line, key)
        elif line.opens:
            await self._opened(line.opens, kept)
        return "accepted" if kept is None else "known"

    async def _opened(self, name: str, kept: KeptAnswer) -> None:
        """Takes up the course that an `open_followup` opened, which the file calls `name`."""
        entries = await self.clinic.entries(kept.course_id)
        await self._known(name, entries[kept.last_seq - 1].written.data["course"])

    async def _known(self, name: str, course_id: str) -> None:
        """Takes up a course of an earlier run, which the file calls `name`. A dry run goes on from its present state."""
        stored = await self.clinic.courses.get(course_id)
        entries = await self.clinic.entries(course_id)
        course = stored.course if stored else None
        self.imported[name] = ImportedCourse(
            id=course_id,
            therapist=course.therapist if course else None,
            course=course,
            facts=journal.facts(entries),
            given=journal.given(entries),
        )

    async def _open(self, line: Line, key: IdempotencyKey) -> None:
        if line.client_ref is None:
            raise CommandMalformed(f"{line.trigger} needs client_ref: add the client's reference to the line")
        therapist = line.therapist or (line.person if line.role == "therapist" else None)
        principal = Principal(person=line.person or therapist or self.person, role=line.role, via="cli")
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
        if self.dry_run:
            self.imported[line.course] = await self._rehearse_opening(line, principal, therapist)
            return
        done = await self.courses.open_course(principal, lambda: opening, key)
        self.imported[line.course] = ImportedCourse(id=done.course_id, therapist=therapist)

    async def _fire(self, line: Line, key: IdempotencyKey) -> LineResult:
        imported = self.imported.get(line.course)
        if imported is None:
            raise CommandMalformed(
                f"course {line.course!r} is not opened by an earlier line of this file: add a line with refer or adopt before it"
            )
        if line.opens and line.trigger != "open_followup":
            raise CommandMalformed("opens names the course that open_followup opens: remove it from this line")
        principal = Principal(person=line.person or imported.therapist or self.person, role=line.role, via="cli")
        link = await self._link(line, imported)
        if link and link.command.data.get("ref") in {None, *link.session.refs}:  # the session lacks nothing that the line says
            return "linked"
        commands = (link.command,) if link else _commands(line)
        names = tuple(each.trigger for each in commands)
        write = Write(decode=lambda: commands, triggers=names, version_required=False, key=key)
        call = principal.role == "therapist" and principal.person != imported.therapist and not crisis_call_faults(commands)
        if self.dry_run:
            await self._rehearse(imported, write, principal, line.opens, call=call)
        elif call:
            await self.courses.import_crisis_call(principal, imported.id, commands, key)
        else:
            done = await self.courses.fire(principal, imported.id, write)
            assert done.course  # the write asked for it
            imported.therapist = done.course.therapist
            kept = await self.clinic.kept_answer(key.scope) if line.opens else None
            if line.opens and kept:
                await self._opened(line.opens, kept)
        return "linked" if link else "accepted"

    async def _link(self, line: Line, imported: ImportedCourse) -> visits.Link | None:
        """The link that a line comes to, if its visit is recorded already. A line that overrides the overlap is another visit."""
        if line.trigger != "record_session" or (line.override and "overlaps_session" in line.override.rules):
            return None
        stored = None if self.dry_run else await self.clinic.courses.get(imported.id)
        course = stored.course if stored else imported.course
        return visits.link(_commands(line)[0], course, self.clinic.clock.now(), self.clinic.zone) if course else None

    async def _rehearse_opening(self, line: Line, principal: Principal, therapist: str | None) -> ImportedCourse:
        assert line.client_ref is not None
        policy.require(principal, "open a course")
        imported = ImportedCourse(id=new_id(), therapist=therapist)
        context = msgspec.structs.replace(
            self._context(principal, imported),
            client=line.client_ref,
            therapist=therapist,
            other_open_course=await self._rehearsed_other(line.client_ref),
        )
        protocol = self.clinic.protocol(line.protocol, line.protocol_version)
        self._keep(imported, machine_for(protocol).together(None, _commands(line), context))
        return imported

    async def _rehearsed_other(self, client_ref: str) -> str | None:
        """The client's open acute course, counting the lines rehearsed so far."""
        known = await self.clinic.read(stored_courses.client_id, client_ref)
        stored = await self.clinic.read(stored_courses.other_open_course, known) if known else None
        rehearsed = {each.id: each.course for each in self.imported.values() if each.course}
        open_now = [
            key for key, course in rehearsed.items() if course.client in {client_ref, known} and course.acute and course.open
        ]
        return next(iter(open_now), None) or (stored if stored not in rehearsed else None)

    async def _rehearse(
        self, imported: ImportedCourse, write: Write, principal: Principal, opens: str | None, *, call: bool
    ) -> None:
        """Judges a line. `call` says that it is a crisis call, which a therapist takes on a colleague's course too."""
        assert imported.course is not None
        if not call and not policy.may_see(principal, imported.course):
            raise NotFound(NOT_SEEN)
        policy.require(principal, "take a crisis call" if call else "change a course")
        commands = checked_commands(write, imported.course)
        stored = StoredCourse(imported.course, "", None)
        client = await self.courses.decisions.new_client(imported.course, commands)
        context = await self.courses.decisions.context(principal, stored, commands, client)
        context = msgspec.structs.replace(context, history=imported.facts, given=imported.given)
        machine = self.clinic.machine_of(imported.course)
        accepted = machine.together(imported.course, commands, context)
        self._keep(imported, accepted)
        imported.therapist = imported.course.therapist
        if opens:
            opened = followup(accepted, context)
            self.imported[opens] = ImportedCourse(id=opened.course.id, therapist=opened.course.therapist)
            self._keep(self.imported[opens], opened)

    def _keep(self, imported: ImportedCourse, accepted: Accepted) -> None:
        imported.course = accepted.course
        imported.facts += tuple(draft.fact for draft in accepted.drafts)
        imported.given = {**imported.given, **{draft.fact.seq: draft.given for draft in accepted.drafts}}

    def _context(self, principal: Principal, imported: ImportedCourse) -> Context:
        now = self.clinic.clock.now()
        if imported.course:
            now = max(now, imported.course.last_recorded_at)
        return self.clinic.context(principal, now, course_id=imported.id, history=imported.facts, given=imported.given)

    def _key(self, line: Line, raw: bytes) -> IdempotencyKey:
        """A key made of the line's bytes, and of how many equal lines came before it in the file."""
        digest = hashlib.sha256(raw.strip()).hexdigest()
        times = self._seen[digest] = self._seen.get(digest, 0) + 1
        scope = hashlib.sha256(f"import\n{line.course}\n{digest}\n{times}".encode()).hexdigest()
        return IdempotencyKey(scope, digest, kept=FOR_EVER)


def _line(raw: bytes) -> Line:
    if len(raw) > LINE_BYTES_MAX:
        raise CommandMalformed(f"has more than {LINE_BYTES_MAX} bytes")
    value = json_value(raw)
    if not isinstance(value, dict):
        raise CommandMalformed("must be a JSON object")
    line = shaped(Line, value)
    of_one = set(Command.__struct_fields__).intersection(value)
    if line.together and of_one:
        raise CommandInvalid([Fault(name, "belongs to each command of `together`") for name in sorted(of_one)])
    if line.trigger is None and not line.together:
        raise CommandInvalid([Fault("trigger", "is required, or commands in `together`")])
    return line


def _commands(line: Line) -> tuple[Command, ...]:
    """The line's commands: several together, or one."""
    return line.together or (Command(line.trigger or "", line.data, line.occurred_at, line.reason, line.override),)


def _why(error: IptError) -> str:
    if isinstance(error, TransitionRefused):
        return f"{error.trigger} refused: " + "; ".join(f"{refusal.rule}: {refusal.message}" for refusal in error.refusals)
    if isinstance(error, Faulty):
        return "; ".join(str(fault) for fault in error.faults)
    return str(error)
