"""The demonstration: a caseload in every state and of every kind, made by firing triggers, once."""

import sqlite3
from contextlib import closing

import pytest
from support import databases, service_walk
from support.http_client import OPERATOR

from ipt_workflow.service import demo, demo_day
from ipt_workflow.service.access.credentials import Credentials
from ipt_workflow.service.access.people import People
from ipt_workflow.service.audit import verification
from ipt_workflow.service.clinics import Clinics
from ipt_workflow.service.day import TherapistDay
from ipt_workflow.service.reads import CourseReads
from ipt_workflow.store.courses import Filters
from ipt_workflow.store.schema import tables


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The demonstration, the result of making it, and every course in it."""
    kept = {}

    async def fill(clinic):
        kept["progress"] = []
        kept["made"] = await demo.make(clinic, lambda: kept["progress"].append(1))
        kept["courses"] = await CourseReads(clinic).caseload(service_walk.SUPERVISOR, Filters(), "", 100)

    kept["settings"] = service_walk.database(tmp_path_factory.mktemp("demo"), fill)
    return kept


def rows(made, statement) -> list[tuple]:
    with closing(sqlite3.connect(databases.path_of(made["settings"]))) as connection:
        return connection.execute(statement).fetchall()


def test_there_are_about_sixty_courses_and_progress_is_reported_for_each(made):
    assert 55 <= len(made["courses"]) <= 65
    assert made["made"].courses == len(made["courses"]) == demo.COURSES == len(made["progress"])


def test_there_are_courses_in_every_state_and_every_phase(made):
    states = {course.state for course in made["courses"] if course.protocol == "ipt"}
    assert states == {"referred", "initial", "middle", "final", "paused", "completed", "ended_early", "not_suitable"}
    assert made["made"].states == len({course.state for course in made["courses"]}) == len(states) + 1
    assert {course.phase for course in made["courses"]} == {None, "initial", "middle", "final", "maintenance"}


def test_there_are_courses_of_nine_forms_and_one_group_among_them(made):
    forms = {course.protocol for course in made["courses"]}
    assert forms == {
        "ipt",
        "ipsrt",
        "ipt-a",
        "ipt-couples",
        "ipt-telephone",
        "ipt-perinatal",
        "ipc",
        "ipt-maintenance",
        "ipt-group",
    }
    members = [course for course in made["courses"] if course.protocol == "ipt-group"]
    assert [(course.state, course.counters.attended["initial"], course.counters.attended["middle"]) for course in members] == [
        ("middle", 1, 3)
    ] * demo.MEMBERS
    assert rows(made, "SELECT count(*) FROM therapy_group") == [(1,)]
    assert rows(made, "SELECT count(DISTINCT group_session) FROM entry WHERE group_session IS NOT NULL") == [
        (len(demo.GROUP_WEEKS),)
    ]


def test_the_therapist_has_a_day_of_every_kind(made):
    async def test(clinic):
        return await TherapistDay(clinic).of(service_walk.THERAPIST)

    day = service_walk.with_clinic(made["settings"], test)
    assert [each.overdue for each in day.appointments] == [True, *[False] * len(demo_day.HOURS)]
    assert {day.courses[each.course].score.direction for each in day.appointments} >= {"better", "worse"}
    assert sum(line.label is not None for line in day.courses.values()) >= len(demo_day.LABELS)
    assert [each.status for each in day.proposals] == ["declined"]
    assert [(each.person, each.review) for each in day.emergencies] == [("therapist-3", None)]
    assert day.unsigned
    assert day.risks


def test_several_therapists_have_courses(made):
    assert {course.therapist for course in made["courses"]} == set(demo.THERAPISTS)


def test_there_are_courses_that_ask_for_attention_of_most_kinds(made):
    kinds = {kind for course in made["courses"] for kind in course.attention}
    assert kinds >= {"unsigned", "risk", "deviation", "ending", "blocked"}, kinds


def test_there_are_missed_sessions_a_late_cancellation_and_one_held_beyond_the_cap(made):
    counters = [course.counters for course in made["courses"]]
    missed = rows(
        made,
        "SELECT count(*) FROM entry WHERE trigger = 'record_session' AND CAST(canonical AS TEXT) LIKE '%\"attendance\":\"3\"%'",
    )
    assert missed[0][0] >= 5
    assert any(sum(counted.over.values()) for counted in counters)


def test_there_is_a_refusal_of_a_fourth_initial_session_in_the_audit_log(made):
    refused = rows(made, "SELECT action, rules FROM audit_event WHERE kind = 'refusal'")
    assert [action for action, _ in refused] == ["record_session"]
    assert "phase_session_cap" in refused[0][1]


def test_there_are_overrides_an_amendment_and_early_endings(made):
    triggers = dict(rows(made, "SELECT trigger, count(*) FROM entry GROUP BY trigger"))
    assert triggers["amend"] >= 1
    assert triggers["end_early"] >= 2
    assert triggers["complete"] >= 3
    assert rows(made, 'SELECT count(*) FROM entry WHERE CAST(canonical AS TEXT) LIKE \'%"overridden":["%\'')[0][0] >= 2


def test_every_step_lies_in_the_past(made):
    latest, made_at = rows(made, "SELECT (SELECT max(recorded_at) FROM entry), (SELECT max(created_at) FROM token)")[0]
    assert latest < made_at


def test_every_entry_of_it_verifies(made):
    found = service_walk.with_clinic(made["settings"], verification.verify)
    assert found.ok, found.first_bad
    assert found.courses == demo.COURSES
    assert found.checked > 500


def test_a_token_for_every_role_is_returned_and_works(made):
    tokens = made["made"].tokens
    assert set(tokens) == {"therapist", "supervisor", "auditor", "ehr", "admin"}

    async def each(clinic):
        credentials = Credentials(Clinics(clinic))
        return {role: (await credentials.identify(text))[1] for role, text in tokens.items()}

    for role, principal in service_walk.with_clinic(made["settings"], each).items():
        assert (principal.role, principal.person) == (role, demo.SUBJECTS[role])


def test_the_therapist_whose_token_is_returned_has_courses(made):
    mine = [course for course in made["courses"] if course.therapist == demo.SUBJECTS["therapist"]]
    assert len(mine) >= 10


def test_made_again_it_makes_new_tokens_and_no_more_courses(made, tmp_path):
    settings = databases.copy(made["settings"], tmp_path)
    counts = {}

    async def again(clinic):
        counts["again"] = await demo.make(clinic)

    def dump():
        with closing(sqlite3.connect(databases.path_of(settings))) as connection:
            return {name: connection.execute(f"SELECT * FROM {name}").fetchall() for name in tables.METADATA.tables}

    before = dump()
    service_walk.with_clinic(settings, again)
    after = dump()
    assert (counts["again"].courses, counts["again"].states) == (0, 0)
    for name in set(after) - {"token", "audit_event", "log_outbox"}:  # that tokens were made is recorded
        assert after[name] == before[name], name
    assert len(after["token"]) == len(before["token"]) + 5
    assert set(counts["again"].tokens.values()).isdisjoint(made["made"].tokens.values())


def test_it_leaves_other_courses_as_they_are(tmp_path):
    kept = {}

    async def fill(clinic):
        course = await service_walk.open_course(clinic)
        before = await CourseReads(clinic).course(service_walk.THERAPIST, course)
        kept["made"] = await demo.make(clinic)
        kept["same"] = before == await CourseReads(clinic).course(service_walk.THERAPIST, course)

    service_walk.database(tmp_path, fill)
    assert kept["same"]
    assert kept["made"].courses == demo.COURSES + 1


def test_a_later_run_makes_nothing_for_who_left_since_and_goes_on(made, tmp_path):
    async def work(clinic):
        people = People(clinic)
        await people.leave(OPERATOR, "therapist-1")
        await people.leave(OPERATOR, "admin-1")
        return await demo.make(clinic)

    settings = databases.copy(made["settings"], tmp_path).model_copy(update={"development": True})
    again = service_walk.with_clinic(settings, work)
    assert set(again.tokens) == {"supervisor", "auditor", "ehr"}
    assert set(again.links) == {"supervisor", "auditor"}
    assert again.courses == 0
