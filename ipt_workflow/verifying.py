"""Checking what is stored against what was written: chains, columns, sealed documents, and folds against their snapshots."""

import asyncio
import datetime as dt
import multiprocessing
import re
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from itertools import groupby
from operator import itemgetter
from typing import Any

import msgspec
import sqlalchemy as sa

from ipt_workflow import attention, journal
from ipt_workflow.course import Course
from ipt_workflow.errors import JournalBroken
from ipt_workflow.garbage import collect_seldom
from ipt_workflow.journal import Checked, Entry
from ipt_workflow.settings import Settings
from ipt_workflow.shell import Shell, open_shell
from ipt_workflow.store import queries, rows, tables
from ipt_workflow.store.questions import CHAINS, DIALECTS
from ipt_workflow.store.units import CourseChange
from ipt_workflow.views import Verification

LISTED = 1000  # courses asked for at once
TOGETHER, CHAINS_TOGETHER = 200, 100  # of them checked at once
BY_ZONE = ("overdue_from", "ending_from")  # they hang on the time zone in force when the row was written, which may change
HEX = re.compile("[0-9a-f]*")  # as salts are written; decoding them would let case and blanks pass
Progress = Callable[[int], None]
Batches = AsyncIterator[list[str]]
Due = Callable[[Course], Mapping[str, dt.datetime]]


class Tally(msgspec.Struct, frozen=True):
    """What checking some courses came to: how much was checked until the first that is bad, and that one."""

    courses: int = 0
    entries: int = 0
    erased: int = 0
    first_bad: dict[str, Any] | None = None

    def __add__(self, later: "Tally") -> "Tally":
        if self.first_bad:
            return self
        return Tally(self.courses + later.courses, self.entries + later.entries, self.erased + later.erased, later.first_bad)


async def verify(
    shell: Shell,
    course_id: str | None = None,
    progress: Progress | None = None,
    processes: int = 1,
    *,
    chains_only: bool = False,
) -> Verification:
    """Checks one course or all. `progress` is called with the number of courses checked since the last call.

    `chains_only` leaves out what is sealed, the columns and the folds, which takes a fraction of the time.

    Several processes share the work, each with its own connection; the first bad entry is the same whoever finds it.
    """
    found = Tally()
    batches = _batches(shell, course_id, CHAINS_TOGETHER if chains_only else TOGETHER)
    each_batch = _alone(shell, batches, chains_only) if processes == 1 else _shared(shell, batches, processes, chains_only)
    async for tally in each_batch:
        found += tally
        if progress:
            progress(tally.courses)
        if found.first_bad:
            break
    return Verification(
        ok=not found.first_bad,
        courses=found.courses,
        checked=found.entries,
        erased=None if chains_only else found.erased,
        first_bad=found.first_bad,
    )


async def _alone(shell: Shell, batches: Batches, chains_only: bool) -> AsyncIterator[Tally]:
    async for each in _ahead(batches, lambda ids: asyncio.ensure_future(tally(shell, ids, chains_only)), 1):
        yield each


async def _shared(shell: Shell, batches: Batches, processes: int, chains_only: bool) -> AsyncIterator[Tally]:
    """Batches checked by other processes."""
    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:

        def start(ids: list[str]) -> asyncio.Future[Tally]:
            return loop.run_in_executor(pool, _elsewhere, shell.settings, ids, chains_only)

        async for each in _ahead(batches, start, 2 * processes):
            yield each


async def _ahead(batches: Batches, start: Callable[[list[str]], asyncio.Future[Tally]], count: int) -> AsyncIterator[Tally]:
    """What batches came to, in their order; while one is waited for, so many others are under way."""
    started: deque[asyncio.Future[Tally]] = deque()
    try:
        async for ids in batches:
            started.append(start(ids))
            if len(started) > count:
                yield await started.popleft()
        while started:
            yield await started.popleft()
    finally:
        for each in started:
            each.cancel()


def _elsewhere(settings: Settings, ids: list[str], chains_only: bool) -> Tally:
    """Checks a batch in a process of its own."""
    if not _RUNNING:
        collect_seldom()
        runner = asyncio.Runner()
        _RUNNING.append((runner, runner.run(open_shell(settings))))
    runner, shell = _RUNNING[0]
    return runner.run(tally(shell, ids, chains_only))


_RUNNING: list[tuple[asyncio.Runner, Shell]] = []  # what a process that only checks keeps open


async def tally(shell: Shell, ids: list[str], chains_only: bool) -> Tally:
    def due(course: Course) -> Mapping[str, dt.datetime]:
        return attention.attention(shell.machine_of(course), course, shell.zone)

    if chains_only:
        return await _chains(shell, ids)
    found = Tally()
    for course_id, checked in await shell.database.read(check_courses, shell.organisation, ids, due):
        found += _of(course_id, checked)
    return found


async def _chains(shell: Shell, ids: list[str]) -> Tally:
    """The chains of courses alone: bytes, links and order; neither what they seal, nor the columns beside them, nor the folds."""
    found, known = Tally(), set(ids)
    rows = await shell.database.fetch(CHAINS, shell.organisation, ids[0], ids[-1])
    for course_id, stored in groupby(rows, itemgetter(2)):
        found += _of(course_id, journal.check_links(stored, shell.organisation, course_id))
        known.discard(course_id)
    return found + Tally(courses=len(known))  # whose row is all there is


def _of(course_id: str, checked: Checked) -> Tally:
    bad = {"course": course_id, "seq": checked.bad_seq, "fault": checked.fault} if checked.fault else None
    return Tally(1, checked.entries, checked.erased, bad)


async def _batches(shell: Shell, course_id: str | None, size: int) -> Batches:
    """Courses in the order of their ids: those that have entries, and those that only have a row."""
    if course_id is not None:
        yield [course_id]
        return
    after = ""
    while True:
        journal_ids = await shell.database.read(queries.journal_course_ids, shell.organisation, after, LISTED)
        row_ids = await shell.database.read(queries.course_ids, shell.organisation, after, LISTED)
        listed = sorted({*journal_ids, *row_ids})[:LISTED]
        if not listed:
            return
        for first in range(0, len(listed), size):
            yield listed[first : first + size]
        after = listed[-1]


def check_courses(
    connection: sa.Connection, organisation: str, ids: Sequence[str], due: Due | None = None
) -> list[tuple[str, Checked]]:
    """Everything that can be checked of courses. `due` says what attention one asks for; without it, that is not checked."""
    stored = queries.raw_entries(connection, organisation, ids)
    courses = queries.raw_courses(connection, organisation, ids)
    return [(each, _check(connection, organisation, each, stored[each], courses.get(each), due)) for each in ids]


def check_course(connection: sa.Connection, organisation: str, course_id: str, due: Due | None = None) -> Checked:
    return check_courses(connection, organisation, [course_id], due)[0][1]


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
    return tuple((column.name, position, queries.to_driver(column, DIALECTS[dialect])) for column, position in columns)


def _same(connection: sa.Connection, column: sa.Column[Any], written: object, stored: object) -> bool:
    expected = queries.raw_form(connection, column, written)
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
