"""Chromium with virtual authenticators, for tests of what only a real browser does."""

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from playwright.async_api import CDPSession, Page, async_playwright

PATIENCE = 20_000  # milliseconds
BROWSER = "chromium-headless-shell"  # Debian's Chromium without windows: it costs a third of what the other one does
INTERNAL = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


def chromium() -> str:
    """The path of the machine's browser. Without one the test is skipped; it fails where every test must run (IPT_TEST_COMPLETE)."""
    path = shutil.which(BROWSER)
    if path is None:
        missing = f"Chromium is not installed: apt-get install {BROWSER}"
        (pytest.fail if os.environ.get("IPT_TEST_COMPLETE") else pytest.skip)(missing)
    assert path is not None
    return path


def in_chromium(test: Callable[[Page], Awaitable[None]], **context: Any) -> None:
    """Runs a test with a page of the machine's browser."""
    path = chromium()

    async def inside() -> None:
        async with async_playwright() as started:
            browser = await started.chromium.launch(executable_path=path, args=["--no-sandbox"])
            try:
                page = await (await browser.new_context(**context)).new_page()
                page.set_default_timeout(PATIENCE)
                await test(page)
            finally:
                await browser.close()

    asyncio.run(inside())


class VirtualAuthenticator:
    """An authenticator of a page's browser. It verifies the person, unless it is told not to."""

    def __init__(self, session: CDPSession, name: str) -> None:
        self._session = session
        self._name = name

    @classmethod
    async def of(cls, page: Page) -> "VirtualAuthenticator":
        session = await page.context.new_cdp_session(page)
        await session.send("WebAuthn.enable")
        made = await session.send("WebAuthn.addVirtualAuthenticator", {"options": INTERNAL})
        return cls(session, made["authenticatorId"])

    async def verifies(self, verified: bool) -> None:
        await self._session.send("WebAuthn.setUserVerified", {"authenticatorId": self._name, "isUserVerified": verified})

    async def credentials(self) -> list[dict[str, Any]]:
        found = await self._session.send("WebAuthn.getCredentials", {"authenticatorId": self._name})
        return list(found["credentials"])

    async def remove(self) -> None:
        await self._session.send("WebAuthn.removeVirtualAuthenticator", {"authenticatorId": self._name})
