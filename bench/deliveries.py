"""Deliveries: how fast one relay drains a backlog, and how soon after its 201 a transition arrives. Beside transitions, in the same run."""

import contextlib
import itertools
import json
import socket
import sys
import time
import uuid
from collections.abc import Iterator
from typing import Any

from bench import copies, goals, product, receiver
from bench.copies import COURSE_ID, Template
from bench.figures import Goal, Row, percentile, row
from bench.load import requests
from bench.processes import HOST, BenchFailed, free_port, started, wait_for
from bench.run import Load, Run, details, fault_of, rates

CLIENTS = 16
BACKLOG = 4000  # deliveries to drain, about
PER_SECOND = 50  # transitions, when arrivals are measured
PATIENCE = 60.0  # seconds for a backlog to drain
NEAR = {"IPT_DEVELOPMENT": "true"}  # deliveries may go to this machine
ALONE = {**NEAR, "IPT_RELAY": "false"}


def run_all(run: Run) -> list[Row]:
    """Both, on both databases."""
    sqlite = run.folder / "deliveries.db"
    url = f"sqlite:///{sqlite}"
    token = product.demonstration(url)
    copies.fill_sqlite(sqlite, Template(copies.read_sqlite(sqlite, product.WHOLE, product.THERAPIST)), run.sizes.courses)
    places = {"SQLite": (url, token), "PostgreSQL": (run.transitions(), dict(run.tokens))}
    with _receiving(run) as port:
        return [
            *(row for name, place in places.items() for row in _drained(run, port, name, *place)),
            *(row for name, place in places.items() for row in _arrived(run, port, name, *place)),
        ]


@contextlib.contextmanager
def _receiving(run: Run) -> Iterator[int]:
    port = free_port()
    with started([sys.executable, "-m", "bench.receiver", str(port)], run.log) as process:
        wait_for(port, "/count", process, run.log)
        yield port


@contextlib.contextmanager
def _subscribed(served: int, receiving: int, token: str, count: int) -> Iterator[None]:
    """So many subscriptions for the duration of the block."""
    made = []
    for number in range(count):
        shown = product.ask(served, "POST", "/v1/subscriptions", token, {"url": f"http://{HOST}:{receiving}/{number}"})
        made.append(shown["subscription"]["id"])
    try:
        yield
    finally:
        for each in made:
            product.ask(served, "DELETE", f"/v1/subscriptions/{each}", token)


def _drained(run: Run, receiving: int, database: str, url: str, tokens: dict[str, str]) -> list[Row]:
    """A process without a relay makes transitions; then one relay delivers what they left."""
    rows = []
    for subscriptions, goal in goals.DELIVERIES[database].items():
        loads, drained = [], []
        for number in range(run.sizes.rounds):
            run.progress.step(f"round {number + 1} of {run.sizes.rounds}, {database}, {subscriptions} subscriptions")
            load, rate = _drain(run, receiving, url, tokens, subscriptions)
            loads.append(load)
            drained.append(rate)
        rows.append(_row(goal, drained, rates(loads), "/s", "transitions", loads))
    return rows


def _drain(run: Run, receiving: int, url: str, tokens: dict[str, str], subscriptions: int) -> tuple[Load, float]:
    notes = product.notes(tokens["therapist"], run.sizes.courses)
    with product.serving(url, run.log, settings=ALONE) as served:
        load = run.load(product.targets(served), CLIENTS, notes)
        if not load["requests"]:
            return load, 0.0
        with _subscribed(served[0].port, receiving, tokens["admin"], subscriptions):
            seconds = BACKLOG / subscriptions / load["per_second"]
            backlog = run.load(product.targets(served), CLIENTS, notes, seconds=seconds, warm_up=0)
            receiver.asked(receiving, "/arrivals")
            with started([product.COMMAND, "relay"], run.log, {**product.environ(url), **NEAR}):
                found = _all(receiving, backlog["requests"] * subscriptions)
    return load, (found["count"] - 1) / (found["last"] - found["first"])


def _all(receiving: int, count: int) -> dict[str, Any]:
    """What arrived, once as much has arrived as is due."""
    give_up = time.monotonic() + PATIENCE
    while (got := receiver.asked(receiving, "/count")["count"]) < count:
        if time.monotonic() > give_up:
            raise BenchFailed(f"of {count} deliveries only {got} arrived within {PATIENCE:.0f} s")
        time.sleep(0.1)
    return receiver.asked(receiving, "/arrivals")


def _arrived(run: Run, receiving: int, database: str, url: str, tokens: dict[str, str]) -> list[Row]:
    """One process makes few transitions and delivers them: milliseconds from the answer to the arrival, beside those of the transition."""
    rounds: list[tuple[list[float], list[float]]] = []
    with product.serving(url, run.log, settings=NEAR) as served, _subscribed(served[0].port, receiving, tokens["admin"], 1):
        for number in range(run.sizes.rounds + 1):
            run.progress.step(f"round {number} of {run.sizes.rounds}, {database}, arrivals")
            receiver.asked(receiving, "/arrivals")
            fired = _fire(run, served[0].port, tokens["therapist"])
            at = _all(receiving, len(fired))["at"]
            if number:  # the first warms up
                taken = [(answered - sent) * 1000 for _, sent, answered in fired]
                rounds.append((taken, [max(0.0, at[event] - answered) * 1000 for event, _, answered in fired]))
    return [
        row(
            goal,
            [percentile(arrivals, share) for _, arrivals in rounds],
            [percentile(taken, share) for taken, _ in rounds],
            each=" ms",
            against="the transition",
            note=f"at {PER_SECOND} transitions/s",
        )
        for share, goal in goals.ARRIVALS[database].items()
    ]


def _fire(run: Run, port: int, token: str) -> list[tuple[str, float, float]]:
    """Transitions at a steady pace: the event that each comes to, when it was sent, and when it was answered."""
    source, fired = requests(product.notes(token, run.sizes.courses), uuid.uuid4().hex), []
    count, begin = int(PER_SECOND * run.sizes.seconds), time.monotonic() + 0.05
    with socket.create_connection((HOST, port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number, request in enumerate(itertools.islice(source, count)):
            time.sleep(max(0.0, begin + number / PER_SECOND - time.monotonic()))
            sent = time.monotonic()
            connection.sendall(request)
            answer = _answer(connection)
            answered = time.monotonic()
            if not answer.startswith(b"HTTP/1.1 201"):
                raise BenchFailed(f"a transition was answered with {answer[9:12].decode()}")
            entry = json.loads(answer.partition(b"\r\n\r\n")[2])["entry"]
            fired.append(
                (
                    f"{request.partition(b'/v1/courses/')[2][: len(COURSE_ID.format(course=1))].decode()}/{entry['seq']}",
                    sent,
                    answered,
                )
            )
    return fired


def _answer(connection: socket.socket) -> bytes:
    """One whole response."""
    answer = b""
    while True:
        head, end, body = answer.partition(b"\r\n\r\n")
        if end and len(body) >= int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]):
            return answer
        received = connection.recv(65_536)
        if not received:
            raise BenchFailed("the service closed the connection")
        answer += received


def _row(goal: Goal, ours: list[float], other: list[float], each: str, against: str, loads: list[Load]) -> Row:
    return row(goal, ours, other, each=each, against=against, fault=fault_of(loads), details=details(against, loads))
