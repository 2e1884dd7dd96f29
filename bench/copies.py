"""Makes many courses out of one: copies of its rows under new ids, at other times, with valid chains.

Firing a million courses would take an hour. A copy is what the service would have written: ids and times are replaced in the canonical
bytes and in the snapshot, and hashes are computed again. So `audit verify` finds no fault.
"""

import datetime as dt
import hashlib
import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import asyncpg

TABLES = ("client", "course", "entry", "entry_data")  # in the order they are written
OF_COURSE = {"course": "id", "entry": "course_id", "entry_data": "course_id"}  # the column that names the course
COURSE_ID = "019a0000-0000-7000-8000-{course:012}"
APART = dt.timedelta(milliseconds=1)  # each copy is this much earlier than the one before it
BATCH = 2000

Rows = Mapping[str, Sequence[Mapping[str, Any]]]  # by table
Names = dict[bytes, bytes]
_TIME = re.compile(rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d\.\d{6}")


class Template:
    """One course's rows, ready to be copied."""

    def __init__(self, rows: Rows) -> None:
        self._rows = {table: rows[table] for table in TABLES}
        self.columns = {table: list(rows[table][0]) for table in TABLES}
        (course,), (client,) = rows["course"], rows["client"]
        entries = rows["entry"]
        self._known: Names = {course["id"].encode(): b"course", client["id"].encode(): b"client", client["ref"].encode(): b"ref"}
        self._known[_owner(course["organisation"])] = b"owner"
        for entry in entries:
            self._known[entry["id"].encode()] = b"id%d" % entry["seq"]
            self._known[entry["hash"].encode()] = b"hash%d" % entry["seq"]
        self._times: dict[bytes, dt.datetime] = {}
        self._canonical = [(entry["seq"], self._with_names(entry["canonical"])) for entry in entries]
        self._cells = {table: [[self._cell(*cell) for cell in row.items()] for row in rows[table]] for table in TABLES}

    @property
    def entries(self) -> int:
        return len(self._canonical)

    def last_recorded(self, number: int) -> dt.datetime:
        """When the last entry of the copy with this number was recorded."""
        return max(self._times.values()).replace(tzinfo=dt.UTC) - number * APART

    def copy(self, number: int, organisation: str = "default") -> dict[str, list[tuple[Any, ...]]]:
        """The rows of the copy with this number, by table. Copies of several organisations have the same ids."""
        shift = number * APART
        names = {name: (time - shift).isoformat(timespec="microseconds").encode() for name, time in self._times.items()}
        names[b"organisation"], names[b"owner"] = organisation.encode(), _owner(organisation)
        names[b"course"] = COURSE_ID.format(course=number).encode()
        names[b"client"] = b"019a0000-0000-7000-9000-%012d" % number
        names[b"ref"] = b"BENCH-%d" % number
        for seq, canonical in self._canonical:
            names[b"id%d" % seq] = b"019a0000-%04d-7000-a000-%012d" % (seq, number)
            names[b"hash%d" % seq] = hashlib.sha256(canonical % names).hexdigest().encode()
        return {table: [tuple(cell(names, shift) for cell in row) for row in rows] for table, rows in self._cells.items()}

    def _with_names(self, text: bytes) -> bytes:
        """The text with a placeholder for every id, hash and time."""
        for match in _TIME.finditer(text):
            time = dt.datetime.fromisoformat(match[0].decode())
            self._known.setdefault(match[0], b"time%d" % len(self._times))
            self._times.setdefault(self._known[match[0]], time)
        known = re.compile(b"|".join(re.escape(each) for each in self._known))
        return known.sub(lambda found: b"%(" + self._known[found[0]] + b")b", text.replace(b"%", b"%%"))

    def _cell(self, column: str, value: Any) -> Callable[[Names, dt.timedelta], Any]:
        """A function that makes a column's value for a copy."""
        if column == "organisation":
            return lambda names, _shift: names[b"organisation"].decode()
        if isinstance(value, dt.datetime):
            return lambda _names, shift: value - shift
        if isinstance(value, str) and _TIME.fullmatch(value.encode()):
            time = dt.datetime.fromisoformat(value)
            return lambda _names, shift: (time - shift).isoformat(sep=" ", timespec="microseconds")
        if isinstance(value, str) and value.encode() in self._known:
            name = self._known[value.encode()]
            return lambda names, _shift: names[name].decode()
        if isinstance(value, bytes) and (text := self._with_names(value)) != value.replace(b"%", b"%%"):
            return lambda names, _shift: text % names
        return lambda _names, _shift: value


def _owner(organisation: str) -> bytes:
    """How hashed bytes name their organisation."""
    return b'"organisation":"%b"' % organisation.encode()


def _batches(count: int, after: int = 0) -> Iterator[range]:
    last = after + count
    return (range(first, min(first + BATCH, last + 1)) for first in range(after + 1, last + 1, BATCH))


def _together(template: Template, numbers: range, organisation: str = "default") -> dict[str, list[tuple[Any, ...]]]:
    rows: dict[str, list[tuple[Any, ...]]] = {table: [] for table in TABLES}
    for number in numbers:
        for table, copied in template.copy(number, organisation).items():
            rows[table] += copied
    return rows


async def read_postgres(place: Mapping[str, str], version: int, therapist: str) -> Rows:
    """The rows of the demonstration course of the therapist that has begun, and is at this version or soonest after it."""
    connection = await _connect(place)
    try:
        query = "SELECT * FROM course WHERE version >= $1 AND therapist = $2 AND phase IS NOT NULL ORDER BY version, id LIMIT 1"
        course = await connection.fetchrow(query, version, therapist)
        rows = {
            table: await connection.fetch(f"SELECT * FROM {table} WHERE {column} = $1", course["id"])
            for table, column in OF_COURSE.items()
        }
        clients = await connection.fetch("SELECT * FROM client WHERE id = $1", course["client_id"])
        return _in_order({"client": clients, **rows})
    finally:
        await connection.close()


async def fill_postgres(
    place: Mapping[str, str],
    template: Template,
    count: int,
    progress: Callable[[int], None],
    organisation: str = "default",
    after: int = 0,
) -> None:
    """Writes `count` copies for an organisation, numbered from after `after`. Calls `progress` with the number of the last that is written."""
    connection = await _connect(place)
    try:
        await connection.execute("SET synchronous_commit = off")
        for numbers in _batches(count, after):
            for table, rows in _together(template, numbers, organisation).items():
                await connection.copy_records_to_table(table, records=rows, columns=template.columns[table])
            progress(numbers.stop - 1)
    finally:
        await connection.close()


async def _connect(place: Mapping[str, str]) -> Any:
    return await asyncpg.connect(host=place["host"], user=place["user"], database=place["dbname"])


def read_sqlite(file: Path, version: int, therapist: str) -> Rows:
    connection = sqlite3.connect(file)
    connection.row_factory = sqlite3.Row
    query = "SELECT * FROM course WHERE version >= ? AND therapist = ? AND phase IS NOT NULL ORDER BY version, id LIMIT 1"
    course = connection.execute(query, (version, therapist)).fetchone()
    rows = {
        table: connection.execute(f"SELECT * FROM {table} WHERE {column} = ?", (course["id"],)).fetchall()
        for table, column in OF_COURSE.items()
    }
    clients = connection.execute("SELECT * FROM client WHERE id = ?", (course["client_id"],)).fetchall()
    connection.close()
    return _in_order({"client": clients, **rows})


def fill_sqlite(file: Path, template: Template, count: int) -> None:
    connection = sqlite3.connect(file)
    with connection:
        for numbers in _batches(count):
            for table, rows in _together(template, numbers).items():
                columns = template.columns[table]
                places = ", ".join("?" for _ in columns)
                connection.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})", rows)
    connection.close()


def _in_order(rows: Mapping[str, Sequence[Any]]) -> Rows:
    return {table: sorted((dict(row) for row in found), key=lambda row: row.get("seq", 0)) for table, found in rows.items()}
