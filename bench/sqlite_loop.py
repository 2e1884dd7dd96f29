"""A tight loop over sqlite3, in a process of its own: each round runs one request's statements in one durable transaction.

python -m bench.sqlite_loop < {file, sample, courses, seconds} > {per_second}
"""

import datetime as dt
import hashlib
import json
import random
import sqlite3
import sys
import time
from typing import Any

from bench.copies import COURSE_ID
from bench.limits import WRITTEN, Sample
from ipt_workflow.store.databases.sqlite import PRAGMAS


def unpacked(sample: dict[str, dict[str, Any]]) -> Sample:
    return {
        table: {name: bytes.fromhex(value["hex"]) if isinstance(value, dict) else value for name, value in row.items()}
        for table, row in sample.items()
    }


def packed(sample: Sample) -> dict[str, dict[str, Any]]:
    """The sample for JSON, which has no bytes."""
    return {
        table: {name: {"hex": value.hex()} if isinstance(value, bytes) else value for name, value in row.items()}
        for table, row in sample.items()
    }


class Loop:
    """The statements of one request, and their values."""

    def __init__(self, file: str, sample: Sample, courses: int) -> None:
        self.connection = sqlite3.connect(file, isolation_level=None)
        for pragma in PRAGMAS:
            self.connection.execute(f"PRAGMA {pragma}")
        self.sample, self.courses, self.chance, self.made = sample, courses, random.Random(1), 0  # noqa: S311 - it draws courses, not secrets
        self.organisation = sample["course"]["organisation"]
        columns = [name for name in sample["course"] if name not in {"organisation", "id"}]
        self.update = (
            f"UPDATE course SET {', '.join(f'{name} = :{name}' for name in columns)} "
            "WHERE organisation = :organisation AND id = :id AND version = :version - 1"
        )
        self.inserts = {
            table: f"INSERT INTO {table} ({', '.join(sample[table])}) VALUES ({', '.join(f':{name}' for name in sample[table])})"
            for table in WRITTEN
        }

    def request(self) -> None:
        execute, sample = self.connection.execute, self.sample
        course = COURSE_ID.format(course=self.chance.randint(1, self.courses))
        execute("BEGIN IMMEDIATE")
        execute("SELECT * FROM token WHERE organisation = ? AND id = ?", (self.organisation, sample["token"]["id"])).fetchone()
        client, snapshot, head, version, _ = execute(
            "SELECT client_id, snapshot, head, version, ref FROM course LEFT JOIN client "
            "ON client.organisation = course.organisation AND client.id = client_id "
            "WHERE course.organisation = ? AND course.id = ?",
            (self.organisation, course),
        ).fetchone()
        self.made += 1
        seq, made = version + 1, f"019b0000-0000-7000-8000-{self.made:012}"
        now = dt.datetime.now(dt.UTC).replace(tzinfo=None).isoformat(" ")
        new = {"course_id": course, "seq": seq, "id": made}
        changes = {"id": course, "client_id": client, "version": seq, "snapshot": snapshot, "last_recorded_at": now}
        execute(self.update, {**sample["course"], **changes})
        execute(self.inserts["entry"], {**sample["entry"], **new, "prev_hash": head, "occurred_at": now, "recorded_at": now})
        execute(self.inserts["entry_data"], {**sample["entry_data"], **new})
        execute(self.inserts["outbox"], {**sample["outbox"], **new, "created_at": now})
        key = {"scope": hashlib.sha256(made.encode()).hexdigest(), "course_id": course, "first_seq": seq, "last_seq": seq}
        execute(self.inserts["idempotency"], {**sample["idempotency"], **key})
        execute("COMMIT")


def main() -> None:
    job = json.load(sys.stdin)
    loop = Loop(job["file"], unpacked(job["sample"]), job["courses"])
    loop.made = loop.connection.execute("SELECT count(*) FROM outbox").fetchone()[0]
    requests, started = 0, time.perf_counter()
    while (taken := time.perf_counter() - started) < job["seconds"]:
        loop.request()
        requests += 1
    json.dump({"per_second": requests / taken}, sys.stdout)


if __name__ == "__main__":
    main()
