"""Writes a batch of units in one transaction. Each unit wins or loses by itself, and is written whole or not at all.

A batch holds plain units (`Unit.plain`) of different courses. A unit wins if its course is still at the expected version and its
idempotency key was not used; a unit that changes no course always wins. SQLite writes row by row under its one write lock. PostgreSQL
runs one statement that takes all rows as JSON: it updates the courses by compare-and-swap, and inserts the other rows of the units
that won.

Statements are made once, from the tables. An error in one unit fails the whole batch; the committer then commits its units one by one.
"""

import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from functools import cache
from itertools import compress
from typing import Any

import msgspec
import sqlalchemy as sa

from ipt_workflow.store import notices
from ipt_workflow.store.commits import rows
from ipt_workflow.store.commits.rows import Row
from ipt_workflow.store.lookups import DIALECTS
from ipt_workflow.store.schema import tables
from ipt_workflow.store.units import CourseChange, LoggedEvent, Unit

JOURNAL = (tables.entry, tables.entry_data, tables.outbox)
EVENTS = (tables.audit_event, tables.audit_subject, tables.log_outbox, tables.outbox)  # in the order of `rows.of_events`
RECORDS = (tables.notice, *EVENTS)
EVERY_TIME = ("version", "head", "last_recorded_at", "snapshot")  # the columns of a course that every unit changes; none is indexed


class Columns:
    """The columns of one or several tables. Columns with the same name hold the same value, so several rows are passed as one."""

    def __init__(self, tables_of_row: Sequence[sa.Table], dialect: sa.Dialect) -> None:
        unique = {column.name: column for table in tables_of_row for column in table.c if column not in rows.NOT_COMMITTED}.values()
        self.names = tuple(dialect.identifier_preparer.quote(column.name) for column in unique)
        self.types = tuple(column.type.dialect_impl(dialect).compile(dialect).partition("(")[0] for column in unique)
        self.of_bytes = tuple(column.name for column in unique if isinstance(column.type, sa.LargeBinary))
        bound = ((column.name, column.type.dialect_impl(dialect).bind_processor(dialect)) for column in unique)
        self._bind: tuple[tuple[str, Callable[[Any], Any] | None], ...] = tuple(bound)

    def values(self, row: Row) -> tuple[Any, ...]:
        """The values of a row for SQLite's driver."""
        return tuple([process(row[name]) if process else row[name] for name, process in self._bind])


@cache
def columns(dialect_name: str, *tables_of_row: sa.Table) -> Columns:
    return Columns(tables_of_row, DIALECTS[dialect_name])


# A key counts as used if the answer kept under it had not expired when the unit was recorded.
USED = (
    "(SELECT kept.scope FROM idempotency AS kept WHERE kept.organisation = {organisation} AND kept.scope = {scope}"
    " AND kept.expires_at > {last_recorded_at})"
)


def _scope(unit: Unit) -> str | None:
    return unit.answer.scope if unit.answer else None


# SQLite


def write_sqlite(connection: sqlite3.Connection, units: Sequence[Unit], events: Sequence[LoggedEvent]) -> list[bool]:
    """Writes units and events in the transaction that has begun. Returns for each unit whether it won. Raises `sqlite3.IntegrityError`."""
    won = [_swap_sqlite(connection, unit, unit.changes[0]) if unit.changes else True for unit in units]
    winners = list(compress(units, won))
    kept = [rows.kept_answer(unit.organisation, unit.answer) for unit in winners if unit.answer]
    _insert_sqlite(connection, tables.idempotency, kept)
    written = [row for unit in winners for change in unit.changes for row in rows.journal(unit, change)]
    for table in JOURNAL:
        _insert_sqlite(connection, table, written)
    _insert_sqlite(connection, tables.notice, [notices.row(unit.organisation, each) for unit in winners for each in unit.notices])
    for table, event_rows in rows.of_events([*events, *(event for unit in winners for event in unit.events)]).items():
        _insert_sqlite(connection, table, event_rows)
    return won


def _swap_sqlite(connection: sqlite3.Connection, unit: Unit, change: CourseChange) -> bool:
    """Updates a course if it is still at the expected version and the unit's key was not used. Returns whether it did."""
    row = columns("sqlite", tables.course).values(rows.course_columns(unit.organisation, change))
    swapped = connection.execute(_swap_sql(), (*row, change.expected, _scope(unit))).rowcount == 1
    if swapped:
        connection.execute(_seldom_sql(), row)
    return swapped


def _numbered(*more: str) -> dict[str, str]:
    """The places of a course's columns in a statement, and of `more` values after them. The driver binds names one by one, and slowly."""
    return {name: f"?{number}" for number, name in enumerate((*columns("sqlite", tables.course).names, *more), start=1)}


@cache
def _swap_sql() -> str:
    place = _numbered("expected", "scope")
    changes = ", ".join(f"{name} = {place[name]}" for name in EVERY_TIME)
    return (
        f"UPDATE course SET {changes} WHERE organisation = {place['organisation']} AND id = {place['id']}"
        f" AND version = {place['expected']} AND {USED.format_map(place)} IS NULL"
    )


@cache
def _seldom_sql() -> str:
    """Writes the other columns of a course if one of them changes. SQLite rewrites every index on a column that an UPDATE names."""
    place, key = _numbered(), ("organisation", "id", "version")
    names = [name for name in place if name not in {*EVERY_TIME, *key}]
    listed, values = ", ".join(names), ", ".join(place[name] for name in names)
    where = " AND ".join(f"{name} = {place[name]}" for name in key)
    return f"UPDATE course SET ({listed}) = ({values}) WHERE {where} AND ({listed}) IS NOT ({values})"


def _insert_sqlite(connection: sqlite3.Connection, table: sa.Table, new: Sequence[Row]) -> None:
    if new:
        known = columns("sqlite", table)
        connection.executemany(_insert_sql(table), [known.values(row) for row in new])


@cache
def _insert_sql(table: sa.Table) -> str:
    names = columns("sqlite", table).names
    return f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"


# PostgreSQL


Fetch = Callable[..., Awaitable[Sequence[Any]]]
Arguments = tuple[str] | tuple[str, list[bytes]]  # rows as JSON; their bytes, which JSON cannot hold, follow in a list


async def write_postgres(fetch: Fetch, units: Sequence[Unit], events: Sequence[LoggedEvent]) -> list[bool]:
    """Writes units and events. Returns for each unit whether it won.

    `fetch` runs a statement with its arguments for organisations; raises what it raises.
    """
    won: set[int] = set()
    if units:
        numbered = sorted(
            enumerate(units), key=lambda each: (each[1].organisation, each[1].courses)
        )  # always in the same order: else two processes may deadlock
        recorded = any(unit.notices or unit.events for unit in units)
        arguments = (*_of_units(numbered), *(_of_records(numbered) if recorded else ()))
        organisations = frozenset().union(*(unit.organisations for unit in units))
        won = {row[0] for row in await fetch(organisations, _commit_sql(records=recorded), *arguments)}
    if events:
        by_table = rows.of_events(events)
        arguments = tuple(each for table in by_table for each in _arguments(columns("postgresql", table), by_table[table]))
        await fetch({event.organisation for event in events}, _events_sql(), *arguments)
    return [number in won for number in range(len(units))]


def _of_units(numbered: Sequence[tuple[int, Unit]]) -> tuple[str | list[bytes], ...]:
    courses, answers, entries = [], [], []
    for number, unit in numbered:
        for change in unit.changes:
            conditions = {"n": number, "expected": change.expected, "scope": _scope(unit)}
            courses.append({**rows.course_columns(unit.organisation, change), **conditions})
            entries += [{**row, "n": number} for row in rows.journal(unit, change)]
        if unit.answer:
            answers.append({**rows.kept_answer(unit.organisation, unit.answer), "n": number})
    return (
        *_arguments(columns("postgresql", tables.course), courses),
        *_arguments(columns("postgresql", tables.idempotency), answers),
        *_arguments(columns("postgresql", *JOURNAL), entries),
    )


def _of_records(numbered: Sequence[tuple[int, Unit]]) -> tuple[Any, ...]:
    """Which units change no course, then the rows of the units' notices and events."""
    by_table: dict[sa.Table, list[Row]] = {table: [] for table in RECORDS}
    for number, unit in numbered:
        new = {tables.notice: [notices.row(unit.organisation, each) for each in unit.notices], **rows.of_events(unit.events)}
        for table, table_rows in new.items():
            by_table[table] += [{**row, "n": number} for row in table_rows]
    unchanging = [number for number, unit in numbered if not unit.changes]
    return (unchanging, *(each for table in RECORDS for each in _arguments(columns("postgresql", table), by_table[table])))


def _arguments(known: Columns, new: Sequence[Row]) -> Arguments:
    """The arguments that pass rows to a statement. In the JSON, each bytes value is replaced by its position in the list beside it."""
    held: list[bytes] = []
    for row in new:
        for name in known.of_bytes:
            if row[name] is not None:
                held.append(row[name])
                row[name] = len(held)
    as_json = msgspec.json.encode(new).decode()
    return (as_json, held) if known.of_bytes else (as_json,)


class _Parameters:
    """Numbers the parameters of a statement in the order of their use."""

    def __init__(self) -> None:
        self._count = 0

    def rows(self, known: Columns, **before: str) -> str:
        """A subquery of the rows in the next parameters. `before` are values that precede the columns: names with SQL types."""
        as_json = self._next("JSON")
        held = self._next("BYTEA[]") if known.of_bytes else ""
        typed = {**before, **dict(zip(known.names, known.types, strict=True))}
        shapes = (f"{name} {'INTEGER' if name in known.of_bytes else kind}" for name, kind in typed.items())
        columns = (f"({held})[{name}] AS {name}" if name in known.of_bytes else name for name in typed)
        return f"(SELECT {', '.join(columns)} FROM json_to_recordset({as_json}) AS t ({', '.join(shapes)}))"

    def numbers(self) -> str:
        """A subquery of the numbers in the next parameter."""
        return f"(SELECT unnest({self._next('INTEGER[]')}) AS n)"

    def _next(self, kind: str) -> str:
        self._count += 1
        return f"${self._count}::{kind}"


@cache
def _commit_sql(*, records: bool) -> str:
    """One statement: the given rows, the update of courses by compare-and-swap, and the inserts for the units that won.

    With `records`, units may have notices and events, and may change no course.
    """
    parameters = _Parameters()
    course, answers, journal = (columns("postgresql", *each) for each in ((tables.course,), (tables.idempotency,), JOURNAL))
    given = {name: f"given.{name}" for name in (*course.names, "scope")}
    settable = [name for name in course.names if name not in {"organisation", "id"}]
    parts = [
        f"given AS {parameters.rows(course, n='INTEGER', expected='INTEGER', scope='VARCHAR')}",
        f"swapped AS (UPDATE course SET {', '.join(f'{name} = {given[name]}' for name in settable)} FROM given"
        " WHERE course.organisation = given.organisation AND course.id = given.id AND course.version = given.expected"
        f" AND {USED.format_map(given)} IS NULL RETURNING given.n)",
        f"answered AS (SELECT * FROM {parameters.rows(answers, n='INTEGER')} AS a JOIN swapped USING (n))",
        f"written AS (SELECT * FROM {parameters.rows(journal, n='INTEGER')} AS j JOIN swapped USING (n))",
        f"kept AS ({_insert_from(tables.idempotency, 'answered')})",
        *(f"into_{table.name} AS ({_insert_from(table, 'written')})" for table in JOURNAL),
    ]
    if not records:
        return f"WITH {', '.join(parts)} SELECT n FROM swapped"
    parts.append(f"won AS (SELECT n FROM swapped UNION ALL SELECT n FROM {parameters.numbers()} AS unchanging)")
    for table in RECORDS:
        name = f"of_{table.name}"
        parts.append(
            f"{name} AS (SELECT * FROM {parameters.rows(columns('postgresql', table), n='INTEGER')} AS r JOIN won USING (n))"
        )
        parts.append(f"record_{table.name} AS ({_insert_from(table, name)})")
    return f"WITH {', '.join(parts)} SELECT n FROM won"


def _insert_from(table: sa.Table, source: str) -> str:
    names = ", ".join(columns("postgresql", table).names)
    return f"INSERT INTO {table.name} ({names}) SELECT {names} FROM {source} AS source"


@cache
def _events_sql() -> str:
    parameters = _Parameters()
    *before, last = (_insert_from(table, parameters.rows(columns("postgresql", table))) for table in EVENTS)
    return f"WITH {', '.join(f'rows_{n} AS ({each})' for n, each in enumerate(before))} {last}"
