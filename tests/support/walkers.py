"""People at real browsers without JavaScript, each in a window of their own, at one running service whose clock only the test moves."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Literal
from urllib.parse import urlsplit

from playwright.async_api import Browser, Locator, Page, async_playwright

from ipt_workflow.runtime.clock import Clock
from ipt_workflow.runtime.settings import Settings
from ipt_workflow.service.access.sign_in_links import SignInLinks
from ipt_workflow.service.clinic import Clinic, open_clinic
from ipt_workflow.store import people
from ipt_workflow.web.app import application
from support import http_server
from support.chromium import PATIENCE, chromium

LINKS: tuple[Literal["link", "button"], ...] = ("link", "button")  # what links may look like


class Walkers:
    """The service's address, its clinic, and the browser in which windows open."""

    def __init__(self, browser: Browser, clinic: Clinic, address: str) -> None:
        self.browser = browser
        self.clinic = clinic
        self.address = address

    async def window(self, person: str = "therapist-1", *roles: str, **options: Any) -> Page:
        """A window in which somebody has signed in, by default as a therapist. `options` are those of the browser's context."""
        for role in roles or ("therapist",):
            await self.clinic.write(people.make_known, person, role, self.clinic.clock.now())
        context = await self.browser.new_context(**{"java_script_enabled": False, "base_url": self.address, **options})
        page = await context.new_page()
        page.set_default_timeout(PATIENCE)
        await page.goto(await SignInLinks(self.clinic).make(person))
        await page.locator("main button").click()
        return page

    async def hands(self, person: str = "therapist-1", *roles: str, **options: Any) -> "Hands":
        """The hands of somebody who has signed in."""
        return Hands(await self.window(person, *roles, **options))


class Hands:
    """What somebody does at a window: they follow links by their texts and fill forms by their labels. What is folded is unfolded first."""

    def __init__(self, page: Page) -> None:
        self.page = page

    @property
    def path(self) -> str:
        return urlsplit(self.page.url).path

    async def text(self) -> str:
        return await self.page.locator("main").inner_text()

    async def heading(self) -> str:
        return await self.page.locator("h1").inner_text()

    async def open(self, path: str) -> "Hands":
        await self.page.goto(path)
        return self

    async def follow(self, text: str) -> "Hands":
        """Follows a link, which may look like a button. Where several have this text, the first."""
        link, button = (self.page.get_by_role(role, name=text, exact=True) for role in LINKS)
        return await self._leave(link.or_(button).and_(self.page.locator("a[href]")).first)

    async def press(self, text: str) -> "Hands":
        return await self._leave(self.page.get_by_role("button", name=text, exact=True))

    async def _leave(self, target: Locator) -> "Hands":
        await _unfold(target)
        async with self.page.expect_navigation():
            await target.click()
        return self

    async def fill(self, label: str, value: str, group: str | None = None) -> "Hands":
        """Types into a field, or selects an option by its text."""
        control = await self._control("input, select, textarea", label, group)
        if await control.evaluate("element => element.tagName") == "SELECT":
            await control.select_option(label=value)
        else:
            await control.fill(value)
        return self

    async def choose(self, label: str, group: str | None = None) -> "Hands":
        """Chooses a radio button, or ticks a checkbox."""
        await (await self._control("input[type=radio], input[type=checkbox]", label, group)).check()
        return self

    async def _control(self, kinds: str, label: str, group: str | None) -> Locator:
        within = self.page.locator("main" if group is None else f"xpath=//fieldset[legend[{_says(group)}]]")
        named = within.locator(f"xpath=.//label[{_says(label)}]")
        targets = [await each.get_attribute("for") for each in await named.all()]
        controls = [within.locator(f'[id="{each}"]').and_(self.page.locator(kinds)) for each in targets]
        found = [each for each in controls if await each.count()]
        assert len(found) == 1, f"{label} ({group}): {len(found)} of {await within.locator('label').all_inner_texts()}"
        await _unfold(found[0])
        return found[0]


def _says(text: str) -> str:
    """In XPath: an element's text is this one, which may be optional."""
    return f'normalize-space()="{text}" or normalize-space()="{text} (optional)"'


async def _unfold(target: Locator) -> None:
    for summary in await target.locator("xpath=ancestor::details[not(@open)]/summary").all():
        await summary.click()


def walking(test: Callable[[Walkers], Awaitable[None]], settings: Settings, clock: Clock) -> None:
    """Runs a test with people at browsers."""
    path, open_to_links = chromium(), settings.model_copy(update={"development": True})

    async def inside(address: str) -> None:
        clinic = await open_clinic(open_to_links, clock)
        try:
            async with async_playwright() as started:
                browser = await started.chromium.launch(executable_path=path, args=["--no-sandbox"])
                try:
                    await test(Walkers(browser, clinic, address))
                finally:
                    await browser.close()
        finally:
            await clinic.installation.close()

    with http_server.served(open_to_links, clock, application) as url:
        asyncio.run(inside(url.replace("127.0.0.1", "localhost")))  # where browsers keep cookies for secure hosts
