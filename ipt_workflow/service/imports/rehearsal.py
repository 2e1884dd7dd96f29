"""A clinic for rehearsals: what is written to it stays in memory, over the clinic's database, which it only reads.

The verbs run on it unchanged, so a dry run decides everything as the run itself does.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Concatenate

import msgspec

from ipt_workflow import groups
from ipt_workflow.access.client_keys import KeyRing
from ipt_workflow.groups import Group, MemberEvent
from ipt_workflow.journal import Entry
from ipt_workflow.runtime.metrics import Metrics
from ipt_workflow.service.client_keys import ClientKeys
from ipt_workflow.service.clinic import Arguments, Clinic, Result
from ipt_workflow.store import courses as stored_courses
from ipt_workflow.store import groups as stored_groups
from ipt_workflow.store import lookups
from ipt_workflow.store.committer import Committer
from ipt_workflow.store.courses import StoredCourse
from ipt_workflow.store.database import Connection
from ipt_workflow.store.loader import Loader, PendingLookup, SharedLoader
from ipt_workflow.store.units import CourseChange, GroupLine, KeptAnswer, LoggedEvent, MemberMove, NamedFacilitators, Unit


class RehearsedClinic(Clinic):
    """A clinic whose writes the database never sees. Its reads find what was written here, else what the database holds.

    Queries that are not answered here read what no line of a file changes.
    """

    def __init__(self, clinic: Clinic) -> None:
        super().__init__(clinic.installation, clinic.organisation, clinic.zone)
        self._by_digest = {protocol.digest: protocol for protocol in clinic.protocols}
        self.metrics = Metrics()
        self.keys = ClientKeys(self.database, self.organisation, KeyRing(()), self.clock)
        self.courses: RehearsedCourses = RehearsedCourses(clinic)
        self.committer = RehearsedCommitter(clinic, self._keep)
        self._clients: dict[str, str] = {}
        self._answers: dict[str, KeptAnswer] = {}
        self._entries: dict[str, list[Entry]] = defaultdict(list)
        self._groups: dict[str, Group] = {}
        self._moves: dict[str, MemberEvent] = {}
        self._queries: dict[Callable[..., Any], Callable[..., Awaitable[Any]]] = {
            stored_courses.client_id: self._client_id,
            stored_courses.other_open_course: self._other_open_course,
            stored_courses.load_entries: self._load_entries,
            stored_groups.find: self._group,
            stored_groups.last_of: self._last_move,
        }

    # Reading

    async def read(
        self, query: Callable[Concatenate[Connection, str, Arguments], Result], *args: Arguments.args, **named: Arguments.kwargs
    ) -> Result:
        rehearsed = self._queries.get(query)
        if rehearsed is None:
            return await super().read(query, *args, **named)
        found: Result = await rehearsed(*args, **named)
        return found

    async def kept_answer(self, scope: str) -> KeptAnswer | None:
        return self._answers.get(scope) or await super().kept_answer(scope)

    async def _client_id(self, ref: str) -> str | None:
        return self._clients.get(ref) or await super().read(stored_courses.client_id, ref)

    async def _other_open_course(self, client_id: str, but: str | None = None) -> str | None:
        for stored in self.courses.rehearsed.values():
            course = stored.course
            if course.client == client_id and course.acute and course.open and course.id != but:
                return course.id
        found = await super().read(stored_courses.other_open_course, client_id, but)
        return None if found in self.courses.rehearsed else found

    async def _load_entries(
        self, course_id: str, after: int = 0, limit: int | None = None, triggers: Sequence[str] = ()
    ) -> list[Entry]:
        new = self._entries[course_id]
        first = new[0].written.seq if new else None
        known = [] if first == 1 else await super().read(stored_courses.load_entries, course_id, limit=first and first - 1)
        found = (each for each in (*known, *new) if each.written.seq > after)
        return [each for each in found if not triggers or each.written.trigger in triggers][:limit]

    async def _group(self, group_id: str, version: int | None = None) -> Group | None:
        """Nothing in a file asks for an earlier version of a group than the present one."""
        return self._groups.get(group_id) or await super().read(stored_groups.find, group_id, version)

    async def _last_move(self, course_id: str) -> MemberEvent | None:
        return self._moves.get(course_id) or await super().read(stored_groups.last_of, course_id)

    # Writing

    async def _keep(self, unit: Unit) -> None:
        """Keeps what a later line may read. No line reads notices, proposals, or the texts of entries that were moved away."""
        if unit.client:
            self._clients[unit.client.ref] = unit.client.id
        if unit.answer:
            self._answers[unit.answer.scope] = unit.answer
        for change in unit.changes:
            await self._keep_course(change)
        if unit.line:
            await self._keep_line(unit.line)

    async def _keep_course(self, change: CourseChange) -> None:
        course = change.course
        before = await self.courses.get(course.id)
        ref, asked = (before.client_ref, before.asked) if before else (None, {})
        self.courses.rehearsed[course.id] = StoredCourse(course, change.entries[-1].hash, ref, asked)
        self._entries[course.id] += change.entries

    async def _keep_line(self, line: GroupLine) -> None:
        group, seq, content = await self._group(line.group), line.expected + 1, line.content
        if line.new:
            made = msgspec.structs.asdict(line.new)
            group = Group(id=line.group, version=seq, facilitators=(), **made)
        assert group is not None  # its first line made it
        if isinstance(content, NamedFacilitators):
            group = msgspec.structs.replace(group, facilitators=tuple(sorted(content.people)))
        elif isinstance(content, MemberMove):
            moved = _event(line.group, seq, content)
            self._moves[content.course] = moved
            group = msgspec.structs.replace(group, members=groups.moved(group.members, moved))
        else:
            group = msgspec.structs.replace(group, sessions=(*group.sessions, content))
        self._groups[group.id] = msgspec.structs.replace(group, version=seq)


def _event(group: str, seq: int, move: MemberMove) -> MemberEvent:
    return MemberEvent(course=move.course, group=group, nth=move.nth, seq=seq, joined=move.joined, at=move.at, reason=move.reason)


class RehearsedCourses(Loader[StoredCourse]):
    """The courses that were rehearsed, by id, over those of the database."""

    def __init__(self, clinic: Clinic) -> None:
        super().__init__(SharedLoader(clinic.database, lookups.COURSES), clinic.organisation)
        self.rehearsed: dict[str, StoredCourse] = {}

    def start(self, row_id: str) -> PendingLookup[StoredCourse]:
        if row_id not in self.rehearsed:
            return super().start(row_id)
        found: PendingLookup[StoredCourse] = asyncio.get_running_loop().create_future()
        found.set_result(self.rehearsed[row_id])
        return found


class RehearsedCommitter(Committer):
    """Gives each unit to `keep`, and drops what only the audit log would hold."""

    def __init__(self, clinic: Clinic, keep: Callable[[Unit], Awaitable[None]]) -> None:
        super().__init__(clinic.database, queue_max=0, batch_max=0, patience=0)
        self._keep = keep

    async def commit(self, work: Unit | LoggedEvent, meanwhile: Callable[[], Any] | None = None) -> Any:
        if isinstance(work, Unit):
            await self._keep(work)
        return meanwhile() if meanwhile else None
