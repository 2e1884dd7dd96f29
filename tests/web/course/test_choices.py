"""What the forms offer where the course decides, and what they begin with."""

import datetime as dt

CODES = ("Out of bed", "First contact with somebody", "Dinner")


async def opened(site, *steps: str, **more):
    """A course that has taken these steps, and a therapist's browser."""
    api = await site.api()
    course = (await api.open(**more))["id"]
    await api.walk(course, *steps)
    return api, course, await site.visitor()


async def last_entry(api, course: str):
    version = await api.version(course)
    return (await api.get(f"/v1/courses/{course}/transitions/{version}", "supervisor")).json()


def test_a_week_of_the_social_rhythm_is_recorded_day_by_day(browse, axe):
    async def test(site):
        api, course, page = await opened(site, "record_consent", "start", protocol="ipsrt", data={"source": "Clinic"})
        await page.open(f"/courses/{course}/do/record_rhythm")
        page.choose("Five activities (SRM-5)", "Form").fill("First day of the week", "2025-12-29")
        for day in range(3):
            if day:
                await page.press("Add a day")
            legend = f"Day {day + 1}"
            page.fill("Day", f"2025-12-{29 + day}", legend).fill("Mood, from -5 to 5 (optional)", "-1", legend)
            for code in CODES:
                page.fill(code, "07:3" + str(day), legend)
        axe(page)
        await page.press("Record the week")
        assert page.path == f"/courses/{course}", page.errors
        data = (await last_entry(api, course))["data"]
        assert [each["on"] for each in data["days"]] == ["2025-12-29", "2025-12-30", "2025-12-31"]
        assert data["days"][2]["times"] == dict.fromkeys(("out_of_bed", "first_contact", "dinner"), "07:32")

    browse(test)


def test_targets_begin_with_those_in_force(browse):
    async def test(site):
        _api, course, page = await opened(
            site, "record_consent", "start", "record_rhythm", "set_rhythm_target", protocol="ipsrt", data={"source": "Clinic"}
        )
        await page.open(f"/courses/{course}/do/set_rhythm_target")
        first = page.main.all("fieldset", class_="ipt-group")[0]
        times = [page.value(each) for each in first.all("input") if each["name"].endswith(".time")]
        assert times != [""]

    browse(test)


def test_the_only_session_to_sign_is_chosen_and_the_problem_area_with_it(browse):
    async def test(site):
        steps = ("record_consent", "start", "record_inventory", "select_focus", "record_session")
        api, course, page = await opened(site, *steps)
        await page.open(f"/courses/{course}/do/sign_session")
        assert "5 Jan 2026" in page.text
        await page.fill("Summary", "The new role.").press("Sign")
        assert page.path == f"/courses/{course}", page.errors
        assert (await last_entry(api, course))["data"] == {"session": 6, "focus": "role_transition", "summary": "The new role."}

    browse(test)


def test_the_people_of_the_inventory_are_offered_by_their_names(browse):
    async def test(site):
        api, course, page = await opened(site, "record_consent", "start")
        people = [{"id": "p1", "name": "Robin"}, {"id": "p2", "deceased": True}]
        await api.fire(course, "record_inventory", {"people": people})
        await page.open(f"/courses/{course}/do/select_focus")
        group = page.control("Robin", "People it is about").above("fieldset")
        assert (
            group.text
            == "People it is about (optional) For grief, the person who died. For a dispute, the other person. Robin p2 Has died"
        )

    browse(test)


def test_the_latest_formulation_is_chosen_for_the_clients_response(browse):
    async def test(site):
        api, course, page = await opened(site, "record_consent", "start", "record_formulation", "record_formulation")
        await page.open(f"/courses/{course}/do/accept_formulation")
        await page.choose("Agrees", "The client's response").press("Record the response")
        assert (await last_entry(api, course))["data"] == {"version": 2, "response": "accepts"}

    browse(test)


def test_a_course_is_given_to_a_colleague_who_is_chosen_by_name(browse, axe):
    async def test(site):
        api, course, page = await opened(site, "record_consent", "start")
        await page.open(f"/courses/{course}/do/transfer")
        axe(page)
        page.fill("New therapist", "therapist-2").fill("Handover", "In the first phase.")
        await page.fill("Why does the therapist change?", "Parental leave.").press("Give the course over")
        assert (await last_entry(api, course))["data"]["therapist"] == "therapist-2"
        assert (page.path, page.status) == ("/courses", 200)  # the course is no longer theirs

    browse(test)


def test_a_break_begins_with_its_planned_return_and_ends(browse):
    async def test(site):
        api, course, page = await opened(site, "record_consent", "start")
        await page.open(f"/courses/{course}/do/pause")
        await page.fill("Planned return", "2026-01-19").fill("Why is there a break?", "Holidays.").press("Begin the break")
        assert (await last_entry(api, course))["to"] == "paused"
        await page.open(f"/courses/{course}/do/resume")
        assert "planned return 19 January 2026" in page.text
        await page.press("End the break")
        assert (await last_entry(api, course))["to"] == "initial"

    browse(test)


def test_an_early_ending_asks_for_what_this_kind_of_ending_needs(browse, axe):
    async def test(site):
        api, course, page = await opened(site, "record_consent", "start")
        await page.open(f"/courses/{course}/do/end_early")
        page.fill("How the course ends", "Ended by the client earlier than planned").fill(
            "Last contact with the client", "2026-01-05"
        )
        await page.fill("Why does the course end early?", "Has moved away.").press("End the course early")
        assert page.errors == [
            "Risk: Fill this in for an ending of this kind.",
            "Attempts to reach the client: Fill this in for an ending of this kind.",
        ]
        axe(page)
        page.fill("Risk", "No risk").fill("Attempts to reach the client", "2")
        await page.press("End the course early")
        assert (await last_entry(api, course))["to"] == "ended_early"

    browse(test)


def test_a_supervisor_signs_for_whoever_has_left_only_what_is_unsigned(browse, clock):
    async def test(site):
        api, course, _page = await opened(site, "record_consent", "start", "record_session", "sign_session")
        clock.advance(dt.timedelta(days=7))
        await api.walk(course, "record_session")
        page = await site.visitor("supervisor-1", "supervisor")
        await page.open(f"/courses/{course}/do/attest_session")
        assert [each.text for each in page.control("12 Jan 2026, 09:00: Attended").above("fieldset").all("label")] == [
            "12 Jan 2026, 09:00: Attended"
        ]

    browse(test)
