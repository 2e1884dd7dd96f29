"""The verbs that record a group's session: one `record_session` on every member's course, judged by that course's own machine.

One unit commits the accepted records, a line of the group's log, and the refused records, which wait in the inbox.
If another write to a course or to the group commits first, nothing is written and every course decides again.
"""

import datetime as dt
import hashlib
from collections.abc import Sequence

import msgspec

from ipt_workflow import groups
from ipt_workflow.access.principal import Principal
from ipt_workflow.course import Course
from ipt_workflow.course.rules import Context, GroupHeld
from ipt_workflow.course.triggers import Command
from ipt_workflow.errors import (
    CommandInvalid,
    GroupSessionRefused,
    GroupStale,
    MemberRefused,
    StaleVersion,
)
from ipt_workflow.groups import Group, GroupSession, HeldRecord, MemberAttendance, views
from ipt_workflow.groups.bodies import NewSession
from ipt_workflow.groups.views import MemberAccepted, MemberFacts, Recorded, SessionCommitted
from ipt_workflow.machine import Accepted, Refused
from ipt_workflow.service import seal
from ipt_workflow.service.clinic import Clinic, new_id
from ipt_workflow.service.decisions import Decisions, refused, retrying
from ipt_workflow.service.groups.groups import Groups, decoded
from ipt_workflow.service.idempotency import Idempotency
from ipt_workflow.service.writes import GroupWrite, IdempotencyKey
from ipt_workflow.store import groups as stored_groups
from ipt_workflow.store.courses import StoredCourse
from ipt_workflow.store.notices import NewNotice, NoticeDetail
from ipt_workflow.store.units import GroupLine, KeptAnswer, LoggedEvent, Unit

NO_SESSION = "The group has no such session."
QUESTION = "record group sessions"
BUSY = "The members' courses are being written by others. Try again."


class MemberDecision(msgspec.Struct, frozen=True, kw_only=True):
    """How one member's course answers. `notice` is the id under which a refused record will wait in the inbox.

    `command` records the session on the course. `fired` is what was decided: the same, or a link if the course has recorded the
    session outside the group.
    """

    stored: StoredCourse
    command: Command
    fired: Command
    context: Context
    answer: Accepted | Refused
    notice: str | None

    @property
    def course(self) -> str:
        return self.stored.course.id

    @property
    def held(self) -> GroupHeld:
        assert self.context.group_session is not None  # `_decide` gave it to every member
        return self.context.group_session


class GroupSessions:
    """Records the sessions of a clinic's groups."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic
        self.groups = Groups(clinic)
        self.decisions = Decisions(clinic)
        self._idempotency: Idempotency[SessionCommitted] = Idempotency(clinic)

    async def record(self, principal: Principal, group_id: str, write: GroupWrite) -> SessionCommitted:
        """Records a session on every member's course.

        Raises GroupSessionRefused if the body demands `all` and a course refuses.
        Raises GroupRefused if the session is already recorded.
        """
        group = await self.groups.visible_group(principal, group_id)
        await self.clinic.require(principal, QUESTION, group.courses)

        async def replay(kept: KeptAnswer) -> SessionCommitted:
            return await self._replay(principal, kept)

        return await self._idempotency.run(write.key, replay, lambda: self._record(principal, group_id, write))

    async def _record(self, principal: Principal, group_id: str, write: GroupWrite) -> SessionCommitted:
        session_id, now = new_id(), self.clinic.clock.now()

        async def attempt() -> SessionCommitted:
            group = await self.groups.visible_group(principal, group_id)
            body: NewSession = decoded(write, group)
            at = groups.moment(body, now, self.clinic.settings.clock_ahead_seconds)
            decisions = await self._decide(principal, group, body, session_id, at)
            return SessionCommitted(recorded=await self._commit(principal, group, body, decisions, write.key))

        return await retrying(attempt, StaleVersion, unless=() if write.version is None else (GroupStale,), busy=BUSY)

    async def _decide(
        self, principal: Principal, group: Group, body: NewSession, session_id: str, at: dt.datetime
    ) -> list[MemberDecision]:
        """How every member's course answers. Raises CommandInvalid with every fault of the body."""
        courses = await self.groups.facilitated_courses(principal, dict.fromkeys([*group.there(at), *body.attendance]))
        closed = [course for course, each in courses.items() if not each.course.open]
        faults = groups.attendance_faults(group, at, body, closed)
        if faults:
            raise CommandInvalid(faults)
        refusals = groups.session_refusals(group, body, at, {course: each.course for course, each in courses.items()})
        await self.groups.refuse(principal, "record a group session", refusals, body.attendance)
        held = groups.is_held(body.attendance.values())
        decisions = []
        for course in sorted(body.attendance):  # always in this order, or two processes could deadlock
            session = groups.group_held(group, session_id, courses[course].course, principal.person, held=held)
            try:
                decisions.append(await self._judge(principal, group, courses[course], groups.command(body, course, at), session))
            except CommandInvalid as error:
                faults += [fault for fault in error.faults if fault not in faults]
        if faults:
            raise CommandInvalid(faults)
        return decisions

    async def _judge(
        self, principal: Principal, group: Group, stored: StoredCourse, command: Command, session: GroupHeld
    ) -> MemberDecision:
        now = max(self.clinic.clock.now(), stored.course.last_recorded_at)
        fired, session = groups.link(command, session, stored.course, now, self.clinic.zone) or (command, session)
        context = msgspec.structs.replace(
            await self.decisions.context(principal, stored, (fired,)),
            group_session=session,
            held_before=groups.held_before(group, stored.course, command.occurred_at or now),
        )
        answer = self.decisions.decide(stored, (fired,), context)
        notice = new_id() if isinstance(answer, Refused) else None
        return MemberDecision(stored=stored, command=command, fired=fired, context=context, answer=answer, notice=notice)

    async def _commit(
        self,
        principal: Principal,
        group: Group,
        body: NewSession,
        decisions: Sequence[MemberDecision],
        key: IdempotencyKey | None,
    ) -> Recorded:
        changes = [self.decisions.change(each.stored, each.answer) for each in decisions if isinstance(each.answer, Accepted)]
        held_back = [each for each in decisions if isinstance(each.answer, Refused)]
        members = [_refused_member(each) for each in held_back]
        refusals = tuple(self._refusal(principal, each) for each in held_back)
        if body.all and held_back:
            for refusal in refusals:
                await self.clinic.committer.commit(refusal)
            self._count_refused(held_back)
            raise GroupSessionRefused([msgspec.structs.replace(each, notice=None) for each in members])
        session = self._session(principal, group, body, decisions)
        seq, at = session.seq, session.recorded_at
        unit = Unit(
            organisation=self.clinic.organisation,
            changes=tuple(changes),
            answer=seal.kept_answer(self.clinic, key, group.id, seq, seq, at) if key else None,
            line=GroupLine(group=group.id, expected=group.version, content=session),
            notices=tuple(self._held_record(principal, group, each) for each in held_back),
            events=refusals,
            request_id=principal.request_id,
        )
        await self.decisions.commit(unit)
        self._count_refused(held_back)  # after the commit, or a repeated attempt would count them again
        self.clinic.metrics.notices.labels(groups.SOURCE, groups.HELD_RECORD_TYPE, "waiting").inc(len(held_back))
        known = MemberFacts(
            courses={
                each.course: each.answer.course if isinstance(each.answer, Accepted) else each.stored.course for each in decisions
            },
            client_refs={},
            notices={each.notice: "waiting" for each in held_back if each.notice},
        )
        return Recorded(
            session=views.session_view(session, known),
            version=session.seq,
            accepted=tuple(MemberAccepted(change.course.id, change.course.version) for change in changes),
            refused=tuple(members),
            warnings=groups.warnings(self.groups.spec(group), group.there(session.occurred_at)),
        )

    def _refusal(self, principal: Principal, decision: MemberDecision) -> LoggedEvent:
        """A member's refusal as a record of the audit log."""
        assert isinstance(decision.answer, Refused)
        return self.decisions.refusal(principal, decision.stored, decision.answer, (decision.fired,), decision.context)

    def _count_refused(self, decisions: Sequence[MemberDecision]) -> None:
        for each in decisions:
            assert isinstance(each.answer, Refused)
            self.decisions.count_refused(each.stored.course.protocol, each.answer)

    def _session(self, principal: Principal, group: Group, body: NewSession, decisions: Sequence[MemberDecision]) -> GroupSession:
        """The session as a line of the group's log."""
        first = decisions[0]
        assert first.command.occurred_at is not None  # `_decide` sets it for every member
        return GroupSession(
            id=first.held.id,
            seq=group.version + 1,
            occurred_at=first.command.occurred_at,
            recorded_at=self.clinic.clock.now(),
            recorded_by=principal.person,
            kind=body.kind,
            medium=body.medium,
            minutes=body.minutes,
            scheduled_for=body.scheduled_for.astimezone(dt.UTC) if body.scheduled_for else None,
            held=first.held.held,
            told={
                each.course: MemberAttendance(
                    attendance=body.attendance[each.course],
                    seq=each.answer.course.version if isinstance(each.answer, Accepted) else None,
                    notice=each.notice,
                )
                for each in decisions
            },
        )

    def _held_record(self, principal: Principal, group: Group, decision: MemberDecision) -> NewNotice:
        """The notice that holds a refused record in the inbox."""
        body = msgspec.json.encode(groups.held_record(group, decision.held, decision.command, principal.actor))
        member = _refused_member(decision)
        return NewNotice(
            id=decision.notice or "",
            source_id=groups.SOURCE,
            key=hashlib.sha256(f"{decision.held.id}\n{decision.course}".encode()).hexdigest(),
            body_hash="",  # nobody sends it again
            type=groups.HELD_RECORD_TYPE,
            received_at=self.clinic.clock.now(),
            body=body,
            status="waiting",
            client_id=decision.stored.course.client,
            course_id=decision.course,
            detail=NoticeDetail(why=member.why, refusals=member.refusals),
        )

    async def _replay(self, principal: Principal, kept: KeptAnswer) -> SessionCommitted:
        """Answers a used key with what the courses accepted and refused then, and with the present status of each attendance."""
        group = await self.clinic.read(stored_groups.find, kept.course_id, kept.last_seq)
        assert group is not None  # one commit wrote the group's line and the key
        session = next(each for each in group.sessions if each.seq == kept.last_seq)
        waiting = {course: each.notice for course, each in session.told.items() if each.notice}
        found = await self.clinic.read(stored_groups.held_records, list(waiting.values()))
        known = await self.groups.known(principal, group)
        recorded = Recorded(
            session=views.session_view(session, known),
            version=session.seq,
            accepted=tuple(MemberAccepted(course, each.seq) for course, each in session.told.items() if each.seq),
            refused=tuple(
                _waiting_member(known.courses[course], notice, found[notice].detail) for course, notice in waiting.items()
            ),
            warnings=groups.warnings(self.groups.spec(group), group.there(session.occurred_at)),
        )
        return SessionCommitted(recorded=recorded, replayed=True)

    # Refused records

    async def again(self, principal: Principal, course_id: str, record: HeldRecord) -> int:
        """Fires a record again that the course refused before. Returns the seq of the course's session.

        Raises TransitionRefused, CommandInvalid, TriggerNotPermitted.
        """
        command, session = groups.command_of(record)

        async def attempt() -> int:
            stored = (await self.groups.facilitated_courses(principal, [course_id]))[course_id]
            recorded = _recorded(stored.course, record.session)
            if recorded is not None:
                return recorded
            group = await self.clinic.read(stored_groups.find, record.group)
            assert group is not None  # groups are never removed
            decision = await self._judge(principal, group, stored, command, session)
            accepted = await self.decisions.accepted(principal, stored, decision.answer, (decision.fired,), decision.context)
            change = self.decisions.change(stored, accepted)
            unit = Unit(organisation=self.clinic.organisation, changes=(change,), request_id=principal.request_id)
            await self.decisions.commit(unit)
            recorded = _recorded(change.course, record.session)
            assert recorded is not None  # the entry that was just written
            return recorded

        return await retrying(attempt, StaleVersion)


def _recorded(course: Course, session: str) -> int | None:
    """The seq of a course's session that belongs to a session of a group."""
    return next((each.seq for each in course.sessions if each.group_session == session), None)


def _waiting_member(course: Course, notice: str, detail: NoticeDetail | None) -> MemberRefused:
    """A member whose refused record became this notice. `detail` is the reason that the notice holds."""
    why = detail or NoticeDetail()
    return MemberRefused(
        course=course.id, state=course.state, version=course.version, why=why.why, refusals=why.refusals, notice=notice
    )


def _refused_member(decision: MemberDecision) -> MemberRefused:
    assert isinstance(decision.answer, Refused)
    return member_refused(decision.course, decision.answer, decision.notice)


def member_refused(course: str, answer: Refused, notice: str | None = None) -> MemberRefused:
    """A member whose course refused. `notice` is the held record in the inbox, if there is one."""
    error = refused(answer)
    return MemberRefused(
        course=course,
        state=error.state or "",
        version=error.version,
        refusals=error.refusals,
        why=error.summary,
        notice=notice,
    )
