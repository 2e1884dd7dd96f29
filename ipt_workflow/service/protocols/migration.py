"""Moves live courses to another version of their protocol: plans the moves of all, and moves the chosen ones, with one entry each.

Courses are read, planned and moved a batch at a time, in the order of their ids, so that memory does not grow with their number.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from itertools import islice
from typing import Literal, TypeVar

import msgspec

from ipt_workflow import journal
from ipt_workflow.access.principal import Principal
from ipt_workflow.course.carry_over import Move
from ipt_workflow.course.triggers import Command
from ipt_workflow.errors import Busy, StaleVersion, TransitionRefused
from ipt_workflow.journal import Entry
from ipt_workflow.protocols.definition import Protocol
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.service.courses import Courses
from ipt_workflow.service.writes import Write
from ipt_workflow.store import courses as stored_courses
from ipt_workflow.store.courses import StoredCourse

BATCH = 100
AT_ONCE = 20  # commits in flight at a time
TRIGGER = "migrate_protocol"
Item = TypeVar("Item")
Became = Literal["moved", "there_already", "stuck", "conflict", "refused", "ended", "other_protocol", "unknown"]
FAILED: frozenset[Became] = frozenset({"stuck", "conflict", "refused", "ended", "other_protocol", "unknown"})


class PlannedMove(msgspec.Struct, frozen=True, kw_only=True):
    """The planned move of a live course. `version` is the course's version at the time of planning."""

    course: str
    version: int
    state: str
    move: Move


class MigrationResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result for one chosen course. A `conflict` can be retried: the course changed after it was planned."""

    course: str
    became: Became
    why: str = ""


class Mover:
    """Plans and makes the moves from one version of a protocol to another."""

    def __init__(self, clinic: Clinic, old: Protocol, new: Protocol) -> None:
        self.clinic = clinic
        self.courses = Courses(clinic)
        self.old = old
        self.new = new

    async def plans(self, principal: Principal) -> AsyncIterator[list[PlannedMove]]:
        """Plans the move of every live course under the old version. The audit log records the read, with every course."""
        planned = await self.page(principal)
        while planned:
            yield planned
            planned = await self.page(principal, planned[-1].course)

    async def page(self, principal: Principal, after: str = "") -> list[PlannedMove]:
        """Plans the moves of the next BATCH live courses after an id."""
        await self.clinic.require(principal, "try a protocol")
        found = await self.clinic.read(stored_courses.open_courses_under, self.old.id, self.old.version, after, BATCH)
        return await self._planned(principal, found)

    async def move_clean(self, principal: Principal, reason: str) -> AsyncIterator[list[MigrationResult]]:
        """Moves every course that carries over without gaps."""
        await self.clinic.require(principal, "change a course")
        async for planned in self.plans(principal):
            yield await self._move(principal, [each for each in planned if each.move.kind == "carries_over"], reason)

    async def move(self, principal: Principal, courses: Iterable[str], reason: str) -> AsyncIterator[list[MigrationResult]]:
        """Moves the named courses, also with new gaps. Skips those under the new version already."""
        await self.clinic.require(principal, "change a course")
        for ids in _batches(courses, BATCH):
            found = {each.course.id: each for each in await self.clinic.read(stored_courses.courses_by_id, ids)}
            skip_reasons = {course_id: self._skip_reason(found.get(course_id)) for course_id in ids}  # repeated ids count once
            skipped = [MigrationResult(course=course_id, became=reason) for course_id, reason in skip_reasons.items() if reason]
            planned = await self._planned(principal, [found[course_id] for course_id, reason in skip_reasons.items() if not reason])
            stuck = [
                MigrationResult(course=each.course, became="stuck", why=each.move.explanation)
                for each in planned
                if each.move.obstacles
            ]
            moved = await self._move(principal, [each for each in planned if not each.move.obstacles], reason)
            yield [*skipped, *stuck, *moved]

    def _skip_reason(self, stored: StoredCourse | None) -> Became | None:
        """Why a chosen course cannot be planned; None if it can."""
        if stored is None:
            return "unknown"
        if stored.course.protocol_digest == self.new.digest:
            return "there_already"
        if stored.course.protocol_digest != self.old.digest:
            return "other_protocol"
        return None if stored.course.open else "ended"

    async def _planned(self, principal: Principal, found: Sequence[StoredCourse]) -> list[PlannedMove]:
        ids = [stored.course.id for stored in found]
        if not ids:
            return []
        entries = await self.clinic.read(stored_courses.entries_of, ids)
        await self.clinic.log(principal, "read", "migration plan", ids)
        return [self._plan(principal, stored, entries[stored.course.id]) for stored in found]

    def _plan(self, principal: Principal, stored: StoredCourse, entries: list[Entry]) -> PlannedMove:
        course = stored.course
        now = max(self.clinic.clock.now(), course.last_recorded_at)
        context = self.clinic.context(principal, now, history=journal.facts(entries))
        move = self.clinic.machine_of(course).plan(course, self.new, context)
        return PlannedMove(course=course.id, version=course.version, state=course.state, move=move)

    async def _move(self, principal: Principal, planned: Iterable[PlannedMove], reason: str) -> list[MigrationResult]:
        results: list[MigrationResult] = []
        for batch in _batches(planned, AT_ONCE):
            results += await asyncio.gather(*(self._fire(principal, each, reason) for each in batch))
        return results

    async def _fire(self, principal: Principal, planned: PlannedMove, reason: str) -> MigrationResult:
        """Moves one course, if it still has the version that was planned."""
        command = Command(TRIGGER, {"protocol": self.new.id, "protocol_version": self.new.version}, reason=reason)
        write = Write(decode=lambda: (command,), triggers=(TRIGGER,), version=planned.version)
        try:
            await self.courses.fire(principal, planned.course, write)
        except StaleVersion:
            return MigrationResult(
                course=planned.course, became="conflict", why="The course changed after it was planned. Move it again."
            )
        except Busy as error:
            return MigrationResult(course=planned.course, became="conflict", why=str(error))
        except TransitionRefused as error:
            return MigrationResult(course=planned.course, became="refused", why=", ".join(each.rule for each in error.refusals))
        return MigrationResult(course=planned.course, became="moved", why=planned.move.explanation)


def _batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    remaining = iter(items)
    while batch := list(islice(remaining, size)):
        yield batch


def course_ids(text: Iterable[str]) -> Iterator[str]:
    """Ids separated by commas or lines. Blanks are skipped, and comments from `#` to the end of the line."""
    for line in text:
        for each in line.partition("#")[0].split(","):
            if each.strip():
                yield each.strip()
