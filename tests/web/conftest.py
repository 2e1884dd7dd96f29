"""What tests of pages use: a service with pages in the process of the test, a browser that looks at them, and a real identity provider.

A test of a page is `browse(test)`, where `test(site)` opens browsers by `site.visitor("therapist-1", "therapist")`, and prepares courses by
`await site.api()`. `axe(browser)` finds what is not accessible, `statements()` counts questions to the database, `picture(browser, name)`
keeps a picture in var/pictures. `walk(test)` is for the few walks that need a real browser: `test(walkers)` opens windows by
`walkers.window("therapist-1", "therapist")`, without JavaScript.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
import sqlalchemy as sa
from support import inspection, page_client, signing_in
from support.browsing import Browser
from support.inspection import LOOKS, Inspector
from support.signing_in import Site
from support.walkers import walking

from ipt_workflow.store.databases.sqlite import SqliteDatabase


@pytest.fixture(scope="module")
def running_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with signing_in.site(tmp_path_factory.mktemp("site")) as found:
        yield found


@pytest.fixture
def site(running_site: Site) -> Site:
    """The service, whose provider says the truth and whose settings are the usual ones, whatever a test before has changed."""
    running_site.provider.say()
    running_site.configure()
    return running_site


@pytest.fixture
def browse(settings, clock) -> Callable[..., Any]:
    """Runs a coroutine function with `Pages`: `browse(async_test)`."""

    def run(test: Callable[[page_client.Pages], Any]) -> Any:
        async def inside() -> Any:
            async with page_client.running(settings.model_copy(update={"development": True}), clock) as site:
                return await test(site)

        return asyncio.run(inside())

    return run


@pytest.fixture
def walk(settings, clock) -> Callable[..., None]:
    """Runs a coroutine function with `Walkers`: `walk(async_test)`."""
    return lambda test: walking(test, settings, clock)


@pytest.fixture(scope="session")
def _inspector() -> Iterator[Inspector]:
    with inspection.inspector() as found:
        yield found


@pytest.fixture(params=["light", pytest.param("dark and narrow", marks=pytest.mark.rest)])
def axe(request: pytest.FixtureRequest, _inspector: Inspector) -> Callable[[Browser], None]:
    """Checks the page that a browser shows. The test runs in light, and in dark at 320 pixels; `make test` has the first."""

    def check(browser: Browser) -> None:
        assert browser.status < 500, browser.text
        faults = _inspector.faults(browser.answer.text, LOOKS[request.param])
        assert faults == [], f"{browser.path} ({request.param}):\n" + "\n".join(faults)

    return check


@pytest.fixture
def picture(_inspector: Inspector) -> Callable[..., Any]:
    """Keeps a picture of what a browser shows: `picture(browser, "my-day", "dark")`."""

    def take(browser: Browser, name: str, look: str = "light") -> None:
        assert browser.status < 500, browser.text
        assert _inspector.picture(browser.answer.text, name, LOOKS[look]).is_file()

    return take


@pytest.fixture
def printed_pages(_inspector: Inspector) -> Callable[[Browser], int]:
    """How many pages of A4 a browser prints of what it shows."""
    return lambda browser: _inspector.pages(browser.answer.text)


@pytest.fixture
def statements() -> Callable[[], AbstractContextManager[list[str]]]:
    """Counts questions to the database: `with statements() as asked: await page.open("/")`, then `len(asked)`."""

    @contextmanager
    def counted() -> Iterator[list[str]]:
        asked: list[str] = []

        def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            asked.append(statement)

        find = SqliteDatabase.find  # lookups go past the engine

        async def found(self: SqliteDatabase, lookup: Any, *args: Any) -> Any:
            asked.append(lookup.sql["sqlite"])
            return await find(self, lookup, *args)

        sa.event.listen(sa.Engine, "before_cursor_execute", note)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(SqliteDatabase, "find", found)
            try:
                yield asked
            finally:
                sa.event.remove(sa.Engine, "before_cursor_execute", note)

    return counted
