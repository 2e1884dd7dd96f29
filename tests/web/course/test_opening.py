"""The page on which a course is opened."""

import pytest

CODE = "Reference of the client"


def refer(page):
    return page.fill(CODE, "EHR-77").fill("Form of IPT", "Interpersonal Psychotherapy").fill("Who refers", "General practice")


def test_a_referral_opens_a_course_and_leads_to_it(browse, axe):
    async def test(site):
        api, page = await site.api(), await site.visitor()
        await page.open("/courses/new")
        axe(page)
        await refer(page).fill("Why IPT", "Depression").press("Open the course")
        assert page.path.startswith("/courses/")
        seen = (await api.get(f"/v1{page.path}")).json()
        assert (seen["client_ref"], seen["protocol"], seen["therapist"], seen["indication"], seen["state"]) == (
            "EHR-77",
            "ipt",
            "therapist-1",
            "depression",
            "referred",
        )
        assert "EHR-77" not in page.url

    browse(test)


def test_the_form_of_ipt_narrows_what_it_is_for(browse, axe):
    async def test(site):
        page = await (await site.visitor()).open("/courses/new")
        rhythm = next(each for each in site.clinic.protocols if each.id == "ipsrt")
        every = len(page.control("Why IPT").all("option"))
        page.fill("Reference of the client", "EHR-77").fill("Form of IPT", rhythm.title)
        await page.press("Show what this form of IPT is for")
        assert (page.status, page.value(page.control("Reference of the client"))) == (200, "EHR-77")
        offered = {each["value"] for each in page.control("Why IPT").all("option") if each.get("value")}
        assert offered == set(rhythm.indications)
        assert len(offered) + 1 < every
        axe(page)
        await page.fill("Who refers", "General practice").press("Open the course")
        assert page.path.startswith("/courses/0")

    browse(test)


def test_everything_that_is_missing_is_said_at_once(browse, axe):
    async def test(site):
        page = await (await site.visitor()).open("/courses/new")
        await page.fill("Form of IPT", "").press("Open the course")
        assert page.status == 422
        assert page.errors == ["Reference of the client: Fill this in.", "Form of IPT: Fill this in.", "Who refers: Fill this in."]
        axe(page)

    browse(test)


@pytest.mark.parametrize("wrong", [" ", "x" * 300])
def test_a_reference_that_is_none_is_refused_where_it_was_typed(browse, wrong: str):
    async def test(site):
        page = await (await site.visitor()).open("/courses/new")
        await refer(page).fill(CODE, wrong).press("Open the course")
        assert page.status == 422
        assert [each.partition(":")[0] for each in page.errors] == [CODE]

    browse(test)


def test_a_client_with_an_open_course_gets_no_second_one(browse):
    async def test(site):
        await (await site.api()).open("EHR-77")
        page = await (await site.visitor()).open("/courses/new")
        await refer(page).press("Open the course")
        assert page.status == 409
        assert page.control(CODE)["value"] == "EHR-77"

    browse(test)


def test_a_referral_that_is_sent_twice_opens_one_course(browse):
    async def test(site):
        page = await (await site.visitor()).open("/courses/new")
        refer(page)
        tree, values = page.tree, page._values
        first = (await page.press("Open the course")).path
        page.tree, page._values = tree, values
        assert (await page.press("Open the course")).path == first

    browse(test)


def test_who_may_not_see_the_course_that_they_opened_goes_to_the_start(browse):
    async def test(site):
        page = await (await site.visitor("admin-1", "admin")).open("/courses/new")
        await site.visitor("therapist-1")
        await refer(page).fill("Therapist", "therapist-1").press("Open the course")
        assert page.path == "/"

    browse(test)


def test_a_supervisor_takes_over_a_course_from_elsewhere_and_a_therapist_does_not(browse):
    async def test(site):
        api = await site.api()
        therapist = await (await site.visitor()).open("/courses/new?as=adopt")
        assert therapist.status == 403
        page = await (await site.visitor("supervisor-1", "supervisor")).open("/courses/new")
        await page.follow("The course began elsewhere: take it over")
        page.fill(CODE, "EHR-78").fill("Therapist", "therapist-1").fill("Where the course began", "Another clinic")
        page.choose("Initial phase", "Phase that it has reached").fill("Initial phase", "2", "Sessions attended in each phase")
        page.choose("Treatment", "Consent on record").choose("Diagnostic evaluation", "Documents that you have seen")
        await page.press("Take over the course")
        assert page.errors == ["Why is the course taken over, and from whom?: Fill this in."]
        page.fill("Why is the course taken over, and from whom?", "The client has moved here.")
        await page.press("Take over the course")
        seen = (await api.get(f"/v1{page.path}", "supervisor")).json()
        assert (seen["state"], seen["adopted"]["attended"], seen["consents"]) == ("initial", {"initial": 2}, ["treatment"])

    browse(test)
