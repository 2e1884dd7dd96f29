"""Whoever follows links, from their start page to everywhere that it leads, never meets an error or a closed door."""

import re
from collections import Counter

import pytest

from ipt_workflow.service import demo

ID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|\d+|(?<=/protocols/)[^/]+|(?<=/people/)[^/]+-\d")
OF_ONE_KIND = 1  # pages that are looked at of each kind, as of all courses
# A session by link cannot be confirmed: the page says so.
CLOSED = {"/confirm": 403}
ROLES = ("therapist", "supervisor", "auditor", "admin")


@pytest.mark.timeout(300)
def test_every_link_that_somebody_sees_opens(browse):
    async def test(site):
        await demo.make(site.clinic)
        for role in ROLES:
            browser = await site.visitor(f"{role}-1", role)
            kinds: Counter[str] = Counter()
            closed, seen, ahead = {}, set(), [("/", "/")]
            while ahead:
                path, came_from = ahead.pop(0)
                kind = ID.sub("N", path.partition("?")[0])
                if path in seen or kinds[kind] == OF_ONE_KIND:
                    continue
                seen.add(path)
                kinds[kind] += 1
                await browser.open(path)
                if browser.status != 200 and CLOSED.get(path) != browser.status:
                    closed[path] = (browser.status, came_from)
                ahead += [(href, path) for href in _followed(browser)]
            assert closed == {}, role
            assert len(kinds) > 10, (role, sorted(kinds))

    browse(test)


def _followed(browser) -> list[str]:
    found = (each["href"] for each in browser.tree.all("a") if each.get("href"))
    return [href.partition("#")[0] for href in found if href.startswith("/")]
