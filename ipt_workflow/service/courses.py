"""The verbs that write a course: open it, fire triggers, and preview what firing would do.

Checks run in this order: what the caller may see, what they may do, the idempotency key, the version, and last the body.
"""

import datetime as dt
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec

from ipt_workflow import journal
from ipt_workflow.access import policy
from ipt_workflow.access.principal import Principal
from ipt_workflow.access.relations import CRISIS_CALL
from ipt_workflow.course import Course, triggers
from ipt_workflow.course.follow_up import carried_over
from ipt_workflow.course.rules import Context
from ipt_workflow.course.triggers import Command
from ipt_workflow.errors import CommandInvalid, Fault, NotFound, StaleVersion, VersionRequired
from ipt_workflow.journal import Entry
from ipt_workflow.machine import TOGETHER_MAX, Accepted, Refused, machine_for
from ipt_workflow.service import views
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.service.decisions import Client, Decisions, faults_together, retrying
from ipt_workflow.service.idempotency import Idempotency
from ipt_workflow.service.views import Committed, CourseView, Preview
from ipt_workflow.service.writes import CrisisCall, IdempotencyKey, Opening, Write
from ipt_workflow.store import courses as stored_courses
from ipt_workflow.store.courses import StoredCourse
from ipt_workflow.store.loader import PendingLookup
from ipt_workflow.store.units import (
    ActiveCourseExists,
    ClientTaken,
    CourseChange,
    DecidedProposal,
    KeptAnswer,
    KeyTaken,
    OtherCourseStale,
    Unit,
)
from ipt_workflow.values.faults import FAULTS_MAX

REPLAY_NOT_SEEN = "The request with this key was accepted before. You may not see its course."
IN_A_CRISIS = ("record_contact", "raise_risk", "refer_on", "note")  # what a crisis call may record


class Courses:
    """Writes a clinic's courses."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic
        self.decisions = Decisions(clinic)
        self._idempotency: Idempotency[Committed] = Idempotency(clinic)

    async def open_course(
        self,
        principal: Principal,
        decode: Callable[[], Opening],
        key: IdempotencyKey | None = None,
        triggers: Sequence[str] = (),
        *,
        entries_only: bool = False,
    ) -> Committed:
        """Opens a course: `refer`, or `adopt` one begun elsewhere. `triggers` are the names read before the body is decoded."""
        await self.clinic.require(principal, "open a course")
        await self.decisions.permit(principal, triggers)
        replay = self.replay_for(principal, entries_only=entries_only)
        return await self._idempotency.run(key, replay, lambda: self._open(principal, decode(), key, entries_only=entries_only))

    async def fire(
        self, principal: Principal, course_id: str, write: Write, pending: PendingLookup[StoredCourse] | None = None
    ) -> Committed:
        """Fires one trigger, or several together. `pending` is the lookup of the course, if the caller has started it."""
        stored = await self.clinic.visible_course(principal, course_id, pending)
        await self.clinic.require(principal, "change a course", [course_id])
        await self.decisions.permit(principal, write.triggers, stored)
        replay = self.replay_for(principal, entries_only=write.entries_only)
        return await self._idempotency.run(write.key, replay, lambda: self._fire(principal, stored, write), check_key_first=False)

    async def take_crisis_call(
        self, principal: Principal, decode: Callable[[], CrisisCall], key: IdempotencyKey | None = None
    ) -> Committed:
        """Records a client's call in a crisis on their course, whoever its therapist is. The answer shows nothing of the course."""
        await self.clinic.require(principal, "take a crisis call")

        async def take() -> Committed:
            call = decode()
            return await self._take(principal, lambda: self._course_of(principal, call.client_ref), call.together, key)

        return await self._idempotency.run(key, self._receipt, take)

    async def import_crisis_call(
        self, principal: Principal, course_id: str, commands: tuple[Command, ...], key: IdempotencyKey
    ) -> Committed:
        """Records a crisis call as an import tells it: it names the course, which may have ended since."""
        await self.clinic.require(principal, "take a crisis call", [course_id])

        async def named() -> StoredCourse:
            stored = await self.clinic.courses.get(course_id)
            assert stored  # the import has opened it
            return stored

        return await self._idempotency.run(key, self._receipt, lambda: self._take(principal, named, commands, key))

    async def preview(self, principal: Principal, course_id: str, write: Write) -> Preview:
        """Shows what firing would do. Records the read and nothing else."""
        stored = await self.clinic.visible_course(principal, course_id)
        policy.require(principal, "change a course")  # a preview records no refusal
        for forbidden in self.decisions.forbidden(principal, write.triggers, stored):
            raise forbidden
        commands = checked_commands(write, stored.course)
        await self.decisions.check_named(principal, commands)
        client = await self.decisions.new_client(stored.course, commands)
        context = await self.decisions.context(principal, stored, commands, client)
        option, answer = self.clinic.machine_of(stored.course).option(stored.course, commands, context)
        await self.clinic.log(principal, "read", "preview", [stored])
        course = answer.course if isinstance(answer, Accepted) else stored.course
        return Preview(
            option=option, course=self.clinic.course_view(course, context, stored.head, stored.client_ref, asked=stored.asked)
        )

    def replay_for(self, principal: Principal, *, entries_only: bool = False) -> Callable[[KeptAnswer], Awaitable[Committed]]:
        """Makes the function that answers a used key from the journal, as the first request was or could have been answered.

        A replay asks what a read asks: who may not see the course (any more) gets NotFound, also for their own opening.
        """

        async def replay(kept: KeptAnswer) -> Committed:
            stored = await self.clinic.courses.get(kept.course_id)
            assert stored is not None  # courses are never removed
            if await self.clinic.seen(principal, stored) is None:
                raise await self.clinic.hidden(principal, "see a course", [kept.course_id], REPLAY_NOT_SEEN)
            known = [entry for entry in await self.clinic.entries(kept.course_id) if entry.written.seq <= kept.last_seq]
            written = [entry for entry in known if entry.written.seq >= kept.first_seq]
            seen = None if entries_only else self._as_after(principal, stored, known)
            return Committed(course_id=kept.course_id, course=seen, entries=views.entry_views(written, written), replayed=True)

        return replay

    async def _receipt(self, kept: KeptAnswer) -> Committed:
        """Answers the used key of a crisis call. It shows nothing of the course, so the caller need not see it."""
        written = [
            each for each in await self.clinic.entries(kept.course_id) if kept.first_seq <= each.written.seq <= kept.last_seq
        ]
        return Committed(course_id=kept.course_id, course=None, entries=views.entry_views(written, written), replayed=True)

    def _as_after(self, principal: Principal, stored: StoredCourse, known: Sequence[Entry]) -> CourseView:
        """The course as it was after these entries of it, with its client's reference of now."""
        course = journal.replay(known)
        assert course is not None  # the key was committed with these entries
        context = self.clinic.context(principal, known[-1].written.recorded_at)
        return self.clinic.course_view(course, context, known[-1].hash, stored.client_ref, asked=stored.asked)

    async def _open(self, principal: Principal, opening: Opening, key: IdempotencyKey | None, *, entries_only: bool) -> Committed:
        await self.decisions.permit(principal, [opening.trigger])

        async def attempt() -> Committed:
            decided = await self.decisions.opening(principal, opening)
            commands, context = (decided.command,), decided.context
            accepted = await self.decisions.accepted(principal, None, decided.answer, commands, context, opening.protocol)
            change = self.decisions.opened(principal, accepted)
            unit = Unit(
                organisation=self.clinic.organisation,
                changes=(change,),
                client=decided.client.new,
                answer=self.decisions.kept_answer(key, change),
                request_id=principal.request_id,
            )
            asked = await self.decisions.asked_after(None, change.course)
            return await self._commit(unit, context, opening.client_ref, asked, entries_only=entries_only)

        return await retrying(
            attempt, ActiveCourseExists, ClientTaken, busy="The client's record is being written by others. Try again."
        )

    async def _fire(self, principal: Principal, stored: StoredCourse, write: Write) -> Committed:
        commands = checked_commands(write, stored.course)
        current: StoredCourse | None = stored

        async def attempt() -> Committed:
            nonlocal current
            decided_on = current or await self.clinic.visible_course(principal, stored.course.id)
            current = None  # the next attempt reads the course again
            if write.version not in {None, decided_on.course.version}:
                raise StaleVersion(decided_on.course.version)
            await self.decisions.check_named(principal, commands)
            client = await self.decisions.new_client(decided_on.course, commands)
            context = await self.decisions.context(principal, decided_on, commands, client)
            answer = self.decisions.decide(decided_on, commands, context)
            if isinstance(answer, Refused) and write.key and await self._idempotency.kept(write.key):
                raise KeyTaken("This request was accepted earlier under the same key; the refusal is ignored.")
            accepted = await self.decisions.accepted(principal, decided_on, answer, commands, context)
            return await self.commit(
                principal, decided_on, accepted, context, write.key, client=client, entries_only=write.entries_only
            )

        overtaken = (ActiveCourseExists, ClientTaken, OtherCourseStale, *(() if write.version is not None else (StaleVersion,)))
        return await retrying(attempt, *overtaken)

    async def _take(
        self,
        principal: Principal,
        find: Callable[[], Awaitable[StoredCourse]],
        commands: tuple[Command, ...],
        key: IdempotencyKey | None,
    ) -> Committed:
        if faults := crisis_call_faults(commands):
            raise CommandInvalid([*faults, *faults_together(commands)][:FAULTS_MAX])

        async def attempt() -> Committed:
            called = await find()
            stored = await self.clinic.seen(principal, called) or msgspec.structs.replace(called, relation=CRISIS_CALL)
            context = await self.decisions.context(principal, stored, commands)
            answer = self.decisions.decide(stored, commands, context)
            accepted = await self.decisions.accepted(principal, stored, answer, commands, context)
            return await self.commit(principal, stored, accepted, context, key, entries_only=True)

        return await retrying(attempt, StaleVersion)

    async def _course_of(self, principal: Principal, client_ref: str) -> StoredCourse:
        """The client's open course (of several, the acute one), else the last one. Raises NotFound, and records the attempt."""
        client = await self.clinic.read(stored_courses.client_id, client_ref)
        courses = await self.clinic.read(stored_courses.of_client, client) if client else []
        if not courses:
            await self.clinic.log(principal, "refusal", "take a crisis call", (), ["client"])
            raise NotFound("This client has no course here.")
        return max(courses, key=lambda each: (each.course.open, each.course.acute, each.course.id))

    async def commit(
        self,
        principal: Principal,
        stored: StoredCourse,
        accepted: Accepted,
        context: Context,
        key: IdempotencyKey | None,
        *,
        client: Client | None = None,
        decided: DecidedProposal | None = None,
        entries_only: bool = False,
    ) -> Committed:
        """Commits an accepted command, and makes the answer while the database writes. `client` is whom `relink_client` names."""
        change = self.decisions.change(stored, accepted)
        changes = [change]
        if accepted.drafts[-1].fact.trigger == "open_followup":
            changes.append(self.decisions.opened(principal, followup(accepted, context), after=stored))
        moved = None
        if accepted.elsewhere:
            changes.append(await self.decisions.arrival(principal, accepted.elsewhere))
            moved = self.decisions.moved(accepted.drafts[-1], accepted.elsewhere, context)
        unit = Unit(
            organisation=self.clinic.organisation,
            changes=tuple(changes),
            client=client.new if client else None,
            answer=self.decisions.kept_answer(key, change),
            proposal=decided,
            moved=moved,
            request_id=principal.request_id,
        )
        ref = client.ref if client else stored.client_ref
        unseen = self.clinic.withheld(principal, change.course)  # by this command
        asked = await self.decisions.asked_after(stored, change.course)
        return await self._commit(unit, context, ref, asked, entries_only=entries_only or unseen)

    async def _commit(
        self, unit: Unit, context: Context, client_ref: str | None, asked: Mapping[str, dt.datetime], *, entries_only: bool
    ) -> Committed:
        change = unit.changes[0]

        def answer() -> Committed:
            seen = None if entries_only else self._after(change, context, client_ref, asked)
            return Committed(course_id=change.course.id, course=seen, entries=views.entry_views(change.entries, change.entries))

        committed: Committed = await self.decisions.commit(unit, answer)
        return committed

    def _after(
        self, change: CourseChange, context: Context, client_ref: str | None, asked: Mapping[str, dt.datetime]
    ) -> CourseView:
        """The course as the change leaves it, at the moment of recording."""
        last = change.entries[-1]
        seen_at = msgspec.structs.replace(context, now=last.written.recorded_at)
        return self.clinic.course_view(change.course, seen_at, last.hash, client_ref, change.attention, asked)


def followup(accepted: Accepted, context: Context) -> Accepted:
    """The course that an accepted `open_followup` opens, at the time at which it happened."""
    earlier, opened = accepted.course, accepted.drafts[-1].fact
    assert context.target is not None
    opening = msgspec.structs.replace(
        context,
        client=earlier.client,
        therapist=opened.data.get("therapist", earlier.therapist),
        linked_from=earlier.id,
        carried=carried_over(earlier, context.target),
        target=None,
        history=(),
    )
    data = {"source": "Follow-up of a completed course", **({"indication": earlier.indication} if earlier.indication else {})}
    return machine_for(context.target).fire(None, Command("refer", data, opened.occurred_at), opening)


def crisis_call_faults(commands: tuple[Command, ...]) -> list[Fault]:
    """What is wrong with commands as a crisis call."""
    faults = [
        Fault(f"together[{index}].trigger", f"must be one of {', '.join(IN_A_CRISIS)}")
        for index, each in enumerate(commands)
        if each.trigger not in IN_A_CRISIS
    ]
    if not 1 <= len(commands) <= TOGETHER_MAX:
        faults.append(Fault("together", f"must hold from 1 to {TOGETHER_MAX} commands"))
    elif not any(each.trigger == "record_contact" and each.data.get("kind") == "crisis" for each in commands):
        faults.append(Fault("together", "must hold a record_contact of the kind crisis"))
    return faults


def checked_commands(write: Write, course: Course) -> tuple[Command, ...]:
    """Checks the precondition, then decodes the body. Raises VersionRequired, StaleVersion or CommandInvalid."""
    if write.problem:
        raise write.problem
    if write.version is None and write.version_required:
        raise VersionRequired(f"Send the version you decided on as If-Match; the course is at version {course.version}.")
    if write.version is not None and write.version != course.version:
        raise StaleVersion(course.version)
    commands = write.decode()
    if not 1 <= len(commands) <= TOGETHER_MAX:
        raise CommandInvalid([Fault("together", f"must hold from 1 to {TOGETHER_MAX} commands")])
    if len(commands) > 1:
        alone = [
            Fault(f"together[{i}].trigger", "must be fired alone")
            for i, each in enumerate(commands)
            if each.trigger in triggers.FIRED_ALONE
        ]
        if alone:
            raise CommandInvalid([*alone, *faults_together(commands)][:FAULTS_MAX])
    return commands
