"""Runs services as separate processes on a database and a port: starts, arms, kills and stops them. Also runs single commands."""

import asyncio
import collections
import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Self

import httpx
from support import forks
from support.forks import Fork

import ipt_workflow
from faults import launcher

ROOMS = [folder for folder in Path(ipt_workflow.__file__).parent.rglob("*") if folder.is_dir()]
OURS = ("ipt_workflow/", *(f"{folder.name}/" for folder in ROOMS))  # how frames of the service begin in its logs
ROLES = ("therapist", "auditor")
COLLEAGUE = "therapist-2"  # for whom a therapist may open a course
START_SECONDS = 20
STOP_SECONDS = 20


def environment(url: str, **more: str) -> dict[str, str]:
    """The environment of a service. Settings of the caller's environment are dropped; those in `more` lack their prefix."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("IPT_")}
    settings = {f"IPT_{name.upper()}": value for name, value in more.items()}
    return {**kept, "IPT_DATABASE_URL": url, "IPT_LOG_FORMAT": "json", "IPT_LOG_LEVEL": "warning", **settings}


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Service:
    """One `ipt-workflow serve`. At the end of a `with` block it is stopped; if the test failed, it is killed and its errors are printed."""

    def __init__(self, database: str, log: Path, **settings: str) -> None:
        self.database = database
        self.log = log
        self.settings = settings
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: Fork | None = None

    async def start(self, **more: str) -> None:
        """Starts the service and waits until it is ready. `more` are settings of this start, such as `test_kill="after_commit:7"`."""
        assert not self.running
        self.process = self._started({**self.settings, **more})
        async with asyncio.timeout(START_SECONDS), httpx.AsyncClient(timeout=5, verify=False) as client:
            while not await self._is_ready(client):
                assert self.running, f"the service did not start: {self.errors()}"
                await asyncio.sleep(0.05)

    def _started(self, settings: dict[str, str]) -> Fork:
        arguments = ("serve", "--port", str(self.port))
        with self.log.open("ab") as stream:
            return Fork(*arguments, program=launcher.main, env=environment(self.database, **settings), stdout=stream, stderr=stream)

    async def _is_ready(self, client: httpx.AsyncClient) -> bool:
        try:
            return (await client.get(f"{self.url}/health/ready")).status_code == 200
        except httpx.TransportError:
            return False

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def arm(self) -> None:
        """From now on, the launcher counts the calls before its kill."""
        os.kill(self.pid, signal.SIGUSR1)

    async def killed(self, seconds: float) -> bool:
        """Waits until the service has killed itself, and kills it if it has not. Returns whether it reached its point."""
        itself = await self._gone(seconds)
        await self.kill()
        return itself

    async def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            await asyncio.to_thread(self.process.wait, STOP_SECONDS)

    async def stop(self) -> int:
        """Stops the service as an operator does, and kills it if that takes too long. Returns its exit code."""
        if not self.running:
            return 0
        assert self.process is not None
        self.process.terminate()
        if not await self._gone(STOP_SECONDS):
            await self.kill()
        return int(self.process.returncode)

    async def _gone(self, seconds: float) -> bool:
        assert self.process is not None
        try:
            await asyncio.to_thread(self.process.wait, seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def errors(self) -> str:
        """The errors that the service logged: how often, the kind, and the frames it came from."""
        counted: collections.Counter[str] = collections.Counter()
        others: list[str] = []
        for line in self.log.read_text(errors="replace").splitlines():
            try:
                fields = json.loads(line)
            except ValueError:
                others.append(line)
                continue
            if fields.get("level") in {"error", "critical"}:
                ours = [frame for frame in reversed(fields.get("frames", ())) if frame.startswith(OURS)]
                counted[f"{fields['event']}: {fields.get('error_type')} at {' < '.join(ours[:4])}"] += 1
        return "\n".join([*(f"{number} x {text}" for text, number in counted.most_common(10)), *others[-5:]])

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: object, *_: object) -> None:
        if kind is None:
            await self.stop()
            return
        await self.kill()
        sys.stdout.write(f"{self.log.name}:\n{self.errors()}\n")


def command(database: str, *args: str) -> subprocess.CompletedProcess[str]:
    """Runs `ipt-workflow` once."""
    return forks.run(*args, env=environment(database))


def filled(database: str) -> dict[str, str]:
    """Creates the tables, a colleague, and a token for each of ROLES."""
    _done(command(database, "db", "upgrade"))
    _done(command(database, "person", "add", COLLEAGUE, "--name", "A colleague", "--role", "therapist"))
    made = {role: _done(command(database, "token", "create", "--role", role, "--name", f"{role}-1", "--json")) for role in ROLES}
    return {role: json.loads(text)["token"] for role, text in made.items()}


def _done(made: subprocess.CompletedProcess[str]) -> str:
    assert made.returncode == 0, made.stderr
    return made.stdout
