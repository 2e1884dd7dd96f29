"""A million courses beside a thousand; and in the audit log of a million courses, deep pages beside the first."""

import random
import urllib.parse
from typing import Any

from bench import caseload, goals, product
from bench.figures import Row, row
from bench.run import Run, details, fault_of

FEW = "few_courses"  # the database of a thousand courses
MANY = "many_courses"  # the database of a million courses
FEW_COURSES = 1000
CLIENTS = 16
CURSORS = 24
DEEP = 0.5  # deep pages lie after this share of the log


def run_all(run: Run) -> list[Row]:
    """Measures everything on the same databases, because filling them takes longest."""
    run.database(FEW, run.begun, FEW_COURSES)
    run.database(MANY, run.begun, run.sizes.many_courses)
    few_url, many_url = run.postgres.url(FEW), run.postgres.url(MANY)
    with product.serving(few_url, run.log) as few, product.serving(many_url, run.log) as many:
        return [
            _transitions(run, product.targets(few), product.targets(many)),
            _pages(run, many[0].port),
            *caseload.rows(run, (few[0].port, FEW_COURSES), (many[0].port, run.sizes.many_courses)),
        ]


def _transitions(run: Run, few: list[int], many: list[int]) -> Row:
    token, size = run.tokens["therapist"], run.sizes.many_courses
    found = run.rounds(
        {
            f"p99 at {FEW_COURSES} courses": lambda: run.load(few, CLIENTS, product.notes(token, FEW_COURSES)),
            f"p99 at {size} courses": lambda: run.load(many, CLIENTS, product.notes(token, size)),
        }
    )
    at_few, at_many = found.values()
    note = f"at {size:,} courses, {CLIENTS} clients".replace(",", " ")
    return row(
        goals.MANY,
        [load.get("p99_ms", 0.0) for load in at_many],
        [load.get("p99_ms", 1.0) for load in at_few],
        each=" ms",
        against=f"{FEW_COURSES} courses",
        note=note,
        fault=fault_of([*at_many, *at_few]),
        details=details("many", at_many) + details("few", at_few),
    )


def _pages(run: Run, port: int) -> Row:
    cursors = [_cursor(run, port, number) for number in _deep(run.sizes.many_courses)]
    deep = [f"/v1/audit?cursor={urllib.parse.quote(cursor)}" for cursor in cursors]
    found = run.rounds({"first page": lambda: _paged(run, port, ["/v1/audit"]), "deep pages": lambda: _paged(run, port, deep)})
    first_page, deep_pages = found.values()
    entries = f"{run.sizes.many_courses * run.begun.entries:,} entries".replace(",", " ")
    return row(
        goals.PAGE,
        [load.get("p99_ms", 0.0) for load in deep_pages],
        [load.get("p99_ms", 1.0) for load in first_page],
        each=" ms",
        against="first page",
        note=f"of {entries}; {CURSORS} places, 1 client",
        fault=fault_of([*deep_pages, *first_page]),
        details=details("deep", deep_pages) + details("first", first_page),
    )


def _deep(courses: int) -> list[int]:
    """Numbers of copies whose last entries lie deep in the log. The log is in order of time, and the first copy is the latest."""
    chance = random.Random(courses)  # noqa: S311 - it chooses places, not secrets
    return [chance.randint(1, max(1, int(courses * (1 - DEEP)))) for _ in range(CURSORS)]


def _cursor(run: Run, port: int, number: int) -> str:
    """The service's cursor into the log at a copy's last entry."""
    query = urllib.parse.urlencode({"from": run.begun.last_recorded(number).isoformat(), "limit": 1})
    answer: dict[str, Any] = product.ask(port, "GET", f"/v1/audit?{query}", run.tokens["auditor"])
    cursor: str = answer["next"]
    return cursor


def _paged(run: Run, port: int, paths: list[str]) -> dict[str, Any]:
    return run.load([port], 1, {"paths": paths, "headers": {"Authorization": f"Bearer {run.tokens['auditor']}"}})
