"""Checking what is stored against what was written: chains, columns, sealed documents, and folds against their snapshots."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from ipt_workflow import journal
from ipt_workflow.errors import JournalBroken
from ipt_workflow.journal import Checked, Entry
from ipt_workflow.shell import Shell
from ipt_workflow.store import commit, queries, tables
from ipt_workflow.views import Verification

BATCH = 200
Progress = Callable[[int], None]


async def verify(shell: Shell, course_id: str | None = None, progress: Progress | None = None) -> Verification:
    """Checks one course or all. `progress` is called with the number of courses checked since the last call."""
    courses = entries = erased = 0
    async for batch in _batches(shell, course_id):
        for each in batch:
            checked = await shell.database.read(check_course, shell.organisation, each)
            courses, entries, erased = courses + 1, entries + checked.entries, erased + checked.erased
            if checked.fault:
                first_bad = {"course": each, "seq": checked.bad_seq, "fault": checked.fault}
                return Verification(ok=False, courses=courses, checked=entries, erased=erased, first_bad=first_bad)
        if progress:
            progress(len(batch))
    return Verification(ok=True, courses=courses, checked=entries, erased=erased)


async def _batches(shell: Shell, course_id: str | None) -> Any:
    """Courses in the order of their ids: those that have entries, and those that only have a row."""
    if course_id is not None:
        yield [course_id]
        return
    after = ""
    while True:
        journal_ids = await shell.database.read(queries.journal_course_ids, shell.organisation, after, BATCH)
        row_ids = await shell.database.read(queries.course_ids, shell.organisation, after, BATCH)
        batch = sorted({*journal_ids, *row_ids})[:BATCH]
        if not batch:
            return
        yield batch
        after = batch[-1]


def check_course(connection: sa.Connection, organisation: str, course_id: str) -> Checked:
    """Everything that can be checked of one course."""
    rows = queries.raw_entries(connection, organisation, course_id)
    entries: list[tuple[Entry, str]] = []
    for expected, row in enumerate(rows, start=1):
        try:
            entry = journal.read(row.canonical, salt=row.salt, sealed=row.sealed)
        except JournalBroken as error:
            return Checked(entries=expected, erased=0, bad_seq=row.seq, fault=f"canonical: {error}")
        fault = _column_fault(entry, row)
        if fault:
            return Checked(entries=expected, erased=0, bad_seq=row.seq, fault=fault)
        entries.append((entry, row.hash))
    checked = journal.check_chain(entries, organisation, course_id)
    if checked.fault:
        return checked
    fault = _fold_fault(connection, organisation, course_id, [entry for entry, _ in entries])
    return Checked(entries=checked.entries, erased=checked.erased, bad_seq=len(entries), fault=fault) if fault else checked


def _column_fault(entry: Entry, row: Any) -> str | None:
    """Whether a column says something else than the canonical bytes."""
    if row.sealed_seq is None:
        return "entry_data: the row of what was sealed is missing"
    for name, value in commit.entry_columns(entry).items():
        if not _same(value, getattr(row, name)):
            return f"{name}: the column is not what was hashed"
    return None


def _same(written: Any, stored: Any) -> bool:
    if isinstance(written, dt.datetime):
        return isinstance(stored, dt.datetime) and written == stored
    return bool(written == stored) and type(written) is type(stored)


def _fold_fault(connection: sa.Connection, organisation: str, course_id: str, entries: list[Entry]) -> str | None:
    """Whether the course's row is the fold of its entries."""
    table = tables.course
    row = (
        connection.execute(sa.select(table).where(table.c.organisation == organisation, table.c.id == course_id)).mappings().first()
    )
    if row is None:
        return "course: the row is missing"
    course = journal.replay(entries)
    if course is None:
        return "course: there are no entries"
    change = commit.CourseChange(course=course, expected=0, entries=(entries[-1],), attention={})
    for name, value in commit.course_columns(organisation, change).items():
        if not name.endswith("_from") and not _same(value, row[name]):
            return f"course.{name}: it is not what the entries fold to"
    return None
