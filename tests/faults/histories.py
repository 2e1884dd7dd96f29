"""Clients that work on a few courses at once over HTTP, and the history of what each saw, which is checked afterwards.

Every write has its own idempotency key and its own text. No answer, a 5xx or `key-in-flight` leaves a request undecided. The client
then sends it again with the same key a few times; in the end `settle` sends it until it is decided.
"""

import asyncio
import itertools
import json
import random
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Self

import httpx
import msgspec

from faults.linear import Operation

REFERRAL = {"source": "General practitioner", "indication": "depression"}
REQUEST_SECONDS = 3.0
TRIES = 3  # attempts of a client before `settle`
PAUSE_SECONDS = 0.05  # between attempts; at most, times their number
SETTLE_SECONDS = 20.0
# Weights of requests: a note on the known version, on an old one, on none; two notes together; a refused trigger; a read.
MIX = {"note": 50, "stale": 8, "blind": 10, "together": 10, "refused": 6, "read": 16}
EXPECTED = ("200", "201", "409 transition-refused", "412 stale-version")  # answers of a service without any fault
HURRIED = 0.05  # share of writes that are given up after a few milliseconds and sent again


class Sent(msgspec.Struct, kw_only=True):
    """One request as its client saw it, however often it was sent. `entries` are (id, seq) of the entries in its answer."""

    what: str
    course: str
    invoked: float
    key: str = ""
    texts: tuple[str, ...] = ()
    body: bytes = b""
    expected: int | None = None
    answered: float | None = None
    outcome: str = "unknown"  # or ok, stale, refused once it is decided
    version: int | None = None
    entries: tuple[tuple[str, int], ...] = ()
    seen: list[str] = []  # every status and every transport error, without repetitions in a row

    def operation(self) -> Operation:
        """The request for the checker. A refusal by a rule counts as a read of the version."""
        reads = self.what == "read" or self.outcome == "refused"
        outcome = {"ok": "ok", "refused": "ok", "stale": "refused", "unknown": "unknown"}[self.outcome]
        return Operation(
            kind="read" if reads else "write",
            outcome=outcome,  # type: ignore[arg-type]
            invoked=self.invoked,
            answered=self.answered,
            version=self.version,
            expected=self.expected,
            entries=max(1, len(self.texts)),
            name=f"{self.key or self.what} {' '.join(self.seen)}",
        )


class Load:
    """Clients of services that share a database. Each client sends one request at a time."""

    def __init__(
        self,
        urls: Sequence[str],
        token: str,
        seed: int,
        *,
        name: str = "load",
        hurried: float = HURRIED,
        pause: float = 0,
        patience: float = REQUEST_SECONDS,
    ) -> None:
        self.urls = list(urls)
        self.seed = seed
        self.name = f"{name}-{seed}"
        self.hurried = hurried
        self.pause = pause
        self.patience = patience  # seconds for one request
        self.sent: list[Sent] = []
        self.strange: list[str] = []  # answers that no fault explains
        self.versions: dict[str, int] = {}
        self._http = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {token}"},
            timeout=REQUEST_SECONDS,
            limits=httpx.Limits(max_connections=64),
            verify=False,  # mostly there is no TLS, and preparing for it takes time
        )
        self._numbers = itertools.count(1)
        self._stopped = asyncio.Event()
        sys.stdout.write(f"{name}: seed {seed}\n")  # shown if a test fails

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def open(self, courses: int = 3) -> None:
        """Opens the courses to work on."""
        for number in range(courses):
            body = {"client_ref": f"{self.name}-{number}", "protocol": "ipt", "data": REFERRAL}
            answer = await self._http.post(f"{self.urls[0]}/v1/courses", json=body)
            assert answer.status_code == 201, answer.text
            self.versions[answer.json()["course"]["id"]] = answer.json()["course"]["version"]

    async def run(self, clients: int = 6, most: int = 150, seconds: float = 5.0) -> None:
        """Works until `most` requests were sent, `seconds` have passed, or `stop` is called."""
        began, until = len(self.sent), time.monotonic() + seconds
        going = lambda: not self._stopped.is_set() and len(self.sent) - began < most and time.monotonic() < until  # noqa: E731
        async with asyncio.timeout(seconds + 4 * (TRIES + 1) * self.patience):
            await asyncio.gather(*(self._client(random.Random(f"{self.seed}/{n}"), going) for n in range(clients)))

    def stop(self) -> None:
        self._stopped.set()

    async def settle(self, seconds: float = SETTLE_SECONDS) -> None:
        """Sends undecided requests again, each with its own key, until all are decided. Then reads every course once more."""
        until = time.monotonic() + seconds
        while undecided := [each for each in self.sent if each.outcome == "unknown" and each.what != "read"]:
            if time.monotonic() > until:
                return
            await asyncio.gather(*(self._send(each, REQUEST_SECONDS) for each in undecided))
            await asyncio.sleep(4 * PAUSE_SECONDS)
        await asyncio.gather(*(self._send(self._new("read", course), REQUEST_SECONDS) for course in self.versions))

    async def again(self, sent: Sent) -> httpx.Response:
        """Sends the same request again, to any of the services."""
        return await self._request(sent, SETTLE_SECONDS)

    @property
    def acknowledged(self) -> list[Sent]:
        return [each for each in self.sent if each.outcome == "ok" and each.what != "read"]

    @property
    def unexpected(self) -> list[Sent]:
        """Requests that were not answered at once as a service without any fault answers them."""
        return [each for each in self.sent if not all(seen.startswith(EXPECTED) for seen in each.seen)]

    async def _client(self, chance: random.Random, going: Callable[[], bool]) -> None:
        courses = list(self.versions)
        while going():
            what = chance.choices(list(MIX), list(MIX.values()))[0]
            sent = self._new(what, chance.choice(courses))
            hurry = what != "read" and chance.random() < self.hurried
            seconds = chance.uniform(0.001, 0.01) if hurry else self.patience
            for attempt in range(1, TRIES + 1):
                if await self._send(sent, seconds) or not going():
                    break
                seconds = self.patience
                await asyncio.sleep(PAUSE_SECONDS * attempt * chance.random())
            if self.pause:
                await asyncio.sleep(self.pause * chance.random())

    def _new(self, what: str, course: str) -> Sent:
        number, version = next(self._numbers), self.versions[course]
        sent = Sent(what=what, course=course, invoked=time.monotonic())
        if what != "read":
            sent.key = f"{self.name}-{number}"
            sent.expected = {"blind": None, "stale": max(1, version - 1)}.get(what, version)
            sent.texts = () if what == "refused" else tuple(f"{sent.key}.{n}" for n in range(2 if what == "together" else 1))
            sent.body = json.dumps(_body(what, sent.texts)).encode()
        self.sent.append(sent)
        return sent

    async def _request(self, sent: Sent, seconds: float) -> httpx.Response:
        url = f"{self.urls[next(self._numbers) % len(self.urls)]}/v1/courses/{sent.course}"
        if sent.what == "read":
            return await self._http.get(url, timeout=seconds)
        headers = {"Idempotency-Key": sent.key, "Content-Type": "application/json"}
        if sent.expected is not None:
            headers["If-Match"] = f'"{sent.expected}"'
        return await self._http.post(f"{url}/transitions", content=sent.body, headers=headers, timeout=seconds)

    async def _send(self, sent: Sent, seconds: float) -> bool:
        """Sends a request once and records the outcome. Returns whether the client is done with it."""
        try:
            answer = await self._request(sent, seconds)
        except httpx.TransportError as error:
            self._note(sent, type(error).__name__)
            return False
        at, body = time.monotonic(), _document(answer)
        problem = str(body.get("type", "")).removeprefix("/problems/")
        self._note(sent, f"{answer.status_code} {problem}".strip())
        if problem == "key-in-flight" or (problem == "busy" and "Retry-After" in answer.headers):
            return False
        if answer.status_code < 500:
            self._decide(sent, answer.status_code, problem, body)
        if sent.outcome == "unknown":
            self.strange.append(f"{sent.what} {sent.key}: {answer.status_code} {answer.text}")
            return answer.status_code < 500
        sent.answered = at
        self.versions[sent.course] = max(self.versions[sent.course], sent.version or 0)
        return True

    def _note(self, sent: Sent, seen: str) -> None:
        if sent.seen[-1:] != [seen]:
            sent.seen.append(seen)

    def _decide(self, sent: Sent, status: int, problem: str, body: dict[str, Any]) -> None:
        if sent.what == "read" and status == 200:
            sent.outcome, sent.version = "ok", body["version"]
        elif status == 201:
            entries = body["entries"] if "entries" in body else [body["entry"]]
            sent.outcome, sent.version = "ok", entries[-1]["seq"]
            sent.entries = tuple((each["id"], each["seq"]) for each in entries)
        elif problem == "stale-version":
            sent.outcome, sent.version = "stale", body["version"]
        elif problem == "transition-refused" and sent.what == "refused":
            sent.outcome, sent.version = "refused", body["version"]


def _body(what: str, texts: tuple[str, ...]) -> dict[str, Any]:
    if what == "refused":
        return {"trigger": "begin_middle", "data": {}}
    notes = [{"trigger": "note", "data": {"text": text}} for text in texts]
    return {"together": notes} if what == "together" else notes[0]


def _document(answer: httpx.Response) -> dict[str, Any]:
    """The answer's body if it is a JSON object, else an empty one."""
    try:
        found = answer.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
