"""Telling of a group's session: one `record_session` on the course of every member, judged by each course's own machine.

What is accepted is committed in one unit, with a line of the group's log; what is refused waits in the inbox, in the same unit. Where
any of the courses, or the group, has moved on since it was looked at, nothing is written and all is decided again.
"""

import datetime as dt
import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from ipt_workflow import groups
from ipt_workflow.access.principal import Principal
from ipt_workflow.course import Course
from ipt_workflow.course.rules import GroupHeld
from ipt_workflow.course.triggers import Command
from ipt_workflow.errors import (
    Busy,
    CommandInvalid,
    Fault,
    GroupSessionRefused,
    GroupStale,
    MemberRefused,
    NotFound,
    StaleVersion,
    TransitionRefused,
)
from ipt_workflow.groups import Group, GroupSession, HeldRecord, MemberAttendance, Why, views
from ipt_workflow.groups.bodies import NewSession, Signing
from ipt_workflow.groups.views import MemberAccepted, MemberFacts, Recorded, SessionCommitted, Signed
from ipt_workflow.machine import Accepted, Refused
from ipt_workflow.service import seal
from ipt_workflow.service.clinic import Clinic, new_id
from ipt_workflow.service.courses import Courses
from ipt_workflow.service.groups.groups import ATTEMPTS, Groups, decoded
from ipt_workflow.service.idempotency import Idempotency
from ipt_workflow.service.writes import GroupWrite, IdempotencyKey
from ipt_workflow.store import groups as stored
from ipt_workflow.store.courses import KeptAnswer, StoredCourse
from ipt_workflow.store.units import CourseChange, GroupLine, Unit

NO_SESSION = "The group has no such session."
QUESTION = "record group sessions"


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """What one member's course says to a session."""

    stored: StoredCourse
    command: Command
    as_told: GroupHeld
    answer: Accepted | Refused

    @property
    def course(self) -> str:
        return self.stored.course.id


class GroupSessions:
    """The verbs over a clinic."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic
        self.groups = Groups(clinic)
        self.service = Courses(clinic)
        self._idempotency: Idempotency[SessionCommitted] = Idempotency(clinic)

    async def record(self, principal: Principal, group_id: str, write: GroupWrite) -> SessionCommitted:
        """Raises GroupSessionRefused where it is for all and some refuse, GroupRefused where the session is on record already."""
        group = await self.groups.visible(principal, group_id)
        await self.clinic.require(principal, QUESTION, group.courses)
        return await self._idempotency.run(write.key, self._replay, lambda: self._record(principal, group_id, write))

    async def _record(self, principal: Principal, group_id: str, write: GroupWrite) -> SessionCommitted:
        session_id, now = new_id(), self.clinic.clock.now()
        for _attempt in range(ATTEMPTS):
            group = await self.groups.visible(principal, group_id)
            told: NewSession = decoded(write, group)
            at = groups.moment(told, now, self.clinic.settings.clock_ahead_seconds)
            heard = await self._heard(principal, group, told, session_id, at)
            try:
                return SessionCommitted(recorded=await self._commit(principal, group, told, heard, write.key))
            except GroupStale:
                if write.version is not None:
                    raise
            except StaleVersion:  # of one of the courses
                continue
        raise Busy("The members' courses are being written by others. Try again.")

    async def _heard(self, principal: Principal, group: Group, told: NewSession, session_id: str, at: dt.datetime) -> list[Heard]:
        """What every member's course says. Raises CommandInvalid with all that is wrong with what was told."""
        courses = await self.groups.courses(dict.fromkeys([*group.there(at), *told.attendance]))
        closed = [course for course, each in courses.items() if not each.course.open]
        faults = groups.attendance_faults(group, at, told, closed)
        if faults:
            raise CommandInvalid(faults)
        refusals = groups.session_refusals(group, at, {its_id: each.course for its_id, each in courses.items()})
        await self.groups.stand(principal, "record a group session", refusals, told.attendance)
        held = groups.is_held(told.attendance.values())
        heard = []
        for course in sorted(told.attendance):  # in one order, or two processes lock crosswise
            as_told = groups.group_held(group, session_id, courses[course].course, principal.person, held=held)
            command = groups.command(told, course, at)
            try:
                answer = await self._judged(principal, courses[course], command, as_told)
            except CommandInvalid as error:
                faults += [fault for fault in error.faults if fault not in faults]
            else:
                heard.append(Heard(stored=courses[course], command=command, as_told=as_told, answer=answer))
        if faults:
            raise CommandInvalid(faults)
        return heard

    async def _judged(
        self, principal: Principal, course: StoredCourse, command: Command, as_told: GroupHeld | None
    ) -> Accepted | Refused:
        context = await self.service.context_of(principal, course, (command,))
        told = msgspec.structs.replace(context, group_session=as_told)
        return self.clinic.machine_of(course.course).preview(course.course, (command,), told)

    async def _commit(
        self, principal: Principal, group: Group, told: NewSession, heard: Sequence[Heard], key: IdempotencyKey | None
    ) -> Recorded:
        accepted = [self._changed(each.stored, each.answer) for each in heard if isinstance(each.answer, Accepted)]
        waits = {each.course: new_id() for each in heard if isinstance(each.answer, Refused)}
        refused = [_refused(each.course, each.answer, waits[each.course]) for each in heard if isinstance(each.answer, Refused)]
        if told.all and refused:
            await self._tell_refusals(principal, refused)
            raise GroupSessionRefused([msgspec.structs.replace(each, notice=None) for each in refused])
        session = self._session(principal, group, told, heard, waits)
        unit = Unit(
            organisation=self.clinic.organisation,
            changes=tuple(accepted),
            answer=seal.kept_answer(self.clinic, key, group.id, session.seq, session.seq, session.recorded_at) if key else None,
            line=GroupLine(group=group.id, expected=group.version, table="group_session", rows=(self._row(group, session),)),
            notices=tuple(self._waiting(principal, group, each, waits[each.course]) for each in heard if each.course in waits),
            events=tuple(
                self.clinic.event(principal, "refusal", "record_session", [each.course], [r.rule for r in each.refusals], told=True)
                for each in refused
            ),
        )
        await self.clinic.committer.commit(unit)
        self._count(accepted, refused, heard)
        courses = {each.course: each.answer.course if isinstance(each.answer, Accepted) else each.stored.course for each in heard}
        known = MemberFacts(courses=courses, client_refs={}, notices=dict.fromkeys(waits.values(), "waiting"))
        return Recorded(
            session=views.session_view(session, known),
            version=session.seq,
            accepted=tuple(MemberAccepted(change.course.id, change.course.version) for change in accepted),
            refused=tuple(refused),
            warnings=groups.warnings(self.groups.spec(group), group.there(session.occurred_at)),
        )

    def _changed(self, course: StoredCourse, answer: Accepted) -> CourseChange:
        return seal.change(self.clinic, answer.course, answer.drafts, course.head, course.course.version)

    def _session(
        self, principal: Principal, group: Group, told: NewSession, heard: Sequence[Heard], waits: dict[str, str]
    ) -> GroupSession:
        """The session as the group's log has it."""
        first = heard[0]
        assert first.command.occurred_at is not None  # it was set for all
        return GroupSession(
            id=first.as_told.id,
            seq=group.version + 1,
            occurred_at=first.command.occurred_at,
            recorded_at=self.clinic.clock.now(),
            recorded_by=principal.person,
            kind=told.kind,
            medium=told.medium,
            minutes=told.minutes,
            scheduled_for=told.scheduled_for.astimezone(dt.UTC) if told.scheduled_for else None,
            held=first.as_told.held,
            told={
                each.course: MemberAttendance(
                    attendance=told.attendance[each.course],
                    seq=each.answer.course.version if isinstance(each.answer, Accepted) else None,
                    notice=waits.get(each.course),
                )
                for each in heard
            },
        )

    def _row(self, group: Group, session: GroupSession) -> dict[str, Any]:
        row = {name: getattr(session, name) for name in session.__struct_fields__}
        more = {"organisation": self.clinic.organisation, "group_id": group.id, "told": msgspec.json.encode(session.told)}
        return {**row, **more}

    def _waiting(self, principal: Principal, group: Group, heard: Heard, notice_id: str) -> dict[str, Any]:
        """The row of what waits for a person in the inbox."""
        assert isinstance(heard.answer, Refused)
        body = msgspec.json.encode(groups.held_record(group, heard.as_told, heard.command, principal.actor))
        refused = _refused(heard.course, heard.answer)
        return {
            "organisation": self.clinic.organisation,
            "id": notice_id,
            "source_id": groups.SOURCE,
            "key": hashlib.sha256(f"{heard.as_told.id}\n{heard.course}".encode()).hexdigest(),
            "body_hash": hashlib.sha256(body).hexdigest(),
            "type": groups.HELD_RECORD_TYPE,
            "resource": None,
            "resource_version": None,
            "resource_at": None,
            "received_at": self.clinic.clock.now(),
            "status": "waiting",
            "risk": False,
            "client_id": heard.stored.course.client,
            "course_id": heard.course,
            "seq": None,
            "about_seq": None,
            "body": body,
            "detail": msgspec.json.encode(Why(refused.why, refused.refusals)),
            "decided_by": None,
            "decided_at": None,
        }

    async def _tell_refusals(self, principal: Principal, refused: Sequence[MemberRefused]) -> None:
        for each in refused:
            rules = [refusal.rule for refusal in each.refusals]
            await self.clinic.record(principal, "refusal", "record_session", [each.course], rules, told=True)

    def _count(self, accepted: Sequence[CourseChange], refused: Sequence[MemberRefused], heard: Sequence[Heard]) -> None:
        for change in accepted:
            self.clinic.metrics.transitions.labels(change.course.protocol, "record_session").inc()
        protocols = {each.course: each.stored.course.protocol for each in heard}
        for each in refused:
            self.clinic.metrics.notices.labels(groups.SOURCE, groups.HELD_RECORD_TYPE, "waiting").inc()
            for refusal in each.refusals:
                self.clinic.metrics.refusals.labels(protocols[each.course], "record_session", refusal.rule).inc()

    async def _replay(self, kept: KeptAnswer) -> SessionCommitted:
        """The answer again: what was accepted and what was refused then, and what each attendance has become since."""
        group = await self.clinic.read(stored.find, kept.course_id, kept.last_seq)
        assert group is not None  # the key was committed with it
        session = next(each for each in group.sessions if each.seq == kept.last_seq)
        waits = [told.notice for told in session.told.values() if told.notice]
        found = await self.clinic.read(stored.notices, waits)
        known = await self.groups.known(group)
        refused = [
            _waits(known.courses[course], told.notice, found[told.notice][1])
            for course, told in session.told.items()
            if told.notice
        ]
        recorded = Recorded(
            session=views.session_view(session, known),
            version=session.seq,
            accepted=tuple(MemberAccepted(course, told.seq) for course, told in session.told.items() if told.seq),
            refused=tuple(refused),
            warnings=groups.warnings(self.groups.spec(group), group.there(session.occurred_at)),
        )
        return SessionCommitted(recorded=recorded, replayed=True)

    # What waited, and signing

    async def again(self, principal: Principal, course_id: str, record: HeldRecord) -> int:
        """Tells a course once more of what it had refused, by whoever the principal is; the seq of the entry that stands for it.

        Raises TransitionRefused, CommandInvalid, TriggerNotPermitted.
        """
        command, as_told = groups.command_of(record)
        for _attempt in range(ATTEMPTS):
            course = await self.clinic.courses.get(course_id)
            assert course is not None  # courses are never removed
            known = next((each.seq for each in course.course.sessions if each.group_session == record.session), None)
            if known is not None:
                return known
            try:
                return await self._fire(principal, course, command, as_told)
            except StaleVersion:
                continue
        raise Busy("The course is being written by others. Try again.")

    async def sign(self, principal: Principal, group_id: str, session_id: str, decode: Callable[[], Signing]) -> Signed:
        """Signs a session on every member's course where the caller gave it and it is not signed yet."""
        group = await self.groups.visible(principal, group_id)
        await self.clinic.require(principal, QUESTION, group.courses)
        session = group.session(session_id)
        if session is None:
            raise NotFound(NO_SESSION)
        told = decode()
        astray = [
            Fault(f"focus.{course}", "was told nothing of this session") for course in told.focus if course not in session.told
        ]
        if astray:
            raise CommandInvalid(astray)
        signed, refused = [], []
        for course in sorted(session.told):
            try:
                seq = await self._sign(principal, course, session_id, told)
            except TransitionRefused as error:
                refused.append(
                    MemberRefused(
                        course=course, state=error.state or "", version=error.version, refusals=error.refusals, why=error.summary
                    )
                )
            else:
                signed += [MemberAccepted(course, seq)] if seq else []
        return Signed(signed=tuple(signed), refused=tuple(refused))

    async def _sign(self, principal: Principal, course_id: str, session_id: str, told: Signing) -> int | None:
        """Signs it on one course; None where there is nothing for the caller to sign."""
        for _attempt in range(ATTEMPTS):
            course = await self.clinic.courses.get(course_id)
            assert course is not None  # courses are never removed
            own = [
                each for each in course.course.unsigned if each.group_session == session_id and each.given_by == principal.person
            ]
            if not own:
                return None
            try:
                return await self._fire(principal, course, groups.signature(told, course_id, own[0].seq), None)
            except StaleVersion:
                continue
        raise Busy("The course is being written by others. Try again.")

    async def _fire(self, principal: Principal, course: StoredCourse, command: Command, as_told: GroupHeld | None) -> int:
        """Fires one command on one course; the seq of its entry. Raises StaleVersion where the course has moved on."""
        answer = await self._judged(principal, course, command, as_told)
        if isinstance(answer, Refused):
            refused = _refused(course.course.id, answer)
            await self._tell_refusals(principal, [refused])
            raise TransitionRefused(answer.trigger, answer.state, answer.version, answer.refusals)
        change = self._changed(course, answer)
        await self.clinic.committer.commit(Unit(organisation=self.clinic.organisation, changes=(change,)))
        self.clinic.metrics.transitions.labels(course.course.protocol, command.trigger).inc()
        return change.course.version


def _waits(course: Course, notice: str, detail: bytes | None) -> MemberRefused:
    why = msgspec.json.decode(detail, type=Why) if detail else Why()
    return MemberRefused(
        course=course.id, state=course.state, version=course.version, why=why.why, refusals=why.refusals, notice=notice
    )


def _refused(course: str, answer: Refused, notice: str | None = None) -> MemberRefused:
    why = TransitionRefused(answer.trigger, answer.state, answer.version, answer.refusals).summary
    return MemberRefused(
        course=course, state=answer.state or "", version=answer.version, refusals=answer.refusals, why=why, notice=notice
    )
