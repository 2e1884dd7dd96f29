"""A therapist's start page: what is on it, its buttons, and what becomes of them."""

import datetime as dt
from typing import Any

import pytest
from support.http_client import START, Api

from ipt_workflow.access.break_glass import NewEmergencyAccess
from ipt_workflow.access.principal import Principal

HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)
BY_NINE = START + 1 * HOUR  # an appointment of today


async def started(site, ref: str = "EHR-1") -> tuple[Api, str]:
    """A course of therapist-1 that is under way."""
    api = await site.api()
    course = (await api.open(ref))["id"]
    await api.walk(course, "record_consent", "start")
    return api, course


async def booked(site, at: dt.datetime = BY_NINE, ref: str = "EHR-1") -> tuple[Api, str]:
    api, course = await started(site, ref)
    assert (await api.fire(course, "book_session", {"scheduled_for": at.isoformat()})).status_code == 201
    return api, course


async def sessions(api: Api, course: str) -> list[dict[str, Any]]:
    return (await api.get(f"/v1/courses/{course}")).json()["sessions"]


def test_an_appointment_of_today_has_its_client_place_score_and_risk(browse, clock):
    async def test(site):
        api, course = await booked(site)
        await api.fire(course, "record_measure", {"instrument": "phq9", "total": 18})
        await api.fire(course, "raise_risk", {"level": "elevated"})
        await site.visitor()
        page = await (await site.visitor()).open("/")
        assert (page.heading, page.title) == ("My day", "My day – IPT workflow")
        assert "10:00 – EHR-1" in page.text
        assert "Initial phase: session 1. PHQ-9 18 (moderately severe)." in page.text
        assert "Risk elevated" in page.text or "Risk to review" in page.text
        assert page.links()["EHR-1"] == f"/courses/{course}"
        assert page.links()["Write up: EHR-1"] == f"/courses/{course}/session"

    browse(test)


@pytest.mark.parametrize(
    ("button", "code", "late", "said"),
    (
        ("Attended", "5", False, "It waits for you to write it up."),
        ("DNA", "3", False, "the client did not attend"),
        ("Late cancellation", "2", True, "the client cancelled late"),
    ),
)
def test_one_button_records_what_became_of_an_appointment(browse, clock, button, code, late, said):
    async def test(site):
        api, course = await booked(site)
        clock.set(BY_NINE + HOUR)
        page = await (await site.visitor()).open("/")
        await page.press(f"{button}: EHR-1")
        assert (page.status, page.path) == (200, "/")
        assert said in page.text
        (session,) = await sessions(api, course)
        assert (session["attendance"], session["at"]) == (code, "2026-01-05T10:00:00Z")
        (entry,) = [each for each in await entries(api, course) if each["trigger"] == "record_session"]
        assert entry["data"].get("late_notice", False) is late
        assert entry["actor"] == {"person": "therapist-1", "role": "therapist", "via": "pages"}
        assert "No more appointments today." in page.text
        assert ("Write up: EHR-1" in page.links()) is (code == "5")

    browse(test)


async def entries(api: Api, course: str) -> list[dict[str, Any]]:
    return (await api.get(f"/v1/courses/{course}/transitions")).json()["items"]


def test_before_its_time_an_appointment_can_only_be_cancelled(browse):
    async def test(site):
        await booked(site, START + 5 * HOUR)
        page = await (await site.visitor()).open("/")
        assert page.buttons()[:1] == ["Late cancellation: EHR-1"]
        await page.press("Late cancellation: EHR-1")
        assert "the client cancelled late" in page.text

    browse(test)


def test_a_button_pressed_twice_counts_once(browse, clock):
    async def test(site):
        api, course = await booked(site)
        clock.set(BY_NINE + HOUR)
        page = await (await site.visitor()).open("/")
        form = {each["name"]: each["value"] for each in page.main.one("form").all("input") if each.get("name")}
        pairs = list({**form, "outcome": "dna"}.items())
        for _ in range(2):
            await page._go("POST", f"/courses/{course}/outcome", pairs)
            assert page.status == 200
        assert len(await sessions(api, course)) == 1

    browse(test)


def test_a_refused_outcome_says_why_and_what_can_be_done(browse, clock):
    async def test(site):
        api, course = await started(site)
        for week in range(3):
            clock.set(START + (7 * week + 1) * DAY)
            await api.fire(course, "record_session", {"attendance": "5"})
        at = START + 22 * DAY
        await api.fire(course, "book_session", {"scheduled_for": at.isoformat()})
        clock.set(at + HOUR)
        page = await (await site.visitor()).open("/")
        await page.press("Attended: EHR-1")
        assert page.status == 409
        assert page.title.startswith("Error: ")
        assert len(await sessions(api, course)) == 3
        assert any("session" in each for each in page.errors), page.errors
        assert page.links()["Write the session up instead"] == f"/courses/{course}/session"

    browse(test)


def test_an_outcome_of_an_overtaken_page_is_not_recorded(browse, clock):
    async def test(site):
        api, course = await booked(site)
        clock.set(BY_NINE + HOUR)
        page = await (await site.visitor()).open("/")
        await api.fire(course, "note", {"text": "Meanwhile."})
        await page.press("DNA: EHR-1")
        assert page.status == 412
        assert "Somebody wrote to this course" in page.errors[0]
        assert await sessions(api, course) == []
        await page.press("DNA: EHR-1")
        assert page.status == 200
        assert len(await sessions(api, course)) == 1

    browse(test)


@pytest.mark.parametrize(
    "fields", ({"outcome": "attended"}, {"outcome": "x", "at": "2026-01-05T10:00:00Z"}, {"at": "noon", "outcome": "dna"})
)
def test_a_form_that_is_incomplete_is_answered_and_records_nothing(browse, fields):
    async def test(site):
        api, course = await booked(site)
        page = await (await site.visitor()).open("/")
        token = page.main.one("form").one("input", name="_csrf_token")["value"]
        await page._go("POST", f"/courses/{course}/outcome", [("_csrf_token", token), *fields.items()])
        assert page.status == 422
        assert "This form is incomplete." in page.errors[0]
        assert await sessions(api, course) == []

    browse(test)


def test_what_is_unfinished_is_listed_with_its_links(browse, clock):
    async def test(site):
        api, course = await started(site)
        for week in range(3):
            clock.set(START + (7 * week + 1) * DAY)
            await api.fire(course, "record_session", {"attendance": "5"})
        await api.fire(course, "book_session", {"scheduled_for": (START + 22 * DAY).isoformat()})
        await api.fire(course, "record_contact", {"kind": "crisis", "risk": True})
        clock.set(START + 24 * DAY)
        page = await (await site.visitor()).open("/")
        listed = [each.text for each in page.main.one("nav").all("a")]
        assert listed == ["3 sessions to write up", "1 risk to review", "1 appointment without outcome", "1 course blocked"]
        assert [row[2] for row in page.table(0)[1:]] == ["23 days", "16 days", "9 days"]
        assert page.links()["Review the risk: EHR-1"] == f"/courses/{course}/do/review_risk"
        seqs = [each["seq"] for each in await sessions(api, course)]
        assert {each["href"] for each in page.main.all("a") if each.text == "Write up"} >= {
            f"/courses/{course}/session/{seq}" for seq in seqs
        }
        assert "formulation" in page.text.lower()

    browse(test)


def test_drafts_are_listed_with_where_one_goes_on(browse, clock):
    async def test(site):
        _, course = await started(site)
        page = await (await site.visitor()).open(f"/courses/{course}/session")
        page.fill("Summary", "Half a thought")
        await page.press("Save draft")
        await page.open(f"/courses/{course}/do/waive_sick_role")
        page.fill("Why is the sick role left out?", "The client works.")
        await page.press("Do without the sick role")
        await page.open("/")
        assert "2 drafts" in page.text
        assert page.table() == [
            ["Client", "Draft", "Saved", "Next"],
            ["EHR-1", "Session note", "5 Jan 2026, 09:00", "Go on writing"],
            ["EHR-1", "Do without the sick role", "5 Jan 2026, 09:00", "Go on writing"],
        ]
        hrefs = {each["href"] for each in page.main.all("a") if each.text == "Go on writing"}
        assert hrefs == {f"/courses/{course}/session", f"/courses/{course}/do/waive_sick_role"}
        other = await (await site.visitor("therapist-2")).open("/")
        assert "draft" not in other.text

    browse(test)


def test_a_declined_proposal_and_an_emergency_access_are_told(browse, clock):
    async def test(site):
        api, course = await started(site)
        body = {"trigger": "extend_phase", "reason": "One more session."}
        made = await api.post(f"/v1/courses/{course}/proposals", body, If_Match='"3"')
        assert made.status_code == 201, made.text
        assert (await api.post(f"/v1/proposals/{made.json()['id']}/decline", {}, "supervisor")).status_code == 200
        duty = Principal(person="therapist-2", role="therapist", session="0123456789abcdef", authenticated_at=clock.now())
        new = NewEmergencyAccess(client_ref="EHR-1", code="ETREAT", reason="She called at night.")
        await api.services.emergencies.start(duty, lambda: new)
        page = await (await site.visitor()).open("/")
        assert "1 answer" in page.text
        assert "Declined" in page.text
        assert "She called at night." in page.text
        assert "waits for a supervisor" in page.text

    browse(test)


def test_a_day_without_anything_says_so(browse):
    async def test(site):
        page = await (await site.visitor()).open("/")
        assert "No more appointments today." in page.text
        assert "Nothing is unfinished." in page.text

    browse(test)


def test_nothing_of_another_therapists_course_is_on_the_page(browse):
    async def test(site):
        await booked(site)
        page = await (await site.visitor("therapist-2")).open("/")
        assert "EHR-1" not in page.answer.text

    browse(test)


def test_times_are_those_of_the_readers_zone_and_language(browse, clock):
    async def test(site):
        await booked(site)
        page = await (await site.visitor(language="de")).open("/")
        assert "5. Januar 2026" in page.text

    browse(test)


def test_the_questions_to_the_database_do_not_grow_with_the_caseload(browse, statements):
    async def test(site):
        counted = []
        visitor = await site.visitor()
        for number in range(6):
            api, course = await booked(site, BY_NINE + number * dt.timedelta(minutes=1), f"EHR-{number}")
            await api.fire(course, "raise_risk", {"level": "elevated"})
            if number in {0, 5}:
                await visitor.open("/")  # what is read once, and kept
                with statements() as asked:
                    await visitor.open("/")
                counted.append(len(asked))
        assert "EHR-5" in visitor.text
        assert counted[0] == counted[1] <= 18

    browse(test)


@pytest.mark.parametrize("case", ("empty", "full", "refused"))
def test_the_page_is_accessible(browse, axe, clock, picture, case):
    async def test(site):
        if case != "empty":
            api, course = await booked(site)
            await api.fire(course, "record_contact", {"kind": "crisis", "risk": True})
            await api.fire(course, "record_measure", {"instrument": "phq9", "total": 18})
            await api.fire(course, "record_session", {"attendance": "5"})
            _, other = await booked(site, START - 2 * HOUR, "EHR-3")
            await booked(site, BY_NINE + 5 * HOUR, "EHR-2")
            clock.set(BY_NINE + HOUR)
        page = await (await site.visitor()).open("/")
        if case == "refused":
            await api.fire(other, "note", {"text": "Meanwhile."})
            await page.press("DNA: EHR-3")
            assert page.status == 412
        if case == "full":
            picture(page, "my-day")
        axe(page)

    browse(test)
