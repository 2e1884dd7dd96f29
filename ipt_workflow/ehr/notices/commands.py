"""Decides the commands of notices, and writes nothing: what a notice comes to is committed together with the notice itself.

A notice goes through the machine by the same steps as a person's write. If the machine refuses it, the refusal is recorded and the notice
waits with it.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec

from ipt_workflow.access import policy, relations
from ipt_workflow.access.principal import Principal
from ipt_workflow.course import triggers
from ipt_workflow.course.triggers import Command
from ipt_workflow.errors import CommandInvalid, Fault, Forbidden, Refusal
from ipt_workflow.machine import Accepted
from ipt_workflow.service.clinic import NOT_SEEN, ROLE, Clinic
from ipt_workflow.service.decisions import Client, Decisions, refused
from ipt_workflow.service.writes import Opening
from ipt_workflow.store.courses import StoredCourse
from ipt_workflow.store.units import CourseChange, LoggedEvent, NewClient

UNUSABLE = "Some fields of the notice cannot be used. Correct them, or dismiss the notice."

Status = Literal["applied", "waiting", "ignored"]


class NoticeOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a notice. `seq` is the entry it made, `about_seq` the entry it is about; `why` says in words why it waits.

    `reason` is the code of why it is ignored. If it `awaits_course`, its client has no course yet.
    """

    status: Status
    why: str | None = None
    reason: str | None = None
    course: str | None = None
    seq: int | None = None
    about_seq: int | None = None
    refusals: tuple[Refusal, ...] = ()
    faults: tuple[Fault, ...] = ()
    awaits_course: bool = False


class DecidedNotice(msgspec.Struct, frozen=True, kw_only=True):
    """What a notice comes to: its outcome, and what must be committed with it."""

    outcome: NoticeOutcome
    changes: tuple[CourseChange, ...] = ()
    client: NewClient | None = None
    events: tuple[LoggedEvent, ...] = ()


def ignored(reason: str, course: StoredCourse | None = None, about: int | None = None) -> DecidedNotice:
    return DecidedNotice(
        outcome=NoticeOutcome(status="ignored", reason=reason, course=course.course.id if course else None, about_seq=about)
    )


def waiting(why: str, course: StoredCourse | None = None, about: int | None = None, faults: Sequence[Fault] = ()) -> DecidedNotice:
    course_id = course.course.id if course else None
    return DecidedNotice(outcome=NoticeOutcome(status="waiting", why=why, course=course_id, about_seq=about, faults=tuple(faults)))


class NoticeCommands:
    """Decides the commands of notices on a clinic's courses."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic
        self.decisions = Decisions(clinic)

    async def fire(
        self, principal: Principal, stored: StoredCourse, command: Command, about: int | None = None, client: Client | None = None
    ) -> DecidedNotice:
        """Decides a command on a course. `about` is the entry it is about, if not its own. `client` is whom `relink_client` names."""
        seen = await self.clinic.seen(principal, stored)
        if seen is None and principal.role == "ehr":  # what a system sends is taken in, whatever it may read
            seen = msgspec.structs.replace(stored, relation=relations.standing(self.clinic.viewer(principal)))
        if seen is None:
            return waiting(NOT_SEEN)
        stored = seen
        forbidden = next(self.decisions.forbidden(principal, [command.trigger], stored), None)
        if forbidden:
            return self._forbidden(principal, forbidden, command.trigger, stored, about)
        try:
            await self.decisions.check_named(principal, (command,))
            context = await self.decisions.context(principal, stored, (command,), client)
            answer = self.decisions.decide(stored, (command,), context)
        except CommandInvalid as error:
            return waiting(UNUSABLE, stored, about, error.faults)
        except Forbidden as error:
            return self._forbidden(principal, error, command.trigger, stored, about)
        if not isinstance(answer, Accepted):
            self.decisions.count_refused(stored.course.protocol, answer)
            refusal = self.decisions.refusal(principal, stored, answer, (command,), context)
            outcome = NoticeOutcome(
                status="waiting",
                course=stored.course.id,
                refusals=answer.refusals,
                why=refused(answer).summary,
                about_seq=about,
            )
            return DecidedNotice(outcome=outcome, events=(refusal,))
        change = self.decisions.change(stored, answer)
        seq = change.entries[-1].written.seq
        outcome = NoticeOutcome(status="applied", course=change.course.id, seq=seq, about_seq=about or seq)
        return DecidedNotice(outcome=outcome, changes=(change,), client=client.new if client else None)

    def _forbidden(
        self, principal: Principal, error: Forbidden, trigger: str, stored: StoredCourse, about: int | None
    ) -> DecidedNotice:
        """The principal's role may not fire the trigger. The attempt is recorded."""
        event = self.clinic.event(principal, "refusal", trigger, [stored.course.id], [ROLE])
        return msgspec.structs.replace(waiting(str(error), stored, about), events=(event,))

    async def fire_on_every(self, principal: Principal, courses: Sequence[tuple[StoredCourse, Command]]) -> DecidedNotice:
        """Decides commands on several courses of a client, to be committed as one. If one course refuses, the notice waits."""
        first, command = courses[0]
        client = await self.decisions.new_client(first.course, (command,))
        decided = [await self.fire(principal, course, each, client=client) for course, each in courses]
        held = next((each for each in decided if each.outcome.status == "waiting"), decided[0])
        changes = tuple(change for each in decided for change in each.changes)
        return DecidedNotice(
            outcome=held.outcome,
            changes=changes,
            client=client.new if client and changes else None,
            events=tuple(event for each in decided for event in each.events),
        )

    async def open_course(self, principal: Principal, opening: Opening) -> DecidedNotice:
        """Decides the opening of a course."""
        if not policy.may(principal, "open a course"):
            return waiting(str(Forbidden("open a course", principal.role, policy.QUESTIONS["open a course"])))
        for forbidden in self.decisions.forbidden(principal, [opening.trigger]):
            return waiting(str(forbidden))
        try:
            decided = await self.decisions.opening(principal, opening)
        except CommandInvalid as error:
            return waiting(UNUSABLE, faults=error.faults)
        answer = decided.answer
        if not isinstance(answer, Accepted):
            self.decisions.count_refused(opening.protocol, answer)
            event = self.clinic.event(principal, "refusal", answer.trigger, (), [each.rule for each in answer.refusals])
            outcome = NoticeOutcome(status="waiting", refusals=answer.refusals, why=refused(answer).summary)
            return DecidedNotice(outcome=outcome, events=(event,))
        change = self.decisions.opened(principal, answer)
        outcome = NoticeOutcome(status="applied", course=change.course.id, seq=1, about_seq=1)
        return DecidedNotice(outcome=outcome, changes=(change,), client=decided.client.new)


def of_client(trigger: str) -> bool:
    """Whether a command is fired on every course of the client."""
    return trigger in triggers.CONCERNING_CLIENT
