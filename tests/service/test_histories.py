"""The history of a course: each step once with its corrections, also as it was known at a moment; and what a correction would change."""

import datetime as dt

import pytest
from support import databases, service_walk

from ipt_workflow.access.principal import Principal
from ipt_workflow.course.triggers import Command
from ipt_workflow.errors import Forbidden, NotFound
from ipt_workflow.service.corrections import Corrections
from ipt_workflow.service.histories import Histories
from ipt_workflow.service.writes import Write

THERAPIST, SUPERVISOR, AUDITOR = service_walk.THERAPIST, service_walk.SUPERVISOR, service_walk.AUDITOR
MINUTE, DAY = dt.timedelta(minutes=1), dt.timedelta(days=1)
LIMIT = 100
SCORE = {"instrument": "phq9", "total": 12}


@pytest.fixture
def on_course(database_url):
    """Runs `ask(clinic, course)` on a course with a score, whose entry is number 4."""

    def run(ask):
        async def work(clinic):
            course = await service_walk.open_course(clinic)
            await service_walk.walk(clinic, course, "record_consent", "start")
            clinic.clock.advance(DAY)
            await service_walk.fire(clinic, course, Command("record_measure", SCORE))
            return await ask(clinic, course)

        return service_walk.with_clinic(databases.settings_of(database_url), work)

    return run


def amend(seq, **data):
    return Command("amend", {"supersedes": seq, **data}, None, "Typed wrong")


async def amended(clinic, course, *commands, by=THERAPIST):
    for each in commands:
        clinic.clock.advance(MINUTE)
        await service_walk.fire(clinic, course, each, by)


async def the_score(clinic, course):
    return (await Histories(clinic).step(THERAPIST, course, 4)).steps[0]


def test_steps_are_listed_once_the_last_that_happened_first(on_course):
    async def ask(clinic, course):
        found = await Histories(clinic).page(THERAPIST, course, limit=LIMIT)
        assert [each.trigger for each in found.steps] == ["record_measure", "start", "record_consent", "refer"]
        assert (found.count, found.names) == (4, {"therapist-1": "therapist-1"})
        assert {(each.status, len(each.versions)) for each in found.steps} == {("in_force", 1)}
        second = await Histories(clinic).page(THERAPIST, course, skip=2, limit=1)
        assert ([each.trigger for each in second.steps], second.count) == (["record_consent"], 4)

    on_course(ask)


def test_a_correction_stands_at_the_place_of_what_it_corrects(on_course):
    async def ask(clinic, course):
        earlier = clinic.clock.now() - DAY / 2
        await amended(clinic, course, amend(4, data={"total": 15}), amend(5, occurred_at=earlier.isoformat()))
        step = await the_score(clinic, course)
        assert [(each.entry.seq, each.did) for each in step.versions] == [(4, "recorded"), (5, "corrected"), (6, "corrected")]
        assert [each.data["total"] for each in step.versions] == [12, 15, 15]
        assert (step.data["total"], step.occurred_at, step.latest, step.status) == (15, earlier, 6, "in_force")
        assert (await Histories(clinic).page(THERAPIST, course, limit=LIMIT)).count == 4

    on_course(ask)


def test_what_was_taken_back_says_so_and_what_was_restored_holds_again(on_course):
    async def ask(clinic, course):
        await amended(clinic, course, amend(4, data={"total": 15}), amend(5, void=True, whole=True))
        step = await the_score(clinic, course)
        assert (step.status, step.versions[-1].did, step.versions[-1].data) == ("taken_back", "took_back", None)
        assert step.data["total"] == 15
        await amended(clinic, course, amend(6, void=True))
        step = await the_score(clinic, course)
        assert (step.status, step.versions[-1].did, step.versions[-1].data["total"]) == ("in_force", "restored", 15)

    on_course(ask)


def test_the_history_is_shown_as_it_was_known_at_a_moment(on_course):
    async def ask(clinic, course):
        before = clinic.clock.now()
        await amended(clinic, course, amend(4, data={"total": 20}))
        assert (await Histories(clinic).page(THERAPIST, course, limit=LIMIT)).steps[0].data["total"] == 20
        known = await Histories(clinic).page(THERAPIST, course, known_at=before, limit=LIMIT)
        assert known.steps[0].data["total"] == 12
        assert known.course.measures["phq9@1"].last.total == 12
        early = await Histories(clinic).page(THERAPIST, course, known_at=service_walk.START, limit=LIMIT)
        assert ([each.trigger for each in early.steps], early.course.state) == (["refer"], "referred")
        with pytest.raises(NotFound):
            await Histories(clinic).page(THERAPIST, course, known_at=service_walk.START - DAY, limit=LIMIT)

    on_course(ask)


def test_no_history_is_shown_of_a_course_that_does_not_exist_for_the_reader(on_course):
    async def ask(clinic, course):
        stranger = Principal(person="therapist-2", role="therapist")
        for missing in (
            Histories(clinic).page(stranger, course, limit=LIMIT),
            Histories(clinic).step(stranger, course, 1),
            Histories(clinic).step(THERAPIST, course, 99),
            Corrections(clinic).of(stranger, course, 1),
        ):
            with pytest.raises(NotFound):
                await missing
        with pytest.raises(Forbidden):
            await Corrections(clinic).of(AUDITOR, course, 4)

    on_course(ask)


def preview(clinic, course, command, by=THERAPIST):
    return Corrections(clinic).preview(by, course, Write(decode=lambda: (command,), triggers=("amend",), version_required=False))


def test_who_corrects_their_own_score_meets_nothing_and_another_needs_a_supervisor(on_course):
    async def ask(clinic, course):
        assert (await Corrections(clinic).of(THERAPIST, course, 4)).refusals == ()
        (refusal,) = (await Corrections(clinic).of(THERAPIST, course, 2)).refusals
        assert refusal.rule == "amendment_agreed"
        assert (await Corrections(clinic).of(SUPERVISOR, course, 2)).refusals == ()
        assert (await Corrections(clinic).of(THERAPIST, course, 4)).step.latest == 4

    on_course(ask)


def test_what_a_correction_would_change_is_told_and_nothing_is_written(on_course):
    async def ask(clinic, course):
        found = await preview(clinic, course, amend(4, data={"total": 20}))
        assert [(each.what, each.of, each.before, each.after) for each in found.changes] == [("score", "phq9@1", 12, 20)]
        assert (found.refusals, found.warnings) == ((), ())
        gone = await preview(clinic, course, amend(4, void=True))
        assert ("score", None) in [(each.what, each.after) for each in gone.changes]
        assert (await the_score(clinic, course)).data["total"] == 12
        assert (await clinic.visible_course(THERAPIST, course)).course.version == 4

    on_course(ask)


def test_a_correction_after_which_what_came_later_does_not_hold_says_what(on_course):
    async def ask(clinic, course):
        await service_walk.walk(clinic, course, "record_session")
        found = await preview(clinic, course, amend(3, void=True), SUPERVISOR)
        (refusal,) = found.refusals
        assert refusal.rule == "later_entries_hold"
        assert [each.trigger for each in refusal.breaks] == ["record_session"]
        assert found.changes == ()

    on_course(ask)


def test_the_course_of_another_client_is_found_if_it_exists_for_the_caller(on_course):
    async def ask(clinic, course):
        other = await service_walk.open_course(clinic, "EHR-2")
        assert await Corrections(clinic).course_of(THERAPIST, "EHR-2", course) == other
        assert await Corrections(clinic).course_of(THERAPIST, "EHR-1", course) is None
        assert await Corrections(clinic).course_of(THERAPIST, "nobody", course) is None

    on_course(ask)
