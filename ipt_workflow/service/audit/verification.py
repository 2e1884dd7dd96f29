"""Verifies stored courses against what was written: in this process, or in several."""

import asyncio
import datetime as dt
import multiprocessing
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import aclosing
from itertools import groupby
from operator import itemgetter
from typing import Any

import msgspec

from ipt_workflow import journal
from ipt_workflow.course import Course, attention
from ipt_workflow.errors import JournalBroken
from ipt_workflow.journal import Checked
from ipt_workflow.journal.proof.ipt_verify import Checkpoint
from ipt_workflow.runtime import event_loop
from ipt_workflow.runtime.garbage import collect_seldom
from ipt_workflow.runtime.settings import Settings
from ipt_workflow.service.audit import log_verification
from ipt_workflow.service.clinic import Clinic, open_clinic
from ipt_workflow.service.views import Verification
from ipt_workflow.store import courses as stored_courses
from ipt_workflow.store import log_checks
from ipt_workflow.store.database import Connection
from ipt_workflow.store.integrity import check_courses
from ipt_workflow.store.log_checks import LogFault
from ipt_workflow.store.lookups import CHAIN, CHAINS

LISTED_COURSES = 1000  # ids in one listing; a worker process receives one listing at a time
BATCH_COURSES = 20  # courses checked at once; in a service, requests wait some 20 ms for them
READ_AHEAD_BATCHES = 2  # batches read while one is checked, in a single process
CHAIN_BATCH_COURSES = 60  # courses checked at once, chains only
CHAIN_READ_AHEAD_BATCHES = 2  # batches read while one is checked, chains only
ENTRIES_MAX = 20_000  # entries read by one query; a single course is read whole
Progress = Callable[[int], None]


class Part(msgspec.Struct, frozen=True):
    """Ids of courses, in order. With `after`, the part covers every other course between that id and the last of `ids` too."""

    ids: list[str]
    after: str | None = None

    def split(self, size: int) -> Iterator["Part"]:
        """Smaller parts of at most `size` ids, which cover the same courses."""
        after = self.after
        for first in range(0, len(self.ids), size):
            ids = self.ids[first : first + size]
            yield Part(ids, after)
            after = None if after is None else ids[-1]


Parts = AsyncIterator[Part]
Tallies = AsyncGenerator["VerificationTally", None]
Heard = Callable[["VerificationTally"], Awaitable[None]]


class VerificationTally(msgspec.Struct, frozen=True):
    """The result of checking some courses: how much was checked up to the first bad entry, and that entry."""

    courses: int = 0
    entries: int = 0
    erased: int = 0
    first_bad: dict[str, Any] | None = None

    def __add__(self, later: "VerificationTally") -> "VerificationTally":
        if self.first_bad:
            return self
        return VerificationTally(
            self.courses + later.courses, self.entries + later.entries, self.erased + later.erased, later.first_bad
        )


async def verify(
    clinic: Clinic,
    course_id: str | None = None,
    progress: Progress | None = None,
    heard: Heard | None = None,
    *,
    processes: int = 1,
    chains_only: bool = False,
    kept: Checkpoint | None = None,
) -> Verification:
    """Checks one course, or all and the log, which must continue `kept`. `progress` is called with the number of courses checked since the last call, `heard` with all so far.

    `chains_only` skips the sealed documents, the columns, the folds and the log, and takes a fraction of the time.
    With several processes, each has a connection of its own. They report the same first bad entry as one process does.
    """
    parts = _listed(clinic, _course_rows if chains_only else every_course) if course_id is None else _single(Part([course_id]))
    tallies = _in_process(clinic, parts, chains_only) if processes == 1 else _in_workers(clinic, parts, processes, chains_only)
    found = await _sum(tallies, progress, heard)
    logged = None
    if course_id is None and not chains_only and not found.first_bad:
        logged = await log_verification.verify_log(clinic, kept, whole=False)
    first_bad = found.first_bad or (bad_position(logged.fault) if logged and logged.fault else None)
    return Verification(
        ok=not first_bad,
        courses=found.courses,
        checked=found.entries,
        erased=None if chains_only else found.erased,
        first_bad=first_bad,
        leaves=logged.leaves if logged else None,
    )


async def verify_since(clinic: Clinic, kept: Checkpoint) -> Verification:
    """Checks what came after a checkpoint that somebody kept, and that the log continues it. It takes time in what is new."""
    found = await log_verification.verify_log(clinic, kept, whole=True)
    bad = bad_position(found.fault) if found.fault else None
    return Verification(ok=not bad, courses=0, checked=0, erased=None, first_bad=bad, leaves=found.leaves, since=kept.size)


def bad_position(fault: LogFault) -> dict[str, Any]:
    """A fault of the log, as the first bad entry of a verification."""
    return {"course": fault.course, "seq": fault.seq, "position": fault.position, "fault": fault.fault}


async def _sum(tallies: Tallies, progress: Progress | None = None, heard: Heard | None = None) -> VerificationTally:
    """Adds up tallies, and stops at the first bad entry."""
    found = VerificationTally()
    async with aclosing(tallies):
        async for tally in tallies:
            found += tally
            if progress:
                progress(tally.courses)
            if heard:
                await heard(found)
            if found.first_bad:
                break
    return found


async def _in_workers(clinic: Clinic, parts: Parts, processes: int, chains_only: bool) -> Tallies:
    """Checks the parts in worker processes."""
    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:

        def start(part: Part) -> asyncio.Future[VerificationTally]:
            return loop.run_in_executor(pool, _work, clinic.settings, part, chains_only)

        async with aclosing(_in_order(parts, start, 2 * processes)) as tallies:
            async for each in tallies:
                yield each


def _work(settings: Settings, part: Part, chains_only: bool) -> VerificationTally:
    """Checks a part in a worker process. It reads nothing ahead, since the other workers keep the cores busy while it waits."""
    if not _WORKER:
        collect_seldom()
        runner = event_loop.runner()
        _WORKER.append((runner, runner.run(open_clinic(settings, reads_only=True))))
    runner, clinic = _WORKER[0]
    return runner.run(_sum(_in_process(clinic, _single(part), chains_only, read_ahead=False)))


_WORKER: list[tuple[asyncio.Runner, Clinic]] = []  # the event loop and the clinic that a worker process keeps open


async def _in_process(clinic: Clinic, parts: Parts, chains_only: bool, *, read_ahead: bool = True) -> Tallies:
    """Checks the parts in this process, a batch at a time."""
    if chains_only:
        check, size, ahead = _check_chains, CHAIN_BATCH_COURSES, CHAIN_READ_AHEAD_BATCHES
    else:
        check, size, ahead = _check_whole, BATCH_COURSES, READ_AHEAD_BATCHES

    def start(part: Part) -> asyncio.Future[VerificationTally]:
        return asyncio.ensure_future(check(clinic, part))

    async with aclosing(_in_order(_split(parts, size), start, ahead if read_ahead else 0)) as tallies:
        async for each in tallies:
            yield each


async def _in_order(parts: Parts, start: Callable[[Part], asyncio.Future[VerificationTally]], ahead: int) -> Tallies:
    """The tallies of the parts, in order. While it waits for one, `ahead` others are under way."""
    started: deque[asyncio.Future[VerificationTally]] = deque()
    try:
        async for part in parts:
            started.append(start(part))
            if len(started) > ahead:
                yield await started.popleft()
        while started:
            yield await started.popleft()
    finally:
        for each in started:
            each.cancel()


async def _check_whole(clinic: Clinic, part: Part) -> VerificationTally:
    """Checks chains, columns, sealed documents and folds."""

    def due(course: Course) -> Mapping[str, dt.datetime]:
        machine = clinic.machine_of(course)
        return attention.attention(machine.protocol, machine.bound, course, clinic.zone)

    found = VerificationTally()
    for course_id, checked in await clinic.read(check_courses, part.ids, due):
        found += VerificationTally(1, checked.entries, checked.erased, _bad(course_id, checked))
    missing = None if found.first_bad else await clinic.read(log_checks.unlogged, part.ids)
    if missing:
        bad = {"course": missing[0], "seq": missing[1], "fault": "log_leaf: the entry is not in the log"}
        found += VerificationTally(0, 0, 0, bad)
    return found


async def _check_chains(clinic: Clinic, part: Part) -> VerificationTally:
    """Checks bytes, links and order of the chains; not the sealed documents, the columns or the folds."""
    if part.after is None:
        rows = await clinic.database.fetch(CHAIN, clinic.organisation, *part.ids)
    else:
        statement = CHAINS[clinic.database.dialect]
        values = {"organisation": clinic.organisation, "after": part.after, "last": part.ids[-1], "most": ENTRIES_MAX}
        rows = await clinic.database.fetch(statement.sql, *statement.values(values))
        if len(rows) == ENTRIES_MAX:
            return await _one_by_one(clinic, part.after, part.ids[-1])
    courses, entries, without_entries = 0, 0, set(part.ids)
    for course_id, stored in groupby(rows, itemgetter(2)):
        checked = journal.check_links(stored, clinic.organisation, course_id)
        courses, entries = courses + 1, entries + checked.entries
        if checked.fault:
            return VerificationTally(courses, entries, first_bad=_bad(course_id, checked))
        without_entries.discard(course_id)
    return VerificationTally(courses + len(without_entries), entries)


async def _one_by_one(clinic: Clinic, after: str, last: str) -> VerificationTally:
    """Checks the chains after one id up to another, each with a query of its own.

    More entries lie there than one query may read, since rows of `course` can be missing between the two ids.
    """
    found = VerificationTally()
    async for listed in _listed(clinic, every_course, after):
        for course_id in listed.ids:
            found += await _check_chains(clinic, Part([course_id]))
            if found.first_bad or course_id == last:
                return found
    return found


def _bad(course_id: str, checked: Checked) -> dict[str, Any] | None:
    return {"course": course_id, "seq": checked.bad_seq, "fault": checked.fault} if checked.fault else None


async def _listed(clinic: Clinic, ids: Callable[[Connection, str, str, int], list[str]], after: str = "") -> Parts:
    """All courses after an id. Raises JournalBroken if an id is damaged, so that the database finds no id after it."""
    while listed := await clinic.read(ids, after, LISTED_COURSES):
        if listed[-1] == after:
            raise JournalBroken(f"The id {after} of a course is not as it was written. Compare the database with a backup.")
        yield Part(listed, after)
        after = listed[-1]


def every_course(connection: Connection, organisation: str, after: str, limit: int) -> list[str]:
    """Courses with entries, and courses that only have a row."""
    in_journal = stored_courses.journal_course_ids(connection, organisation, after, limit)
    return sorted({*in_journal, *stored_courses.course_ids(connection, organisation, after, limit)})[:limit]


def _course_rows(connection: Connection, organisation: str, after: str, limit: int) -> list[str]:
    """Courses with a row, and after the last of them the courses that only have entries.

    A course between two rows is read with them: see `Part.after`.
    """
    listed = stored_courses.course_ids(connection, organisation, after, limit)
    return listed or stored_courses.journal_course_ids(connection, organisation, after, limit)


async def _single(part: Part) -> Parts:
    yield part


async def _split(parts: Parts, size: int) -> Parts:
    async for part in parts:
        for each in part.split(size):
            yield each
