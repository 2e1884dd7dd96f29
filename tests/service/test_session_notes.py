"""What the note of a session begins with."""

import datetime as dt

import pytest
from support.service_walk import START, SUPERVISOR, THERAPIST, fire, open_course, walk, with_clinic

from ipt_workflow.access.principal import Principal
from ipt_workflow.course.triggers import Command
from ipt_workflow.errors import NotFound, TriggerNotPermitted
from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.service.session_notes import SessionNotes

STRANGER = Principal(person="therapist-2", role="therapist")
WEEK = dt.timedelta(days=7)


@pytest.fixture
def on_course(settings):
    """Runs a coroutine function with an open clinic, its clock, and a course in its first phase."""

    def run(test, *triggers):
        clock = VirtualClock(START)

        async def work(clinic):
            course = await open_course(clinic)
            await walk(clinic, course, "record_consent", "start", *triggers)
            return await test(clinic, clock, course)

        return with_clinic(settings, work, clock)

    return run


def held(at: dt.datetime, **data) -> Command:
    return Command("record_session", {"attendance": "5", **data}, at)


def test_a_note_begins_with_what_the_protocol_says_where_there_was_no_session(on_course):
    async def test(clinic, _, course):
        basis = await SessionNotes(clinic).basis(THERAPIST, course)
        assert (basis.session, basis.appointments, basis.before) == (None, (), None)
        assert (basis.medium, basis.minutes, basis.participants) == ("face_to_face", 50, ("client",))
        assert [each.instrument.id for each in basis.scales[:2]] == ["phq9", "gad7"]
        assert not any(each.used or each.taken for each in basis.scales)

    on_course(test)


def test_a_note_begins_with_what_was_signed_before(on_course):
    async def test(clinic, clock, course):
        seq = (await fire(clinic, course, held(clock.now(), medium="video", minutes=45))).entries[0].seq
        words = {"summary": "First meeting.", "mood_link": "Worse after calls home.", "techniques": ["role_play"]}
        await fire(clinic, course, Command("sign_session", {"session": seq, **words}))
        clock.advance(WEEK)
        basis = await SessionNotes(clinic).basis(THERAPIST, course)
        assert (basis.medium, basis.minutes) == ("video", 45)
        assert (basis.before.summary, basis.before.mood_link, basis.before.techniques) == (
            "First meeting.",
            "Worse after calls home.",
            ("role_play",),
        )

    on_course(test)


def test_the_oldest_appointment_that_is_due_is_meant_and_else_the_next(on_course):
    async def test(clinic, clock, course):
        times = [START + WEEK, START + 2 * WEEK]
        for each in times:
            await fire(clinic, course, Command("book_session", {"scheduled_for": each.isoformat()}))

        async def appointments():
            return [each.scheduled_for for each in (await SessionNotes(clinic).basis(THERAPIST, course)).appointments]

        assert await appointments() == times[:1]
        clock.advance(2 * WEEK)
        assert await appointments() == times

    on_course(test)


def test_a_recorded_session_is_written_up_with_its_own_day(on_course):
    async def test(clinic, clock, course):
        seq = (await fire(clinic, course, held(clock.now()))).entries[0].seq
        await fire(clinic, course, Command("record_measure", {"instrument": "phq9", "items": [1] * 9}))
        clock.advance(WEEK)
        notes = SessionNotes(clinic)
        basis = await notes.basis(THERAPIST, course, seq)
        assert (basis.session.seq, basis.appointments) == (seq, ())
        assert [(each.used, each.taken) for each in basis.scales if each.instrument.id == "phq9"] == [(True, True)]
        today = await notes.basis(THERAPIST, course)
        assert [(each.used, each.taken) for each in today.scales if each.instrument.id == "phq9"] == [(True, False)]
        with pytest.raises(NotFound):
            await notes.basis(THERAPIST, course, 99)

    on_course(test)


def test_who_may_record_no_session_gets_no_note(on_course):
    async def test(clinic, _, course):
        with pytest.raises(NotFound):
            await SessionNotes(clinic).basis(STRANGER, course)
        with pytest.raises(TriggerNotPermitted):
            await SessionNotes(clinic).basis(SUPERVISOR, course)
        with pytest.raises(NotFound):
            await SessionNotes(clinic).scales(STRANGER, course)

    on_course(test)


def test_a_scale_that_the_course_uses_comes_first(on_course):
    async def test(clinic, _, course):
        await fire(clinic, course, Command("record_measure", {"instrument": "epds", "total": 9}))
        found = await SessionNotes(clinic).scales(THERAPIST, course)
        assert [each.instrument.id for each in found.scales[:2]] == ["epds", "phq9"]
        assert found.course.measures["epds@1"].last.total == 9

    on_course(test)
