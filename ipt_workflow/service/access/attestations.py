"""The supervisors' list: sessions that were held and not signed, whose therapist can sign them no longer."""

import datetime as dt

import msgspec

from ipt_workflow.access import people
from ipt_workflow.access.principal import Principal
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.store import courses as stored_courses
from ipt_workflow.store import people as stored_people
from ipt_workflow.store.courses import Filters, StoredCourse

BATCH = 200  # courses with unsigned sessions that are read at a time


class SessionToAttest(msgspec.Struct, frozen=True, kw_only=True):
    """A session for `attest_session`. `given_by` has left, or is not known here as a therapist."""

    session: int
    occurred_at: dt.datetime
    given_by: str


class CourseToAttest(msgspec.Struct, frozen=True, kw_only=True):
    course: str
    version: int
    therapist: str | None
    sessions: tuple[SessionToAttest, ...]


class Attestations:
    """What a clinic's supervisors have to attest."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic

    async def page(self, principal: Principal, after: str, limit: int) -> list[CourseToAttest]:
        """The courses that the principal may see with such sessions, after an id, in the order they were opened."""
        await self.clinic.require(principal, "read sessions to attest")
        items: list[CourseToAttest] = []
        while True:
            filters = Filters(viewer=self.clinic.viewer(principal), attention="unsigned")
            found = await self.clinic.read(stored_courses.caseload, filters, after, BATCH, self.clinic.clock.now())
            seen = (await self.clinic.all_seen(principal, found)).values()
            items += await self.of([each for each in seen if not each.is_glimpse])
            if len(found) < BATCH or len(items) >= limit:
                break
            after = found[-1].course.id
        await self.clinic.log(principal, "read", "sessions to attest", [each.course for each in items[:limit]])
        return items[:limit]

    async def of(self, found: list[StoredCourse]) -> list[CourseToAttest]:
        """Those of the courses that have sessions whose therapist can sign them no longer."""
        givers = {session.given_by for each in found for session in each.course.unsigned if session.given_by}
        known = await self.clinic.read(stored_people.members, givers) if givers else {}
        return [
            CourseToAttest(course=each.course.id, version=each.course.version, therapist=each.course.therapist, sessions=sessions)
            for each in found
            if (sessions := tuple(_left_behind(each, known)))
        ]


def _left_behind(stored: StoredCourse, known: dict[str, people.StaffMember]) -> list[SessionToAttest]:
    return [
        SessionToAttest(session=session.seq, occurred_at=session.at, given_by=session.given_by)
        for session in stored.course.unsigned
        if session.given_by and not people.acts_as(known.get(session.given_by), "therapist")
    ]
