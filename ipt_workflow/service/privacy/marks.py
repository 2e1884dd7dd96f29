"""The verbs about marks on clients' records: a hold, a processing restriction, an objection to secondary use.

Each is set and ended by a person who proved just now who they are, and recorded with its ground. A preview says what it would concern.
"""

import datetime as dt
from collections.abc import Callable, Sequence

import msgspec

from ipt_workflow.access import marks
from ipt_workflow.access.marks import MarkEnd, MarkKind, NewMark
from ipt_workflow.access.principal import Principal
from ipt_workflow.errors import CommandInvalid, Fault, NotFound
from ipt_workflow.service.access.break_glass import sealed, text_of
from ipt_workflow.service.clinic import Clinic, new_id
from ipt_workflow.store import consents, emergencies, processing
from ipt_workflow.store import courses as stored_courses
from ipt_workflow.store import marks as stored
from ipt_workflow.store.events import NewEvent
from ipt_workflow.store.marks import EndedMark, MarkFilters, StoredMark

READ, CHANGE = "read marks on clients", "mark a client"
NO_CLIENT = "There is no client with this reference here."
NO_MARK = "There is no such mark."
IN_FORCE_MAX = sum(map(len, marks.GROUNDS.values()))  # on one client: one of each ground
IN_FORCE = Fault("ground", "is in force for this client already")


class MarkView(msgspec.Struct, frozen=True, kw_only=True):
    """A mark on a client's record, with the client's courses. `means` says its ground in words. It is `in_force` until it has ended."""

    id: str
    kind: MarkKind
    client_ref: str | None
    courses: tuple[str, ...]
    ground: str
    means: str
    note: str | None
    set_by: str
    set_at: dt.datetime
    in_force: bool
    ended_at: dt.datetime | None
    ended_by: str | None
    client_informed: bool | None
    end_note: str | None


class MarkPreview(msgspec.Struct, frozen=True, kw_only=True):
    """What setting a mark would concern. `in_force` are the marks on the client's record now.

    `withheld` are the courses of which subscribers would receive no more events.
    """

    kind: MarkKind
    ground: str
    courses: tuple[str, ...]
    withheld: tuple[str, ...]
    in_force: tuple[MarkView, ...]


class MarkEndPreview(msgspec.Struct, frozen=True, kw_only=True):
    """What ending a mark would concern. `resumed` are the courses of which subscribers would receive events again."""

    kind: MarkKind
    ground: str
    courses: tuple[str, ...]
    resumed: tuple[str, ...]


class Marks:
    """The marks on a clinic's clients."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic

    async def preview(self, principal: Principal, decode: Callable[[], NewMark]) -> MarkPreview:
        """What a mark would concern. Records the read and nothing else."""
        client, new = await self._asked(principal, decode)
        courses = await self.clinic.read(stored_courses.courses_of, client)
        in_force = await self.clinic.read(stored.page, MarkFilters(client=client, in_force=True), "", IN_FORCE_MAX)
        await self.clinic.log(principal, "read", f"{new.kind} preview", courses)
        concerned = await self._told_of(client, new.kind, new.ground)
        shown = tuple(await self._views(in_force))
        return MarkPreview(kind=new.kind, ground=new.ground, courses=courses, withheld=concerned, in_force=shown)

    async def set(self, principal: Principal, decode: Callable[[], NewMark]) -> MarkView:
        """Sets a mark from now on. Raises PersonNeeded or ReauthenticationNeeded, and CommandInvalid if it is in force already."""
        client, new = await self._asked(principal, decode)
        courses = await self.clinic.read(stored_courses.courses_of, client)
        mark = StoredMark(
            id=new_id(),
            client_id=client,
            kind=new.kind,
            ground=new.ground,
            set_by=principal.person,
            set_role=principal.role,
            set_at=self.clinic.clock.now(),
        )
        record = self.clinic.event(principal, "access", f"{new.kind} set", courses, [new.ground])
        events = await self._events(mark, consents.WITHHELD, mark.set_at)
        if not await self.clinic.write(stored.set_mark, mark, sealed(new.note) if new.note else None, record, events):
            raise CommandInvalid([IN_FORCE])
        self.clinic.committer.signal(self.clinic.organisation)
        return await self._view(mark.id)

    async def end(self, principal: Principal, mark_id: str, decode: Callable[[], MarkEnd]) -> MarkView:
        """Ends a mark. One that has ended stays as it is. Raises PersonNeeded, ReauthenticationNeeded or NotFound."""
        mark, end = await self._to_end(principal, mark_id, decode)
        courses = await self.clinic.read(stored_courses.courses_of, mark.client_id)
        ended = EndedMark(
            id=mark_id, ended_at=self.clinic.clock.now(), ended_by=principal.person, client_informed=end.client_informed
        )
        record = self.clinic.event(principal, "access", f"{mark.kind} ended", courses, [mark.ground])
        events = await self._events(mark, consents.RESUMED, ended.ended_at)
        await self.clinic.write(stored.end_mark, ended, sealed(end.note) if end.note else None, record, events)
        self.clinic.committer.signal(self.clinic.organisation)
        return await self._view(mark_id)

    async def preview_end(self, principal: Principal, mark_id: str, decode: Callable[[], MarkEnd]) -> MarkEndPreview:
        """What ending a mark would concern. Records the read and nothing else."""
        mark, _ = await self._to_end(principal, mark_id, decode)
        courses = await self.clinic.read(stored_courses.courses_of, mark.client_id)
        await self.clinic.log(principal, "read", f"{mark.kind} preview", courses)
        resumed = await self._told_of(mark.client_id, mark.kind, mark.ground) if mark.ended_at is None else ()
        return MarkEndPreview(kind=mark.kind, ground=mark.ground, courses=courses, resumed=resumed)

    async def _to_end(self, principal: Principal, mark_id: str, decode: Callable[[], MarkEnd]) -> tuple[StoredMark, MarkEnd]:
        await self.clinic.require(principal, CHANGE)
        await self.clinic.require_fresh(principal, CHANGE)
        mark, end = await self._found(mark_id), decode()
        if faults := marks.end_faults(mark.kind, end):
            raise CommandInvalid(faults)
        return mark, end

    async def _events(self, mark: StoredMark, kind: str, at: dt.datetime) -> list[NewEvent]:
        """What subscribers are sent where a processing restriction begins or ends (GDPR 19)."""
        courses = await self._told_of(mark.client_id, mark.kind, mark.ground)
        return [NewEvent(id=new_id(), kind=kind, course=each, created_at=at) for each in courses]

    async def _told_of(self, client: str, kind: MarkKind, ground: str) -> tuple[str, ...]:
        """The courses of which subscribers are sent that a mark begins or ends.

        Beside another restriction, and of courses of which no sharing is consented to, nothing changes for them.
        """
        if kind != "restriction" or set(await self.clinic.read(processing.grounds, client)) - {ground}:
            return ()
        courses = await self.clinic.read(stored_courses.of_client, client)
        return tuple(each.course.id for each in courses if each.course.shared)

    async def page(self, principal: Principal, filters: MarkFilters, after: str, limit: int) -> list[MarkView]:
        """Marks in the order in which they were set."""
        await self.clinic.require(principal, READ)
        views = await self._views(await self.clinic.read(stored.page, filters, after, limit))
        await self.clinic.log(principal, "read", "marks", [course for view in views for course in view.courses])
        return views

    async def one(self, principal: Principal, mark_id: str) -> MarkView:
        await self.clinic.require(principal, READ)
        await self._found(mark_id)
        view = await self._view(mark_id)
        await self.clinic.log(principal, "read", "mark", view.courses)
        return view

    async def client(self, principal: Principal, client_ref: str) -> str:
        """Our id of the client with this reference. Raises NotFound, and records the attempt."""
        found = await self.clinic.read(stored_courses.client_id, client_ref)
        if found is None:
            await self.clinic.log(principal, "refusal", CHANGE, (), ["client"])
            raise NotFound(NO_CLIENT)
        return found

    async def _asked(self, principal: Principal, decode: Callable[[], NewMark]) -> tuple[str, NewMark]:
        """The client, and what is asked for them by somebody who may."""
        await self.clinic.require(principal, CHANGE)
        await self.clinic.require_fresh(principal, CHANGE)
        new = decode()
        if faults := marks.ground_faults(new.kind, new.ground):
            raise CommandInvalid(faults)
        return await self.client(principal, new.client_ref), new

    async def _found(self, mark_id: str) -> StoredMark:
        found = await self.clinic.read(stored.find, mark_id) if "\x00" not in mark_id else None
        if found is None:
            raise NotFound(NO_MARK)
        return found

    async def _view(self, mark_id: str) -> MarkView:
        return (await self._views([await self._found(mark_id)]))[0]

    async def _views(self, found: Sequence[StoredMark]) -> list[MarkView]:
        clients = list({each.client_id for each in found})
        courses = await self.clinic.read(emergencies.courses_of_clients, clients) if clients else {}
        return [_view(each, tuple(courses[each.client_id])) for each in found]


def _view(mark: StoredMark, courses: tuple[str, ...]) -> MarkView:
    return MarkView(
        id=mark.id,
        kind=mark.kind,
        client_ref=mark.client_ref,
        courses=courses,
        ground=mark.ground,
        means=marks.GROUNDS[mark.kind][mark.ground],
        note=text_of(mark.note),
        set_by=mark.set_by,
        set_at=mark.set_at,
        in_force=mark.ended_at is None,
        ended_at=mark.ended_at,
        ended_by=mark.ended_by,
        client_informed=mark.client_informed,
        end_note=text_of(mark.end_note),
    )
