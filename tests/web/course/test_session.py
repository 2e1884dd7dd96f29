"""The note of a session, as a therapist writes it: one page, one form, one commit."""

import datetime as dt

import pytest
from support.service_walk import THERAPIST, fire, open_course, walk

from ipt_workflow.course.triggers import Command

WEEK = dt.timedelta(days=7)
QUESTIONS = (
    "1. Little interest or pleasure in doing things",
    "2. Feeling down, depressed, or hopeless",
    "3. Trouble falling or staying asleep, or sleeping too much",
    "4. Feeling tired or having little energy",
    "5. Poor appetite or overeating",
    "6. Feeling bad about yourself - or that you are a failure or have let yourself or your family down",
    "7. Trouble concentrating on things, such as reading the newspaper or watching television",
    (
        "8. Moving or speaking so slowly that other people could have noticed? Or the opposite - being so fidgety or restless that you"
        " have been moving around a lot more than usual"
    ),
    "9. Thoughts that you would be better off dead or of hurting yourself in some way",
)
LEFT_OUT = "Questions of the Patient Health Questionnaire (PHQ-9) were left out"
ANSWERS = ("0 – Not at all", "1 – Several days", "2 – More than half the days", "3 – Nearly every day")


async def in_first_phase(pages) -> str:
    course = await open_course(pages.clinic)
    await walk(pages.clinic, course, "record_consent", "start")
    return course


async def booked(pages, *weeks: int) -> str:
    """A course in its first phase, with appointments so many weeks from its start."""
    course, start = await in_first_phase(pages), pages.clinic.clock.now()
    for week in weeks:
        await fire(pages.clinic, course, Command("book_session", {"scheduled_for": (start + week * WEEK).isoformat()}))
    return course


def answer(visitor, *answers: int) -> None:
    for question, value in zip(QUESTIONS, answers, strict=True):
        visitor.choose(ANSWERS[value], question)


async def recorded(pages, course: str, after: int) -> list:
    """What was recorded after an entry."""
    return [each for each in await pages.clinic.entries(course) if each.written.seq > after]


async def version_of(pages, course: str) -> int:
    return (await pages.clinic.visible_course(THERAPIST, course)).course.version


async def opened(pages, course: str, person: str = "therapist-1"):
    return await (await pages.visitor(person)).open(f"/courses/{course}/session")


async def triggers_since(pages, course: str, after: int) -> list[str]:
    return [each.written.trigger for each in await recorded(pages, course, after)]


def test_the_usual_session_takes_at_most_eight_interactions_beside_its_scale(browse):
    async def test(pages):
        course = await booked(pages, 1)
        await fire(pages.clinic, course, Command("record_session", {"attendance": "5", "medium": "video", "minutes": 45}))
        pages.clinic.clock.advance(WEEK)
        version, visitor = await version_of(pages, course), await opened(pages, course)
        answer(visitor, 1, 1, 2, 1, 0, 1, 1, 0, 0)
        assert visitor.interactions == 9
        visitor.choose("Attended").choose("Communication analysis").choose("Role play")
        visitor.fill("Events and mood", "Lower after the quarrel on Sunday.").fill("Summary", "The quarrel with her brother.")
        await visitor.press("Sign")
        assert (visitor.status, visitor.path) == (200, f"/courses/{course}")
        assert visitor.interactions - 9 <= 8
        entries = await recorded(pages, course, version)
        assert [each.written.trigger for each in entries] == ["record_session", "record_measure", "sign_session"]
        session, measure, signature = entries
        assert session.written.data["medium"] == "video"
        assert session.written.data["minutes"] == 45
        assert dt.datetime.fromisoformat(session.written.data["scheduled_for"]) == session.written.occurred_at
        assert measure.written.data["total"] == 7
        assert measure.written.occurred_at == session.written.occurred_at
        assert signature.document.data == {
            "session": session.written.seq,
            "techniques": ["communication_analysis", "role_play"],
            "summary": "The quarrel with her brother.",
            "mood_link": "Lower after the quarrel on Sunday.",
        }

    browse(test)


def test_an_answer_that_shows_risk_asks_for_its_review_in_the_note(browse):
    async def test(pages):
        course = await in_first_phase(pages)
        version, visitor = await version_of(pages, course), await opened(pages, course)
        answer(visitor, 1, 1, 1, 1, 1, 1, 1, 1, 2)
        visitor.choose("Attended").fill("Summary", "She spoke of not wanting to live.")
        await visitor.press("Sign")
        assert visitor.status == 422
        assert len(visitor.errors) == 1
        assert "risk review" in visitor.errors[0]
        assert "The answer to question 9 asks for a risk review." in visitor.text
        assert await triggers_since(pages, course, version) == []
        visitor.choose("Elevated").fill("Plan", "A safety plan, and a call on Friday.")
        await visitor.press("Sign")
        assert visitor.path == f"/courses/{course}"
        entries = await recorded(pages, course, version)
        assert [each.written.trigger for each in entries] == ["record_session", "record_measure", "review_risk", "sign_session"]
        assert entries[-1].document.data["summary"] == "She spoke of not wanting to live."
        found = (await pages.clinic.visible_course(THERAPIST, course)).course.risk
        assert (found.level, found.open_since) == ("elevated", None)

    browse(test)


def test_a_draft_is_kept_for_its_writer_alone_until_it_is_signed(browse):
    async def test(pages):
        course = await in_first_phase(pages)
        version, visitor = await version_of(pages, course), await opened(pages, course)
        visitor.choose(ANSWERS[3], QUESTIONS[1]).choose("DNA").choose("Role play").fill("Summary", "Half a thought")
        await visitor.press("Save draft")
        assert (visitor.status, visitor.path) == (200, f"/courses/{course}/session")
        again = await opened(pages, course)
        assert "This is your draft of" in again.text
        assert again.value(again.control("Summary")) == "Half a thought"
        assert [again.value(again.control(label)) for label in ("DNA", "Role play")] == ["3", "role_play"]
        assert again.value(again.control(ANSWERS[3], QUESTIONS[1])) == "3"
        assert await triggers_since(pages, course, version) == []
        again.choose("Attended").choose(LEFT_OUT)
        await again.press("Sign")
        assert again.path == f"/courses/{course}"
        signed = await opened(pages, course)
        assert "draft" not in signed.text.replace("Save draft", "")
        assert signed.value(signed.control("Summary")) == ""

    browse(test)


def test_a_draft_can_be_discarded(browse):
    async def test(pages):
        course = await in_first_phase(pages)
        visitor = await opened(pages, course)
        visitor.fill("Summary", "Half a thought")
        await visitor.press("Save draft")
        await visitor.press("Discard draft")
        assert visitor.value(visitor.control("Summary")) == ""
        assert "Discard draft" not in visitor.buttons()

    browse(test)


@pytest.mark.parametrize(
    ("chosen", "data"),
    [
        ("DNA", {"attendance": "3"}),
        ("Late cancellation", {"attendance": "2", "late_notice": True}),
        ("Cancelled by the client", {"attendance": "2"}),
        ("Cancelled by the clinic", {"attendance": "4"}),
    ],
)
def test_a_session_that_did_not_take_place_is_recorded_and_not_signed(browse, chosen, data):
    async def test(pages):
        course = await booked(pages, 1)
        pages.clinic.clock.advance(WEEK)
        version, visitor = await version_of(pages, course), await opened(pages, course)
        visitor.choose(chosen)
        await visitor.press("Sign")
        (entry,) = await recorded(pages, course, version)
        found = {name: entry.written.data[name] for name in ("attendance", "late_notice") if name in entry.written.data}
        assert (entry.written.trigger, found) == ("record_session", data)

    browse(test)


def test_what_is_missing_is_said_all_at_once_and_nothing_typed_is_lost(browse):
    async def test(pages):
        course = await in_first_phase(pages)
        version, visitor = await version_of(pages, course), await opened(pages, course)
        for question in QUESTIONS[:7]:
            visitor.choose(ANSWERS[1], question)
        visitor.fill("Minutes", "soon").fill("Summary", "Kept")
        await visitor.press("Sign")
        assert visitor.status == 422
        assert visitor.title.startswith("Error")
        named = [each.partition(":")[0] for each in visitor.errors]
        scale = "Patient Health Questionnaire (PHQ-9)"
        assert named == ["What happened", "Minutes", f"{scale}, question 8", f"{scale}, question 9"]
        targets = [each["href"].removeprefix("#") for each in visitor.tree.one("div", class_="govuk-error-summary").all("a")]
        assert all(visitor.tree.all(id=each) for each in targets)
        assert len(targets) == 4
        assert visitor.value(visitor.control("Summary")) == "Kept"
        assert await triggers_since(pages, course, version) == []
        visitor.choose("Attended").fill("Minutes", "50").choose(LEFT_OUT)
        await visitor.press("Sign")
        assert [each.written.data.get("total") for each in await recorded(pages, course, version)][1] is None

    browse(test)


def test_the_scores_are_worked_out_before_anything_is_recorded(browse):
    async def test(pages):
        course = await in_first_phase(pages)
        version, visitor = await version_of(pages, course), await opened(pages, course)
        answer(visitor, 2, 2, 2, 2, 2, 2, 2, 2, 1)
        await visitor.press("Work out the scores")
        assert visitor.status == 200
        assert "Total: 17, moderately severe" in visitor.text
        assert "The answer to question 9 asks for a risk review." in visitor.text
        assert visitor.errors == []
        assert await triggers_since(pages, course, version) == []

    browse(test)


def test_a_refused_note_names_the_ways_out_and_is_kept_as_a_draft(browse):
    async def test(pages):
        course = await in_first_phase(pages)
        for _ in range(3):
            pages.clinic.clock.advance(WEEK)
            await fire(pages.clinic, course, Command("record_session", {"attendance": "5"}))
        pages.clinic.clock.advance(WEEK)
        version, visitor = await version_of(pages, course), await opened(pages, course)
        visitor.choose("Attended").fill("Summary", "A fourth session")
        await visitor.press("Sign")
        assert visitor.status == 409
        assert await triggers_since(pages, course, version) == []
        assert f"/courses/{course}/do/begin_middle" in visitor.links().values()
        assert visitor.value(visitor.control("Summary")) == "A fourth session"
        again = await opened(pages, course)
        assert again.value(again.control("Summary")) == "A fourth session"
        again.choose("Additional session").fill("Reason", "A crisis in the family.")
        await again.press("Sign")
        assert await triggers_since(pages, course, version) == ["record_session", "sign_session"]

    browse(test)


def test_when_somebody_else_wrote_meanwhile_both_texts_are_kept(browse):
    async def test(pages):
        course = await in_first_phase(pages)
        version, visitor = await version_of(pages, course), await opened(pages, course)
        visitor.choose("Attended").fill("Summary", "Mine")
        await fire(pages.clinic, course, Command("note", {"text": "The mother called."}))
        await visitor.press("Sign")
        assert visitor.status == 412
        assert "The mother called." in visitor.text
        assert visitor.value(visitor.control("Summary")) == "Mine"
        await visitor.press("Sign")
        assert visitor.path == f"/courses/{course}"
        assert await triggers_since(pages, course, version) == ["note", "record_session", "sign_session"]

    browse(test)


def test_a_note_that_is_sent_twice_is_recorded_once(browse):
    async def test(pages):
        course = await in_first_phase(pages)
        version, visitor = await version_of(pages, course), await opened(pages, course)
        pressed = [visitor.tree, visitor.url]
        for _ in range(2):
            visitor.tree, visitor.url = pressed
            visitor.choose("Attended").fill("Summary", "Once")
            await visitor.press("Sign")
            assert visitor.path == f"/courses/{course}"
        assert await triggers_since(pages, course, version) == ["record_session", "sign_session"]

    browse(test)


def test_a_session_that_is_recorded_is_written_up_on_its_own_page(browse):
    async def test(pages):
        course = await in_first_phase(pages)
        held = (await fire(pages.clinic, course, Command("record_session", {"attendance": "5"}))).entries[0]
        pages.clinic.clock.advance(WEEK)
        visitor = await (await pages.visitor()).open(f"/courses/{course}/session/{held.seq}")
        assert "What happened" not in visitor.text
        answer(visitor, *[0] * 9)
        visitor.fill("Summary", "Written a week later")
        await visitor.press("Sign")
        measure, signature = await recorded(pages, course, held.seq)
        assert measure.written.occurred_at == held.occurred_at
        assert signature.written.data["session"] == held.seq
        assert (await visitor.open(f"/courses/{course}/session/{held.seq}")).path == f"/courses/{course}"
        assert (await visitor.open(f"/courses/{course}/session/99")).status == 404
        assert (await visitor.open(f"/courses/{course}/session/first")).status == 404

    browse(test)


def test_of_two_appointments_the_one_is_meant_that_was_chosen(browse):
    async def test(pages):
        course = await booked(pages, 1, 2)
        pages.clinic.clock.advance(2 * WEEK)
        version, visitor = await version_of(pages, course), await opened(pages, course)
        first, second, none = [each.text for each in visitor._group("Which appointment").all("label")]
        assert visitor.value(visitor.control(first))
        assert visitor.value(visitor.control(second)) is None
        assert none == "None of these"
        visitor.choose(second).choose("Attended")
        await visitor.press("Sign")
        entry = (await recorded(pages, course, version))[0]
        assert entry.written.occurred_at == pages.clinic.clock.now()
        assert len((await pages.clinic.visible_course(THERAPIST, course)).course.bookings) == 1

    browse(test)


def test_soft_rules_are_passed_over_with_a_reason(browse):
    async def test(pages):
        course = await in_first_phase(pages)
        await fire(pages.clinic, course, Command("record_session", {"attendance": "5", "minutes": 50}))
        pages.clinic.clock.advance(dt.timedelta(minutes=20))
        version, visitor = await version_of(pages, course), await opened(pages, course)
        visitor.choose("Attended")
        await visitor.press("Sign")
        assert visitor.status == 409
        await visitor.press("Sign all the same")
        assert visitor.status == 422
        assert len(visitor.errors) == 1
        visitor.fill("Why do you go on all the same?", "She came back for her bag, and we went on.")
        await visitor.press("Sign")
        assert (await recorded(pages, course, version))[0].written.overridden == ("overlaps_session",)

    browse(test)


def test_who_may_not_record_a_session_has_no_note(browse):
    async def test(pages):
        course = await in_first_phase(pages)
        assert (await opened(pages, course, "therapist-2")).status == 404
        supervisor = await pages.visitor("supervisor-1", "supervisor")
        assert (await supervisor.open(f"/courses/{course}/session")).status == 403

    browse(test)


def test_the_page_asks_the_database_as_much_for_the_last_session_as_for_the_first(browse, statements):
    async def test(pages):
        course = await in_first_phase(pages)
        visitor = await pages.visitor()
        counts = []
        for _ in range(3):
            with statements() as asked:
                await visitor.open(f"/courses/{course}/session")
            counts.append(len(asked))
            pages.clinic.clock.advance(WEEK)
            seq = (await fire(pages.clinic, course, Command("record_session", {"attendance": "5"}))).entries[0].seq
            await fire(pages.clinic, course, Command("sign_session", {"session": seq, "summary": "So it went."}))
        assert max(counts) == counts[0] <= 12, counts

    browse(test)


def test_the_note_is_accessible_with_and_without_errors(browse, axe):
    async def test(pages):
        course = await booked(pages, 1, 2)
        pages.clinic.clock.advance(2 * WEEK)
        visitor = await opened(pages, course)
        axe(visitor)
        answer(visitor, *[3] * 9)
        visitor.fill("Minutes", "soon")
        await visitor.press("Sign")
        axe(visitor)

    browse(test)


@pytest.mark.rest
def test_pictures_of_the_note_are_kept(browse, picture):
    async def test(pages):
        course = await booked(pages, 1, 2)
        pages.clinic.clock.advance(2 * WEEK)
        visitor = await opened(pages, course)
        picture(visitor, "session-note")
        picture(visitor, "session-note-narrow", "narrow")
        answer(visitor, *[1] * 9)
        visitor.fill("Minutes", "soon").choose("Attended")
        await visitor.press("Sign")
        picture(visitor, "session-note-errors", "dark")

    browse(test)


def test_the_note_speaks_the_readers_language(browse):
    async def test(pages):
        course = await in_first_phase(pages)
        visitor = await pages.visitor(language="de")
        await visitor.open(f"/courses/{course}/session")
        assert visitor.heading == "Sitzungsnotiz"
        visitor.choose("0 – Überhaupt nicht", "1. Wenig Interesse oder Freude an Ihren Tätigkeiten").choose("Nicht erschienen")
        await visitor.press("Unterschreiben")
        assert visitor.status == 422
        assert visitor.errors[0].startswith("Gesundheitsfragebogen für Patienten (PHQ-9), Frage 2")

    browse(test)
