"""A therapist's day: appointments of today and before, and everything unfinished, the oldest first."""

import datetime as dt
from typing import Any

import msgspec
import pytest
from support import databases, service_walk
from support.service_walk import START, SUPERVISOR, THERAPIST, fire, open_course, walk

from ipt_workflow.access.break_glass import NewEmergencyAccess
from ipt_workflow.access.cover import NewCover
from ipt_workflow.access.principal import Principal
from ipt_workflow.course.triggers import Command
from ipt_workflow.errors import Forbidden
from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.service import day
from ipt_workflow.service.access.break_glass import EmergencyAccesses
from ipt_workflow.service.access.cover import Covers
from ipt_workflow.service.audit.log import AuditLog
from ipt_workflow.service.day import DayView, TherapistDay
from ipt_workflow.service.proposals import NewReturn, Proposals
from ipt_workflow.service.writes import Write
from ipt_workflow.store.audit import AuditFilters, Position

COLLEAGUE = Principal(person="therapist-2", role="therapist", via="api")
DAY, HOUR = dt.timedelta(days=1), dt.timedelta(hours=1)
RISK = Command("raise_risk", {"level": "elevated"})


@pytest.fixture(scope="module")
def made(tmp_path_factory, server):
    """A database with two started courses of therapist-1 and one of therapist-2, and their ids."""
    ids = []

    async def fill(clinic):
        for ref, who in (("EHR-1", THERAPIST), ("EHR-2", THERAPIST), ("EHR-3", COLLEAGUE)):
            ids.append(await open_course(clinic, ref, who))
            for name in ("record_consent", "start"):
                await fire(clinic, ids[-1], await service_walk.example(clinic, ids[-1], name, who), who)

    return service_walk.database(tmp_path_factory.mktemp("day"), fill, server), ids


@pytest.fixture
def clinic(made, tmp_path):
    """Runs an async test on a copy of it: `clinic(test)` with `test(clinic, courses)`."""
    settings, ids = made
    copied = databases.copy(settings, tmp_path)
    return lambda test: service_walk.with_clinic(copied, lambda clinic: test(clinic, ids), VirtualClock(START + HOUR))


async def today(clinic, who: Principal = THERAPIST) -> DayView:
    return await TherapistDay(clinic).of(who)


async def book(clinic, course: str, at: dt.datetime) -> None:
    await fire(clinic, course, Command("book_session", {"scheduled_for": at.isoformat()}))


async def held(clinic, course: str, at: dt.datetime, **data: Any) -> None:
    await fire(clinic, course, Command("record_session", {"attendance": "5", **data}, at))


def test_appointments_are_listed_until_the_end_of_today_the_overdue_ones_first(clinic):
    async def test(clinic, courses):
        later, tomorrow = START + 5 * HOUR, START + DAY
        await book(clinic, courses[0], later)
        await book(clinic, courses[1], tomorrow)
        found = await today(clinic)
        assert [(each.course, each.at, each.overdue) for each in found.appointments] == [(courses[0], later, False)]
        clinic.clock.advance(DAY)
        found = await today(clinic)
        assert [(each.course, each.overdue) for each in found.appointments] == [(courses[0], True), (courses[1], False)]
        assert found.today == (START + DAY).date()

    clinic(test)


def test_an_appointment_leaves_the_day_with_its_outcome_and_its_session_waits_for_a_signature(clinic):
    async def test(clinic, courses):
        at = START + 2 * HOUR
        await book(clinic, courses[0], at)
        clinic.clock.advance(3 * HOUR)
        await held(clinic, courses[0], at, scheduled_for=at.isoformat())
        found = await today(clinic)
        assert found.appointments == ()
        assert [(each.course, each.at, each.days) for each in found.unsigned] == [(courses[0], at, 0)]
        await fire(clinic, courses[0], Command("sign_session", {"session": found.unsigned[0].seq}))
        assert (await today(clinic)).unsigned == ()

    clinic(test)


def test_unsigned_sessions_are_listed_by_age(clinic):
    async def test(clinic, courses):
        clinic.clock.advance(9 * DAY)
        await held(clinic, courses[1], START + 2 * DAY)
        await held(clinic, courses[0], START + DAY)
        found = await today(clinic)
        assert [(each.course, each.days) for each in found.unsigned] == [(courses[0], 8), (courses[1], 7)]

    clinic(test)


def test_a_line_says_session_week_score_and_risk(clinic):
    async def test(clinic, courses):
        first, second = {"instrument": "phq9", "total": 18}, {"instrument": "phq9", "total": 9}
        await fire(clinic, courses[0], Command("record_measure", first))
        await held(clinic, courses[0], START + HOUR)
        clinic.clock.advance(7 * DAY)
        await fire(clinic, courses[0], Command("record_measure", second))
        await fire(clinic, courses[0], RISK)
        line = (await today(clinic)).courses[courses[0]]
        assert (line.client_ref, line.session, line.week, line.risk, line.phase) == ("EHR-1", 2, 2, "elevated", "initial")
        assert (line.score.title, line.score.first, line.score.last) == ("PHQ-9", 18, 9)
        assert (line.score.direction, line.score.points, line.score.reliable) == ("better", 9, True)
        assert line.seen_at == START + HOUR
        assert line.attention[0] == "risk"

    clinic(test)


def test_risk_is_listed_until_it_is_reviewed(clinic):
    async def test(clinic, courses):
        await fire(clinic, courses[0], Command("record_contact", {"kind": "crisis", "risk": True}))
        assert [each.course for each in (await today(clinic)).risks] == [courses[0]]
        await walk(clinic, courses[0], "review_risk")
        level = (await clinic.courses.get(courses[0])).course.risk.level
        assert [each.course for each in (await today(clinic)).risks] == ([courses[0]] if level in {"elevated", "acute"} else [])

    clinic(test)


def test_a_blocked_course_says_in_words_what_it_waits_for(clinic):
    async def test(clinic, courses):
        clinic.clock.advance(30 * DAY)
        for number in range(3):
            await held(clinic, courses[0], START + (1 + 7 * number) * DAY)
        (blocked,) = (await today(clinic)).blocked
        assert (blocked.course, blocked.trigger) == (courses[0], "begin_middle")
        assert "formulation" in " ".join(each.message for each in blocked.refusals)
        assert all(each.severity == "hard" for each in blocked.refusals)

    clinic(test)


def test_an_answered_proposal_is_shown_for_two_weeks_to_whoever_made_it(clinic):
    async def test(clinic, courses):
        write = Write(decode=lambda: (Command("extend_phase", reason="One more session."),), version_required=False)
        made = await Proposals(clinic).propose(THERAPIST, courses[0], write)
        assert (await today(clinic)).proposals == ()
        await Proposals(clinic).decline(SUPERVISOR, made.id)
        (answered,) = (await today(clinic)).proposals
        assert (answered.id, answered.status, answered.decided_by) == (made.id, "declined", "supervisor-1")
        assert (await today(clinic, COLLEAGUE)).proposals == ()
        clinic.clock.advance(15 * DAY)
        assert (await today(clinic)).proposals == ()

    clinic(test)


def test_a_returned_proposal_stays_until_it_is_proposed_anew(clinic):
    async def test(clinic, courses):
        write = Write(decode=lambda: (Command("extend_phase", reason="One more session."),), version_required=False)
        made = await Proposals(clinic).propose(THERAPIST, courses[0], write)
        await Proposals(clinic).send_back(SUPERVISOR, made.id, lambda: NewReturn("Say why."))
        clinic.clock.advance(15 * DAY)
        (answered,) = (await today(clinic)).proposals
        assert (answered.id, answered.status, answered.decided_by) == (made.id, "returned", "supervisor-1")
        await Proposals(clinic).propose(THERAPIST, courses[0], write)
        assert (await today(clinic)).proposals == ()

    clinic(test)


def test_emergency_accesses_of_others_are_shown_with_their_names(clinic):
    async def test(clinic, courses):
        who = msgspec.structs.replace(COLLEAGUE, session="0123456789abcdef", authenticated_at=clinic.clock.now())
        new = NewEmergencyAccess(client_ref="EHR-1", code="ETREAT", reason="She called.")
        await EmergencyAccesses(clinic).start(who, lambda: new)
        found = await today(clinic)
        assert [(each.client_ref, each.person) for each in found.emergencies] == [("EHR-1", "therapist-2")]
        assert found.names["therapist-2"]
        theirs = await today(clinic, COLLEAGUE)
        assert theirs.emergencies == ()
        assert courses[0] not in theirs.courses  # emergency access makes nobody the therapist

    clinic(test)


def test_the_day_of_a_colleague_holds_what_they_cover_and_says_for_whom(clinic):
    async def test(clinic, courses):
        await book(clinic, courses[0], START + 5 * HOUR)
        assert (await today(clinic, COLLEAGUE)).appointments == ()
        new = {"therapist": "therapist-1", "colleague": "therapist-2", "client_told": True, "reason": "Leave."}
        dates = {"from": clinic.clock.now(), "until": clinic.clock.now() + DAY}
        await Covers(clinic).arrange(SUPERVISOR, lambda: msgspec.convert({**new, **dates}, NewCover))
        found = await today(clinic, COLLEAGUE)
        assert [each.course for each in found.appointments] == [courses[0]]
        assert (found.courses[courses[0]].basis, found.courses[courses[0]].on_behalf_of) == ("cover", "therapist-1")

    clinic(test)


def test_the_audit_log_names_the_courses_that_a_day_showed(clinic):
    async def test(clinic, courses):
        await book(clinic, courses[1], START + 2 * HOUR)
        await today(clinic)
        log = await AuditLog(clinic).page(Principal(person="auditor-1", role="auditor"), AuditFilters(kind="read"), Position(), 50)
        (read,) = [each for each in log if each.action == "day"]
        assert (read.actor.person, read.courses, read.basis) == ("therapist-1", (courses[1],), "own")

    clinic(test)


def test_who_sees_no_course_has_no_day(clinic):
    async def test(clinic, _courses):
        with pytest.raises(Forbidden):
            await today(clinic, Principal(person="admin-1", role="admin"))

    clinic(test)


def test_a_day_says_so_if_it_looked_through_only_some_of_the_courses(clinic, monkeypatch):
    monkeypatch.setattr(day, "COURSES_MAX", 1)

    async def test(clinic, courses):
        await fire(clinic, courses[1], RISK)
        found = await today(clinic)
        assert (found.more, [each.course for each in found.risks]) == (True, [courses[1]])
        assert not (await today(clinic, COLLEAGUE)).more

    clinic(test)
