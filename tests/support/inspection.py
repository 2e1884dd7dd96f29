"""Pages as Chromium shows them: what axe-core finds wrong, how wide they are, and pictures. Pages run no script, so their text is enough."""

import asyncio
import os
import re
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from playwright.async_api import Browser, Page, Route, async_playwright

from ipt_workflow.web.pages import POLICY, TYPES, asset
from support.chromium import chromium

ROOT = Path(__file__).parents[2]
AXE = ROOT / "tests" / "web" / "node" / "node_modules" / "axe-core" / "axe.min.js"
PICTURES = Path(os.environ.get("IPT_TEST_PICTURES", ROOT / "var" / "pictures"))
ADDRESS = "https://ipt.example/"
TAGS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
RUN = """async tags => {
    const found = await axe.run(document, {runOnly: tags, resultTypes: ["violations"]})
    return found.violations.map(v => [v.id, v.help, v.nodes.map(n => n.html)])
}"""


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """How somebody looks at a page."""

    width: int = 1280
    dark: bool = False
    forced: bool = False

    def options(self) -> dict[str, Any]:
        return {
            "viewport": {"width": self.width, "height": 900},
            "color_scheme": "dark" if self.dark else "light",
            "forced_colors": "active" if self.forced else "none",
            "bypass_csp": True,  # for axe itself
        }


LOOKS = {
    "light": Look(),
    "dark": Look(dark=True),
    "narrow": Look(width=320),
    "dark and narrow": Look(dark=True, width=320),  # contrast depends on the one, room on the other
    "forced": Look(forced=True),
}


class Inspector:
    """A browser in a thread of its own, so that a test waits for it within its own loop. It keeps a window for each look."""

    def __init__(self, loop: asyncio.AbstractEventLoop, browser: Browser) -> None:
        self._loop = loop
        self._browser = browser
        self._windows: dict[Look, Page] = {}
        self._html = ""

    def _waited(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def faults(self, html: str, look: Look) -> list[str]:
        """What axe-core finds, and whether the page is wider than its window."""
        return self._waited(self._faults(html, look))

    def picture(self, html: str, name: str, look: Look) -> Path:
        PICTURES.mkdir(parents=True, exist_ok=True)
        path = PICTURES / f"{name}.png"
        self._waited(self._picture(html, path, look))
        return path

    def pages(self, html: str) -> int:
        """How many pages of A4 the browser prints."""
        return len(re.findall(rb"/Type /Page\b", self._waited(self._printed(html))))

    async def _printed(self, html: str) -> bytes:
        return await (await self._shown(html, LOOKS["light"])).pdf(format="A4")

    async def _shown(self, html: str, look: Look) -> Page:
        if look not in self._windows:
            self._windows[look] = await self._window(look)
        self._html = html
        await self._windows[look].goto(ADDRESS)
        return self._windows[look]

    async def _window(self, look: Look) -> Page:
        page = await (await self._browser.new_context(**look.options())).new_page()
        await page.add_init_script(path=AXE)
        await page.route("**/*", self._answer)
        return page

    async def _answer(self, route: Route) -> None:
        name = route.request.url.removeprefix(f"{ADDRESS}static/").partition("?")[0]
        if name in TYPES:
            await route.fulfill(body=asset(name).content, content_type=TYPES[name])
        else:
            await route.fulfill(
                body=self._html, content_type="text/html; charset=utf-8", headers={"Content-Security-Policy": POLICY}
            )

    async def _faults(self, html: str, look: Look) -> list[str]:
        page = await self._shown(html, look)
        found = await page.evaluate(RUN, list(TAGS))
        width = await page.evaluate("document.documentElement.scrollWidth")
        wide = [f"the page is {width} px wide in a window of {look.width} px"] if width > look.width else []
        return [f"{rule}: {help_text}: {nodes}" for rule, help_text, nodes in found] + wide

    async def _picture(self, html: str, path: Path, look: Look) -> None:
        await (await self._shown(html, look)).screenshot(path=path, full_page=True)


def tools() -> str:
    """The path of the machine's browser. Without axe-core the test is skipped, as without a browser."""
    if not AXE.is_file():
        missing = "axe-core is not installed: make provider"
        (pytest.fail if os.environ.get("IPT_TEST_COMPLETE") else pytest.skip)(missing)
    return chromium()


@contextmanager
def inspector() -> Iterator[Inspector]:
    """A running browser."""
    path = tools()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def waited(work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(60)

    playwright = waited(async_playwright().start())
    browser = waited(playwright.chromium.launch(executable_path=path, args=["--no-sandbox"]))
    try:
        yield Inspector(loop, browser)
    finally:
        waited(browser.close())
        waited(playwright.stop())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
