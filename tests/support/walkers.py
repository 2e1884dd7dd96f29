"""People at real browsers without JavaScript, each in a window of their own, at one running service whose clock only the test moves."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from playwright.async_api import Browser, Page, async_playwright

from ipt_workflow.runtime.clock import Clock
from ipt_workflow.runtime.settings import Settings
from ipt_workflow.service.access.sign_in_links import SignInLinks
from ipt_workflow.service.clinic import Clinic, open_clinic
from ipt_workflow.store import people
from ipt_workflow.web.app import application
from support import http_server
from support.chromium import PATIENCE, chromium


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
