"""A course as a whole: what belongs to it, for whom, what it costs the database, and who has looked at it."""

import datetime as dt

import pytest
from support import databases, service_walk
from support.service_walk import AUDITOR, START, SUPERVISOR, THERAPIST

from ipt_workflow.access.principal import Principal
from ipt_workflow.errors import Forbidden, NotFound
from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.service.overviews import Overviews
from ipt_workflow.service.reads import CourseReads

FIRST = ("record_consent", "start", "record_session", "sign_session", "record_evaluation", "record_measure")
ADMINISTRATOR = Principal(person="admin-1", role="admin", via="pages")
OTHER = Principal(person="therapist-2", role="therapist", via="pages")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    async def fill(clinic):
        course = await service_walk.open_course(clinic)
        await service_walk.walk(clinic, course, *FIRST)

    return service_walk.database(tmp_path_factory.mktemp("overviews"), fill)


@pytest.fixture
def settings(made, tmp_path):
    return databases.copy(made, tmp_path)


@pytest.fixture
def clinic(settings):
    """Runs `work(clinic, course)` on a clinic with one course, four hours after it began."""
    clock = VirtualClock(START + dt.timedelta(hours=4))

    def run(work):
        async def inside(clinic):
            (course,) = await clinic.read(lambda connection, organisation: _ids(connection))
            return await work(clinic, course)

        return service_walk.with_clinic(settings, inside, clock)

    return run


def _ids(connection):
    return list(connection.exec_driver_sql("SELECT id FROM course").scalars())


def test_an_overview_shows_what_the_course_and_its_options_show(clinic):
    async def work(clinic, course):
        found = await Overviews(clinic).one(THERAPIST, course)
        reads = CourseReads(clinic)
        assert found.course == await reads.course(THERAPIST, course)
        options = (await reads.options(THERAPIST, course)).items
        assert [(each.trigger, each.allowed) for each in found.options] == [(each.trigger, each.allowed) for each in options]
        assert [(each.rule, each.refusal is None) for each in found.demands] == [
            (each.rule, each.met) for each in found.course.requirements
        ]
        assert [each.phase for each in found.happened] == ["initial"]
        assert found.relation.basis == "own"

    clinic(work)


def test_the_demands_of_the_next_step_say_what_helps_and_from_when_on(clinic):
    async def work(clinic, course):
        demands = {each.rule: each for each in (await Overviews(clinic).one(THERAPIST, course)).demands}
        assert demands["evaluation_recorded"].refusal is None
        missing = demands["history_complete"].refusal
        assert missing.message_id.startswith("history_complete")
        assert [each.trigger for each in missing.remedies] == ["record_history"]

    clinic(work)


def test_it_is_one_read_of_the_course_in_the_audit_log(clinic):
    async def work(clinic, course):
        await Overviews(clinic).one(THERAPIST, course)
        (look,) = (await Overviews(clinic).one(SUPERVISOR, course)).looks
        assert (look.person, look.role, look.basis, look.times) == ("therapist-1", "therapist", "own", 1)
        assert look.last_at == clinic.clock.now()

    clinic(work)


def test_who_may_not_see_the_course_sees_no_overview_of_it(clinic):
    async def work(clinic, course):
        for principal, error in ((OTHER, NotFound), (ADMINISTRATOR, NotFound)):
            with pytest.raises(error):
                await Overviews(clinic).one(principal, course)
            with pytest.raises(error):
                await Overviews(clinic).looks(principal, course)

    clinic(work)


def test_an_auditor_is_offered_nothing_and_a_system_does_not_learn_who_looked(clinic):
    async def work(clinic, course):
        ehr = Principal(person="ehr-1", role="ehr", via="api")
        assert (await Overviews(clinic).one(AUDITOR, course)).options == ()
        assert (await Overviews(clinic).one(ehr, course)).looks == ()
        with pytest.raises(Forbidden):
            await Overviews(clinic).looks(ehr, course)

    clinic(work)


def test_looks_are_listed_by_person_and_basis_the_latest_first_and_older_ones_are_left_out(clinic):
    async def work(clinic, course):
        overviews, clock = Overviews(clinic), clinic.clock
        await overviews.one(AUDITOR, course)
        clock.advance(dt.timedelta(days=20))
        for principal in (THERAPIST, SUPERVISOR, THERAPIST):
            await overviews.one(principal, course)
            clock.advance(dt.timedelta(minutes=1))
        listed = [(each.person, each.basis, each.times) for each in await overviews.looks(SUPERVISOR, course)]
        assert listed == [("therapist-1", "own", 2), ("supervisor-1", "organisation", 1), ("auditor-1", "organisation", 1)]
        clock.advance(dt.timedelta(days=29))
        listed = [each.person for each in await overviews.looks(SUPERVISOR, course)]
        assert listed == ["supervisor-1", "therapist-1"]

    clinic(work)


def test_other_courses_of_the_client_are_linked_where_they_may_be_seen(clinic):
    async def work(clinic, course):
        await service_walk.fire(clinic, course, await service_walk.example(clinic, course, "end_early"))
        theirs = await service_walk.open_course(clinic, "EHR-1", OTHER)
        for principal, expected in ((THERAPIST, []), (SUPERVISOR, [theirs])):
            found = await Overviews(clinic).one(principal, course)
            assert [each.id for each in found.linked] == expected
        (linked,) = found.linked
        assert (linked.state, linked.how) == ("referred", "another")

    clinic(work)


def test_names_are_those_of_the_people_who_are_shown(clinic):
    async def work(clinic, course):
        await Overviews(clinic).one(AUDITOR, course)
        found = await Overviews(clinic).one(THERAPIST, course)
        assert set(found.names) <= {"therapist-1", "supervisor-1", "auditor-1"}

    clinic(work)
