"""Moving running courses to another version of their protocol: previewed all, moved those that are chosen, one entry each.

It streams: courses are read, planned and moved a batch at a time, in the order of their ids, and nothing is kept of a batch that is done.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from itertools import islice
from typing import Literal, TypeVar

import msgspec

from ipt_workflow import journal
from ipt_workflow.access import policy
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
AT_ONCE = 20  # commits that wait together
TRIGGER = "migrate_protocol"
Item = TypeVar("Item")
Became = Literal["moved", "there_already", "stuck", "conflict", "refused", "ended", "other_protocol", "unknown"]
FAILED: frozenset[Became] = frozenset({"stuck", "conflict", "refused", "ended", "other_protocol", "unknown"})


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """A live course, the version of it that was planned on, and what its move would be."""

    course: str
    version: int
    state: str
    move: Move


class MigrationResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a course that was chosen. A `conflict` may be tried again: the course was changed since it was planned."""

    course: str
    became: Became
    why: str = ""


class Mover:
    """Plans and moves, from one version of a protocol to another."""

    def __init__(self, clinic: Clinic, old: Protocol, new: Protocol) -> None:
        self.clinic = clinic
        self.courses = Courses(clinic)
        self.old = old
        self.new = new

    async def plans(self, principal: Principal) -> AsyncIterator[list[Planned]]:
        """Every live course under the old version, refolded under the new. Reading them is recorded, with every course it touched."""
        policy.require(principal, "try a protocol")
        after = ""
        while True:
            found = await self.clinic.read(stored_courses.open_courses_under, self.old.id, self.old.version, after, BATCH)
            if not found:
                return
            yield await self._planned(principal, found)
            after = found[-1].course.id

    async def move_clean(self, principal: Principal, reason: str) -> AsyncIterator[list[MigrationResult]]:
        """Moves every course that carries over whole."""
        policy.require(principal, "change a course")
        async for planned in self.plans(principal):
            yield await self._move(principal, [each for each in planned if each.move.kind == "carries_over"], reason)

    async def move(self, principal: Principal, courses: Iterable[str], reason: str) -> AsyncIterator[list[MigrationResult]]:
        """Moves these courses, those with new gaps too. Those that are there already are passed over."""
        policy.require(principal, "change a course")
        for ids in _batches(courses, BATCH):
            found = {each.course.id: each for each in await self.clinic.read(stored_courses.courses_by_id, ids)}
            left_alone = {its_id: self._left_alone(found.get(its_id)) for its_id in ids}  # each once, however often it is listed
            passed = [MigrationResult(course=its_id, became=why) for its_id, why in left_alone.items() if why]
            planned = await self._planned(principal, [found[its_id] for its_id, why in left_alone.items() if not why])
            stuck = [MigrationResult(course=p.course, became="stuck", why=p.move.explanation) for p in planned if p.move.obstacles]
            moved = await self._move(principal, [each for each in planned if not each.move.obstacles], reason)
            yield [*passed, *stuck, *moved]

    def _left_alone(self, stored: StoredCourse | None) -> Became | None:
        """Why a course that was chosen is not moved, whatever its plan."""
        if stored is None:
            return "unknown"
        if stored.course.protocol_digest == self.new.digest:
            return "there_already"
        if stored.course.protocol_digest != self.old.digest:
            return "other_protocol"
        return None if stored.course.open else "ended"

    async def _planned(self, principal: Principal, found: Sequence[StoredCourse]) -> list[Planned]:
        ids = [stored.course.id for stored in found]
        if not ids:
            return []
        entries = await self.clinic.read(stored_courses.entries_of, ids)
        await self.clinic.record(principal, "read", "migration plan", ids)
        return [self._plan(principal, stored, entries[stored.course.id]) for stored in found]

    def _plan(self, principal: Principal, stored: StoredCourse, entries: list[Entry]) -> Planned:
        course = stored.course
        now = max(self.clinic.clock.now(), course.last_recorded_at)
        context = self.clinic.context(principal, now, history=journal.facts(entries))
        move = self.clinic.machine_of(course).plan(course, self.new, context)
        return Planned(course=course.id, version=course.version, state=course.state, move=move)

    async def _move(self, principal: Principal, planned: Iterable[Planned], reason: str) -> list[MigrationResult]:
        outcomes: list[MigrationResult] = []
        for some in _batches(planned, AT_ONCE):
            outcomes += await asyncio.gather(*(self._fire(principal, each, reason) for each in some))
        return outcomes

    async def _fire(self, principal: Principal, planned: Planned, reason: str) -> MigrationResult:
        """One entry, on the version that was planned on."""
        command = Command(TRIGGER, {"protocol": self.new.id, "protocol_version": self.new.version}, reason=reason)
        write = Write(decode=lambda: (command,), triggers=(TRIGGER,), version=planned.version)
        try:
            await self.courses.fire(principal, planned.course, write)
        except StaleVersion:
            return MigrationResult(course=planned.course, became="conflict", why="It was changed after it was planned.")
        except Busy as busy:
            return MigrationResult(course=planned.course, became="conflict", why=str(busy))
        except TransitionRefused as refused:
            return MigrationResult(course=planned.course, became="refused", why=", ".join(each.rule for each in refused.refusals))
        return MigrationResult(course=planned.course, became="moved", why=planned.move.explanation)


def _batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    remaining = iter(items)
    while batch := list(islice(remaining, size)):
        yield batch


def course_ids(text: Iterable[str]) -> Iterator[str]:
    """Ids as they are listed: by commas or lines; blanks and what follows a `#` are left out."""
    for line in text:
        for each in line.partition("#")[0].split(","):
            if each.strip():
                yield each.strip()
