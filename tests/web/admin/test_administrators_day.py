"""An administrator's day in a real browser, without scripts: somebody begins, a program gets its token, a delivery is set up, and a protocol read."""


def test_an_administrator_gets_through_the_day_without_scripts(walk):
    async def test(walkers):
        page = await walkers.window("admin-1", "admin")
        main = page.locator("main")
        await page.goto("/")
        await page.get_by_role("link", name="People and roles").click()
        await page.get_by_role("link", name="Add a person").or_(page.get_by_role("button", name="Add a person")).click()
        await page.get_by_role("button", name="Add").click()
        assert await page.get_by_role("link", name="Name: Fill this in.").count() == 1
        await page.get_by_role("link", name="Name: Fill this in.").click()
        await page.keyboard.type("Ben Bright")  # the link leads into the field
        await page.get_by_label("Id").fill("ben")
        await page.get_by_label("Therapist").check()
        await page.get_by_role("button", name="Add").click()
        assert await page.locator("h1").inner_text() == "Ben Bright"

        await page.goto("/admin/sources/new")
        await page.get_by_label("Id").fill("north")
        await page.get_by_label("Signed by Standard Webhooks").check()
        await page.get_by_role("button", name="Register").click()
        secret = await page.locator("#secret").inner_text()
        await page.goto("/admin/sources/north")
        assert secret not in await page.content()

        await page.goto("/admin/protocols")
        await page.get_by_role("link", name="Interpersonal Psychotherapy", exact=True).click()
        assert await page.get_by_role("img", name="The states of Interpersonal Psychotherapy").is_visible()
        await page.get_by_text("Ways between its states", exact=True).first.click()
        assert await page.get_by_role("region", name="Ways between its states").is_visible()

        await page.goto("/admin/organisation")
        await page.get_by_label("Name").fill("North Clinic")
        await page.get_by_role("button", name="Save").click()
        await page.goto("/")
        assert await page.locator("h1").inner_text() == "North Clinic"
        assert "Nothing needs you now." in await main.inner_text()

    walk(test)
