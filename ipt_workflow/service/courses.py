"""The verbs that write: open a course, fire, propose, cosign, decline. Every one goes through the machine and one commit.

The order of checks is the contract's: what the caller may not see, what they may not do, the idempotency key, the version, and only
then the body, since a body is decoded after access and precondition.
"""

import datetime as dt
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from ipt_workflow import journal
from ipt_workflow.access import policy
from ipt_workflow.access.principal import Principal
from ipt_workflow.course import Course, triggers
from ipt_workflow.course.drafts import Draft
from ipt_workflow.course.rules import Actor, Context
from ipt_workflow.course.triggers import Command
from ipt_workflow.errors import (
    Busy,
    CommandInvalid,
    Fault,
    Forbidden,
    IptError,
    NotFound,
    StaleVersion,
    TransitionRefused,
    TriggerNotPermitted,
    VersionRequired,
)
from ipt_workflow.gate import replay as rejudging
from ipt_workflow.journal import GENESIS, Entry
from ipt_workflow.machine import TOGETHER_MAX, Accepted, Refused, machine_for
from ipt_workflow.service import seal, views
from ipt_workflow.service.clinic import Clinic, new_id
from ipt_workflow.service.idempotency import Idempotency
from ipt_workflow.service.views import Committed, Preview
from ipt_workflow.service.writes import IdempotencyKey, Opening, Write
from ipt_workflow.store import courses as stored_courses
from ipt_workflow.store import proposals as stored_proposals
from ipt_workflow.store.commits import single
from ipt_workflow.store.courses import StoredCourse
from ipt_workflow.store.loader import PendingLookup
from ipt_workflow.store.schema import tables
from ipt_workflow.store.units import (
    ActiveCourseExists,
    ClientTaken,
    CourseChange,
    DecidedProposal,
    KeptAnswer,
    KeyTaken,
    NewClient,
    Unit,
)
from ipt_workflow.values.types import ClientRef

ATTEMPTS = 8
NO_PROPOSAL = "There is no such proposal, or none that you may see."
SOMEBODY = Actor("-", "supervisor")  # stands for the supervisor who may cosign a proposal


class Client(msgspec.Struct, frozen=True):
    """A client's record, `known` or to be made with the commit. `open_course` is their open acute course."""

    id: str
    ref: str
    known: bool
    open_course: str | None = None


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """What a decision is about: the course as stored, None where it is to be opened."""

    stored: StoredCourse | None
    client: Client | None = None
    client_ref: str | None = None

    @property
    def notices(self) -> Mapping[str, dt.datetime]:
        """What notices about it ask for by waiting."""
        return self.stored.notices if self.stored else {}


class Courses:
    """The writing verbs over a clinic."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic
        self._idempotency: Idempotency[Committed] = Idempotency(clinic)

    async def open_course(
        self, principal: Principal, decode: Callable[[], Opening], key: IdempotencyKey | None = None, triggers: Sequence[str] = ()
    ) -> Committed:
        """Opens a course: `refer`, or `adopt` one begun elsewhere; `triggers` is what can be made out of that before decoding."""
        await self.clinic.require(principal, "open a course")
        await self._permit(principal, triggers)
        return await self._idempotency.run(key, self._replay(principal), lambda: self._open(principal, decode(), key))

    async def fire(
        self, principal: Principal, course_id: str, write: Write, asked: PendingLookup[StoredCourse] | None = None
    ) -> Committed:
        """Fires one trigger, or several together. `asked` is the course, where it was asked for before."""
        stored = await self.clinic.visible(principal, course_id, asked)
        await self.clinic.require(principal, "change a course", [course_id])
        await self._permit(principal, write.triggers, [course_id])
        return await self._idempotency.run(
            write.key, self._replay(principal), lambda: self._fire(principal, stored, write), check_key_first=False
        )

    async def preview(self, principal: Principal, course_id: str, write: Write) -> Preview:
        """What firing would do. Nothing is written but that this was looked at."""
        stored = await self.clinic.visible(principal, course_id)
        policy.require(principal, "change a course")
        for forbidden in self._forbidden(principal, write.triggers):
            raise forbidden
        commands = _checked(write, stored.course)
        context = await self.context_of(principal, stored, commands, await self.new_client(stored.course, commands))
        option, answer = self.clinic.machine_of(stored.course).option(stored.course, commands, context)
        await self.clinic.record(principal, "read", "preview", [course_id])
        course = answer.course if isinstance(answer, Accepted) else stored.course
        return Preview(
            option=option, course=self.clinic.view(course, context, stored.head, stored.client_ref, notices=stored.notices)
        )

    async def propose(self, principal: Principal, course_id: str, write: Write) -> views.ProposalView:
        """Keeps a command until a supervisor cosigns it. It must be one that a cosign would let pass."""
        stored = await self.clinic.visible(principal, course_id)
        await self.clinic.require(principal, "propose", [course_id])
        await self._permit(principal, write.triggers, [course_id])
        commands = _checked(write, stored.course)
        if len(commands) != 1:
            raise CommandInvalid([Fault("together", "cannot be proposed; propose one command at a time")])
        machine, context = self.clinic.machine_of(stored.course), await self.context_of(principal, stored, commands)
        if isinstance(machine.preview(stored.course, commands, context), Accepted):
            raise CommandInvalid([Fault("trigger", f"{commands[0].trigger} needs no co-signature here: fire it")])
        cosigned = msgspec.structs.replace(context, cosigner=SOMEBODY)
        await self._decided(principal, stored.course, machine.preview(stored.course, commands, cosigned), commands, cosigned)
        row = {
            "organisation": self.clinic.organisation,
            "id": new_id(),
            "course_id": course_id,
            "version": stored.course.version,
            "trigger": commands[0].trigger,
            "body": msgspec.json.encode(commands[0]),
            "proposed_by": principal.person,
            "proposed_role": principal.role,
            "proposed_at": context.now,
            "status": "waiting",
        }
        await self.clinic.database.write(stored_courses.insert, tables.proposal, row)
        await self.clinic.record(principal, "proposal", "proposed", [course_id])
        return await self._proposal(str(row["id"]))

    async def cosign(
        self, principal: Principal, proposal_id: str, key: IdempotencyKey | None = None, problem: IptError | None = None
    ) -> Committed:
        """Fires a proposal: its actor is who proposed it, and the principal has cosigned. `problem` is what is wrong with the key."""
        row, stored = await self._waiting(principal, proposal_id)
        if problem:
            raise problem
        return await self._idempotency.run(key, self._replay(principal), lambda: self._cosign(principal, row, stored, key))

    async def _cosign(self, principal: Principal, row: Any, stored: StoredCourse, key: IdempotencyKey | None) -> Committed:
        if row.status != "waiting" or row.body is None:
            raise StaleVersion(stored.course.version)
        if row.version != stored.course.version:
            raise StaleVersion(stored.course.version)
        command = msgspec.json.decode(row.body, type=Command)
        proposer = Principal(person=row.proposed_by, role=row.proposed_role, via=principal.via, request_id=principal.request_id)
        context = msgspec.structs.replace(await self.context_of(proposer, stored, (command,)), cosigner=principal.actor)
        answer = self.clinic.machine_of(stored.course).preview(stored.course, (command,), context)
        accepted = await self._decided(principal, stored.course, answer, (command,), context)
        decided = DecidedProposal(
            id=row.id, by=principal.person, at=context.now, status="cosigned", entry_seq=accepted.course.version
        )
        return await self._commit(Subject(stored=stored, client_ref=stored.client_ref), accepted, context, key, decided)

    async def decline(self, principal: Principal, proposal_id: str) -> views.ProposalView:
        """Ends a proposal without firing it."""
        row, stored = await self._waiting(principal, proposal_id)
        if row.status != "waiting":
            raise StaleVersion(stored.course.version)
        decided = DecidedProposal(id=row.id, by=principal.person, at=self.clinic.clock.now(), status="declined")
        if not await self.clinic.write(single.decide_proposal, decided):
            raise StaleVersion(stored.course.version)
        await self.clinic.record(principal, "proposal", "declined", [row.course_id])
        return await self._proposal(proposal_id)

    async def proposals(self, principal: Principal, status: str | None, after: str, limit: int) -> list[views.ProposalView]:
        policy.require(principal, "read proposals")
        own = principal.person if principal.role == "therapist" else None
        rows = await self.clinic.database.read(
            lambda c: stored_proposals.proposals(
                c, self.clinic.organisation, status=status, therapist=own, after=after, limit=limit
            )
        )
        await self.clinic.record(principal, "read", "proposals", [row.course_id for row in rows])
        return [_proposal_view(row) for row in rows]

    async def _proposal(self, proposal_id: str) -> views.ProposalView:
        row = await self.clinic.read(stored_proposals.proposal, proposal_id)
        if row is None:
            raise NotFound(NO_PROPOSAL)
        return _proposal_view(row)

    async def _waiting(self, principal: Principal, proposal_id: str) -> tuple[Any, StoredCourse]:
        """A proposal that the principal may decide, with its course."""
        row = await self.clinic.read(stored_proposals.proposal, proposal_id)
        if row is None:
            raise NotFound(NO_PROPOSAL)
        try:
            stored = await self.clinic.visible(principal, row.course_id)
        except NotFound:
            raise NotFound(NO_PROPOSAL) from None
        await self.clinic.require(principal, "decide proposals", [row.course_id])
        if row.proposed_by == principal.person:
            raise Forbidden("decide their own proposal", principal.role, ("another supervisor",))
        return row, stored

    async def _permit(self, principal: Principal, names: Sequence[str], courses: Sequence[str] = ()) -> None:
        """Whether the principal's role may ever fire these; that it tried is recorded. Raises TriggerNotPermitted."""
        for forbidden in self._forbidden(principal, names):
            await self.clinic.record(principal, "refusal", forbidden.trigger, courses, ["role"])
            raise forbidden

    def _forbidden(self, principal: Principal, names: Sequence[str]) -> Iterator[TriggerNotPermitted]:
        for name in names:
            row = triggers.row_of(name)
            if row is not None and principal.role not in row.roles:
                known = name if name in self.clinic.installation.trigger_names else row.name  # else it is a caller's free text
                yield TriggerNotPermitted(known, principal.role, row.roles)

    def _replay(self, principal: Principal) -> Callable[[stored_courses.KeptAnswer], Awaitable[Committed]]:
        """Makes an answer again from the journal as it stood then."""

        async def replay(kept: stored_courses.KeptAnswer) -> Committed:
            known = [entry for entry in await self.clinic.entries(kept.course_id) if entry.written.seq <= kept.last_seq]
            course = journal.replay(known)
            stored = await self.clinic.courses.get(kept.course_id)
            assert course is not None  # the key was committed with these entries
            assert stored is not None
            written = [entry for entry in known if entry.written.seq >= kept.first_seq]
            context = self.clinic.context(principal, written[-1].written.recorded_at)
            return Committed(
                course=self.clinic.view(course, context, written[-1].hash, stored.client_ref, notices=stored.notices),
                entries=views.entry_views(written, written),
                replayed=True,
            )

        return replay

    async def _open(self, principal: Principal, opening: Opening, key: IdempotencyKey | None) -> Committed:
        await self._permit(principal, [opening.trigger])
        protocol = self.clinic.protocol(opening.protocol, opening.protocol_version)
        command = Command(
            trigger=opening.trigger,
            data=opening.data,
            occurred_at=opening.occurred_at,
            reason=opening.reason,
            override=opening.override,
        )
        therapist = opening.therapist or (principal.person if principal.role == "therapist" else None)
        for _attempt in range(ATTEMPTS):
            client, other = await self._client(opening.client_ref)
            context = self.clinic.context(
                principal,
                self.clinic.clock.now(),
                course_id=new_id(),
                client=client.id,
                therapist=therapist,
                other_open_course=other,
            )
            answer = machine_for(protocol).preview(None, (command,), context)
            accepted = await self._decided(principal, None, answer, (command,), context, protocol.id)
            try:
                return await self._commit(
                    Subject(stored=None, client=client, client_ref=opening.client_ref), accepted, context, key
                )
            except (ActiveCourseExists, ClientTaken):
                continue
        raise Busy("The client's record is being written by others. Try again.")

    async def _client(self, ref: str) -> tuple[Client, str | None]:
        """The client's record (a new one where the reference is new), and their open acute course."""
        known = await self.clinic.read(stored_courses.client_id, ref)
        if known is None:
            return Client(new_id(), ref, known=False), None
        other = await self.clinic.read(stored_courses.other_open_course, known)
        return Client(known, ref, known=True), other

    async def _fire(self, principal: Principal, stored: StoredCourse, write: Write) -> Committed:
        commands = _checked(write, stored.course)
        for _attempt in range(ATTEMPTS):
            client = await self.new_client(stored.course, commands)
            context = await self.context_of(principal, stored, commands, client)
            answer = self.clinic.machine_of(stored.course).preview(stored.course, commands, context)
            if isinstance(answer, Refused) and write.key and await self._idempotency.kept(write.key):
                raise KeyTaken("It was refused since it was accepted before: that is no refusal.")
            accepted = await self._decided(principal, stored.course, answer, commands, context)
            subject = Subject(stored=stored, client=client, client_ref=client.ref if client else stored.client_ref)
            try:
                return await self._commit(subject, accepted, context, write.key)
            except (ActiveCourseExists, ClientTaken):
                pass
            except StaleVersion:
                if write.version is not None:
                    raise
            stored = await self.clinic.visible(principal, stored.course.id)
        raise Busy("The course is being written by others. Try again.")

    async def new_client(self, course: Course, commands: tuple[Command, ...]) -> Client | None:
        """The client that a course is to be put with, where that is what is asked."""
        if commands[0].trigger != "relink_client":
            return None
        try:
            ref = msgspec.convert(commands[0].data.get("client_ref"), ClientRef)
        except msgspec.ValidationError:
            return None  # decoding the command will say what is wrong
        client, other = await self._client(ref)
        return msgspec.structs.replace(client, open_course=other if other != course.id else None)

    async def context_of(
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
            return msgspec.structs.replace(context, other_open_course=await self._other(course.client, course.id))
        if client:
            return msgspec.structs.replace(context, client=client.id, other_open_course=client.open_course)
        return context

    def _target(self, course: Course, command: Command) -> Any:
        name, version = command.data.get("protocol"), command.data.get("protocol_version")
        if not isinstance(name, str) or not isinstance(version, int | None):
            return self.clinic.machine_of(course).protocol  # decoding the command will say what is wrong
        return self.clinic.protocol(name, version, "data.protocol")

    async def _other(self, client: str, course_id: str) -> str | None:
        return await self.clinic.read(stored_courses.other_open_course, client, course_id)

    async def _decided(
        self,
        principal: Principal,
        course: Course | None,
        answer: Accepted | Refused,
        commands: tuple[Command, ...],
        context: Context,
        protocol: str = "",
    ) -> Accepted:
        """The acceptance; or records the refusal, with what of a single command can be judged anew, and raises it."""
        if isinstance(answer, Accepted):
            return answer
        rules = [refusal.rule for refusal in answer.refusals]
        for rule in rules:
            self.clinic.metrics.refusals.labels(course.protocol if course else protocol, answer.trigger, rule).inc()
        touched = [course.id] if course else []
        kept = None
        if course and len(commands) == 1:
            kept = msgspec.json.encode(rejudging.refused_command(self.clinic.machine_of(course), course, commands[0], context))
        await self.clinic.record(principal, "refusal", answer.trigger, touched, rules, told=course is not None, command=kept)
        raise TransitionRefused(answer.trigger, answer.state, answer.version, answer.refusals)

    async def _commit(
        self,
        subject: Subject,
        accepted: Accepted,
        context: Context,
        key: IdempotencyKey | None,
        decided: DecidedProposal | None = None,
    ) -> Committed:
        course, drafts = accepted.course, accepted.drafts
        expected = subject.stored.course.version if subject.stored else 0
        changes = [seal.change(self.clinic, course, drafts, subject.stored.head if subject.stored else GENESIS, expected)]
        entries = changes[0].entries
        if drafts[-1].fact.trigger == "open_followup":
            changes.append(self._followup(course, drafts[-1], context))
        unit = Unit(
            organisation=self.clinic.organisation,
            changes=tuple(changes),
            client=NewClient(subject.client.id, subject.client.ref) if subject.client and not subject.client.known else None,
            answer=self._answer(key, course, entries) if key else None,
            proposal=decided,
        )
        seen_at = msgspec.structs.replace(context, now=entries[-1].written.recorded_at)

        def answer() -> Committed:
            seen = self.clinic.view(course, seen_at, entries[-1].hash, subject.client_ref, changes[0].attention, subject.notices)
            return Committed(course=seen, entries=views.entry_views(entries, entries))

        committed: Committed = await self.clinic.committer.commit(unit, answer)
        for entry in entries:
            self.clinic.metrics.transitions.labels(course.protocol, entry.written.trigger).inc()
        return committed

    def _followup(self, parent: Course, draft: Draft, context: Context) -> CourseChange:
        """The linked course, opened by the same commit."""
        assert context.target is not None
        opening = msgspec.structs.replace(
            context,
            client=parent.client,
            therapist=draft.fact.data.get("therapist", parent.therapist),
            linked_from=parent.id,
            target=None,
            history=(),
        )
        command = Command(
            "refer",
            {"source": "Follow-up of a completed course", **({"indication": parent.indication} if parent.indication else {})},
        )
        accepted = machine_for(context.target).fire(None, command, opening)
        return seal.change(self.clinic, accepted.course, accepted.drafts, GENESIS, 0)

    def _answer(self, key: IdempotencyKey, course: Course, entries: tuple[Entry, ...]) -> KeptAnswer:
        first, last = entries[0].written, entries[-1].written
        return seal.kept_answer(self.clinic, key, course.id, first.seq, last.seq, last.recorded_at)


def _checked(write: Write, course: Course) -> tuple[Command, ...]:
    """Precondition first, then the body."""
    if write.problem:
        raise write.problem
    if write.version is None and write.version_required:
        raise VersionRequired(f"Say in If-Match on which version you decided; the course is at version {course.version}.")
    if write.version is not None and write.version != course.version:
        raise StaleVersion(course.version)
    commands = write.decode()
    if not 1 <= len(commands) <= TOGETHER_MAX:
        raise CommandInvalid([Fault("together", f"must hold from 1 to {TOGETHER_MAX} commands")])
    if len(commands) > 1:
        alone = [
            Fault(f"together[{i}].trigger", "is fired alone")
            for i, each in enumerate(commands)
            if each.trigger in triggers.FIRED_ALONE
        ]
        if alone:
            raise CommandInvalid(alone)
    return commands


def _looks_back(command: Command, course: Course, now: dt.datetime) -> bool:
    """Whether deciding needs the journal: for what is late, amends, migrates, or takes back what contradicted."""
    takes_back = command.trigger == "reopen" and bool(course.contradicted)
    return command.trigger in {"amend", "migrate_protocol"} or takes_back or (command.occurred_at or now) < course.last_occurred_at


def _proposal_view(row: Any) -> views.ProposalView:
    return views.ProposalView(
        id=row.id,
        course=row.course_id,
        version=row.version,
        trigger=row.trigger,
        status=row.status,
        proposed_by=row.proposed_by,
        proposed_at=row.proposed_at,
        decided_by=row.decided_by,
        decided_at=row.decided_at,
        entry_seq=row.entry_seq,
        command=msgspec.json.decode(row.body) if row.body else None,
    )
