"""A course that only named people see: every way in is closed to the others, and opened again by whoever may."""

import datetime as dt

import msgspec
import pytest
from support import databases, service_walk
from support.service_walk import AUDITOR, SUPERVISOR, THERAPIST, fire

from ipt_workflow.access.principal import Principal
from ipt_workflow.access.relations import AccessRules
from ipt_workflow.course.triggers import Command
from ipt_workflow.ehr.deliveries.feed import Feed
from ipt_workflow.ehr.fhir_reads import FhirReader
from ipt_workflow.ehr.fhir_searches import FhirSearches, Query, SearchPosition
from ipt_workflow.errors import CommandInvalid, Forbidden, NotFound
from ipt_workflow.service.access.restrictions import NewRestriction, Restrictions
from ipt_workflow.service.audit import verification
from ipt_workflow.service.audit.log import AuditLog
from ipt_workflow.service.decisions import Decisions
from ipt_workflow.service.reads import CourseReads
from ipt_workflow.store.audit import AuditFilters, Position
from ipt_workflow.store.courses import Filters
from ipt_workflow.store.units import Unit

SECOND = Principal(person="supervisor-2", role="supervisor")
ADMIN = Principal(person="admin-1", role="admin")
EHR = Principal(person="ehr:pas", role="ehr")


@pytest.fixture(scope="module")
def made(tmp_path_factory, server):
    ids = []

    async def fill(clinic):
        ids.extend([await service_walk.open_course(clinic, ref) for ref in ("EHR-1", "EHR-2")])

    return service_walk.database(tmp_path_factory.mktemp("restrictions"), fill, server), ids


@pytest.fixture
def clinic(made, tmp_path):
    """Runs an async test on a copy of it: `clinic(test)` with `test(clinic, courses)`."""
    settings, courses = made
    copied = databases.copy(settings, tmp_path)
    return lambda test: service_walk.with_clinic(copied, lambda clinic: test(clinic, courses))


async def restrict(clinic, course: str, *people: str, by: Principal = SUPERVISOR):
    new = NewRestriction(people=people, reason="The client works here.")
    return await Restrictions(clinic).restrict(by, course, lambda: new)


async def listed(clinic, principal: Principal) -> list[str]:
    return [each.id for each in await CourseReads(clinic).caseload(principal, Filters(), "", 10)]


async def in_every_list(clinic, principal: Principal, course: str) -> set[bool]:
    """Whether a course is in the caseload, in a FHIR search, in the feed, in the audit log, and in its AuditEvents."""
    reader = FhirReader(clinic)
    site = reader.site("http://test/fhir/R4")
    found = {course in await listed(clinic, principal)}
    for kind in ("EpisodeOfCare", "AuditEvent"):
        page = await FhirSearches(clinic).search(principal, site, kind, Query(), SearchPosition(), 100)
        found.add(any(course in msgspec.json.encode(each).decode() for each in page.resources))
    events = await Feed(clinic).page(principal, None, 100)
    found.add(any(course in msgspec.json.encode(each).decode() for each in events.items))
    records = await AuditLog(clinic).page(principal, AuditFilters(), Position(), 100)
    return found | {any(course in each.courses for each in records)}


def test_a_restricted_course_is_in_no_list_of_those_it_does_not_admit(clinic):
    async def test(clinic, courses):
        assert await in_every_list(clinic, SECOND, courses[0]) == {True}
        await restrict(clinic, courses[0], SUPERVISOR.person)
        assert await in_every_list(clinic, SECOND, courses[0]) == {False}
        assert await in_every_list(clinic, SECOND, courses[1]) == {True}
        assert await in_every_list(clinic, SUPERVISOR, courses[0]) == {True}
        assert await in_every_list(clinic, AUDITOR, courses[0]) == {True}
        assert await listed(clinic, THERAPIST) == await listed(clinic, EHR) == courses
        with pytest.raises(NotFound):
            await fire(clinic, courses[0], Command("note", {"text": "Seen."}), SECOND)

    clinic(test)


def test_pages_of_the_audit_log_are_full_whatever_is_left_out(clinic):
    async def test(clinic, courses):
        await restrict(clinic, courses[0], SUPERVISOR.person)
        for _ in range(3):
            await CourseReads(clinic).course(THERAPIST, courses[0])
        await CourseReads(clinic).course(THERAPIST, courses[1])
        log = AuditLog(clinic)
        seen, after = [], Position()
        while page := await log.page(SECOND, AuditFilters(kind="read", actor=THERAPIST.person), after, 1):
            seen += [each.courses for each in page]
            after = Position(page[-1].recorded_at, page[-1].id)
        assert seen == [(courses[1],)]

    clinic(test)


def test_it_is_lifted_or_replaced_by_who_may_and_both_are_recorded(clinic):
    async def test(clinic, courses):
        await restrict(clinic, courses[0], by=ADMIN)
        with pytest.raises(NotFound):
            await Restrictions(clinic).lift(SUPERVISOR, courses[0])  # for whom it does not exist
        with pytest.raises(Forbidden):
            await Restrictions(clinic).lift(THERAPIST, courses[0])
        assert (await restrict(clinic, courses[0], SECOND.person, by=ADMIN)).people == (SECOND.person,)
        assert await listed(clinic, SECOND) == courses
        await Restrictions(clinic).lift(SECOND, courses[0])
        assert await listed(clinic, SUPERVISOR) == courses
        with pytest.raises(NotFound, match="not restricted"):
            await Restrictions(clinic).one(SUPERVISOR, courses[0])
        records = await AuditLog(clinic).page(AUDITOR, AuditFilters(kind="access"), Position(), 100)
        assert [(each.action, each.actor.person, each.purpose) for each in records] == [
            ("course restricted", ADMIN.person, "SYSADMIN"),
            ("course restricted", ADMIN.person, "SYSADMIN"),
            ("restriction lifted", SECOND.person, "HQUALIMP"),
        ]

    clinic(test)


def test_a_write_keeps_the_restriction_and_verification_finds_it_changed(clinic):
    async def test(clinic, courses):
        await restrict(clinic, courses[0], SUPERVISOR.person)
        await fire(clinic, courses[0], Command("note", {"text": "Seen."}))
        assert (await clinic.courses.get(courses[0])).restricted
        assert (await verification.verify(clinic)).ok
        statement = f"UPDATE course SET restricted = {'false' if clinic.database.dialect == 'postgresql' else 0}"
        await clinic.database.write(lambda connection: connection.exec_driver_sql(statement))
        assert "course.restricted" in (await verification.verify(clinic)).first_bad["fault"]

    clinic(test)


def test_a_course_opened_after_a_restricted_one_is_restricted_as_it_is(clinic):
    async def test(clinic, courses):
        await restrict(clinic, courses[0], SUPERVISOR.person)
        decisions, stored = Decisions(clinic), await clinic.visible_course(THERAPIST, courses[0])
        decided = await decisions.opening(THERAPIST, service_walk.opening("EHR-3"))
        change = decisions.opened(THERAPIST, decided.answer, after=stored)
        await decisions.commit(Unit(organisation=clinic.organisation, changes=(change,), client=decided.client.new))
        assert await listed(clinic, SECOND) == courses[1:]
        assert (await Restrictions(clinic).one(SUPERVISOR, change.course.id)).people == (SUPERVISOR.person,)

    clinic(test)


def test_supervisors_see_their_supervisees_where_the_organisation_says_so(clinic):
    async def test(clinic, courses):
        clinic.access_rules = AccessRules("supervisees")
        assert await listed(clinic, SUPERVISOR) == []
        assert await in_every_list(clinic, SUPERVISOR, courses[0]) == {False}
        insert = (
            "INSERT INTO person_supervisor (organisation, person, supervisor) VALUES ('default', 'therapist-1', 'supervisor-1')"
        )
        await clinic.database.write(lambda connection: connection.exec_driver_sql(insert))
        assert await listed(clinic, SUPERVISOR) == courses
        assert await listed(clinic, SECOND) == []
        await fire(clinic, courses[0], Command("note", {"text": "Discussed."}), SUPERVISOR)
        records = await AuditLog(clinic).page(AUDITOR, AuditFilters(actor=SUPERVISOR.person), Position(), 100)
        last = [each for each in records if each.kind == "transition" or each.courses][-2:]
        assert {(each.basis, each.purpose) for each in last} == {("supervision", "HQUALIMP")}

    clinic(test)


def test_a_restriction_of_one_moment_ends_where_the_next_begins(clinic):
    async def test(clinic, courses):
        await restrict(clinic, courses[0], "therapist-2", "supervisor-2", "therapist-2")
        clinic.clock.advance(dt.timedelta(hours=1))
        second = await restrict(clinic, courses[0], "therapist-3", by=ADMIN)
        assert (second.people, second.set_by) == (("therapist-3",), ADMIN.person)
        rows = await clinic.database.read(
            lambda connection: connection.exec_driver_sql("SELECT ended_at IS NULL, ended_by FROM restriction ORDER BY id").all()
        )
        assert [(bool(open_), by) for open_, by in rows] == [(False, ADMIN.person), (True, None)]

    clinic(test)


def test_a_restriction_names_known_people(clinic):
    async def test(clinic, courses):
        with pytest.raises(CommandInvalid) as refused:
            await restrict(clinic, courses[0], SUPERVISOR.person, "nobody", THERAPIST.person)
        assert [each.where for each in refused.value.faults] == ["people[1]"]
        assert not (await clinic.courses.get(courses[0])).restricted

    clinic(test)
