"""Checks everything stored about a course: the chain, the columns beside the bytes, the sealed text, and the row against the fold."""

import datetime as dt
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import msgspec
import sqlalchemy as sa

from ipt_workflow import journal
from ipt_workflow.course import Course
from ipt_workflow.errors import JournalBroken
from ipt_workflow.journal import Checked, Entry
from ipt_workflow.store import client_keys, restrictions
from ipt_workflow.store import courses as stored_courses
from ipt_workflow.store.client_keys import Text
from ipt_workflow.store.commits import rows
from ipt_workflow.store.lookups import DIALECTS
from ipt_workflow.store.schema import tables
from ipt_workflow.store.units import CourseChange

BY_ZONE = (
    "overdue_from",
    "ending_from",
    "outcome_missing_from",
)  # not checked: they depend on the time zone that was set when the row was written
HEX = re.compile("[0-9a-f]*")  # the form of salts; decoding them would accept upper case and blanks
Due = Callable[[Course], Mapping[str, dt.datetime]]


def check_courses(
    connection: sa.Connection, organisation: str, ids: Sequence[str], due: Due | None = None
) -> list[tuple[str, Checked]]:
    """Checks courses in every way. `due` returns the attention that a course needs; without it, attention is not checked."""
    entries = stored_courses.raw_entries(connection, organisation, ids)
    courses = stored_courses.raw_courses(connection, organisation, ids)
    restricted = restrictions.in_force(connection, organisation, ids)
    checked = []
    for course_id in ids:
        row = courses.get(course_id)
        texts = client_keys.opened(connection, organisation, [(each.salt, each.sealed) for each in entries[course_id]])
        found = _check(connection, organisation, course_id, list(zip(entries[course_id], texts, strict=True)), row, due)
        if row is not None and not found.fault:
            found = _restriction(connection, found, row, restricted=course_id in restricted)
        checked.append((course_id, found))
    return checked


class StoredEntry(msgspec.Struct, frozen=True):
    """One entry as the database keeps it, and the bytes of the entry before; None before the first."""

    canonical: Any
    hash: str
    salt: Any
    sealed: Any
    before: Any


def stored_entry(connection: sa.Connection, organisation: str, course_id: str, seq: int) -> StoredEntry | None:
    """An entry of a course, neither converted nor checked. None if there is no such entry."""
    kept = {row.seq: row for row in stored_courses.raw_entries(connection, organisation, [course_id])[course_id]}
    found, before = kept.get(seq), kept.get(seq - 1)
    if found is None:
        return None
    ((salt, sealed),) = client_keys.opened(connection, organisation, [(found.salt, found.sealed)])
    return StoredEntry(found.canonical, found.hash, salt, sealed, before.canonical if before else None)


def _restriction(connection: sa.Connection, checked: Checked, row: sa.RowMapping, *, restricted: bool) -> Checked:
    """A fault if the course's row and the restrictions differ."""
    if _same(connection, tables.course.c.restricted, restricted, row["restricted"]):
        return checked
    return Checked(
        entries=checked.entries,
        erased=checked.erased,
        bad_seq=max(1, checked.entries),
        fault="course.restricted: it differs from the restriction in force",
    )


def _check(
    connection: sa.Connection,
    organisation: str,
    course_id: str,
    stored: list[tuple[sa.Row[Any], Text]],
    course_row: sa.RowMapping | None,
    due: Due | None,
) -> Checked:
    chain = journal.check_chain(((row.canonical, row.hash, *text) for row, text in stored), organisation, course_id)
    entries: list[Entry] = []
    for seq, (row, text) in enumerate(stored[: (chain.bad_seq or len(stored) + 1) - 1], start=1):
        entry, fault = read_entry(connection, row, text)
        if entry is None:
            return Checked(entries=seq, erased=0, bad_seq=seq, fault=fault)
        entries.append(entry)
    if chain.fault:
        return chain
    seq, fault = _course_fault(connection, organisation, course_row, entries, due)
    return Checked(entries=chain.entries, erased=chain.erased, bad_seq=seq, fault=fault) if fault else chain


def read_entry(connection: sa.Connection, row: sa.Row[Any], text: Text) -> tuple[Entry | None, str | None]:
    """The entry of a row that begins with `RAW_ENTRY` and its opened text, or a fault if the columns disagree with the bytes."""
    salt, sealed = text
    try:
        entry = journal.read(row.canonical, salt=salt, sealed=sealed)
    except JournalBroken as error:
        return None, f"canonical: {error}"
    fault = _column_fault(connection, entry, row)
    return (None, fault) if fault else (entry, None)


def _column_fault(connection: sa.Connection, entry: Entry, row: sa.Row[Any]) -> str | None:
    """The first column that disagrees with the canonical bytes; None if all agree."""
    if row.sealed_seq is None:
        return "entry_data: the row of the sealed text is missing"
    if not isinstance(entry.sealed, bytes | None):
        return "sealed: it is not bytes"
    if entry.salt is not None and not HEX.fullmatch(entry.salt):
        return "salt: it is not lower-case hexadecimal"
    written = rows.entry_columns(entry)
    for name, position, form in _forms(connection.dialect.name):
        expected = form(written[name]) if form else written[name]
        if expected != row[position] or type(expected) is not type(row[position]):
            return f"{name}: the column differs from the hashed bytes"
    return None


@cache
def _forms(dialect: str) -> tuple[tuple[str, int, Callable[[Any], Any] | None], ...]:
    """Every column of an entry that repeats its bytes: name, position in a row, and conversion of its values for the driver."""
    columns = [(column, position) for position, column in enumerate(tables.entry.c) if column.name not in rows.BESIDE_THE_BYTES]
    return tuple((column.name, position, stored_courses.to_driver(column, DIALECTS[dialect])) for column, position in columns)


def _same(connection: sa.Connection, column: sa.Column[Any], written: object, stored: object) -> bool:
    expected = stored_courses.raw_form(connection, column, written)
    return bool(expected == stored) and type(expected) is type(stored)


def _course_fault(
    connection: sa.Connection, organisation: str, row: sa.RowMapping | None, entries: list[Entry], due: Due | None
) -> tuple[int, str | None]:
    """A seq and a fault if the course's row is not the fold of its entries. The seq is where the two part."""
    course = journal.replay(entries)
    if row is None:
        return max(1, len(entries)), "course: the row is missing"
    if course is None:
        return 1, "course: there are no entries"
    version = row["version"]
    if isinstance(version, int) and version != course.version:
        return min(version, course.version) + 1, f"course.version: it is {version}, and there are {course.version} entries"
    change = CourseChange(course=course, expected=0, entries=(entries[-1],), attention=due(course) if due else {})
    for name, value in rows.course_columns(organisation, change).items():
        if name in BY_ZONE or (due is None and name.endswith("_from")):
            continue
        if not _same(connection, tables.course.c[name], value, row[name]):
            return course.version, f"course.{name}: it differs from the fold of the entries"
    return course.version, None
