"""What is stored of a course against what was written: its chain, its columns, what is sealed, and its fold against its row."""

import datetime as dt
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import sqlalchemy as sa

from ipt_workflow import journal
from ipt_workflow.course import Course
from ipt_workflow.errors import JournalBroken
from ipt_workflow.journal import Checked, Entry
from ipt_workflow.store import courses as stored_courses
from ipt_workflow.store.commits import rows
from ipt_workflow.store.lookups import DIALECTS
from ipt_workflow.store.schema import tables
from ipt_workflow.store.units import CourseChange

BY_ZONE = ("overdue_from", "ending_from")  # they hang on the time zone in force when the row was written, which may change
HEX = re.compile("[0-9a-f]*")  # as salts are written; decoding them would let case and blanks pass
Due = Callable[[Course], Mapping[str, dt.datetime]]


def check_courses(
    connection: sa.Connection, organisation: str, ids: Sequence[str], due: Due | None = None
) -> list[tuple[str, Checked]]:
    """Everything that can be checked of courses. `due` says what attention one asks for; without it, that is not checked."""
    stored = stored_courses.raw_entries(connection, organisation, ids)
    courses = stored_courses.raw_courses(connection, organisation, ids)
    return [(each, _check(connection, organisation, each, stored[each], courses.get(each), due)) for each in ids]


def _check(
    connection: sa.Connection, organisation: str, course_id: str, stored: list[Any], course_row: Any, due: Due | None
) -> Checked:
    chain = journal.check_chain(((row.canonical, row.hash, row.salt, row.sealed) for row in stored), organisation, course_id)
    entries: list[Entry] = []
    for seq, row in enumerate(stored[: (chain.bad_seq or len(stored) + 1) - 1], start=1):
        entry, fault = _read(connection, row)
        if entry is None:
            return Checked(entries=seq, erased=0, bad_seq=seq, fault=fault)
        entries.append(entry)
    if chain.fault:
        return chain
    seq, fault = _course_fault(connection, organisation, course_row, entries, due)
    return Checked(entries=chain.entries, erased=chain.erased, bad_seq=seq, fault=fault) if fault else chain


def _read(connection: sa.Connection, row: Any) -> tuple[Entry | None, str | None]:
    """An entry whose columns say what its bytes say, or what is wrong."""
    try:
        entry = journal.read(row.canonical, salt=row.salt, sealed=row.sealed)
    except JournalBroken as error:
        return None, f"canonical: {error}"
    fault = _column_fault(connection, entry, row)
    return (None, fault) if fault else (entry, None)


def _column_fault(connection: sa.Connection, entry: Entry, row: Any) -> str | None:
    """Whether a column says something else than the canonical bytes."""
    if row.sealed_seq is None:
        return "entry_data: the row of what was sealed is missing"
    if not isinstance(entry.sealed, bytes | None):
        return "sealed: it is not bytes"
    if entry.salt is not None and not HEX.fullmatch(entry.salt):
        return "salt: it is not as it was written"
    written = rows.entry_columns(entry)
    for name, position, form in _forms(connection.dialect.name):
        expected = form(written[name]) if form else written[name]
        if expected != row[position] or type(expected) is not type(row[position]):
            return f"{name}: the column is not what was hashed"
    return None


@cache
def _forms(dialect: str) -> tuple[tuple[str, int, Callable[[Any], Any] | None], ...]:
    """Every column of an entry beside its bytes: its place in a row, and how its value is given to the driver."""
    columns = [(column, position) for position, column in enumerate(tables.entry.c) if column.name != "canonical"]
    return tuple((column.name, position, stored_courses.to_driver(column, DIALECTS[dialect])) for column, position in columns)


def _same(connection: sa.Connection, column: sa.Column[Any], written: object, stored: object) -> bool:
    expected = stored_courses.raw_form(connection, column, written)
    return bool(expected == stored) and type(expected) is type(stored)


def _course_fault(
    connection: sa.Connection, organisation: str, row: Any, entries: list[Entry], due: Due | None
) -> tuple[int, str | None]:
    """Whether the course's row is the fold of its entries, and at which entry they part."""
    course = journal.replay(entries)
    if row is None:
        return max(1, len(entries)), "course: the row is missing"
    if course is None:
        return 1, "course: there are no entries"
    if isinstance(row.version, int) and row.version != course.version:
        least = min(row.version, course.version)
        return least + 1, f"course.version: it is {row.version}, and there are {course.version} entries"
    change = CourseChange(course=course, expected=0, entries=(entries[-1],), attention=due(course) if due else {})
    for name, value in rows.course_columns(organisation, change).items():
        if name in BY_ZONE or (due is None and name.endswith("_from")):
            continue
        if not _same(connection, tables.course.c[name], value, row._mapping[name]):  # noqa: SLF001 - SQLAlchemy's public name
            return course.version, f"course.{name}: it is not what the entries fold to"
    return course.version, None
