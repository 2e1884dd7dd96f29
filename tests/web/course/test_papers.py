"""What is printed of a course: the summary on one page, the letter to the referrer, and the sheet for the client."""

import datetime as dt
import re

import pytest

FIRST = ("record_consent", "start", "record_measure", "record_session", "sign_session", "record_evaluation", "record_history")
WORKED = ("record_inventory", "record_timeline", "record_formulation", "accept_formulation", "assign_sick_role", "select_focus")
AGREED = (*FIRST, *WORKED, "agree_contract")
SUPPORT = {"instrument": "mspss", "total": 40}
FUNCTIONING = {"instrument": "ifr", "total": 5}
PAPERS = ("summary", "letter", "client")


async def opened(site, *walked: str) -> str:
    api = await site.api()
    course = (await api.open("EHR-4711"))["id"]
    for trigger in walked:
        if trigger == "record_session":
            site.clinic.clock.advance(dt.timedelta(days=7))
        await api.walk(course, trigger)
    return course


async def printed(site, course: str, kind: str, person: str = "therapist-1", *roles: str):
    page = await site.visitor(person, *roles)
    await page.open(f"/courses/{course}/paper/{kind}")
    return page


def test_a_summary_says_where_the_course_is_and_what_was_agreed(browse):
    async def test(site):
        page = await printed(site, await opened(site, *AGREED), "summary")
        assert page.heading == "EHR-4711"
        known = {row.one("dt").text: row.one("dd").text for row in page.main.one("dl").all("div")}
        assert known["Referred by"] == "General practitioner"
        assert known["Problem area"] == "Role transition"
        assert known["Sessions"] == "1 session was held of 12 agreed"
        assert known["Goals"] == "Feel well enough to work; Settle the new role"
        assert page.table()[1][0] == "Patient Health Questionnaire (PHQ-9)"

    browse(test)


def test_a_letter_is_addressed_to_the_referrer_and_says_what_the_therapy_is_about(browse):
    async def test(site):
        page = await printed(site, await opened(site, *AGREED), "letter")
        assert page.heading == "Concerning: EHR-4711"
        for words in ("General practitioner", "Dear colleague,", "began on 5 January 2026", "Role transition", "therapist-1"):
            assert words in page.text

    browse(test)


def test_a_letter_without_consent_to_sharing_warns_on_the_screen_alone(browse):
    async def test(site):
        course = await opened(site, *AGREED)
        page = await printed(site, course, "letter")
        (screen,) = page.main.all(class_="ipt-screen")
        assert "has not consented to sharing" in screen.text
        answer = await (await site.api()).fire(course, "record_consent", {"scope": "sharing"})
        assert answer.status_code == 201, answer.text
        assert "has not consented to sharing" not in (await printed(site, course, "letter")).text

    browse(test)


def test_the_sheet_for_the_client_says_where_they_are_what_they_work_on_and_whom_to_call(browse):
    async def test(site):
        api = await site.api()
        contacts = "Clinic: 01 234567\nCrisis line, day and night: 116 123"
        answer = await api.client.patch(
            "/v1/organisations/default", json={"crisis_contacts": contacts}, headers=api.headers("operator")
        )
        assert answer.json()["crisis_contacts"] == contacts
        page = await printed(site, await opened(site, *AGREED), "client")
        assert page.heading == "Where I am in my therapy"
        assert "Initial phase: session 2 of 12, week 1 of 12" in page.text
        assert "The mood fell when the role that carried it ended." in page.text
        items = [each.text for each in page.main.all("li")]
        assert {"Role transition", "Feel well enough to work", "Clinic: 01 234567", "Crisis line, day and night: 116 123"} <= set(
            items
        )
        assert re.search(r"By \d+ \w+ 2026\.", page.text)
        assert "4711" not in page.answer.text  # the client carries it about

    browse(test)


def test_without_contacts_of_the_clinic_the_sheet_leaves_room_for_them(browse):
    async def test(site):
        page = await printed(site, await opened(site, *FIRST), "client")
        assert "The clinic has not given its crisis contacts yet." in page.text
        assert "Emergency: ____" in page.text

    browse(test)


@pytest.mark.matrix(4)
@pytest.mark.parametrize("kind", PAPERS)
@pytest.mark.parametrize("walked", ((), ("end_early",), (*AGREED, "pause")), ids=("referred", "ended", "paused"))
def test_every_paper_can_be_made_at_every_stage(browse, kind, walked):
    async def test(site):
        page = await printed(site, await opened(site, *walked), kind)
        assert page.status == 200
        assert "4711" not in page.title
        assert "None" not in page.text

    browse(test)


def test_a_paper_is_recorded_as_what_it_is(browse):
    async def test(site):
        course = await opened(site)
        await printed(site, course, "letter")
        api = await site.api()
        found = (await api.get(f"/v1/audit?course={course}&kind=read&actor=therapist-1", "auditor")).json()["items"]
        assert (found[-1]["action"], found[-1]["basis"], found[-1]["purpose"]) == ("paper letter", "own", "TREAT")

    browse(test)


def test_strangers_and_unknown_papers_are_not_found(browse):
    async def test(site):
        course = await opened(site)
        assert (await printed(site, course, "letter", "therapist-2")).status == 404
        assert (await printed(site, course, "letter", "admin-1", "admin")).status == 404
        assert (await printed(site, course, "poster")).status == 404

    browse(test)


def test_an_auditor_reads_no_sealed_text_on_paper_where_it_is_hidden(browse):
    async def test(site):
        course = await opened(site, *AGREED)
        api = await site.api()
        await api.client.patch("/v1/organisations/default", json={"auditor_text": "never"}, headers=api.headers("operator"))
        page = await printed(site, course, "summary", "auditor-1", "auditor")
        assert page.status == 200
        assert "General practitioner" not in page.text
        assert "Settle the new role" not in page.text

    browse(test)


def test_a_paper_asks_the_database_a_bounded_number_of_questions(browse, statements):
    async def test(site):
        course = await opened(site, *FIRST)
        with statements() as few:
            await printed(site, course, "summary")
        await (await site.api()).walk(course, *WORKED)
        with statements() as many:
            await printed(site, course, "summary")
        assert len(many) == len(few)

    browse(test)


@pytest.mark.parametrize("kind", PAPERS)
def test_papers_are_accessible(browse, axe, kind):
    async def test(site):
        axe(await printed(site, await opened(site, *AGREED), kind))

    browse(test)


def test_a_summary_of_twelve_sessions_fits_on_one_page(browse, printed_pages):
    async def test(site):
        course = await opened(site, *AGREED)
        api = await site.api()
        for data in (FUNCTIONING, SUPPORT):
            assert (await api.fire(course, "record_measure", data)).status_code == 201
        page = await printed(site, course, "summary")
        assert printed_pages(page) == 1

    browse(test)
