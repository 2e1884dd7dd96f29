"""Writing many units at once: each wins or loses alone and whole, but they share one transaction.

A batch holds plain units only, of different courses (`Unit.plain`). The winners are those whose course was still at the version they
were decided on, and whose idempotency key was not used. SQLite takes them row by row under its one write lock. PostgreSQL takes them in
one statement, their rows as JSON: it updates the courses by compare-and-swap, and inserts everything else for those that were updated.

Statements are made once, from the tables. What one unit breaks fails the whole batch; the committer then tries its units one by one.
"""

import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from functools import cache
from itertools import compress
from typing import Any

import msgspec
import sqlalchemy as sa

from ipt_workflow.store.commits import rows
from ipt_workflow.store.commits.rows import Row
from ipt_workflow.store.lookups import DIALECTS
from ipt_workflow.store.schema import tables
from ipt_workflow.store.units import LoggedEvent, Unit

JOURNAL = (tables.entry, tables.entry_data, tables.outbox)
EVERY_TIME = (
    "version",
    "head",
    "last_recorded_at",
    "snapshot",
)  # the columns of a course that every unit writes; on none is an index


class Columns:
    """The columns of a table, or of several whose rows are given as one: what has the same name is the same."""

    def __init__(self, given: Sequence[sa.Table], dialect: sa.Dialect) -> None:
        each = {column.name: column for table in given for column in table.c}.values()
        self.names = tuple(dialect.identifier_preparer.quote(column.name) for column in each)
        self.types = tuple(column.type.dialect_impl(dialect).compile(dialect).partition("(")[0] for column in each)
        self.of_bytes = tuple(column.name for column in each if isinstance(column.type, sa.LargeBinary))
        bound = ((column.name, column.type.dialect_impl(dialect).bind_processor(dialect)) for column in each)
        self._bind: tuple[tuple[str, Callable[[Any], Any] | None], ...] = tuple(bound)

    def values(self, row: Row) -> tuple[Any, ...]:
        """What SQLite's driver takes."""
        return tuple([process(row[name]) if process else row[name] for name, process in self._bind])


@cache
def columns(dialect_name: str, *given: sa.Table) -> Columns:
    return Columns(given, DIALECTS[dialect_name])


# A key was used where an answer is kept under it that had not expired when the unit was recorded.
USED = (
    "(SELECT kept.scope FROM idempotency AS kept WHERE kept.organisation = {0}organisation AND kept.scope = {0}scope"
    " AND kept.expires_at > {0}last_recorded_at)"
)


def _scope(unit: Unit) -> str | None:
    return unit.answer.scope if unit.answer else None


# SQLite


def write_sqlite(connection: sqlite3.Connection, units: Sequence[Unit], events: Sequence[LoggedEvent]) -> list[bool]:
    """Writes units and events, in the transaction that has begun; which of the units won. Raises `sqlite3.IntegrityError`."""
    known = columns("sqlite", tables.course)
    courses = [dict(zip(known.names, known.values(rows.course_columns(u.organisation, u.changes[0])), strict=True)) for u in units]
    won = [
        connection.execute(_swap_sql(), {**row, "expected": unit.changes[0].expected, "scope": _scope(unit)}).rowcount == 1
        for unit, row in zip(units, courses, strict=True)
    ]
    connection.executemany(_seldom_sql(), list(compress(courses, won)))
    winners = list(compress(units, won))
    kept = [rows.kept_answer(unit.organisation, unit.answer) for unit in winners if unit.answer]
    _insert_sqlite(connection, tables.idempotency, kept)
    written = [rows.journal(entry) for unit in winners for entry in unit.changes[0].entries]
    for table in JOURNAL:
        _insert_sqlite(connection, table, written)
    for table, told in rows.of_events(events).items():
        _insert_sqlite(connection, table, told)
    return won


@cache
def _swap_sql() -> str:
    told = ", ".join(f"{name} = :{name}" for name in EVERY_TIME)
    unused = f"{USED.format(':')} IS NULL"
    return f"UPDATE course SET {told} WHERE organisation = :organisation AND id = :id AND version = :expected AND {unused}"


@cache
def _seldom_sql() -> str:
    """Writes what is not written every time, where it is another: SQLite would write anew every index on a column that is named."""
    key = ("organisation", "id", "version")
    names = [name for name in columns("sqlite", tables.course).names if name not in {*EVERY_TIME, *key}]
    told, given = ", ".join(names), ", ".join(f":{name}" for name in names)
    where = " AND ".join(f"{name} = :{name}" for name in key)
    return f"UPDATE course SET ({told}) = ({given}) WHERE {where} AND ({told}) IS NOT ({given})"


def _insert_sqlite(connection: sqlite3.Connection, table: sa.Table, told: Sequence[Row]) -> None:
    if told:
        known = columns("sqlite", table)
        connection.executemany(_insert_sql(table), [known.values(row) for row in told])


@cache
def _insert_sql(table: sa.Table) -> str:
    names = columns("sqlite", table).names
    return f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"


# PostgreSQL


Fetch = Callable[..., Awaitable[Sequence[Any]]]
Given = tuple[str] | tuple[str, list[bytes]]  # rows as JSON; and where they have bytes, which JSON has not, those beside it


async def write_postgres(fetch: Fetch, units: Sequence[Unit], events: Sequence[LoggedEvent]) -> list[bool]:
    """Writes units and events; which of the units won. `fetch` runs a statement with what it is given. Raises what it raises."""
    won: set[int] = set()
    if units:
        numbered = sorted(enumerate(units), key=lambda each: each[1].courses)  # in one order, or two processes lock crosswise
        won = {row[0] for row in await fetch(_commit_sql(), *_of_units(numbered))}
    if events:
        told = rows.of_events(events)
        await fetch(_events_sql(), *(each for table in told for each in _given(columns("postgresql", table), told[table])))
    return [number in won for number in range(len(units))]


def _of_units(numbered: Sequence[tuple[int, Unit]]) -> tuple[str | list[bytes], ...]:
    courses, answers, entries = [], [], []
    for n, unit in numbered:
        change = unit.changes[0]
        told = {"n": n, "expected": change.expected, "scope": _scope(unit)}
        courses.append({**rows.course_columns(unit.organisation, change), **told})
        if unit.answer:
            answers.append({**rows.kept_answer(unit.organisation, unit.answer), "n": n})
        entries += [{**rows.journal(entry), "n": n} for entry in change.entries]
    return (
        *_given(columns("postgresql", tables.course), courses),
        *_given(columns("postgresql", tables.idempotency), answers),
        *_given(columns("postgresql", *JOURNAL), entries),
    )


def _given(known: Columns, told: Sequence[Row]) -> Given:
    """Rows as a statement is given them: in the rows themselves, bytes give way to their places among all that are given beside."""
    held: list[bytes] = []
    for row in told:
        for name in known.of_bytes:
            if row[name] is not None:
                held.append(row[name])
                row[name] = len(held)
    as_json = msgspec.json.encode(told).decode()
    return (as_json, held) if known.of_bytes else (as_json,)


class _Parameters:
    """Numbers what a statement is given as it is named."""

    def __init__(self) -> None:
        self._count = 0

    def rows(self, known: Columns, **before: str) -> str:
        """A query of the rows that are given next, in brackets. What they have before their columns is told with its type."""
        told = self._next("JSON")
        held = self._next("BYTEA[]") if known.of_bytes else ""
        typed = {**before, **dict(zip(known.names, known.types, strict=True))}
        shapes = (f"{name} {'INTEGER' if name in known.of_bytes else kind}" for name, kind in typed.items())
        columns = (f"({held})[{name}] AS {name}" if name in known.of_bytes else name for name in typed)
        return f"(SELECT {', '.join(columns)} FROM json_to_recordset({told}) AS t ({', '.join(shapes)}))"

    def _next(self, kind: str) -> str:
        self._count += 1
        return f"${self._count}::{kind}"


@cache
def _commit_sql() -> str:
    """One statement: what is given, the courses that were swapped, and what is inserted for those."""
    parameters = _Parameters()
    course, answers, journal = (columns("postgresql", *each) for each in ((tables.course,), (tables.idempotency,), JOURNAL))
    settable = [name for name in course.names if name not in {"organisation", "id"}]
    parts = [
        f"given AS {parameters.rows(course, n='INTEGER', expected='INTEGER', scope='VARCHAR')}",
        f"swapped AS (UPDATE course SET {', '.join(f'{name} = given.{name}' for name in settable)} FROM given"
        " WHERE course.organisation = given.organisation AND course.id = given.id AND course.version = given.expected"
        f" AND {USED.format('given.')} IS NULL RETURNING given.n)",
        f"answered AS (SELECT * FROM {parameters.rows(answers, n='INTEGER')} AS a JOIN swapped USING (n))",
        f"written AS (SELECT * FROM {parameters.rows(journal, n='INTEGER')} AS j JOIN swapped USING (n))",
        f"kept AS ({_insert_from(tables.idempotency, 'answered')})",
        *(f"into_{table.name} AS ({_insert_from(table, 'written')})" for table in JOURNAL),
    ]
    return f"WITH {', '.join(parts)} SELECT n FROM swapped"


def _insert_from(table: sa.Table, source: str) -> str:
    names = ", ".join(columns("postgresql", table).names)
    return f"INSERT INTO {table.name} ({names}) SELECT {names} FROM {source} AS told"


@cache
def _events_sql() -> str:
    parameters = _Parameters()
    events, subjects, outbox = (
        _insert_from(table, parameters.rows(columns("postgresql", table)))
        for table in (tables.audit_event, tables.audit_subject, tables.outbox)
    )
    return f"WITH told AS ({events}), touched AS ({subjects}) {outbox}"
