"""What only a real browser shows: pages without JavaScript, by keyboard alone, under their policy."""


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
