"""A supervisor's day: what waits for their agreement, and the courses that ask for them."""

import asyncio
import datetime as dt
from collections.abc import Sequence

import msgspec

from ipt_workflow.access.principal import Principal
from ipt_workflow.service.access.attestations import Attestations, CourseToAttest
from ipt_workflow.service.access.break_glass import EmergencyAccesses, EmergencyAccessView
from ipt_workflow.service.access.cover import Covers, CoverView
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.service.proposals import Proposals
from ipt_workflow.service.registry import Registry
from ipt_workflow.service.supervision.agenda import Agenda, AgendaView
from ipt_workflow.service.views import ProposalView
from ipt_workflow.service.views.caseload import CourseLine
from ipt_workflow.store import supervision as stored
from ipt_workflow.store.courses import StoredCourse

LISTED_MAX = 50  # of each list
AGENDA_MAX = 5
LATE_AFTER = dt.timedelta(weeks=1)  # that a session may wait for its signature
STUCK = ("deteriorating", "not_improving", "overdue")  # what a supervisor looks at by therapist


class SessionBeyondLimit(msgspec.Struct, frozen=True, kw_only=True):
    """A session that was held beyond a limit, and that no supervisor has acknowledged."""

    course: str
    session: int
    at: dt.datetime


class LateSignature(msgspec.Struct, frozen=True, kw_only=True):
    """A session that was held more than a week ago and is not signed."""

    course: str
    session: int
    at: dt.datetime
    days: int
    given_by: str | None


class StuckCourses(msgspec.Struct, frozen=True, kw_only=True):
    """The courses of a therapist that do not improve, get worse or are overdue."""

    therapist: str | None
    courses: tuple[str, ...]


class SupervisorsDay(msgspec.Struct, frozen=True, kw_only=True):
    """A supervisor's day. Of each list no more than LISTED_MAX are shown. `courses` are those that the lists name; `names` people's, by id.

    `leavers` are open courses without a therapist who is here. `to_attest` are, of the late signatures, those that nobody can give any more.
    """

    proposals: tuple[ProposalView, ...]
    beyond: tuple[SessionBeyondLimit, ...]
    stuck: tuple[StuckCourses, ...]
    late: tuple[LateSignature, ...]
    emergencies: tuple[EmergencyAccessView, ...]
    covers: tuple[CoverView, ...]
    leavers: tuple[str, ...]
    to_attest: tuple[CourseToAttest, ...]
    agenda: AgendaView
    courses: dict[str, CourseLine]
    names: dict[str, str]


class SupervisorsDesk:
    """Reads the day of a clinic's supervisors, in a number of statements that does not depend on how many courses there are."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic
        self.registry = Registry(clinic)
        self.agenda = Agenda(clinic)
        self.proposals = Proposals(clinic)
        self.emergencies = EmergencyAccesses(clinic)
        self.covers = Covers(clinic)
        self.attestations = Attestations(clinic)

    async def day(self, principal: Principal) -> SupervisorsDay:
        """What asks for a supervisor, among the courses that they may see."""
        await self.clinic.require(principal, "read a supervisor's day")
        who, now = self.clinic.viewer(principal), self.clinic.clock.now()
        since = {**dict.fromkeys(("deviation", *STUCK, "unassigned"), now), "unsigned": now - LATE_AFTER}
        flagged, left, proposals, emergencies, covers, agenda = await asyncio.gather(
            self.clinic.read(stored.flagged, who, now, since, LISTED_MAX),
            self.clinic.read(stored.of_leavers, who, now, LISTED_MAX),
            self.proposals.page(principal, "waiting", "", LISTED_MAX),
            self.emergencies.page(principal, False, "", LISTED_MAX),
            self.covers.page(principal, "", LISTED_MAX),
            self.agenda.view(principal, AGENDA_MAX),
        )
        flagged["unassigned"] = [*flagged["unassigned"], *left][:LISTED_MAX]
        named = [each.course for each in proposals]
        known = {each.course.id: each for courses in flagged.values() for each in courses}
        others = await self.registry.seen(principal, sorted({*named} - known.keys()))
        seen = await self.clinic.all_seen(principal, [*known.values(), *others])
        by_kind = {kind: [seen[each.course.id] for each in found if each.course.id in seen] for kind, found in flagged.items()}
        lines, to_attest, _ = await asyncio.gather(
            self.registry.lines(principal, [*seen.values()]),
            self.attestations.of([each for each in by_kind["unsigned"] if not each.is_glimpse]),
            self.clinic.log(principal, "read", "supervisor's day", [*seen.values()]),
        )
        late = _late(by_kind["unsigned"], now)
        people = [*(each.therapist for each in lines.values()), *(each.proposed_by for each in proposals)]
        people += [*(each.person for each in emergencies), *(each.given_by for each in late)]
        people += [name for each in covers for name in (each.therapist, each.colleague)]
        people += [session.given_by for each in to_attest for session in each.sessions]
        return SupervisorsDay(
            proposals=tuple(proposals),
            beyond=tuple(_beyond(by_kind["deviation"])),
            stuck=tuple(_stuck(lines, [each for kind in STUCK for each in by_kind[kind]])),
            late=tuple(late),
            emergencies=tuple(emergencies),
            covers=tuple(covers),
            leavers=tuple(each.course.id for each in by_kind["unassigned"] if each.course.open),
            to_attest=tuple(to_attest),
            agenda=agenda,
            courses=lines,
            names=await self.registry.names(people),
        )


def _beyond(courses: Sequence[StoredCourse]) -> list[SessionBeyondLimit]:
    found = [
        SessionBeyondLimit(course=each.course.id, session=session.seq, at=session.at)
        for each in courses
        for session in each.course.open_deviations
    ]
    return sorted(found, key=lambda each: (each.at, each.course))[:LISTED_MAX]


def _late(courses: Sequence[StoredCourse], now: dt.datetime) -> list[LateSignature]:
    found = [
        LateSignature(
            course=each.course.id, session=session.seq, at=session.at, days=(now - session.at).days, given_by=session.given_by
        )
        for each in courses
        for session in each.course.unsigned
        if now - session.at > LATE_AFTER
    ]
    return sorted(found, key=lambda each: (each.at, each.course))[:LISTED_MAX]


def _stuck(lines: dict[str, CourseLine], courses: Sequence[StoredCourse]) -> list[StuckCourses]:
    """By therapist, those with most of them first."""
    by_therapist: dict[str | None, list[str]] = {}
    for course_id in dict.fromkeys(each.course.id for each in courses):
        by_therapist.setdefault(lines[course_id].therapist, []).append(course_id)
    found = [StuckCourses(therapist=therapist, courses=tuple(ids)) for therapist, ids in by_therapist.items()]
    return sorted(found, key=lambda each: (-len(each.courses), each.therapist or ""))
