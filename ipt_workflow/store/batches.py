"""Writing many units at once: each wins or loses alone and whole, but they share one transaction.

A batch holds plain units only, of different courses (`Unit.plain`). The winners are those whose course was still at the version they
were decided on, and whose idempotency key was not used. SQLite takes them row by row under its one write lock. PostgreSQL takes them in
one statement: it updates the courses by compare-and-swap, and inserts everything else for those that were updated.

Statements are made once, from the tables. A violated constraint fails the whole batch; the committer then tries its units one by one.
"""

import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from functools import cache
from itertools import compress
from typing import Any

import sqlalchemy as sa

from ipt_workflow.store import rows, tables
from ipt_workflow.store.questions import DIALECTS
from ipt_workflow.store.rows import Row
from ipt_workflow.store.units import Event, Unit

JOURNAL = (tables.entry, tables.entry_data, tables.outbox)
EVERY_TIME = (
    "version",
    "head",
    "last_recorded_at",
    "snapshot",
)  # the columns of a course that every unit writes; on none is an index


class Columns:
    """The columns of a table, or of several whose rows are given as one: what has the same name is the same. How a row becomes what the
    database's driver takes."""

    def __init__(self, given: Sequence[sa.Table], dialect: sa.Dialect) -> None:
        each = {column.name: column for table in given for column in table.c}.values()
        self.names = tuple(dialect.identifier_preparer.quote(column.name) for column in each)
        self.types = tuple(column.type.dialect_impl(dialect).compile(dialect).partition("(")[0] for column in each)
        bound = ((column.name, column.type.dialect_impl(dialect).bind_processor(dialect)) for column in each)
        self._bind: tuple[tuple[str, Callable[[Any], Any] | None], ...] = tuple(bound)

    def values(self, row: Row) -> tuple[Any, ...]:
        return tuple([process(row[name]) if process else row[name] for name, process in self._bind])

    def arrays(self, rows: Sequence[Row]) -> list[list[Any]]:
        """One array a column."""
        return [[process(row[name]) for row in rows] if process else [row[name] for row in rows] for name, process in self._bind]


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


def write_sqlite(connection: sqlite3.Connection, units: Sequence[Unit], events: Sequence[Event]) -> list[bool]:
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


async def write_postgres(fetch: Fetch, units: Sequence[Unit], events: Sequence[Event]) -> list[bool]:
    """Writes units and events; which of the units won. `fetch` runs a statement with its arrays. Raises what it raises."""
    won: set[int] = set()
    if units:
        numbered = sorted(enumerate(units), key=lambda each: each[1].courses)  # in one order, or two processes lock crosswise
        won = {row[0] for row in await fetch(_commit_sql(), *_commit_arrays(numbered))}
    if events:
        arrays = [array for table, told in rows.of_events(events).items() for array in _arrays(table, told)]
        await fetch(_events_sql(), *arrays)
    return [number in won for number in range(len(units))]


def _commit_arrays(numbered: Sequence[tuple[int, Unit]]) -> tuple[list[Any], ...]:
    courses = [rows.course_columns(unit.organisation, unit.changes[0]) for _, unit in numbered]
    arrays: list[list[Any]] = [
        [number for number, _ in numbered],
        [unit.changes[0].expected for _, unit in numbered],
        [_scope(unit) for _, unit in numbered],
        *_arrays(tables.course, courses),
    ]
    keyed = [(number, unit.organisation, unit.answer) for number, unit in numbered if unit.answer]
    arrays += [[number for number, _, _ in keyed]]
    arrays += _arrays(tables.idempotency, [rows.kept_answer(organisation, answer) for _, organisation, answer in keyed])
    owned = [(number, rows.journal(entry)) for number, unit in numbered for entry in unit.changes[0].entries]
    arrays += [[number for number, _ in owned]]
    arrays += columns("postgresql", *JOURNAL).arrays([row for _, row in owned])
    return tuple(arrays)


def _arrays(table: sa.Table, told: Sequence[Row]) -> list[list[Any]]:
    """The rows of a table as one array a column."""
    return columns("postgresql", table).arrays(told)


class _Parameters:
    """Numbers the arrays of a statement as they are named."""

    def __init__(self) -> None:
        self._count = 0

    def unnest(self, known: Columns, **before: str) -> str:
        """`unnest($1::…[], …) AS t (before…, columns…)`; what comes before the columns is told with its type."""
        names = (*before, *known.names)
        arrays = []
        for kind in (*before.values(), *known.types):
            self._count += 1
            arrays.append(f"${self._count}::{kind}[]")
        return f"unnest({', '.join(arrays)}) AS t ({', '.join(names)})"


@cache
def _commit_sql() -> str:
    """One statement: what is given in arrays, the courses that were swapped, and what is inserted for those."""
    parameters = _Parameters()
    course, answers, journal = (columns("postgresql", *each) for each in ((tables.course,), (tables.idempotency,), JOURNAL))
    settable = [name for name in course.names if name not in {"organisation", "id"}]
    parts = [
        f"given AS (SELECT * FROM {parameters.unnest(course, n='INTEGER', expected='INTEGER', scope='VARCHAR')})",
        f"swapped AS (UPDATE course SET {', '.join(f'{name} = given.{name}' for name in settable)} FROM given"
        " WHERE course.organisation = given.organisation AND course.id = given.id AND course.version = given.expected"
        f" AND {USED.format('given.')} IS NULL RETURNING given.n)",
        f"answered AS (SELECT * FROM {parameters.unnest(answers, n='INTEGER')} JOIN swapped USING (n))",
        f"written AS (SELECT * FROM {parameters.unnest(journal, n='INTEGER')} JOIN swapped USING (n))",
        f"kept AS ({_insert_from(tables.idempotency, 'answered')})",
        *(f"into_{table.name} AS ({_insert_from(table, 'written')})" for table in JOURNAL),
    ]
    return f"WITH {', '.join(parts)} SELECT n FROM swapped"


def _insert_from(table: sa.Table, source: str) -> str:
    names = ", ".join(columns("postgresql", table).names)
    return f"INSERT INTO {table.name} ({names}) SELECT {names} FROM {source}"


@cache
def _events_sql() -> str:
    parameters = _Parameters()
    events, subjects, outbox = (
        _insert_from(table, parameters.unnest(columns("postgresql", table)))
        for table in (tables.audit_event, tables.audit_subject, tables.outbox)
    )
    return f"WITH told AS ({events}), touched AS ({subjects}) {outbox}"
