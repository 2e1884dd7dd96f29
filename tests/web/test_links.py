"""Whoever follows links, from their start page to everywhere that it leads, meets no error, no closed door and no page that some cannot use."""

import re
from collections import Counter
from collections.abc import AsyncIterator

import pytest
from support.browsing import Browser
from web.test_page_access import ROWS

from ipt_workflow.service import demo

# What makes one page of a kind differ from another.
ID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|\d+|(?<=/protocols/)[^/]+|(?<=/people/)[^/]+-\d")
# A session by link cannot be confirmed: the page says so.
CLOSED = {"/confirm": 403}
ROUTES = {path: re.compile(re.sub(r"\{\w+\}", "[^/]+", path)) for method, path in ROWS if method == "GET"}
# What no link of the demonstration leads to: a client's address at a launch, and what the demonstration lacks. These pages have tests with axe
# of their own, beside those of what they do.
ELSEWHERE = {
    "/clients/{client_id}",
    "/inbox/{notice_id}",
    "/groups/{group_id}/sessions/{session_id}/sign",
    "/admin/sources/{source_id}/key",
    "/admin/protocols/{protocol_id}/{before}/differences/{after}",
    "/admin/protocols/{protocol_id}/{before}/move/{after}",
    "/audit/verifications/{run_id}",
    "/admin/subscriptions/{subscription_id}",
    "/admin/subscriptions/{subscription_id}/change",
    "/admin/subscriptions/{subscription_id}/keys",
    "/admin/subscriptions/{subscription_id}/replay",
    "/admin/retention/records/{client}",
    "/admin/marks/{mark_id}",
}
OF_ONE_KIND = 1  # pages that are looked at of each kind, as of all courses
ROLES = ("therapist", "supervisor", "auditor", "admin")
PARTS = 3  # of the pages that somebody reaches: axe looks at one part in a test


async def reached(browser: Browser, most: int) -> AsyncIterator[tuple[str, str]]:
    """Shows the pages that links lead to, so many of a kind, as of all courses, and says which and from where."""
    kinds: Counter[str] = Counter()
    seen, ahead = set(), [("/", "/")]
    while ahead:
        path, came_from = ahead.pop(0)
        kind = ID.sub("N", path.partition("?")[0])
        if path in seen or kinds[kind] == most:
            continue
        seen.add(path)
        kinds[kind] += 1
        await browser.open(path)
        yield path, came_from
        ahead += [(href, path) for href in _followed(browser)]


def _followed(browser: Browser) -> list[str]:
    found = (each["href"] for each in browser.tree.all("a") if each.get("href"))
    return [href.partition("#")[0] for href in found if href.startswith("/")]


@pytest.mark.timeout(300)
def test_every_link_that_somebody_sees_opens_and_links_lead_to_every_page(browse):
    async def test(site):
        await demo.make(site.clinic)
        every = set()
        for role in ROLES:
            browser = await site.visitor(f"{role}-1", role)
            closed, seen = {}, set()
            async for path, came_from in reached(browser, OF_ONE_KIND):
                seen.add(path.partition("?")[0])
                if browser.status != 200 and CLOSED.get(path) != browser.status:
                    closed[path] = (browser.status, came_from)
            assert closed == {}, role
            assert len(seen) > 10, role
            every |= seen
        assert {route for route, like in ROUTES.items() if not any(map(like.fullmatch, every))} <= ELSEWHERE

    browse(test)


@pytest.mark.timeout(300)
@pytest.mark.matrix(4 * PARTS * 2)
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("role", ROLES)
def test_every_page_that_links_lead_to_is_accessible(browse, axe, role, part):
    async def test(site):
        await demo.make(site.clinic)
        number = 0
        async for _ in reached(browser := await site.visitor(f"{role}-1", role), OF_ONE_KIND):
            if number % PARTS == part:
                axe(browser)
            number += 1

    browse(test)
