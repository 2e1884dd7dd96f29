"""The list of courses: its order, its columns, how it is narrowed, and how a client is found without their reference in an address."""

import datetime as dt

import pytest
from support.http_client import Api

from ipt_workflow.web import caseload

DAY = dt.timedelta(days=1)


async def three(site) -> tuple[Api, list[str]]:
    """Courses of therapist-1 under way: of the second, the client is at risk; of the third, a session is unsigned."""
    api = await site.api()
    courses = []
    for number in range(1, 4):
        courses.append((await api.open(f"EHR-{number}"))["id"])
        await api.walk(courses[-1], "record_consent", "start")
    await api.fire(courses[1], "raise_risk", {"level": "elevated"})
    await api.fire(courses[2], "record_session", {"attendance": "5"})
    return api, courses


def clients(page) -> list[str]:
    return [row[0] for row in page.table()[1:]] if page.main.all("table") else []


def test_open_courses_are_listed_by_need_with_where_they_stand(browse):
    async def test(site):
        api, courses = await three(site)
        await api.fire(courses[1], "record_measure", {"instrument": "phq9", "total": 18})
        page = await (await site.visitor()).open("/courses")
        assert (page.heading, page.title) == ("Open courses", "Courses – IPT workflow")
        assert clients(page) == ["EHR-2", "EHR-3", "EHR-1"]
        row = page.table()[1]
        assert row[1].startswith("Risk to review")
        assert row[2] == "Initial phase Interpersonal Psychotherapy"
        assert row[4] == "PHQ-9 18 (moderately severe)"
        assert row[5:] == ["not yet", "none booked", "therapist-1"]
        assert page.links()["EHR-2"] == f"/courses/{courses[1]}"

    browse(test)


def test_a_therapist_is_named_and_a_supervisor_chooses_among_them(browse):
    async def test(site):
        await three(site)
        page = await (await site.visitor("supervisor-1", "supervisor")).open("/courses")
        assert len(clients(page)) == 3
        page.fill("Therapist", "therapist-2")
        await page.press("Show")
        assert page.text.endswith("There are no such courses.")
        assert page.path == "/courses"
        therapist = await (await site.visitor()).open("/courses")
        assert not [each for each in therapist.tree.all("label") if each.text == "Therapist"]

    browse(test)


def test_a_list_is_narrowed_by_need_and_paged(browse, monkeypatch):
    monkeypatch.setattr(caseload, "SIZE", 2)

    async def test(site):
        await three(site)
        page = await (await site.visitor()).open("/courses")
        assert clients(page) == ["EHR-2", "EHR-3"]
        await page.follow("Next courses")
        assert clients(page) == ["EHR-1"]
        assert "EHR" not in page.url
        await page.follow("Back to the first")
        page.fill("Needs attention for", "Unsigned session")
        await page.press("Show")
        assert clients(page) == ["EHR-3"]

    browse(test)


def test_courses_that_have_ended_have_a_list_of_their_own(browse):
    async def test(site):
        api, courses = await three(site)
        await api.walk(courses[0], "end_early")
        page = await (await site.visitor()).open("/courses")
        assert clients(page) == ["EHR-2", "EHR-3"]
        await page.follow("Courses that have ended")
        assert (page.heading, clients(page)) == ("Courses that have ended", ["EHR-1"])

    browse(test)


def test_a_client_is_found_by_their_reference_which_is_in_no_address(browse):
    async def test(site):
        await three(site)
        page = await (await site.visitor()).open("/courses")
        page.fill("Client's reference", "EHR-3")
        await page.press("Find")
        assert (page.status, page.heading, clients(page)) == (200, "Courses of a client", ["EHR-3"])
        assert "EHR" not in page.url
        assert "EHR" not in page.title
        page.fill("Client's reference", "EHR-4711")
        await page.press("Find")
        assert "No client has exactly this reference" in page.text

    browse(test)


@pytest.mark.parametrize("ref", ("", "x" * 129))
def test_a_reference_that_cannot_be_one_is_answered_at_its_field(browse, axe, ref):
    async def test(site):
        page = await (await site.visitor()).open("/courses")
        page.fill("Client's reference", ref)
        await page.press("Find")
        assert (page.status, page.errors) == (422, ["Enter the whole reference, as the EHR writes it: 1 to 128 characters."])
        axe(page)

    browse(test)


def test_a_stranger_finds_no_client(browse):
    async def test(site):
        await three(site)
        page = await (await site.visitor("therapist-2")).open("/courses")
        assert clients(page) == []
        page.fill("Client's reference", "EHR-3")
        await page.press("Find")
        assert clients(page) == []

    browse(test)


@pytest.mark.parametrize(
    "address", ("?need=x&show=y&after=nothing", "?therapist=&protocol=nothing", "?after=00000000-0000-7000-8000-000000000000")
)
def test_an_address_that_asks_for_what_is_unknown_is_answered(browse, address):
    async def test(site):
        await three(site)
        page = await (await site.visitor()).open(f"/courses{address}")
        assert page.status == 200

    browse(test)


@pytest.mark.parametrize("person", ("therapist-1", "supervisor-1"))
def test_the_questions_to_the_database_do_not_grow_with_the_caseload(browse, statements, person):
    async def test(site):
        visitor, counted = await site.visitor(person, person[:-2]), []
        await three(site)
        api = await site.api()
        for again in range(2):
            if again:
                for number in range(4, 10):
                    await api.open(f"EHR-{number}")
            await visitor.open("/courses")
            with statements() as asked:
                await visitor.open("/courses")
            counted.append(len(asked))
        assert counted[0] == counted[1] <= 16

    browse(test)


def test_the_list_is_accessible(browse, axe, picture):
    async def test(site):
        api, courses = await three(site)
        await api.fire(courses[1], "record_measure", {"instrument": "phq9", "total": 18})
        page = await (await site.visitor("supervisor-1", "supervisor")).open("/courses")
        picture(page, "courses")
        axe(page)

    browse(test)
