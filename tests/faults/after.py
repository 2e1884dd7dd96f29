"""Checks that must pass after every fault.

- Every acknowledged transition is in the journal once, under the id in its answer. Nothing refused is there.
- A write without an answer is there whole or not at all.
- An idempotency key gives the same answer again.
- Each entry is once in the outbox or among the events, and once in the outbox or in the log, whose positions have no gap.
- Chains and folds verify, and recorded times do not go back.
- One order of the requests explains everything that the clients saw.
- Requests that failed because of the fault were answered with 503 and `Retry-After`.
"""

import asyncio
import collections
import random
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import httpx

from faults import linear
from faults.histories import SETTLE_SECONDS, Load, Sent
from faults.service import command

RESENT = 12  # number of acknowledged writes to send again
OPENED_AT = 1  # version of a course right after it was opened


async def holds(load: Load, place: Any, seconds: float = SETTLE_SECONDS) -> None:
    """Sends undecided requests again, then checks the load's courses in every way. `place` is its database (conftest)."""
    await load.settle(seconds)
    undecided = [each for each in load.sent if each.outcome == "unknown" and each.what != "read"]
    assert not undecided, f"{len(undecided)} are still undecided: {undecided[0]}"
    auditor = {"Authorization": f"Bearer {place.tokens['auditor']}"}
    async with httpx.AsyncClient(base_url=load.urls[0], verify=False, headers=auditor, timeout=20) as http:
        for course in load.versions:
            sent = [each for each in load.sent if each.course == course]
            entries = await journal(http, course)
            once(sent, entries)
            in_order(sent)
            await delivered_once(place, course, entries)
            verified = await read(http, "/v1/audit/verify", course=course)
            assert verified["ok"], verified
            assert verified["checked"] == len(entries)
    await same_answers(load)
    assert not load.strange, f"{len(load.strange)} answers that no fault excuses; the first: {load.strange[:3]}"


def verifies(database: str) -> None:
    """`ipt-workflow audit verify` over everything."""
    done = command(database, "audit", "verify")
    assert done.returncode == 0, done.stdout + done.stderr


async def read(http: httpx.AsyncClient, path: str, **parameters: str) -> dict[str, Any]:
    """The body at a path. Repeats the request for a while if the service is still recovering."""
    answer = await patiently(lambda: http.get(path, params=parameters))
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def patiently(send: Callable[[], Awaitable[httpx.Response]]) -> httpx.Response:
    async with asyncio.timeout(SETTLE_SECONDS):
        while (answer := await send()).status_code == 503:
            await asyncio.sleep(0.2)
    return answer


async def journal(http: httpx.AsyncClient, course: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        more = {"cursor": cursor} if cursor else {}
        page = await read(http, f"/v1/courses/{course}/transitions", limit="200", **more)
        items, cursor = items + page["items"], page["next"]
    return items


def once(sent: list[Sent], entries: list[dict[str, Any]]) -> None:
    """Compares the clients' answers with the journal."""
    places = {each["id"]: each["seq"] for each in entries}
    assert len(places) == len(entries), "an entry's id is there twice"
    assert [each["seq"] for each in entries] == list(range(1, len(entries) + 1)), "the sequence has gaps"
    texts = collections.Counter(each["data"].get("text") for each in entries if each["trigger"] == "note")
    known = {text for each in sent for text in each.texts}
    assert not (stray := set(texts) - known), f"entries that nobody requested: {stray}"
    for each in sent:
        held = [texts[text] for text in each.texts]
        assert held == [1 if each.outcome == "ok" else 0] * len(held), f"{held} times in the journal: {each}"
        for entry_id, seq in each.entries:
            assert places.get(entry_id) == seq, f"entry {entry_id} is at {places.get(entry_id)}: {each}"
    recorded = [each["recorded_at"] for each in entries]
    assert recorded == sorted(recorded), "a recorded time goes back"


def in_order(sent: list[Sent]) -> None:
    fault = linear.fault([each.operation() for each in sent], start=OPENED_AT)
    assert fault is None, fault


async def delivered_once(place: Any, course: str, entries: list[dict[str, Any]]) -> None:
    parts = (f"SELECT id, seq FROM {table} WHERE course_id = '{course}' AND kind = 'entry'" for table in ("outbox", "event"))
    found = await place.rows(f"{' UNION ALL '.join(parts)} ORDER BY seq")
    assert found == [(each["id"], each["seq"]) for each in entries], "outbox and events have not one row for each entry"
    parts = (f"SELECT seq FROM {table} WHERE course_id = '{course}' AND kind = 'entry'" for table in ("outbox", "log_leaf"))
    found = await place.rows(f"{' UNION ALL '.join(parts)} ORDER BY seq")
    assert found == [(each["seq"],) for each in entries], "outbox and log have not one row for each entry"
    ((count, last, size),) = await place.rows(
        "SELECT (SELECT count(*) FROM log_leaf), (SELECT max(position) FROM log_leaf), (SELECT size FROM log_head)"
    )
    assert (count, last) == ((size, size - 1) if size else (0, None)), "the positions in the log have gaps"


async def same_answers(load: Load) -> None:
    """Acknowledged writes, sent again to any service, are answered with the same entries and marked as replays."""
    acknowledged = load.acknowledged
    chosen = random.Random(load.seed).sample(acknowledged, min(RESENT, len(acknowledged)))
    for each, answer in zip(chosen, await asyncio.gather(*(patiently(partial(load.again, each)) for each in chosen)), strict=True):
        assert answer.status_code == 201, f"{answer.text}: {each}"
        body = answer.json()
        entries = body["entries"] if "entries" in body else [body["entry"]]
        assert tuple((entry["id"], entry["seq"]) for entry in entries) == each.entries, f"another answer: {each}"
        assert answer.headers.get("Idempotent-Replayed") == "true", each
