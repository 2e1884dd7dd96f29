"""The whole audit log: its export beside `psql`, its verification beside SHA-256 alone."""

import asyncio
import functools
import hashlib
import http.client
import json
import time
from collections.abc import Callable
from typing import Any

import asyncpg

from bench import goals, product
from bench.copies import TABLES
from bench.figures import Row, row
from bench.processes import HOST, BenchFailed
from bench.processes import run as run_command
from bench.run import Run

DATABASE = "journal"  # the whole log
BEGINNING = "journal_begun"  # a beginning of the log, long enough to keep every process busy for a moment
SHARE = 20  # the whole log is this many times as long as its beginning
RECORD = (
    "SELECT row_to_json(r) FROM (SELECT id, 'transition' AS kind, recorded_at, person, role, via, trigger AS action, "
    'from_state AS "from", to_state AS "to", array[course_id] AS courses, seq, cosigned_by, hash '
    "FROM entry ORDER BY recorded_at, id) r"
)


def run_all(run: Run) -> list[Row]:
    run.database(DATABASE, run.whole, run.sizes.log_courses)
    run.bytes_a_row |= run.postgres.bytes_a_row(DATABASE, TABLES)
    with product.serving(run.postgres.url(DATABASE), run.log) as served:
        exported = _export(run, served[0].port)
    return [exported, *_verified(run)]


def _repeated(run: Run, contenders: dict[str, Callable[[], float]]) -> dict[str, list[float]]:
    """Measures in rounds, but stops early if they are slow. Returns figures a second by contender."""
    first = time.monotonic()
    measured: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(run.sizes.rounds):
        if time.monotonic() - first > run.sizes.slow:
            break
        for name, measure in contenders.items():
            run.progress.step(f"round {number + 1} of {run.sizes.rounds}, {name}")
            measured[name].append(measure())
    return measured


def _export(run: Run, port: int) -> Row:
    found = _repeated(run, {"psql": lambda: _copied(run), "export over HTTP": lambda: _exported(run, port)})
    psql, over_http = found.values()
    entries = run.sizes.log_courses * run.whole.entries
    return row(goals.EXPORT, over_http, psql, each=" rows/s", against="psql \\copy", note=f"{entries} entries, NDJSON")


def _copied(run: Run) -> float:
    """Rows a second of psql for the same records in the same order."""
    file = run.folder / "copied.ndjson"
    copy = f"\\copy ({RECORD}) TO '{file}'"
    started = time.perf_counter()
    run_command([run.postgres.binary("psql"), "-X", "-q", *run.postgres.login(DATABASE), "-c", copy])
    taken = time.perf_counter() - started
    with file.open("rb") as lines:
        return sum(1 for _ in lines) / taken


def _exported(run: Run, port: int) -> float:
    """Rows a second over HTTP. Raises BenchFailed if rows are missing."""
    started, rows = time.perf_counter(), 0
    connection = http.client.HTTPConnection(HOST, port, timeout=600)
    connection.request(
        "GET", "/v1/audit/export?format=ndjson&kind=transition", headers={"Authorization": f"Bearer {run.tokens['auditor']}"}
    )
    answer = connection.getresponse()
    while chunk := answer.read1(1 << 20):
        rows += chunk.count(b"\n")
    taken = time.perf_counter() - started
    connection.close()
    if answer.status != http.client.OK or rows < run.sizes.log_courses * run.whole.entries:
        raise BenchFailed(f"the export was answered with {answer.status} and {rows} rows")
    return rows / taken


def _verified(run: Run) -> list[Row]:
    run.database(BEGINNING, run.whole, run.sizes.log_courses // SHARE)
    canonical = asyncio.run(_canonical(run))
    commands = {processes: f"audit verify --chains --processes {processes}" for processes in goals.VERIFY}
    ours = {command: functools.partial(_verify, run, processes) for processes, command in commands.items()}
    found = _repeated(run, {"raw SHA-256": lambda: _raw(canonical), **ours})
    raw, note = found["raw SHA-256"], f"of {len(canonical)} entries, without the start: less the time for a twentieth"
    return [
        row(goal, found[commands[processes]], raw, each=" entries/s", against="SHA-256", note=note)
        for processes, goal in goals.VERIFY.items()
    ]


async def _canonical(run: Run) -> list[bytes]:
    place = run.postgres.place(DATABASE)
    connection = await asyncpg.connect(host=place["host"], user=place["user"], database=place["dbname"])
    try:
        return [row["canonical"] for row in await connection.fetch("SELECT canonical FROM entry ORDER BY course_id, seq")]
    finally:
        await connection.close()


def _raw(canonical: list[bytes]) -> float:
    """Hashes a second of the entries' bytes, in memory, in one process."""
    started = time.perf_counter()
    for each in canonical:
        hashlib.sha256(each).hexdigest()
    return len(canonical) / (time.perf_counter() - started)


def _verify(run: Run, processes: int) -> float:
    """Entries a second of the command. Subtracts entries and time of a run over the beginning, and so the start of all processes."""
    (begun_seconds, begun), (seconds, found) = (_timed(run, processes, database) for database in (BEGINNING, DATABASE))
    if not found["ok"]:
        raise BenchFailed(f"audit verify found something wrong: {found}")
    entries: int = found["checked"] - begun["checked"]
    return entries / max(seconds - begun_seconds, 1e-3)


def _timed(run: Run, processes: int, database: str) -> tuple[float, Any]:
    started = time.perf_counter()
    printed = product.cli(run.postgres.url(database), "audit", "verify", "--chains", "--json", "--processes", str(processes))
    return time.perf_counter() - started, json.loads(printed)
