"""`ipt-workflow sandbox` as a process of its own, and an integrator who drives it over HTTP."""

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Self

import httpx

from support import forks
from support.forks import Fork

SECONDS = 60


def environment(**settings: str) -> dict[str, str]:
    """The environment of a command, without the caller's settings. Names lack their prefix."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("IPT_")}
    return {**kept, "IPT_LOG_FORMAT": "json", **{f"IPT_{name.upper()}": value for name, value in settings.items()}}


def run(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """A command that ends by itself."""
    return forks.run(*arguments, env=environment(**settings))


class Sandbox:
    """A running sandbox. `client` speaks to it; `tokens` has one for each role."""

    def __init__(self, url: str, tokens: dict[str, str], now: str, client: httpx.Client, log: Path) -> None:
        self.url = url
        self.tokens = tokens
        self.now = now
        self.client = client
        self.log = log

    def headers(self, role: str, **more: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens[role]}", **{name.replace("_", "-"): value for name, value in more.items()}}

    def get(self, path: str, role: str = "therapist", **more: str) -> httpx.Response:
        return self.client.get(path, headers=self.headers(role, **more))

    def post(self, path: str, body: Any, role: str = "therapist", **more: str) -> httpx.Response:
        return self.client.post(path, json=body, headers=self.headers(role, **more))

    def clock(self, role: str = "admin", **move: str) -> dict[str, Any]:
        """Moves the clock, or without a move reads it."""
        answer = self.post("/sandbox/clock", move, role) if move else self.get("/sandbox/clock", role)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def opened(self, ref: str) -> str:
        data = {"source": "General practitioner", "indication": "depression"}
        answer = self.post("/v1/courses", {"client_ref": ref, "protocol": "ipt", "data": data})
        assert answer.status_code == 201, answer.text
        return answer.json()["course"]["id"]

    def fire(self, course: str, trigger: str, fields: dict[str, Any]) -> dict[str, Any]:
        """Fires the example that options offers, with some fields replaced."""
        options = self.get(f"/v1/courses/{course}/options").json()
        example = next(each["example"] for each in options["items"] if each["trigger"] == trigger)
        answer = self.post(f"/v1/courses/{course}/transitions", {**example, **fields}, If_Match=f'"{options["version"]}"')
        assert answer.status_code == 201, (trigger, answer.text)
        return answer.json()["course"]

    def lines(self) -> list[dict[str, Any]]:
        """The lines of its log."""
        return [json.loads(line) for line in self.log.read_text(encoding="utf-8").splitlines()]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()


@contextmanager
def running(database: str, folder: Path, **settings: str) -> Iterator[Sandbox]:
    """A sandbox on a database, until the block ends."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = folder / "sandbox.log"
    with log.open("w", encoding="utf-8") as stream:
        made_for = environment(sandbox_database_url=database, development="true", **settings)
        process = Fork("sandbox", "--port", str(port), "--json", env=made_for, stderr=stream)
    try:
        text = ""
        while not text.rstrip().endswith("}\n}"):
            line = process.stdout.readline() if process.stdout else ""
            assert line, log.read_text(encoding="utf-8")
            text += line
        made = json.loads(text)
        transport = httpx.HTTPTransport(retries=10)  # the server listens a moment after it has printed
        client = httpx.Client(base_url=made["url"], transport=transport, timeout=SECONDS)
        with Sandbox(made["url"], made["tokens"], made["now"], client, log) as sandbox:
            yield sandbox
    finally:
        process.terminate()
        process.wait(SECONDS)
        process.close()
