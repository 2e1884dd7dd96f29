"""The one way in: whoever writes a course decides, records refusals and commits here.

Courses, proposals, group sessions, notices of EHR systems and the importer all call it. A command is decided on the course as it was
read. If the course moves on before the commit, the caller decides again on what it has become: `retrying` is the only such loop.
"""

import datetime as dt
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, TypeVar

import msgspec

from ipt_workflow.access.principal import Principal
from ipt_workflow.course import Course, triggers
from ipt_workflow.course.rules import Context
from ipt_workflow.course.triggers import Command
from ipt_workflow.errors import Busy, TransitionRefused, TriggerNotPermitted
from ipt_workflow.gate.replay import refused_command
from ipt_workflow.machine import Accepted, Refused
from ipt_workflow.service import seal
from ipt_workflow.service.clinic import Clinic, new_id
from ipt_workflow.service.writes import IdempotencyKey
from ipt_workflow.store import courses as stored_courses
from ipt_workflow.store.courses import StoredCourse
from ipt_workflow.store.units import CourseChange, KeptAnswer, LoggedEvent, NewClient, Unit
from ipt_workflow.values.types import ClientRef

Result = TypeVar("Result")

ATTEMPTS = 8


async def retrying(
    attempt: Callable[[], Awaitable[Result]],
    *overtaken: type[Exception],
    busy: str,
    unless: tuple[type[Exception], ...] = (),
) -> Result:
    """Runs `attempt` again while another write overtakes it: while it raises one of `overtaken`, but none of `unless`.

    Raises Busy with the sentence `busy` after the last attempt.
    """
    for _ in range(ATTEMPTS):
        try:
            return await attempt()
        except unless:
            raise
        except overtaken:
            continue
    raise Busy(busy)


class Client(msgspec.Struct, frozen=True):
    """A client's record, `known` or to be made with the commit. `open_course` is their open acute course."""

    id: str
    ref: str
    known: bool
    open_course: str | None = None

    @property
    def new(self) -> NewClient | None:
        """The record to be made, if it is not known yet."""
        return None if self.known else NewClient(self.id, self.ref)


class Decisions:
    """Deciding commands on a clinic's courses."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic

    # Who may

    async def permit(self, principal: Principal, names: Sequence[str], courses: Sequence[str] = ()) -> None:
        """Raises TriggerNotPermitted if the principal's role may never fire one of these triggers, and records the attempt."""
        for forbidden in self.forbidden(principal, names):
            await self.clinic.record(principal, "refusal", forbidden.trigger, courses, ["role"])
            raise forbidden

    def forbidden(self, principal: Principal, names: Sequence[str]) -> Iterator[TriggerNotPermitted]:
        """The triggers among these that the principal's role may never fire."""
        for name in names:
            row = triggers.row_of(name)
            if row is not None and principal.role not in row.roles:
                known = name if name in self.clinic.installation.trigger_names else row.name  # else it is a caller's free text
                yield TriggerNotPermitted(known, principal.role, row.roles)

    # What deciding needs from outside the course

    async def client(self, ref: str) -> Client:
        """The client's record with their open acute course; a new record if the reference is new."""
        known = await self.clinic.read(stored_courses.client_id, ref)
        if known is None:
            return Client(new_id(), ref, known=False)
        return Client(known, ref, known=True, open_course=await self.clinic.read(stored_courses.other_open_course, known))

    async def new_client(self, course: Course, commands: tuple[Command, ...]) -> Client | None:
        """The client that `relink_client` puts the course with; None for any other command."""
        if commands[0].trigger != "relink_client":
            return None
        try:
            ref = msgspec.convert(commands[0].data.get("client_ref"), ClientRef)
        except msgspec.ValidationError:
            return None  # decoding the command will say what is wrong
        client = await self.client(ref)
        return msgspec.structs.replace(client, open_course=None) if client.open_course == course.id else client

    async def context(
        self, principal: Principal, stored: StoredCourse, commands: tuple[Command, ...], client: Client | None = None
    ) -> Context:
        """Everything that deciding these commands needs from outside the course."""
        course = stored.course
        now = max(self.clinic.clock.now(), course.last_recorded_at)
        context = self.clinic.context(principal, now)
        first = commands[0]
        if any(_looks_back(each, course, now) for each in commands):
            context = self.clinic.with_history(context, await self.clinic.entries(course.id))
        if first.trigger in triggers.NAMING_PROTOCOL:
            context = msgspec.structs.replace(context, target=self._target(course, first), course_id=new_id())
        if first.trigger in triggers.NAMING_PROTOCOL | {"reopen"}:
            other = await self.clinic.read(stored_courses.other_open_course, course.client, course.id)
            return msgspec.structs.replace(context, other_open_course=other)
        if client:
            return msgspec.structs.replace(context, client=client.id, other_open_course=client.open_course)
        return context

    def _target(self, course: Course, command: Command) -> Any:
        name, version = command.data.get("protocol"), command.data.get("protocol_version")
        if not isinstance(name, str) or not isinstance(version, int | None):
            return self.clinic.machine_of(course).protocol  # decoding the command will say what is wrong
        return self.clinic.protocol(name, version, "data.protocol")

    # Deciding and committing

    def decide(self, stored: StoredCourse, commands: tuple[Command, ...], context: Context) -> Accepted | Refused:
        """What the course's machine answers. Nothing is recorded. Raises CommandInvalid or TriggerNotPermitted."""
        return self.clinic.machine_of(stored.course).preview(stored.course, commands, context)

    async def accepted(
        self,
        principal: Principal,
        stored: StoredCourse | None,
        answer: Accepted | Refused,
        commands: tuple[Command, ...],
        context: Context,
        protocol: str = "",
    ) -> Accepted:
        """Returns the acceptance. Otherwise records the refusal and raises TransitionRefused.

        `protocol` is the id of the protocol that a course was to be opened under.
        """
        if isinstance(answer, Accepted):
            return answer
        if stored is None:
            self._count_refused(protocol, answer)
            await self.clinic.record(principal, "refusal", answer.trigger, (), [each.rule for each in answer.refusals])
        else:
            await self.clinic.committer.commit(self.refusal(principal, stored, answer, commands, context))
        raise refused(answer)

    def refusal(
        self, principal: Principal, stored: StoredCourse, answer: Refused, commands: tuple[Command, ...], context: Context
    ) -> LoggedEvent:
        """Counts a refusal, and returns it as the audit log keeps it.

        A single command is kept with it, so that `protocol replay` can judge it again.
        """
        course = stored.course
        self._count_refused(course.protocol, answer)
        kept = None
        if len(commands) == 1:
            kept = msgspec.json.encode(refused_command(self.clinic.machine_of(course), course, commands[0], context))
        rules = [each.rule for each in answer.refusals]
        return self.clinic.event(principal, "refusal", answer.trigger, [course.id], rules, publish=True, command=kept)

    def change(self, stored: StoredCourse, accepted: Accepted) -> CourseChange:
        """A course's new entries, sealed onto its chain, and the course as it is with them."""
        return seal.change(self.clinic, accepted.course, accepted.drafts, stored.head, stored.course.version)

    def kept_answer(self, key: IdempotencyKey | None, change: CourseChange) -> KeptAnswer | None:
        """The entries of a change, as the answer that is kept under a key."""
        if key is None:
            return None
        first, last = change.entries[0].written, change.entries[-1].written
        return seal.kept_answer(self.clinic, key, change.course.id, first.seq, last.seq, last.recorded_at)

    async def commit(self, unit: Unit, meanwhile: Callable[[], Any] = lambda: None) -> Any:
        """Commits a unit and counts its transitions. Returns what `meanwhile` makes while the database writes."""
        made = await self.clinic.committer.commit(unit, meanwhile)
        for change in unit.changes:
            for entry in change.entries:
                self.clinic.metrics.transitions.labels(change.course.protocol, entry.written.trigger).inc()
        return made

    def _count_refused(self, protocol: str, answer: Refused) -> None:
        for each in answer.refusals:
            self.clinic.metrics.refusals.labels(protocol, answer.trigger, each.rule).inc()


def refused(answer: Refused) -> TransitionRefused:
    """A refusal of the machine as the error that callers meet."""
    return TransitionRefused(answer.trigger, answer.state, answer.version, answer.refusals)


def _looks_back(command: Command, course: Course, now: dt.datetime) -> bool:
    """Whether deciding needs the journal: for late entries, amendments, migrations, and reopening what a late entry contradicted."""
    takes_back = command.trigger == "reopen" and bool(course.contradicted)
    return command.trigger in {"amend", "migrate_protocol"} or takes_back or (command.occurred_at or now) < course.last_occurred_at
