"""Signing in at an identity provider in a real browser: the cookies that it keeps, and that nothing else is loaded."""

import re

from support.chromium import in_chromium


async def stay_here(page):
    """The provider's own pages name fonts elsewhere, which no test fetches."""
    here = re.compile(r"http://(localhost|127\.0\.0\.1):")
    await page.context.route(lambda url: not here.match(url), lambda route: route.abort())


def test_a_person_signs_in_chooses_a_role_confirms_and_signs_out(site):
    said, asked = [], []

    async def test(page):
        page.on("console", lambda message: said.append((message.location["url"], message.text)))
        page.on("request", lambda request: None if request.is_navigation_request() else asked.append((page.url, request.url)))
        await stay_here(page)

        await page.goto(site.url)
        assert page.url == f"{site.url}/o/default/sign-in"  # who is not signed in is sent there
        await page.click("text=Sign in with")
        await at_provider(page, "bob")
        assert await page.inner_text("h1") == "Choose a role"
        first = await held(page)

        await page.click("text=Act as supervisor")
        assert "as supervisor" in await page.inner_text("body")
        second = await held(page)
        assert set(first) == set(second) == {"__Host-ipt", "__Host-csrf"}  # the browser takes them on http://localhost
        assert all(each["secure"] and each["httpOnly"] and each["sameSite"] == "Lax" for each in second.values())
        assert first["__Host-ipt"]["value"] != second["__Host-ipt"]["value"]
        assert await page.evaluate("document.cookie") == ""

        await page.goto(f"{site.url}/me")
        await page.click("text=Confirm now")
        await at_provider(page, "bob")
        assert "as supervisor" in await page.inner_text("body")
        assert (await held(page))["__Host-ipt"]["value"] != second["__Host-ipt"]["value"]

        await page.goto(f"{site.url}/me")
        await page.click("text=Show a new access token")
        assert re.fullmatch(r"ipts_[0-9a-f]{16}_\S{43}", await page.inner_text("#access-token"))

        await page.click("text=Sign out")
        await page.wait_for_url(f"{site.provider.issuer}/**")  # it goes on to the provider by itself
        await page.click("text=Yes, sign me out")
        await page.wait_for_url(f"{site.url}/o/default/signed-out*")
        assert "__Host-ipt" not in await held(page)
        await page.goto(site.url)
        assert page.url == f"{site.url}/o/default/sign-in"

    async def held(page):
        return {each["name"]: each for each in await page.context.cookies(site.url)}

    async def at_provider(page, who):
        """The provider's own pages: who it is, and whether that may be told."""
        await page.wait_for_url(f"{site.provider.issuer}/**")
        while page.url.startswith(site.provider.issuer):
            if await page.locator("input[name=login]").count():
                await page.fill("input[name=login]", who)
                await page.fill("input[name=password]", "x")
            async with page.expect_navigation():
                await page.click("button[type=submit]")

    in_chromium(test)
    assert [each for each in said if each[0].startswith(site.url) and not each[0].endswith("/favicon.ico")] == []
    of_our_pages = [url for at, url in asked if at.startswith(site.url)]
    assert of_our_pages
    assert all(url.startswith(site.url) for url in of_our_pages)


def test_without_scripts_everything_works(site):
    async def test(page):
        await stay_here(page)
        await page.goto(f"{site.url}/o/default/sign-in/start")
        for _ in range(2):
            if await page.locator("input[name=login]").count():
                await page.fill("input[name=login]", "alice")
                await page.fill("input[name=password]", "x")
            await page.click("button[type=submit]")
        assert "My day" in await page.inner_text("main")
        await page.click("text=Sign out")
        await page.wait_for_url(f"{site.provider.issuer}/**")

    in_chromium(test, java_script_enabled=False)


def test_a_page_of_another_site_can_neither_frame_nor_fill_in_ours(site):
    """A form that another site sends with the browser's cookies is refused by where it comes from."""

    async def test(page):
        await stay_here(page)
        await page.goto(f"{site.url}/o/default/sign-in/start")
        for _ in range(2):
            if await page.locator("input[name=login]").count():
                await page.fill("input[name=login]", "alice")
                await page.fill("input[name=password]", "x")
            async with page.expect_navigation():
                await page.click("button[type=submit]")
        assert "My day" in await page.inner_text("main")
        evil = (
            site.url.replace("localhost", "127.0.0.1") + "/o/default/sign-in"
        )  # another site to the browser, which runs what we say
        await page.context.new_page()
        other = await page.context.new_page()
        await other.route("**/*", lambda route: forged(route) if route.request.url == evil else route.continue_())
        await other.goto(evil)
        async with other.expect_navigation():
            await other.click("button")
        assert "not sent from a page of this service" in await other.inner_text("main")
        await page.goto(site.url)
        assert "My day" in await page.inner_text("main")

    async def forged(route):
        body = f"<form method=post action='{site.url}/sign-out'><button>Click</button></form><iframe src='{site.url}/'></iframe>"
        await route.fulfill(status=200, content_type="text/html", body=body)

    in_chromium(test)
