"""Takes the pictures of the README: `python scripts/pictures.py LINK`, where `make serve` printed LINK for the therapist of its demonstration.

It keeps PNGs of the therapist's day and of the note of a session in docs/pictures.
"""

import re
import shutil
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

FOLDER = Path(__file__).parents[1] / "docs" / "pictures"
WINDOW = {"width": 1100, "height": 1150}


def take(page: Page, name: str) -> None:
    page.screenshot(path=FOLDER / f"{name}.png")


def main(link: str) -> None:
    FOLDER.mkdir(exist_ok=True)
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=shutil.which("chromium-headless-shell"), args=["--no-sandbox"])
        page = browser.new_context(java_script_enabled=False, viewport=WINDOW).new_page()  # type: ignore[arg-type]
        page.goto(link)
        page.locator("main button").click()
        take(page, "my-day")
        page.get_by_role("link", name=re.compile("^Write up")).first.click()
        take(page, "session-note")
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1])
