"""A supervisor's pages: what waits for them, agreements, the agenda and its meetings, emergency accesses."""

import datetime as dt
from typing import Any

import pytest
from support.http_client import OPERATOR

from ipt_workflow.access.break_glass import NewEmergencyAccess
from ipt_workflow.access.principal import Principal
from ipt_workflow.service.access.people import PersonChange

EXTEND = {"trigger": "extend_phase", "reason": "One more session is needed."}
WEEK = dt.timedelta(weeks=1)


async def prepared(site: Any, *refs: str) -> tuple[Any, list[str]]:
    """Courses of therapist-1 in their first phase, whom supervisor-1 supervises."""
    api = await site.api()
    await api.services.people.change(OPERATOR, "therapist-1", lambda: PersonChange(supervisors=("supervisor-1",)))
    courses = []
    for ref in refs or ("EHR-1",):
        course = (await api.open(ref))["id"]
        await api.walk(course, "record_consent", "start")
        courses.append(course)
    return api, courses


async def supervisor(site: Any) -> Any:
    return await site.visitor("supervisor-1", "supervisor")


async def proposed(api: Any, course: str) -> str:
    answer = await api.post(f"/v1/courses/{course}/proposals", EXTEND, If_Match=f'"{await api.version(course)}"')
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


async def in_emergency(api: Any) -> None:
    duty = Principal(person="therapist-9", role="therapist", session="0" * 16, authenticated_at=api.clinic.clock.now())
    new = NewEmergencyAccess(client_ref="EHR-1", code="ETREAT", reason="She called.")
    await api.services.emergencies.start(duty, lambda: new)


# The day


def test_a_supervisors_day_names_everything_that_waits(browse, axe, picture):
    async def test(site):
        api, (course,) = await prepared(site)
        await proposed(api, course)
        await in_emergency(api)
        session = {"attendance": "5", "kind": "additional", "minutes": 50}
        assert (await api.fire(course, "record_session", session, reason="A crisis.")).status_code == 201
        await api.services.people.leave(OPERATOR, "therapist-1")
        page = await (await supervisor(site)).open("/supervision")
        for heading in (
            *("Waiting for your agreement", "Emergency accesses to review", "Sessions held beyond the limit"),
            *("Courses of people who have left", "To discuss next"),
        ):
            assert heading in page.text, heading
        assert "EHR-1" not in page.title
        axe(page)
        picture(page, "supervision")

    browse(test)


def test_it_is_the_start_of_a_supervisor(browse):
    async def test(site):
        await prepared(site)
        page = await (await supervisor(site)).open("/")
        assert page.heading == "Supervision"

    browse(test)


def test_sessions_unsigned_for_a_week_and_courses_that_do_not_improve_are_listed(browse, clock):
    async def test(site):
        api, (course,) = await prepared(site)
        assert (await api.fire(course, "record_session", {"attendance": "5", "minutes": 50})).status_code == 201
        page = await supervisor(site)
        assert "Unsigned for more than a week" not in (await page.open("/supervision")).text
        clock.advance(8 * dt.timedelta(days=1))
        page = await supervisor(site)
        await page.open("/supervision")
        assert "Unsigned for more than a week" in page.text
        assert "8 days" in page.text
        clock.advance(6 * WEEK)
        page = await supervisor(site)
        await page.open("/supervision")
        assert "Not improving, getting worse or overdue" in page.text
        assert "Overdue" in page.text

    browse(test)


def test_the_number_of_questions_does_not_grow_with_the_courses(browse, statements):
    async def test(site):
        api, courses = await prepared(site)
        for course in courses:
            await proposed(api, course)
        body = {"supervisor": "supervisor-1", "supervisees": ["therapist-1"], "kind": "tape", "minutes": 30}
        await api.post("/v1/supervision", {**body, "courses": [{"course": courses[0]}]}, "supervisor")
        page = await supervisor(site)
        counted = []
        for round_ in (0, 1):
            for path in ("/supervision", "/supervision/agreements", "/supervision/agenda", "/supervision/records"):
                with statements() as asked:
                    assert (await page.open(path)).status == 200
                counted.append((path, len(asked)))
            if not round_:
                for number in range(6):
                    course = (await api.open(f"EHR-{number + 2}"))["id"]
                    await api.walk(course, "record_consent", "start")
                    await proposed(api, course)
                    answer = await api.post("/v1/supervision", {**body, "courses": [{"course": course}]}, "supervisor")
                    assert answer.status_code == 201, answer.text
        half = len(counted) // 2
        grown = [(before, after) for before, after in zip(counted[:half], counted[half:], strict=True) if after[1] > before[1] + 2]
        assert grown == []

    browse(test)


@pytest.mark.parametrize("path", ("/supervision", "/supervision/records/new"))
def test_a_role_without_these_pages_is_refused(browse, path):
    async def test(site):
        page = await site.visitor("auditor-1", "auditor")
        assert (await page.open(path)).status == 403

    browse(test)


# Agreements


def test_a_supervisor_sees_what_has_changed_and_agrees(browse, axe):
    async def test(site):
        api, (course,) = await prepared(site)
        await proposed(api, course)
        await api.walk(course, "record_evaluation")
        page = await (await supervisor(site)).open("/supervision/agreements")
        axe(page)
        assert "1 change" in page.text
        (decide,) = [text for text in page.links() if text.startswith("Look and decide: EHR-1")]
        await page.follow(decide)
        axe(page)
        assert "One more session is needed." in page.text
        await page.press("Agree")
        assert page.path == f"/courses/{course}"
        entries = (await api.get(f"/v1/courses/{course}/transitions")).json()["items"]
        assert (entries[-1]["trigger"], entries[-1]["cosigned_by"]) == ("extend_phase", "supervisor-1")

    browse(test)


def test_a_request_is_returned_for_revision_with_a_comment_that_its_author_reads(browse, axe):
    async def test(site):
        api, (course,) = await prepared(site)
        proposal = await proposed(api, course)
        page = await (await supervisor(site)).open(f"/supervision/agreements/{proposal}")
        await page.press("Return for revision")
        assert (page.status, page.errors) == (422, ["Say what should be revised."])
        axe(page)
        page.fill("What should be revised?", "Say what the session is for.")
        await page.press("Return for revision")
        assert (page.path, page.text.count("Nothing waits")) == ("/supervision/agreements", 1)
        author = await (await site.visitor()).open("/")
        assert "Returned for revision" in author.text
        await author.follow("Extend the phase: EHR-1")
        axe(author)
        assert "Say what the session is for." in author.text
        await author.follow("Revise it and ask again")
        assert author.path == f"/courses/{course}/do/extend_phase"
        assert author.value(author.control("Why does the phase need more sessions?")) == EXTEND["reason"]
        stranger = await supervisor(site)
        await stranger.open(f"/courses/{course}/do/extend_phase?revises={proposal}")
        assert EXTEND["reason"] not in stranger.answer.text

    browse(test)


def test_what_was_decided_meanwhile_is_not_decided_twice(browse):
    async def test(site):
        api, (course,) = await prepared(site)
        proposal = await proposed(api, course)
        one, other = await supervisor(site), await site.visitor("supervisor-2", "supervisor")
        await one.open(f"/supervision/agreements/{proposal}")
        await other.open(f"/supervision/agreements/{proposal}")
        await other.press("Decline")
        await one.press("Agree")
        assert (one.status, one.errors) == (412, ["This has been decided meanwhile. Its status says what became of it."])
        assert "Declined" in one.text

    browse(test)


def test_somebody_who_wrote_meanwhile_stops_an_agreement_that_has_not_seen_it(browse):
    async def test(site):
        api, (course,) = await prepared(site)
        page = await (await supervisor(site)).open(f"/supervision/agreements/{await proposed(api, course)}")
        await api.walk(course, "record_evaluation")
        await page.press("Agree")
        assert page.status == 412
        await page.press("Agree")
        assert page.path == f"/courses/{course}"

    browse(test)


# The agenda and its meetings


def test_a_meeting_is_recorded_from_the_agenda(browse, axe, picture):
    async def test(site):
        api, courses = await prepared(site, "EHR-1", "EHR-2")
        page = await (await supervisor(site)).open("/supervision/agenda")
        axe(page)
        picture(page, "agenda")
        page.choose("Discuss EHR-1").choose("Discuss EHR-2")
        await page.press("Record supervision of these")
        axe(page)
        picture(page, "meeting")
        page.fill("Minutes", "50")
        page.fill("What was discussed", "The dispute is stuck.", "EHR-1")
        page.fill("What was agreed to do", "Bring the tape.\nRate it together.", "EHR-1")
        await page.press("Record the meeting")
        assert page.path == "/supervision/records"
        axe(page)
        assert "The dispute is stuck." in page.text
        items = (await api.get("/v1/supervision", "supervisor")).json()["items"]
        assert {each["course"] for each in items} == set(courses)
        assert {(each["supervisor"], *each["supervisees"], each["minutes"]) for each in items} == {
            ("supervisor-1", "therapist-1", 50)
        }
        assert [each["actions"] for each in items if each["course"] == courses[0]] == [["Bring the tape.", "Rate it together."]]
        await page.open("/supervision/agenda")
        assert "Rate it together." in page.text

    browse(test)


def test_everything_that_is_wrong_with_a_meeting_is_said_at_once_and_what_was_typed_is_kept(browse, axe):
    async def test(site):
        await prepared(site)
        page = await (await supervisor(site)).open("/supervision/records/new")
        page.fill("What was discussed", "Kept words.", "EHR-1")
        await page.press("Record the meeting")
        assert page.status == 422
        assert page.errors == [
            "Supervisees: Give at least one.",
            "Minutes: Fill this in.",
            "Tick the courses that were discussed.",
        ]
        axe(page)
        assert page.value(page.control("What was discussed", "EHR-1")) == "Kept words."
        page.fill("Minutes", "50").choose("therapist-1", "Supervisees")
        page.choose("Discussed", "EHR-1").fill("What was discussed", "x" * 4001, "EHR-1")
        await page.press("Record the meeting")
        assert page.status == 422
        (fault,) = page.tree.all("div", class_="govuk-error-summary")[0].all("a")
        assert fault["href"].startswith("#discussed-")

    browse(test)


def test_a_form_that_is_sent_twice_is_recorded_once(browse):
    async def test(site):
        api, _ = await prepared(site)
        page = await (await supervisor(site)).open("/supervision/records/new")
        page.fill("Minutes", "50").choose("therapist-1", "Supervisees").choose("Discussed", "EHR-1")
        tree, values = page.tree, page._values
        await page.press("Record the meeting")
        page.tree, page._values, page.url = tree, values, "https://ipt.example/supervision/records/new"
        await page.press("Record the meeting")
        assert len((await api.get("/v1/supervision", "supervisor")).json()["items"]) == 1

    browse(test)


def test_a_therapist_records_their_own_supervision(browse):
    async def test(site):
        api, _ = await prepared(site)
        page = await (await site.visitor()).open("/supervision/records/new")
        page.fill("Minutes", "45").choose("Discussed", "EHR-1")
        await page.press("Record the meeting")
        (item,) = (await api.get("/v1/supervision")).json()["items"]
        assert (item["supervisor"], item["supervisees"]) == ("supervisor-1", ["therapist-1"])

    browse(test)


def test_earlier_records_are_a_page_away(browse):
    async def test(site):
        api, (course,) = await prepared(site)
        body = {"supervisor": "supervisor-1", "supervisees": ["therapist-1"], "kind": "live"}
        for minutes in range(10, 61):
            answer = await api.post("/v1/supervision", {**body, "minutes": minutes, "courses": [{"course": course}]}, "supervisor")
            assert answer.status_code == 201
        page = await (await supervisor(site)).open("/supervision/records")
        assert "10 minutes" not in page.text
        await page.follow("Earlier records")
        assert "Live, watching the session, 10 minutes" in page.text

    browse(test)


# Emergency accesses


def test_a_supervisor_reviews_an_emergency_access(browse, axe):
    async def test(site):
        api, _ = await prepared(site)
        await in_emergency(api)
        page = await (await supervisor(site)).open("/supervision/emergencies")
        axe(page)
        assert "Emergency treatment: She called." in page.text
        await page.press("Record the review: therapist-9")
        assert (page.status, page.errors) == (422, ["Say whether it was justified."])
        axe(page)
        page.choose("It was justified").fill("Comment (optional)", "Well done.")
        await page.press("Record the review: therapist-9")
        assert "No emergency access waits for a review." in page.text
        (reviewed,) = (await api.get("/v1/emergency-access", "supervisor")).json()["items"]
        assert (reviewed["review"]["verdict"], reviewed["review"]["comment"]) == ("justified", "Well done.")

    browse(test)
