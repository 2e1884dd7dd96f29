"""Verifying many courses, by this process or several: what is stored against what was written."""

import asyncio
import datetime as dt
import multiprocessing
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
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
from ipt_workflow.runtime import event_loop
from ipt_workflow.runtime.garbage import collect_seldom
from ipt_workflow.runtime.settings import Settings
from ipt_workflow.service.clinic import Clinic, open_clinic
from ipt_workflow.service.views import Verification
from ipt_workflow.store import courses as stored_courses
from ipt_workflow.store.database import Connection
from ipt_workflow.store.integrity import check_courses
from ipt_workflow.store.lookups import CHAIN, CHAINS

LISTED = 1000  # courses whose ids are asked for at once; another process is given as many
TOGETHER, AHEAD = 100, 1  # of them checked at once; how many times as many are read meanwhile, where one process does it all
CHAINS_TOGETHER, CHAINS_AHEAD = 60, 2  # the same, where chains alone are checked
ENTRIES = 20_000  # read at once, at most; a single course is read whole
Progress = Callable[[int], None]


class Part(msgspec.Struct, frozen=True):
    """Courses by their ids, in order; and whatever else lies after one id, up to the last of them. None where they are all there is."""

    ids: list[str]
    after: str | None = None

    def split(self, size: int) -> Iterator["Part"]:
        after = self.after
        for first in range(0, len(self.ids), size):
            ids = self.ids[first : first + size]
            yield Part(ids, after)
            after = None if after is None else ids[-1]


Parts = AsyncIterator[Part]
Tallies = AsyncGenerator["VerificationTally", None]


class VerificationTally(msgspec.Struct, frozen=True):
    """What checking some courses came to: how much was checked until the first that is bad, and that one."""

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
    processes: int = 1,
    *,
    chains_only: bool = False,
) -> Verification:
    """Checks one course or all. `progress` is called with the number of courses checked since the last call.

    `chains_only` leaves out what is sealed, the columns and the folds, which takes a fraction of the time.

    Several processes share the work, each with its own connection; the first bad entry is the same whoever finds it.
    """
    parts = _listed(clinic, _neighbours if chains_only else _every) if course_id is None else _only(Part([course_id]))
    tallies = _here(clinic, parts, chains_only) if processes == 1 else _shared(clinic, parts, processes, chains_only)
    found = await _sum(tallies, progress)
    return Verification(
        ok=not found.first_bad,
        courses=found.courses,
        checked=found.entries,
        erased=None if chains_only else found.erased,
        first_bad=found.first_bad,
    )


async def _sum(tallies: Tallies, progress: Progress | None = None) -> VerificationTally:
    """All of them, until the first with something bad."""
    found = VerificationTally()
    async with aclosing(tallies):
        async for tally in tallies:
            found += tally
            if progress:
                progress(tally.courses)
            if found.first_bad:
                break
    return found


async def _shared(clinic: Clinic, parts: Parts, processes: int, chains_only: bool) -> Tallies:
    """Courses checked by other processes."""
    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:

        def start(part: Part) -> asyncio.Future[VerificationTally]:
            return loop.run_in_executor(pool, _elsewhere, clinic.settings, part, chains_only)

        async with aclosing(_in_order(parts, start, 2 * processes)) as tallies:
            async for each in tallies:
                yield each


def _elsewhere(settings: Settings, part: Part, chains_only: bool) -> VerificationTally:
    """Checks a part in a process of its own, which reads nothing ahead: while one waits, the others keep the cores busy."""
    if not _RUNNING:
        collect_seldom()
        runner = event_loop.runner()
        _RUNNING.append((runner, runner.run(open_clinic(settings))))
    runner, clinic = _RUNNING[0]
    return runner.run(_sum(_here(clinic, _only(part), chains_only, alone=False)))


_RUNNING: list[tuple[asyncio.Runner, Clinic]] = []  # what a process that only checks keeps open


async def _here(clinic: Clinic, parts: Parts, chains_only: bool, *, alone: bool = True) -> Tallies:
    """Courses checked by this process; if `alone`, while the next are read."""
    check, together, ahead = (_chains, CHAINS_TOGETHER, CHAINS_AHEAD) if chains_only else (_wholly, TOGETHER, AHEAD)

    def start(part: Part) -> asyncio.Future[VerificationTally]:
        return asyncio.ensure_future(check(clinic, part))

    async with aclosing(_in_order(_split(parts, together), start, ahead if alone else 0)) as tallies:
        async for each in tallies:
            yield each


async def _in_order(parts: Parts, start: Callable[[Part], asyncio.Future[VerificationTally]], ahead: int) -> Tallies:
    """What parts came to, in their order; while one is waited for, so many others are under way."""
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


async def _wholly(clinic: Clinic, part: Part) -> VerificationTally:
    """Everything that can be checked of courses."""

    def due(course: Course) -> Mapping[str, dt.datetime]:
        machine = clinic.machine_of(course)
        return attention.attention(machine.protocol, machine.bound, course, clinic.zone)

    found = VerificationTally()
    for course_id, checked in await clinic.read(check_courses, part.ids, due):
        found += VerificationTally(1, checked.entries, checked.erased, _bad(course_id, checked))
    return found


async def _chains(clinic: Clinic, part: Part) -> VerificationTally:
    """The chains of courses alone: bytes, links and order; neither what they seal, nor the columns beside them, nor the folds."""
    if part.after is None:
        rows = await clinic.database.fetch(CHAIN, clinic.organisation, *part.ids)
    else:
        statement = CHAINS[clinic.database.dialect]
        given = {"organisation": clinic.organisation, "after": part.after, "last": part.ids[-1], "most": ENTRIES}
        rows = await clinic.database.fetch(statement.sql, *statement.values(given))
        if len(rows) == ENTRIES:
            return await _one_by_one(clinic, part.after, part.ids[-1])
    courses, entries, only_rows = 0, 0, set(part.ids)
    for course_id, stored in groupby(rows, itemgetter(2)):
        checked = journal.check_links(stored, clinic.organisation, course_id)
        courses, entries = courses + 1, entries + checked.entries
        if checked.fault:
            return VerificationTally(courses, entries, first_bad=_bad(course_id, checked))
        only_rows.discard(course_id)
    return VerificationTally(courses + len(only_rows), entries)


async def _one_by_one(clinic: Clinic, after: str, last: str) -> VerificationTally:
    """The chains of courses between which more lies than may be read at once: of any number, the rows may be gone."""
    found = VerificationTally()
    async for listed in _listed(clinic, _every, after):
        for course_id in listed.ids:
            found += await _chains(clinic, Part([course_id]))
            if found.first_bad or course_id == last:
                return found
    return found


def _bad(course_id: str, checked: Checked) -> dict[str, Any] | None:
    return {"course": course_id, "seq": checked.bad_seq, "fault": checked.fault} if checked.fault else None


async def _listed(clinic: Clinic, ids: Callable[[Connection, str, str, int], list[str]], after: str = "") -> Parts:
    """All courses after an id. Raises JournalBroken where an id is damaged so that no id comes after it."""
    while listed := await clinic.read(ids, after, LISTED):
        if listed[-1] == after:
            raise JournalBroken(f"The id {after} of a course is not as it was written.")
        yield Part(listed, after)
        after = listed[-1]


def _every(connection: Connection, organisation: str, after: str, limit: int) -> list[str]:
    """Courses that have entries, and those that only have a row."""
    in_journal = stored_courses.journal_course_ids(connection, organisation, after, limit)
    return sorted({*in_journal, *stored_courses.course_ids(connection, organisation, after, limit)})[:limit]


def _neighbours(connection: Connection, organisation: str, after: str, limit: int) -> list[str]:
    """Courses that have a row; and after the last of them, those that only have entries. What lies between is read with them."""
    listed = stored_courses.course_ids(connection, organisation, after, limit)
    return listed or stored_courses.journal_course_ids(connection, organisation, after, limit)


async def _only(part: Part) -> Parts:
    yield part


async def _split(parts: Parts, size: int) -> Parts:
    async for part in parts:
        for each in part.split(size):
            yield each
