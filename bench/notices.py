"""What an EHR sends, beside what a therapist fires: signed notices, and Bundles of FHIR resources, to the same process."""

import functools
import json
from collections.abc import Mapping
from typing import Any

from bench import goals, product
from bench.figures import Goal, Row, row
from bench.run import Load, Run, details, fault_of

SOURCE = "bench"
CLIENTS = 16
DATABASE = "notices"  # on PostgreSQL
MEASURE = {
    "type": "measure.completed",
    "timestamp": "$now",
    "data": {"client_ref": "BENCH-$course", "instrument": "phq9", "total": 7, "taken_at": "$now", "ref": "Form/$name"},
}


def run_all(run: Run) -> list[Row]:
    """Rates by 16 clients and latencies of one client, on both databases."""
    run.database(DATABASE, run.whole, run.sizes.courses)
    rows = _beside_transitions(run, "PostgreSQL", run.postgres.url(DATABASE), run.tokens)
    file, tokens = run.sqlite()
    return [*rows, *_beside_transitions(run, "SQLite", f"sqlite:///{file}", tokens)]


def source(url: str) -> str:
    """Registers a source whose visits all belong to IPT. Returns its secret."""
    secret: str = json.loads(product.cli(url, "source", "add", SOURCE, "--all-visits", "--json"))["secret"]
    return secret


def measures(secret: str, courses: int) -> dict[str, Any]:
    """The load generator's requests: a scale was completed by one of the copied clients, now."""
    return {
        "paths": [f"/v1/ehr/notices/{SOURCE}"],
        "body": MEASURE,
        "headers": {},
        "courses": courses,
        "varied": True,
        "signed": secret,
    }


def waiting(port: int, supervisor: str) -> int:
    """Notices that wait for a person, up to 200."""
    answer: dict[str, Any] = product.ask(port, "GET", "/v1/notices?limit=200", supervisor)
    return len(answer["items"])


def _beside_transitions(run: Run, database: str, url: str, tokens: Mapping[str, str]) -> list[Row]:
    sent, fired = measures(source(url), run.sizes.courses), product.notes(tokens["therapist"], run.sizes.courses)
    rows = []
    with product.serving(url, run.log) as served:
        port = served[0].port
        for clients, goal, figure, each in (
            (CLIENTS, goals.NOTICES[database], "per_second", "/s"),
            (1, goals.NOTICE_P50[database], "p50_ms", " ms"),
        ):
            before = waiting(port, tokens["supervisor"])
            found = run.rounds(
                {
                    f"transitions on {database}, clients: {clients}": functools.partial(run.load, [port], clients, fired),
                    f"notices on {database}, clients: {clients}": functools.partial(run.load, [port], clients, sent),
                }
            )
            transitions, notices = found.values()
            held = waiting(port, tokens["supervisor"]) - before
            fault = fault_of([*notices, *transitions]) or (f"{held} or more notices were not applied" if held else None)
            rows.append(_row(goal, notices, transitions, figure, each, fault))
    return rows


def _row(goal: Goal, notices: list[Load], transitions: list[Load], figure: str, each: str, fault: str | None) -> Row:
    return row(
        goal,
        [load.get(figure, 0.0) for load in notices],
        [load.get(figure, 0.0) for load in transitions],
        each=each,
        against="transitions",
        note="signed, measure.completed",
        fault=fault,
        details=details("notices", notices) + details("transitions", transitions),
    )
