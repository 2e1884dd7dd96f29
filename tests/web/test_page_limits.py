"""How many pages a session and an address may ask for."""

import asyncio

import pytest
from support import page_client

from ipt_workflow.api import rate_limits

SIGN_IN = "/o/default/sign-in"


@pytest.fixture
def limited(settings, clock, monkeypatch):
    """Runs a coroutine function with `Pages` and these limits within 60 seconds, where time stands still."""
    monkeypatch.setattr(rate_limits.time, "monotonic", lambda: 1000.0)

    def run(test, **limits):
        counts = {f"rate_limit_{name}": limits.get(name, 0) for name in ("credential", "organisation", "address")}
        chosen = settings.model_copy(update={"public_url": "https://ipt.example", "rate_limit_seconds": 60, **counts})

        async def inside():
            async with page_client.running(chosen, clock) as found:
                await test(found)

        asyncio.run(inside())

    return run


def test_a_session_is_a_credential_and_its_neighbours_go_on(limited):
    async def test(pages):
        first, second = [(await pages.signed_in(person)).secret.cookie for person in ("therapist-1", "therapist-2")]
        assert [(await pages.get("/", first)).status_code for _ in range(2)] == [200, 200]
        refused = await pages.get("/", first)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "30")
        assert refused.headers["content-type"].startswith("text/html")
        assert "Too many requests" in refused.text
        assert (await pages.get("/", second)).status_code == 200

    limited(test, credential=2)


def test_who_is_not_signed_in_counts_for_the_address_and_keeps_nobody_out_who_is(limited):
    async def test(pages):
        cookie = (await pages.signed_in()).secret.cookie
        assert (await pages.get(SIGN_IN)).status_code == 200
        assert (await pages.get("/")).status_code == 303
        for path in (SIGN_IN, "/"):
            assert (await pages.get(path)).status_code == 429
        assert (await pages.get("/", cookie)).status_code == 200
        assert (await pages.get("/static/govuk.css")).status_code == 200

    limited(test, address=2)
