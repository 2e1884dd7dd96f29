"""What only a real browser shows: pages without JavaScript, by keyboard alone, under their policy."""

import pytest
from playwright.async_api import Locator
from support.service_walk import open_course
from support.service_walk import walk as steps


def test_pages_work_by_keyboard_alone_without_scripts(walk):
    async def test(walkers):
        page = await walkers.window("pat", "therapist", "supervisor")
        await page.goto("/")
        assert await page.locator("h1").inner_text() == "Choose a role"
        await page.keyboard.press("Tab")
        assert await page.locator(":focus").inner_text() == "Skip to the content"
        await page.keyboard.press("Enter")
        await page.keyboard.press("Tab")
        assert await page.locator(":focus").inner_text() == "Act as therapist"
        async with page.expect_navigation():
            await page.keyboard.press("Enter")
        await page.goto("/me")
        assert "as therapist" in await page.locator("main").inner_text()

    walk(test)


def test_a_page_loads_nothing_from_elsewhere_and_breaks_no_policy(walk):
    async def test(walkers):
        foreign, said = [], []
        page = await walkers.window(java_script_enabled=True)
        page.on("console", lambda message: said.append(message.text))
        page.on("request", lambda request: foreign.append(request.url) if not request.url.startswith(walkers.address) else None)
        for path in ("/", "/me", "/passkeys", "/patterns"):
            await page.goto(path)
        assert (foreign, said) == ([], [])

    walk(test)


def test_two_people_work_beside_each_other_and_each_signs_out_alone(walk):
    async def test(walkers):
        first, second = await walkers.window("ann"), await walkers.window("ben", "supervisor")
        await first.goto("/me")
        await first.get_by_role("button", name="Sign out").click()
        assert await first.locator("h1").inner_text() == "You are signed out"
        await second.goto("/me")
        assert "You are signed in as ben, as supervisor." in await second.locator("main").inner_text()

    walk(test)


def test_a_session_with_its_scale_is_written_and_signed_by_keyboard_alone(walk):
    async def test(walkers):
        course = await open_course(walkers.clinic)
        await steps(walkers.clinic, course, "record_consent", "start")
        page = await walkers.window()
        await page.goto(f"/courses/{course}/session")

        async def reach(wanted: Locator) -> None:
            """Goes on by the tabulator until something has the focus."""
            for _ in range(60):
                if await wanted.and_(page.locator(":focus")).count():
                    return
                await page.keyboard.press("Tab")
            raise AssertionError(f"{wanted} is not reached by keyboard")

        await reach(page.get_by_label("Attended", exact=True))
        await page.keyboard.press("Space")
        for number in range(1, 10):
            await reach(page.locator(f"[name='scale.phq9.{number}']").first)
            await page.keyboard.press("Space")
            if number < 4:
                await page.keyboard.press("ArrowDown")
        await reach(page.get_by_label("Summary"))
        await page.keyboard.type("The week and the mood.")
        await reach(page.get_by_role("button", name="Sign", exact=True))
        async with page.expect_navigation():
            await page.keyboard.press("Enter")
        assert page.url.endswith(f"/courses/{course}"), await page.locator("main").inner_text()
        session, scale, signature = [each.written for each in await walkers.clinic.entries(course)][-3:]
        assert (session.trigger, scale.data["total"], signature.trigger) == ("record_session", 3, "sign_session")

    walk(test)


@pytest.mark.rest
def test_each_way_out_of_a_refusal_is_followed_by_its_link_until_nothing_refuses(walk):
    async def test(walkers):
        course = await open_course(walkers.clinic)
        hands = await walkers.hands()
        await hands.open(f"/courses/{course}/do/start")
        await hands.press("Begin the first phase")
        assert "This is not recorded, because" in await hands.text()
        await hands.follow("Record consent")
        await hands.choose("Treatment", "Consent to")
        await hands.press("Record the consent")
        await hands.open(f"/courses/{course}/do/start")
        await hands.press("Begin the first phase")
        assert hands.path == f"/courses/{course}"

        beginning = f"/courses/{course}/do/begin_middle"
        await hands.open(beginning)
        await hands.press("Begin the middle phase")
        refused = hands.page.locator("section").filter(has_text="This is not recorded, because")
        ways = [await each.get_attribute("href") for each in await refused.get_by_role("link").all()]
        assert len(ways) >= 8
        for way in ways:
            await hands.open(beginning)
            await hands.press("Begin the middle phase")
            await refused.locator(f'a[href="{way}"]').first.click()
            assert hands.path == way.partition("?")[0]
            assert await hands.page.locator("main form button").count(), way

    walk(test)
