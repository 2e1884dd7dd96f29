"""The verbs that sign a group's sessions: `sign_session` on every member's course where the caller gave the session.

One unit commits the signatures of all courses, with the records of those that were refused. If another write to a course commits first,
nothing is written and every course decides again.
"""

from collections.abc import Callable, Mapping

import msgspec

from ipt_workflow import groups
from ipt_workflow.access.principal import Principal
from ipt_workflow.course.course import Session
from ipt_workflow.course.rules import Context
from ipt_workflow.course.triggers import Command
from ipt_workflow.errors import CommandInvalid, Fault, GroupSessionRefused, NotFound, StaleVersion
from ipt_workflow.groups import Group, GroupSession
from ipt_workflow.groups.bodies import Signing, SigningSeveral
from ipt_workflow.groups.views import MemberAccepted, Signed, SignedSessions
from ipt_workflow.machine import Accepted, Refused
from ipt_workflow.service import seal
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.service.decisions import Decisions, retrying
from ipt_workflow.service.groups.groups import Groups
from ipt_workflow.service.groups.sessions import BUSY, NO_SESSION, QUESTION, member_refused
from ipt_workflow.service.writes import IdempotencyKey
from ipt_workflow.store.courses import StoredCourse
from ipt_workflow.store.units import KeptAnswer, LoggedEvent, Unit


class ChosenSession(msgspec.Struct, frozen=True, kw_only=True):
    """A session to sign, with what the caller sent for it, and `where` in the body."""

    session: GroupSession
    signing: Signing
    where: str = ""


class CourseSignatures(msgspec.Struct, frozen=True, kw_only=True):
    """How one course answers its signatures: each session's by the session's id in the group, and those accepted as one."""

    stored: StoredCourse
    context: Context
    answers: Mapping[str, tuple[Command, Accepted | Refused]]
    accepted: Accepted | None

    @property
    def refused(self) -> dict[str, tuple[Command, Refused]]:
        return {session: (command, answer) for session, (command, answer) in self.answers.items() if isinstance(answer, Refused)}

    def signed(self, session: str) -> MemberAccepted | None:
        """The entry that signs a session; None if there is none."""
        answered = self.answers.get(session)
        if answered is None or self.accepted is None or isinstance(answered[1], Refused):
            return None
        entry = next(each.fact.seq for each in self.accepted.drafts if each.fact.data["session"] == answered[0].data["session"])
        return MemberAccepted(self.stored.course.id, entry)


class GroupSignatures:
    """Signs the sessions of a clinic's groups."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic
        self.groups = Groups(clinic)
        self.decisions = Decisions(clinic)

    async def sign(self, principal: Principal, group_id: str, session_id: str, decode: Callable[[], Signing]) -> Signed:
        """Signs a session on every member's course where the caller gave it and has not signed it yet."""
        chosen = await self._chosen(principal, group_id, session_id, decode)
        return (await self._sign(principal, [chosen]))[session_id]

    async def _chosen(self, principal: Principal, group_id: str, session_id: str, decode: Callable[[], Signing]) -> ChosenSession:
        group = await self._group(principal, group_id)
        session = group.session(session_id)
        if session is None:
            raise NotFound(NO_SESSION)
        body = decode()
        _check([*_strangers(session, body)])
        return ChosenSession(session=session, signing=body)

    async def import_signature(
        self, principal: Principal, group_id: str, session_id: str, decode: Callable[[], Signing], key: IdempotencyKey
    ) -> None:
        """Signs a session as `sign` does, on every such course or on none.

        Raises GroupSessionRefused if a course refuses, CommandInvalid if there is nothing to sign.
        """
        chosen = await self._chosen(principal, group_id, session_id, decode)

        async def attempt() -> None:
            decided = await self._decided(principal, [chosen])
            if not decided:
                raise CommandInvalid(
                    [Fault("session", f"has nothing left to sign for {principal.person}: name who gave it, or remove the line")]
                )
            refused = _signed(session_id, decided).refused
            if refused:
                await self._commit(principal, [each for each in decided if each.refused])
                raise GroupSessionRefused(refused, "sign_session")
            seq = chosen.session.seq
            await self._commit(principal, decided, seal.kept_answer(self.clinic, key, group_id, seq, seq, self.clinic.clock.now()))

        await retrying(attempt, StaleVersion, busy=BUSY)

    async def sign_several(self, principal: Principal, group_id: str, decode: Callable[[], SigningSeveral]) -> SignedSessions:
        """Signs several sessions at once, as `sign` does each of them."""
        group = await self._group(principal, group_id)
        body = decode()
        known = {session.id: session for session in group.sessions}
        faults = [Fault(f"sessions.{each}", "is no session of the group") for each in body.sessions if each not in known]
        for each, signing in body.sessions.items():
            faults += [*_strangers(known[each], signing, f"sessions.{each}.")] if each in known else []
        _check(faults)
        chosen = [
            ChosenSession(session=known[each], signing=signing, where=f"sessions.{each}.")
            for each, signing in body.sessions.items()
        ]
        return SignedSessions(sessions=await self._sign(principal, chosen))

    async def _group(self, principal: Principal, group_id: str) -> Group:
        group = await self.groups.visible_group(principal, group_id)
        await self.clinic.require(principal, QUESTION, group.courses)
        return group

    async def _sign(self, principal: Principal, chosen: list[ChosenSession]) -> dict[str, Signed]:
        chosen.sort(key=lambda each: each.session.occurred_at)

        async def attempt() -> list[CourseSignatures]:
            decided = await self._decided(principal, chosen)
            await self._commit(principal, decided)
            return decided

        decided = await retrying(attempt, StaleVersion, busy=BUSY)
        return {each.session.id: _signed(each.session.id, decided) for each in chosen}

    async def _decided(self, principal: Principal, chosen: list[ChosenSession]) -> list[CourseSignatures]:
        """How every course answers on which the caller has something to sign."""
        members = sorted({course for each in chosen for course in each.session.told})  # always in this order: see `GroupSessions`
        stored = await self.groups.facilitated_courses(principal, members)
        answered = [await self._decide(principal, stored[course], chosen) for course in members]
        return [each for each in answered if each]

    async def _decide(self, principal: Principal, stored: StoredCourse, chosen: list[ChosenSession]) -> CourseSignatures | None:
        """Judges each signature by itself; None if the caller has nothing to sign on the course.

        Signatures do not depend on each other, so those that are accepted alone are accepted together.
        """
        commands: dict[str, Command] = {}
        for each in chosen:
            own = _unsigned(stored, each.session.id, principal.person)
            if own:
                commands[each.session.id] = groups.signature(each.signing, stored.course.id, own.seq)
        if not commands:
            return None
        context = await self.decisions.context(principal, stored, tuple(commands.values()))
        where = {each.session.id: each.where for each in chosen}
        answers = {
            session: (command, self._judge(stored, command, context, where[session])) for session, command in commands.items()
        }
        passed = tuple(command for command, answer in answers.values() if isinstance(answer, Accepted))
        together = self.decisions.decide(stored, passed, context) if passed else None
        assert not isinstance(together, Refused), "signatures that pass alone pass together"
        return CourseSignatures(stored=stored, context=context, answers=answers, accepted=together)

    def _judge(self, stored: StoredCourse, command: Command, context: Context, where: str) -> Accepted | Refused:
        try:
            return self.decisions.decide(stored, (command,), context)
        except CommandInvalid as error:
            raise CommandInvalid([Fault(f"{where}{fault.where}", fault.message) for fault in error.faults]) from None

    async def _commit(self, principal: Principal, decided: list[CourseSignatures], answer: KeptAnswer | None = None) -> None:
        refusals = [
            self.decisions.refusal(principal, each.stored, refused, (command,), each.context)
            for each in decided
            for command, refused in each.refused.values()
        ]
        await self._write(principal, [each for each in decided if each.accepted], refusals, answer)
        for each in decided:
            for _, refusal in each.refused.values():
                self.decisions.count_refused(each.stored.course.protocol, refusal)

    async def _write(
        self, principal: Principal, signed: list[CourseSignatures], refusals: list[LoggedEvent], answer: KeptAnswer | None
    ) -> None:
        changes = tuple(self.decisions.change(each.stored, each.accepted) for each in signed if each.accepted)
        if changes:
            unit = Unit(
                organisation=self.clinic.organisation,
                changes=changes,
                answer=answer,
                events=tuple(refusals),
                request_id=principal.request_id,
            )
            await self.decisions.commit(unit)
            return
        for refusal in refusals:
            await self.clinic.committer.commit(refusal)


def _unsigned(stored: StoredCourse, session: str, person: str) -> Session | None:
    """The course's session of the group that this person gave and has not signed."""
    unsigned = (each for each in stored.course.unsigned if each.group_session == session)
    return next((each for each in unsigned if each.given_by == person), None)


def _signed(session: str, decided: list[CourseSignatures]) -> Signed:
    refused = [(each.stored.course.id, each.refused[session][1]) for each in decided if session in each.refused]
    return Signed(
        signed=tuple(found for each in decided if (found := each.signed(session))),
        refused=tuple(member_refused(course, answer) for course, answer in refused),
    )


def _strangers(session: GroupSession, signing: Signing, where: str = "") -> list[Fault]:
    return [Fault(f"{where}focus.{each}", "is no member of this session") for each in signing.focus if each not in session.told]


def _check(faults: list[Fault]) -> None:
    if faults:
        raise CommandInvalid(faults)
