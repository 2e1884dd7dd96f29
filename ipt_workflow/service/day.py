"""The verb that reads a therapist's day: today's appointments, and what is unfinished in the courses that they treat."""

import asyncio
import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from ipt_workflow.access.principal import Principal
from ipt_workflow.course import attention, counters
from ipt_workflow.course.rules.requirements import requirements
from ipt_workflow.errors import Refusal
from ipt_workflow.service.access.break_glass import EmergencyAccesses, EmergencyAccessView
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.service.drafts import DraftLine, Drafts
from ipt_workflow.service.registry import Registry
from ipt_workflow.service.views.caseload import CourseLine
from ipt_workflow.store import proposals as stored_proposals
from ipt_workflow.store.courses import StoredCourse
from ipt_workflow.store.proposals import LapseReason, StoredProposal
from ipt_workflow.store.registry import RegistryFilters

COURSES_MAX = 200  # so many courses are looked through; those first that most need somebody
LISTED_MAX = 50  # of each list
ANSWERED = dt.timedelta(days=14)  # so long an answered proposal is shown
ACCESSED = dt.timedelta(days=30)  # and an emergency access
PROPOSALS_MAX = 50
EARLY = dt.timedelta(minutes=15)  # so long before its time somebody may be there for an appointment
LAST = dt.datetime.max.replace(tzinfo=dt.UTC)


class Appointment(msgspec.Struct, frozen=True, kw_only=True):
    """An appointment without an outcome, until the end of today. `overdue`: it was before today. `begun`: its time has come, or nearly."""

    course: str
    at: dt.datetime
    overdue: bool
    begun: bool


class UnsignedSession(msgspec.Struct, frozen=True, kw_only=True):
    course: str
    seq: int
    at: dt.datetime
    days: int
    given_by: str | None


class RiskToReview(msgspec.Struct, frozen=True, kw_only=True):
    """A course at risk. `since` is when the oldest risk without a review was seen; None if the level is high, and reviewed."""

    course: str
    level: str
    since: dt.datetime | None


class BlockedCourse(msgspec.Struct, frozen=True, kw_only=True):
    """A course whose phase has had its sessions, and what refuses to let it go on to `trigger`."""

    course: str
    trigger: str
    refusals: tuple[Refusal, ...]


class AnsweredProposal(msgspec.Struct, frozen=True, kw_only=True):
    """A proposal that was decided lately. `status` is cosigned, declined, returned or lapsed; `reason` says why it lapsed.

    One that was returned stays until its proposer has revised it.
    """

    id: str
    course: str
    trigger: str
    status: str
    decided_by: str | None
    decided_at: dt.datetime
    reason: LapseReason | None


class WaitingNotices(msgspec.Struct, frozen=True, kw_only=True):
    """A course of which notices wait for a person. `risk`: one of them says that the client is at risk."""

    course: str
    since: dt.datetime
    risk: bool


class DayView(msgspec.Struct, frozen=True, kw_only=True):
    """A therapist's day. Everything that is unfinished is listed with the oldest first. `courses` are those that the lists name.

    `more`: the therapist has more open courses than were looked through. `names` are people's, by id.
    """

    today: dt.date
    appointments: tuple[Appointment, ...]
    unsigned: tuple[UnsignedSession, ...]
    risks: tuple[RiskToReview, ...]
    blocked: tuple[BlockedCourse, ...]
    proposals: tuple[AnsweredProposal, ...]
    notices: tuple[WaitingNotices, ...]
    emergencies: tuple[EmergencyAccessView, ...]
    drafts: tuple[DraftLine, ...]
    courses: dict[str, CourseLine]
    names: dict[str, str]
    open_courses: int
    more: bool


class TherapistDay:
    """Reads the day of a clinic's therapists, in a number of statements that does not depend on their caseload."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic
        self.registry = Registry(clinic)
        self.emergencies = EmergencyAccesses(clinic)
        self.drafts = Drafts(clinic)

    async def of(self, principal: Principal) -> DayView:
        """The day of a therapist: of their own courses, of those that they cover, and of the members of their groups."""
        await self.clinic.require(principal, "read courses")
        now, zone = self.clinic.clock.now(), self.clinic.zone
        today = now.astimezone(zone).date()
        read = await self.registry.open_courses(principal, RegistryFilters(), None, COURSES_MAX + 1)
        treated = [each for each in read[:COURSES_MAX] if not each.is_glimpse]
        proposals = await self._answered(principal, now)
        emergencies = await self.emergencies.to_clients_of(principal, now - ACCESSED, LISTED_MAX)
        lists: dict[str, list[Any]] = {
            "appointments": self._appointments(treated, today, now),
            "unsigned": self._unsigned(treated, today),
            "risks": _risks(treated),
            "blocked": self._blocked(principal, treated, now),
            "notices": _notices(treated),
            "proposals": proposals,
            "drafts": await self.drafts.begun(principal),
        }
        known = {each.course.id: each for each in treated}
        others = {each.course for each in proposals} - known.keys()
        known |= {each.course.id: each for each in await self.registry.seen(principal, sorted(others))}
        lists = {name: [each for each in items if each.course in known][:LISTED_MAX] for name, items in lists.items()}
        shown = {each.course for items in lists.values() for each in items}
        courses = await self.registry.lines(principal, [known[each] for each in sorted(shown)])
        people = [*(each.therapist for each in courses.values()), *(each.decided_by for each in proposals)]
        names, _ = await asyncio.gather(
            self.registry.names([*people, *(each.person for each in emergencies)]),
            self.clinic.log(principal, "read", "day", [known[each] for each in courses]),
        )
        return DayView(
            today=today,
            **{name: tuple(items) for name, items in lists.items()},
            emergencies=tuple(emergencies),
            courses=courses,
            names=names,
            open_courses=len(treated),
            more=len(read) > COURSES_MAX,
        )

    def _appointments(self, courses: Sequence[StoredCourse], today: dt.date, now: dt.datetime) -> list[Appointment]:
        zone = self.clinic.zone
        begins, ends = (counters.midnight(day, zone) for day in (today, today + dt.timedelta(days=1)))
        found = [
            Appointment(
                course=each.course.id,
                at=booking.scheduled_for,
                overdue=booking.scheduled_for < begins,
                begun=booking.scheduled_for <= now + EARLY,
            )
            for each in courses
            for booking in attention.without_outcome(each.course, zone)
            if booking.scheduled_for < ends
        ]
        return sorted(found, key=lambda each: (each.at, each.course))

    def _unsigned(self, courses: Sequence[StoredCourse], today: dt.date) -> list[UnsignedSession]:
        found = [
            UnsignedSession(
                course=each.course.id,
                seq=session.seq,
                at=session.at,
                days=(today - session.at.astimezone(self.clinic.zone).date()).days,
                given_by=session.given_by,
            )
            for each in courses
            for session in each.course.unsigned
        ]
        return sorted(found, key=lambda each: (each.at, each.course))

    def _blocked(self, principal: Principal, courses: Sequence[StoredCourse], now: dt.datetime) -> list[BlockedCourse]:
        return list(self._blocks(principal, courses, now))

    def _blocks(self, principal: Principal, courses: Sequence[StoredCourse], now: dt.datetime) -> Iterator[BlockedCourse]:
        context = self.clinic.context(principal, now)
        for each in courses:
            machine = self.clinic.machine_of(each.course)
            if not attention.is_blocked(machine.protocol, machine.bound, each.course, self.clinic.zone):
                continue
            leaves, required = requirements(machine.protocol, machine.bound, each.course, now, context, worded=True)
            refusals = tuple(refusal for _, refusal in required if refusal and refusal.severity == "hard")
            if leaves and refusals:
                yield BlockedCourse(course=each.course.id, trigger=leaves, refusals=refusals)

    async def _answered(self, principal: Principal, now: dt.datetime) -> list[AnsweredProposal]:
        found = await self.clinic.read(stored_proposals.of_proposer, principal.person, PROPOSALS_MAX)
        answered = [
            _answer(each, each.decided_at)
            for each in found
            if each.decided_at and each.reason != "revised" and (each.status == "returned" or each.decided_at >= now - ANSWERED)
        ]
        return sorted(answered, key=lambda each: each.decided_at, reverse=True)


def _answer(proposal: StoredProposal, decided_at: dt.datetime) -> AnsweredProposal:
    return AnsweredProposal(
        id=proposal.id,
        course=proposal.course_id,
        trigger=proposal.trigger,
        status=proposal.status,
        decided_by=proposal.decided_by,
        decided_at=decided_at,
        reason=proposal.reason,
    )


def _risks(courses: Sequence[StoredCourse]) -> list[RiskToReview]:
    found = [
        RiskToReview(course=each.course.id, level=each.course.risk.level, since=each.course.risk.open_since)
        for each in courses
        if each.course.risk.open_since or each.course.risk.level in attention.HIGH_RISK
    ]
    return sorted(found, key=lambda each: (each.since is None, each.since or LAST, each.course))


def _notices(courses: Sequence[StoredCourse]) -> list[WaitingNotices]:
    found = [
        WaitingNotices(course=each.course.id, since=each.asked["notices"], risk="risk" in each.asked)
        for each in courses
        if "notices" in each.asked
    ]
    return sorted(found, key=lambda each: (not each.risk, each.since, each.course))
