"""`ipt-workflow` with a fault built in, as the program of a fork.

IPT_TEST_KILL=after_commit:7 kills the process, as `kill -9` does, when it reaches that point for the seventh time after SIGUSR1.
IPT_TEST_CLOCK=3 makes the service's clock jump back and forth, with the seed 3.
"""

import datetime as dt
import functools
import importlib
import inspect
import os
import random
import signal
from typing import Any

from support.forks import command_line

# The functions of each point, and on which side of the call it lies. `commit` writes a unit alone, within a database's `write`.
# `write_sqlite` writes a batch within a transaction; PostgreSQL's `put` writes a batch as one statement, a transaction of its own.
POINTS = {
    "before_commit": (
        ("after", "ipt_workflow.store.commits.single", "commit"),
        ("after", "ipt_workflow.store.commits.batches", "write_sqlite"),
        ("before", "ipt_workflow.store.databases.postgres", "PostgresDatabase.put"),
    ),
    "after_commit": tuple(
        ("after", f"ipt_workflow.store.databases.{module}", f"{database}.{method}")
        for module, database in (("sqlite", "SqliteDatabase"), ("postgres", "PostgresDatabase"))
        for method in ("write", "put")
    ),
    "before_answer": (("answer", "ipt_workflow.api.app", "Application.__call__"),),
}
STEPS = (-7200, -600, -1, -0.001, 0, 0, 1, 60, 3600)  # seconds; even the largest is far from the expiry of keys and tokens
CALLS_A_STEP = 5


class Countdown:
    """Kills the process at the n-th call since SIGUSR1."""

    def __init__(self, calls: int) -> None:
        self.left = calls
        self.armed = False
        signal.signal(signal.SIGUSR1, self.arm)

    def arm(self, *_: object) -> None:
        self.armed = True

    def reached(self) -> None:
        if not self.armed:
            return
        self.left -= 1
        if self.left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)


def kill_at(point: str, calls: int) -> None:
    countdown = Countdown(calls)
    for when, module, path in POINTS[point]:
        owner: Any = importlib.import_module(module)
        *within, name = path.split(".")
        for part in within:
            owner = getattr(owner, part)
        setattr(owner, name, WRAPS[when](getattr(owner, name), countdown))


def before(function: Any, countdown: Countdown) -> Any:
    @functools.wraps(function)
    async def wrapped(self: Any, given: Any, *args: Any, **named: Any) -> Any:
        if of_units(given):
            countdown.reached()
        return await function(self, given, *args, **named)

    return wrapped


def after(function: Any, countdown: Countdown) -> Any:
    @functools.wraps(function)
    def wrapped(connection: Any, given: Any, *args: Any, **named: Any) -> Any:
        result = function(connection, given, *args, **named)
        if of_units(given):
            countdown.reached()
        return result

    @functools.wraps(function)
    async def wrapped_method(self: Any, given: Any, *args: Any, **named: Any) -> Any:
        result = await function(self, given, *args, **named)
        if of_units(given):
            countdown.reached()
        return result

    return wrapped_method if inspect.iscoroutinefunction(function) else wrapped


def of_units(given: Any) -> bool:
    """Whether a call writes courses, not only audit events: the function that commits a unit, or a batch with units."""
    return given.__name__ == "commit" if inspect.isfunction(given) else bool(given)


def before_answer(call: Any, countdown: Countdown) -> Any:
    """The ASGI application with the point right before it acknowledges a write."""

    async def wrapped(self: Any, scope: Any, receive: Any, send: Any) -> None:
        async def sent(message: Any) -> None:
            if message["type"] == "http.response.start" and message["status"] in {201, 202}:
                countdown.reached()
            await send(message)

        await call(self, scope, receive, sent)

    return wrapped


WRAPS = {"before": before, "after": after, "answer": before_answer}


def step_clock(seed: int) -> None:
    from ipt_workflow.runtime.clock import SystemClock

    chance, calls, offset, true_now = random.Random(seed), 0, dt.timedelta(0), SystemClock.now

    def now(self: SystemClock) -> dt.datetime:
        nonlocal calls, offset
        calls += 1
        if calls % CALLS_A_STEP == 0:
            offset = dt.timedelta(seconds=chance.choice(STEPS))
        return true_now(self) + offset

    SystemClock.now = now  # type: ignore[method-assign]


def main(*arguments: str) -> None:
    point, _, calls = os.environ.get("IPT_TEST_KILL", "").partition(":")
    if point:
        kill_at(point, int(calls))
    if seed := os.environ.get("IPT_TEST_CLOCK"):
        step_clock(int(seed))

    command_line(*arguments)
