"""The one way in: every write to a course is permitted, decided, counted and committed here, and every refusal recorded.

Courses, proposals and group sessions call it; notices of EHR systems and imports reach it through them. A command is decided on the
course as it was read. If another write commits first, the caller decides again on the new version, in the loop of `retrying`.
"""

import datetime as dt
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from ipt_workflow import groups, journal
from ipt_workflow.access import people, relations
from ipt_workflow.access.people import Named
from ipt_workflow.access.principal import Principal
from ipt_workflow.course import Course, references, triggers
from ipt_workflow.course.commands import command_faults
from ipt_workflow.course.course import HeldBefore
from ipt_workflow.course.drafts import Draft
from ipt_workflow.course.fold import moved_away
from ipt_workflow.course.late_entries import is_late
from ipt_workflow.course.moved_entries import Arrived
from ipt_workflow.course.payloads import MoveEntries
from ipt_workflow.course.rules import Context, OtherCourse
from ipt_workflow.course.rules.moved_entries import emptied
from ipt_workflow.course.triggers import Command
from ipt_workflow.errors import Busy, CommandInvalid, EmergencyWriteOnly, Fault, TransitionRefused, TriggerNotPermitted
from ipt_workflow.gate.replay import refused_command
from ipt_workflow.journal import GENESIS
from ipt_workflow.machine import Accepted, Refused, machine_for
from ipt_workflow.protocols.definition import Protocol
from ipt_workflow.service import lapses, seal
from ipt_workflow.service.access.staff import Staff
from ipt_workflow.service.clinic import ROLE, Clinic, new_id
from ipt_workflow.service.writes import IdempotencyKey, Opening
from ipt_workflow.store import courses as stored_courses
from ipt_workflow.store import groups as stored_groups
from ipt_workflow.store import processing
from ipt_workflow.store import proposals as stored_proposals
from ipt_workflow.store.courses import StoredCourse
from ipt_workflow.store.units import (
    CourseChange,
    DecidedProposal,
    KeptAnswer,
    LoggedEvent,
    MovedEntries,
    NewClient,
    OtherCourseStale,
    Unit,
)
from ipt_workflow.values.faults import FAULTS_MAX, decode
from ipt_workflow.values.identities import is_identity

Result = TypeVar("Result")

ATTEMPTS = 8
CONTRACTS = frozenset({"agree_contract", "amend_contract"})  # of a client who joined a group late, they count from joining


async def retrying(
    attempt: Callable[[], Awaitable[Result]],
    *overtaken: type[Exception],
    busy: str = "The course is being written by others. Try again.",
    unless: tuple[type[Exception], ...] = (),
) -> Result:
    """Runs `attempt` until it raises none of `overtaken`, which say that another write committed first.

    Errors in `unless` are raised at once. Raises Busy with the sentence `busy` after the last attempt.
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
    """A client's record. If it is not `known`, the commit makes it. `open_course` is the client's open acute course.

    `processing` is the ground of a processing restriction.
    """

    id: str
    ref: str
    known: bool
    open_course: str | None = None
    processing: str | None = None

    @property
    def new(self) -> NewClient | None:
        """The record that the commit must make, if any."""
        return None if self.known else NewClient(self.id, self.ref)


class DecidedOpening(msgspec.Struct, frozen=True, kw_only=True):
    """How the machine answers an opening, for the client as found."""

    client: Client
    command: Command
    context: Context
    answer: Accepted | Refused


class Decisions:
    """Decides commands on a clinic's courses."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic
        self.staff = Staff(clinic)

    # Permission

    async def permit(self, principal: Principal, names: Sequence[str], stored: StoredCourse | None = None) -> None:
        """Raises TriggerNotPermitted as `forbidden` finds it, and records the attempt."""
        for forbidden in self.forbidden(principal, names, stored):
            await self.clinic.log(principal, "refusal", forbidden.trigger, [stored.course.id] if stored else (), [ROLE])
            raise forbidden

    def forbidden(
        self, principal: Principal, names: Sequence[str], stored: StoredCourse | None = None
    ) -> Iterator[TriggerNotPermitted]:
        """The triggers among these that the principal's role may never fire, or their relation to the course does not allow."""
        allowed = stored.relation.writes if stored and stored.relation else None
        for name in names:
            row = triggers.row_of(name)
            if row is not None and principal.role not in row.roles:
                known = name if name in self.clinic.installation.trigger_names else row.name  # else it is free text of the caller
                yield TriggerNotPermitted(known, principal.role, row.roles)
            elif row is not None and allowed is not None and name not in allowed:
                yield EmergencyWriteOnly(row.name, principal.role, allowed)

    async def check_named(self, principal: Principal, commands: tuple[Command, ...]) -> None:
        """Raises CommandInvalid, with every fault of the commands, if they name somebody who may not be named so."""
        faults = await self.staff.faults(principal, list(people.named_by(commands)))
        if faults:
            others = faults_together(commands) if len(commands) > 1 else command_faults(commands[0])
            raise CommandInvalid([*faults, *others][:FAULTS_MAX])

    # What deciding needs from outside the course

    async def client(self, ref: str) -> Client:
        """The client's record with their open acute course; a new record if the reference is new."""
        known = await self.clinic.read(stored_courses.client_id, ref)
        if known is None:
            return Client(new_id(), ref, known=False)
        grounds = await self.clinic.read(processing.grounds, known)
        open_course = await self.clinic.read(stored_courses.other_open_course, known)
        return Client(known, ref, known=True, open_course=open_course, processing=grounds[0] if grounds else None)

    async def new_client(self, course: Course, commands: tuple[Command, ...]) -> Client | None:
        """The client whom `relink_client` names; None for any other command."""
        if commands[0].trigger != "relink_client":
            return None
        ref = commands[0].data.get("client_ref")
        if not is_identity(ref):
            return None  # decoding the command will raise the fault
        client = await self.client(ref)
        return msgspec.structs.replace(client, open_course=None) if client.open_course == course.id else client

    async def context(
        self, principal: Principal, stored: StoredCourse, commands: tuple[Command, ...], client: Client | None = None
    ) -> Context:
        """Everything that deciding these commands needs from outside the course."""
        course = stored.course
        now = max(self.clinic.clock.now(), course.last_recorded_at)
        restricted = stored.processing or (client.processing if client else None)
        context = self.clinic.context(principal, now, processing=restricted)
        first = commands[0]
        if _look_back(commands, course, now):
            entries = await self.clinic.entries(course.id)  # perhaps later ones too, which make the commit lose
            context = self.clinic.with_history(context, entries[: course.version])
            if first.trigger == "move_entries":
                there = await self._other_course(principal, course, first, journal.reasons(entries))
                context = msgspec.structs.replace(context, other_course=there)
        if any(each.trigger in CONTRACTS for each in commands) and self.clinic.machine_of(course).protocol.group:
            context = msgspec.structs.replace(context, held_before=await self._held_before(course, now))
        if first.trigger in triggers.NAMING_PROTOCOL:
            context = msgspec.structs.replace(context, target=self._target(course, first), course_id=new_id())
        if first.trigger in triggers.NAMING_PROTOCOL | {"reopen"}:
            other = await self.clinic.read(stored_courses.other_open_course, course.client, course.id)
            return msgspec.structs.replace(context, other_open_course=other)
        if client:
            return msgspec.structs.replace(context, client=client.id, other_open_course=client.open_course)
        return context

    async def _other_course(
        self, principal: Principal, course: Course, command: Command, reasons: Mapping[int, str]
    ) -> OtherCourse | None:
        """The course to which entries move; None if it is not another one that the principal may see and write."""
        payload, _ = decode(MoveEntries, command.data)
        stored = await self.clinic.courses.get(payload.course) if payload else None
        if payload is None or stored is None or stored.course.id == course.id:
            return None
        seen = await self.clinic.seen(principal, stored)
        if seen is None or seen.is_glimpse or seen.processing:
            return None
        entries = (await self.clinic.entries(payload.course))[: stored.course.version]
        return OtherCourse(course=stored.course, history=journal.facts(entries), given=journal.given(entries), reasons=reasons)

    async def _held_before(self, course: Course, now: dt.datetime) -> HeldBefore | None:
        """What the client's group had held before the client joined; None outside a group."""
        last = await self.clinic.read(stored_groups.last_of, course.id)
        group = await self.clinic.read(stored_groups.find, last.group) if last and last.joined else None
        return groups.held_before(group, course, now) if group else None

    def _target(self, course: Course, command: Command) -> Protocol:
        name, version = command.data.get("protocol"), command.data.get("protocol_version")
        if not isinstance(name, str) or not isinstance(version, int | None):
            return self.clinic.machine_of(course).protocol  # decoding the command will raise the fault
        return self.clinic.protocol(name, version, "data.protocol")

    # Opening a course

    async def opening(self, principal: Principal, opening: Opening) -> DecidedOpening:
        """Decides the opening of a course, and records nothing. Raises CommandInvalid."""
        command = Command(opening.trigger, opening.data, opening.occurred_at, opening.reason, opening.override)
        protocol = self._opened_under(opening, command)
        therapist = opening.therapist or (principal.person if principal.role == "therapist" else None)
        named = [Named("therapist", therapist, "therapist")] if therapist else []
        if faults := await self.staff.faults(principal, named):
            raise CommandInvalid([*faults, *command_faults(command)])
        client = await self.client(opening.client_ref)
        context = self.clinic.context(
            principal,
            self.clinic.clock.now(),
            course_id=new_id(),
            client=client.id,
            therapist=therapist,
            other_open_course=client.open_course,
            processing=client.processing,
        )
        answer = machine_for(protocol).preview(None, (command,), context)
        return DecidedOpening(client=client, command=command, context=context, answer=answer)

    def _opened_under(self, opening: Opening, command: Command) -> Protocol:
        """The protocol that an opening names. Raises CommandInvalid with every fault of the command, not only that one."""
        try:
            return self.clinic.protocol(opening.protocol, opening.protocol_version)
        except CommandInvalid as error:
            raise CommandInvalid([*error.faults, *command_faults(command)]) from None

    def opened(self, principal: Principal, accepted: Accepted, after: StoredCourse | None = None) -> CourseChange:
        """The new course with its first entry, sealed as the first of its chain.

        A course `after` another one is restricted as that one is, and opened by the same relation.
        """
        why = after.relation if after else relations.standing(self.clinic.viewer(principal))
        change = seal.change(self.clinic, accepted.course, accepted.drafts, GENESIS, 0, why)
        return msgspec.structs.replace(change, restricted_as=after.course.id) if after and after.restricted else change

    # Deciding and committing

    def decide(self, stored: StoredCourse, commands: tuple[Command, ...], context: Context) -> Accepted | Refused:
        """Asks the course's machine, and records nothing. Raises CommandInvalid or TriggerNotPermitted."""
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
        """Returns the acceptance. Otherwise counts and records the refusal, and raises TransitionRefused.

        `protocol` is the protocol's id if there is no course yet.
        """
        if isinstance(answer, Accepted):
            return answer
        self.count_refused(stored.course.protocol if stored else protocol, answer)
        if stored is None:
            await self.clinic.log(principal, "refusal", answer.trigger, (), [each.rule for each in answer.refusals])
        else:
            await self.clinic.committer.commit(self.refusal(principal, stored, answer, commands, context))
        raise refused(answer)

    def refusal(
        self, principal: Principal, stored: StoredCourse, answer: Refused, commands: tuple[Command, ...], context: Context
    ) -> LoggedEvent:
        """A refusal as a record of the audit log. It keeps a single command, so that `protocol replay` can judge it again."""
        course = stored.course
        kept = None
        if len(commands) == 1:
            kept = msgspec.json.encode(refused_command(self.clinic.machine_of(course), course, commands[0], context))
        rules = [each.rule for each in answer.refusals]
        return self.clinic.event(principal, "refusal", answer.trigger, [stored], rules, publish=True, command=kept)

    def change(self, stored: StoredCourse, accepted: Accepted) -> CourseChange:
        """The course with its new entries, sealed onto its chain."""
        return seal.change(
            self.clinic, accepted.course, accepted.drafts, stored.head, stored.course.version, stored.relation, stored.key
        )

    async def arrival(self, principal: Principal, arrived: Arrived) -> CourseChange:
        """The other course with the entries that were moved to it. Raises OtherCourseStale if it has changed since it was read."""
        stored = await self.clinic.courses.get(arrived.course.id)
        assert stored is not None  # courses are never removed
        seen = await self.clinic.seen(principal, stored)
        if stored.course.version != arrived.course.version - len(arrived.drafts):
            raise OtherCourseStale(stored.course.version)
        why = seen.relation if seen else None
        return seal.change(self.clinic, arrived.course, arrived.drafts, stored.head, stored.course.version, why, stored.key)

    def moved(self, left: Draft, arrived: Arrived, context: Context) -> MovedEntries:
        """What a move changes beside the two courses: the text that it empties, and the notices that follow."""
        gone = moved_away([left.fact])
        return MovedEntries(
            source=left.fact.course,
            target=arrived.course.id,
            emptied=emptied(context.history, gone),
            numbers={each["from"]: each["to"] for each in left.fact.data["moved"]},
        )

    async def asked_after(self, before: StoredCourse | None, after: Course) -> Mapping[str, dt.datetime]:
        """The attention that the journal knows nothing of, after a change of a course; a course just opened has none `before`."""
        if before and (after.therapist, after.open) == (before.course.therapist, before.course.open):
            return before.asked
        asked = {kind: since for kind, since in (before.asked if before else {}).items() if kind != "unassigned"}
        since = await self.staff.unassigned_since(after)
        return {**asked, "unassigned": since} if since else asked

    def kept_answer(self, key: IdempotencyKey | None, change: CourseChange) -> KeptAnswer | None:
        """The answer that the store keeps under the key: which entries the change wrote."""
        if key is None:
            return None
        first, last = change.entries[0], change.entries[-1].written
        return seal.kept_answer(self.clinic, key, change.course.id, first.written.seq, last.seq, last.recorded_at, first)

    async def commit(self, unit: Unit, meanwhile: Callable[[], Any] | None = None) -> Any:
        """Commits a unit, counts its transitions, and says if it opened a course.

        Runs `meanwhile` while the database writes, and returns its result.
        """
        made = await self.clinic.committer.commit(await self.clinic.keys.under_keys(await self._with_lapses(unit)), meanwhile)
        for change in unit.changes:
            for entry in change.entries:
                self.clinic.metrics.transition(change.course.protocol, entry.written.trigger).inc()
        if any(change.expected == 0 for change in unit.changes):
            for told in self.clinic.openings:
                told()
        return made

    async def _with_lapses(self, unit: Unit) -> Unit:
        """The unit with the proposals that can never pass after it."""
        concerned = {
            change.course.id: change
            for change in unit.changes
            if change.expected and lapses.may_lapse(entry.written for entry in change.entries)
        }
        if not concerned:
            return unit
        lapsed, events = list(unit.lapsed), list(unit.events)
        for proposal in await self.clinic.read(stored_proposals.undecided_on, list(concerned)):
            change = concerned[proposal.course_id]
            written = [entry.written for entry in change.entries]
            reason = lapses.lapse(
                self.clinic.machine_of(change.course).protocol, proposal, change.course, has_moved=lapses.moved(written)
            )
            if reason and not (unit.proposal and unit.proposal.id == proposal.id):
                actor = written[-1].actor
                by = Principal(person=actor.person, role=actor.role, via=actor.via)  # type: ignore[arg-type]  # as recorded
                lapsed.append(DecidedProposal(id=proposal.id, by=None, at=unit.recorded_at, status="lapsed", reason=reason))
                events.append(self.clinic.event(by, "proposal", "lapsed", [proposal.course_id], why=change.relation))
        return msgspec.structs.replace(unit, lapsed=tuple(lapsed), events=tuple(events))

    def count_refused(self, protocol: str, answer: Refused) -> None:
        """Counts the rules that refused, under the protocol's id."""
        for each in answer.refusals:
            self.clinic.metrics.refusals.labels(protocol, answer.trigger, each.rule).inc()


def refused(answer: Refused) -> TransitionRefused:
    """The machine's refusal as an error."""
    return TransitionRefused(answer.trigger, answer.state, answer.version, answer.refusals, answer.together)


def _look_back(commands: tuple[Command, ...], course: Course, now: dt.datetime) -> bool:
    """Whether deciding needs the journal: for late entries, amendments, migrations, and what comes before a time that lies ahead."""
    ahead = len(commands) > 1 and any(each.occurred_at and each.occurred_at > now for each in commands)
    moments = [(each.trigger, min(each.occurred_at or now, now)) for each in commands]  # a time slightly ahead may count as now
    return ahead or commands[0].trigger == "migrate_protocol" or is_late(course, moments)


def faults_together(commands: Sequence[Command]) -> list[Fault]:
    """The faults of several commands that no protocol is needed to see. Their references count as numbers."""
    numbered = [msgspec.structs.replace(each, data=references.numbered(each.trigger, each.data)) for each in commands]
    return [
        msgspec.structs.replace(fault, where=f"together[{index}].{fault.where}")
        for index, each in enumerate(numbered)
        for fault in command_faults(each)
    ]
