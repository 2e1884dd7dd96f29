"""One run of the bench, with everything that the measurements share."""

import asyncio
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import copies, product
from bench.copies import Template
from bench.postgres import Postgres
from bench.processes import module
from bench.sizes import Sizes

Load = dict[str, Any]  # an answer of the load generator
DEMONSTRATION = "demonstration"
TRANSITIONS = "transitions"  # the service's database
TRANSITIONS_LIMIT = "transitions_limit"  # the copy that the limit beside it writes to


class Progress:
    """Prints on standard error what is being measured, and how far the run is."""

    def __init__(self, parts: int) -> None:
        self._started = time.monotonic()
        self._parts = parts
        self._part = 0
        self._title = ""

    def part(self, title: str) -> None:
        self._part, self._title = self._part + 1, title
        self.step("")

    def step(self, what: str) -> None:
        seconds = int(time.monotonic() - self._started)
        text = f"{self._title}: {what}" if what else self._title
        sys.stderr.write(f"{seconds // 60:3}:{seconds % 60:02}  [{self._part}/{self._parts}] {text}\n")
        sys.stderr.flush()


@dataclass(kw_only=True)
class Run:
    """One run. `folder` is removed afterwards. `tokens` are valid in every database, because all are copies of one."""

    sizes: Sizes
    folder: Path
    postgres: Postgres
    progress: Progress
    tokens: Mapping[str, str]
    whole: Template
    begun: Template
    memory: list[float] = field(default_factory=list)  # MB of the process that was measured alone, after each round's load
    bytes_a_row: dict[str, dict[str, int]] = field(default_factory=dict)  # bytes a row, by table
    _made: bool = False
    _sqlite_tokens: Mapping[str, str] | None = None

    @property
    def log(self) -> Path:
        return self.folder / "served.log"

    def transitions(self) -> str:
        """The URL of the database in which several measurements fire transitions. It is made at the first call."""
        if not self._made:
            self.database(TRANSITIONS, self.whole, self.sizes.courses)
            self.postgres.create(TRANSITIONS_LIMIT, TRANSITIONS)
            self.postgres.settle(TRANSITIONS_LIMIT)
            self._made = True
        return self.postgres.url(TRANSITIONS)

    def sqlite(self) -> tuple[Path, Mapping[str, str]]:
        """The file of the same database on SQLite, and its tokens. It is made at the first call."""
        file = self.folder / "service.db"
        if self._sqlite_tokens is None:
            product.cli(f"sqlite:///{file}", "db", "upgrade")
            self._sqlite_tokens = product.demonstration(f"sqlite:///{file}")
            template = Template(copies.read_sqlite(file, product.WHOLE, product.THERAPIST))
            copies.fill_sqlite(file, template, self.sizes.courses)
        return file, self._sqlite_tokens

    def database(self, name: str, template: Template, courses: int) -> str:
        """Makes a database with `courses` copies of a course. Returns its name."""
        self.postgres.create(name, DEMONSTRATION)
        step = max(copies.BATCH, courses // 10)

        def progress(done: int) -> None:
            if done % step < copies.BATCH:
                self.progress.step(f"{done} of {courses} courses loaded")

        asyncio.run(copies.fill_postgres(self.postgres.place(name), template, courses, progress))
        self.postgres.settle(name)
        return name

    def load(self, targets: Sequence[int], clients: int, requests: Mapping[str, Any], **other: float) -> Load:
        """Runs the load generator. `other` seconds and warm-up replace those of the run."""
        job = {
            "targets": targets,
            "clients": clients,
            "requests": requests,
            "seconds": self.sizes.seconds,
            "warm_up": self.sizes.warm_up,
            **other,
        }
        answer: Load = module("load", job)
        return answer

    def rounds(self, contenders: Mapping[str, Callable[[], Any]], turns: int = 1) -> dict[str, list[Any]]:
        """Measures all contenders in every round, in `turns` times as many rounds as the run has.

        Every other round reverses the order, so that none always comes first.
        """
        count = turns * self.sizes.rounds
        measured: dict[str, list[Any]] = {name: [] for name in contenders}
        for number in range(count):
            names = list(contenders)[:: 1 if number % 2 == 0 else -1]
            for name in names:
                self.progress.step(f"round {number + 1} of {count}, {name}")
                measured[name].append(contenders[name]())
        return measured


def fault_of(loads: Sequence[Load]) -> str | None:
    """What is wrong with these loads: answers other than 2xx, or no answers; None if nothing is."""
    bad: dict[str, int] = {}
    for load in loads:
        for status, count in load["bad"].items():
            bad[status] = bad.get(status, 0) + count
    if bad:
        first = next((load["first_bad"] for load in loads if load["first_bad"]), None)
        body = first.rpartition("\r\n\r\n")[2][:200] if first else ""
        return "not every answer was 2xx: " + ", ".join(f"{status} × {count}" for status, count in bad.items()) + f" {body}"
    return None if all(load["requests"] for load in loads) else "there were no answers"


def details(name: str, loads: Sequence[Load]) -> list[dict[str, Any]]:
    """The figures of each round of a load that go into the result."""
    kept = ("per_second", "p50_ms", "p99_ms", "max_ms", "requests")
    return [{"of": name, "round": number, **{key: load.get(key) for key in kept}} for number, load in enumerate(loads, start=1)]


def rates(loads: Sequence[Load]) -> list[float]:
    return [load["per_second"] for load in loads]


def prepared(sizes: Sizes, folder: Path, postgres: Postgres, progress: Progress) -> Run:
    """Makes the demonstration that all databases are copied from, and finds the courses to copy in it."""
    progress.part("the demonstration on PostgreSQL")
    postgres.create(DEMONSTRATION)
    tokens = product.demonstration(product.migrated(postgres, DEMONSTRATION))
    place = postgres.place(DEMONSTRATION)
    whole, begun = (
        Template(asyncio.run(copies.read_postgres(place, version, product.THERAPIST))) for version in (product.WHOLE, product.BEGUN)
    )
    return Run(sizes=sizes, folder=folder, postgres=postgres, progress=progress, tokens=tokens, whole=whole, begun=begun)
