"""The limit of the service: the database alone writes the same rows.

The rows are copies of those that the service wrote for one note. So the limit always writes the same columns as the service.
`pgbench` writes them by a script, `bench.sqlite_loop` in a loop.
"""

import datetime as dt
import math
import os
import re
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import asyncpg

from bench.copies import COURSE_ID
from bench.postgres import Postgres
from bench.processes import BenchFailed, run

WRITTEN = ("idempotency", "entry", "entry_data", "outbox")  # tables into which one request inserts
TRIES = 20
# The relay soon moves an outbox row to `event`, with all its columns.
OUTBOX = "organisation, id, kind, course_id, seq, detail, subscription_id, created_at"
OUTBOX_ROWS = f"SELECT {OUTBOX} FROM (SELECT {OUTBOX} FROM outbox UNION ALL SELECT {OUTBOX} FROM event) published"
Sample = dict[str, dict[str, Any]]  # one row of each table: `course`, `token` and those in WRITTEN


def _queries(course: str, seq: int, token: str) -> dict[str, str]:
    """The rows of one request, by table."""
    return {
        "course": f"SELECT * FROM course WHERE id = '{course}'",
        "token": f"SELECT * FROM token WHERE id = '{token.split('_')[1]}'",
        "idempotency": f"SELECT * FROM idempotency WHERE course_id = '{course}' AND first_seq = {seq}",
        "entry": f"SELECT * FROM entry WHERE course_id = '{course}' AND seq = {seq}",
        "entry_data": f"SELECT * FROM entry_data WHERE course_id = '{course}' AND seq = {seq}",
        "outbox": f"{OUTBOX_ROWS} WHERE course_id = '{course}' AND seq = {seq}",
    }


async def sample_postgres(place: Mapping[str, str], course: str, seq: int, token: str) -> Sample:
    connection = await asyncpg.connect(host=place["host"], user=place["user"], database=place["dbname"])
    try:
        return {name: dict(await connection.fetchrow(query)) for name, query in _queries(course, seq, token).items()}
    finally:
        await connection.close()


def sample_sqlite(file: Path, course: str, seq: int, token: str) -> Sample:
    connection = sqlite3.connect(file)
    connection.row_factory = sqlite3.Row
    try:
        return {name: dict(connection.execute(query).fetchone()) for name, query in _queries(course, seq, token).items()}
    finally:
        connection.close()


class Script:
    """A pgbench script of one request's statements, and its variables. Bytes are variables, so that they go over the wire as they must."""

    # Values that differ between requests. `made` is a new UUIDv7; the others are read with the course.
    VARYING: ClassVar = {
        "course": {"client_id": ":whose", "version": ":version + 1", "snapshot": ":snapshot", "last_recorded_at": "now()"},
        "idempotency": {"scope": "encode(sha256(convert_to(:made, 'UTF8')), 'hex')", "first_seq": ":version + 1", "last_seq": ":version + 1"},
        "entry": {"id": ":made", "seq": ":version + 1", "prev_hash": ":head", "occurred_at": "now()", "recorded_at": "now()"},
        "entry_data": {"seq": ":version + 1"},
        "outbox": {"id": ":made", "seq": ":version + 1", "created_at": "now()"},
    }  # fmt: skip

    def __init__(self, sample: Sample, courses: int) -> None:
        self.variables: dict[str, str] = {}
        token, course = sample["token"], sample["course"]
        prefix = COURSE_ID.split("{", maxsplit=1)[0]
        this = f"'{prefix}' || lpad(:course::text, 12, '0')"
        changed = ", ".join(
            f"{name} = {self._value('course', name, value)}" for name, value in course.items() if name not in {"organisation", "id"}
        )
        self.text = "\n".join(
            [
                f"\\set course random(1, {courses})",
                "BEGIN ISOLATION LEVEL REPEATABLE READ;",
                f"SELECT * FROM token WHERE organisation = '{token['organisation']}' AND id = '{token['id']}';",
                (
                    "SELECT course.id AS this, client_id AS whose, snapshot, head, version, ref, uuidv7()::text AS made "
                    "FROM course LEFT JOIN client ON client.organisation = course.organisation AND client.id = client_id "
                    f"WHERE course.organisation = '{course['organisation']}' AND course.id = {this} \\gset"
                ),
                f"UPDATE course SET {changed} WHERE organisation = '{course['organisation']}' AND id = :this AND version = :version;",
                *(self._insert(table, sample[table]) for table in WRITTEN),
                "COMMIT;",
                "",
            ]
        )

    def _insert(self, table: str, row: Mapping[str, Any]) -> str:
        values = (":this" if name == "course_id" else self._value(table, name, value) for name, value in row.items())
        return f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join(values)});"

    def _value(self, table: str, name: str, value: Any) -> str:
        varying = self.VARYING[table].get(name)
        if varying is not None:
            return varying
        if isinstance(value, bytes):
            self.variables[f"{table}_{name}"] = f"\\x{value.hex()}"
            return f":{table}_{name}"
        if isinstance(value, dt.datetime):
            return f"to_timestamp({value.timestamp()})"
        if isinstance(value, str):
            quoted = value.replace("'", "''")
            return f"'{quoted}'"
        return "NULL" if value is None else str(value)


def pgbench(postgres: Postgres, database: str, script: Script, clients: int, seconds: float, folder: Path) -> float:
    """Transactions a second. Raises BenchFailed if one failed after all tries."""
    file = folder / "limit.sql"
    file.write_text(script.text, encoding="utf-8")
    variables = [argument for name, value in script.variables.items() for argument in ("-D", f"{name}={value}")]
    place = ["-h", postgres.socket, "-U", "postgres"]
    jobs = min(clients, os.cpu_count() or 1)
    options = [
        "-n",
        "-M",
        "prepared",
        "-c",
        str(clients),
        "-j",
        str(jobs),
        "-T",
        str(math.ceil(seconds)),
        "--max-tries",
        str(TRIES),
    ]
    printed = run([postgres.binary("pgbench"), *place, *options, *variables, "-f", file, database])
    rate = re.search(r"^tps = ([0-9.]+)", printed, re.MULTILINE)
    failed = re.search(r"number of failed transactions: ([1-9]\d*)", printed)
    if not rate or failed:
        raise BenchFailed(f"pgbench failed transactions: {printed[-300:]}")
    return float(rate[1])
