"""The verbs about cover: arrange it, end it, list it. That it begins and ends by itself is the predicate's part (`store/relations.py`)."""

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Literal

import msgspec

from ipt_workflow.access.cover import CoverTime, NewCover, cover_faults, may_end
from ipt_workflow.access.people import Named
from ipt_workflow.access.principal import Principal
from ipt_workflow.errors import CommandInvalid, Fault, Forbidden, NotFound
from ipt_workflow.service.access.staff import Staff
from ipt_workflow.service.clinic import ROLE, Clinic, new_id
from ipt_workflow.store import covers as stored_covers
from ipt_workflow.store import relations as stored_relations
from ipt_workflow.store.covers import StoredCover
from ipt_workflow.values.faults import time_faults

NO_COVER = "There is no such cover, or none that you may see."
NOT_YOURS = "is no course of the therapist; cover is for the therapist's own courses"
NOT_SUPERVISED = "must be somebody whom you supervise; ask their supervisor or an administrator"


class CoverView(msgspec.Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    """Cover by a colleague. Without `courses` it is for every course of the therapist."""

    id: str
    therapist: str
    colleague: str
    from_: dt.datetime
    until: dt.datetime
    courses: tuple[str, ...] | None
    client_told: bool
    reason: str
    status: Literal["planned", "in_force", "over", "ended"]
    set_by: str
    set_role: str
    set_at: dt.datetime
    ended_at: dt.datetime | None
    ended_by: str | None


class Covers:
    """Arranges cover in a clinic."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic
        self.staff = Staff(clinic)

    async def arrange(self, principal: Principal, decode: Callable[[], NewCover]) -> CoverView:
        """Arranges cover. A therapist does it for their own courses; more than 21 days without a break take a supervisor."""
        await self.clinic.require(principal, "arrange cover")
        new, now = decode(), self.clinic.clock.now()
        span = await self._span(principal, new, now)
        cover = StoredCover(
            id=new_id(),
            therapist=new.therapist,
            colleague=new.colleague,
            starts_at=span.start,
            ends_at=span.end,
            everything=new.courses is None,
            client_told=new.client_told,
            reason=new.reason,
            set_by=principal.person,
            set_role=principal.role,
            set_at=now,
        )
        await self.clinic.write(stored_covers.insert, cover, new.courses or ())
        await self.clinic.log(principal, "access", f"cover {cover.id} arranged", new.courses or ())
        return self._view(cover, new.courses or ())

    async def _span(self, principal: Principal, new: NewCover, now: dt.datetime) -> CoverTime:
        """From when until when the cover is. Raises CommandInvalid with every fault of the body."""
        if faults := [*time_faults(new.from_, "from"), *time_faults(new.until, "until")]:
            raise CommandInvalid(faults)
        start, end = (new.from_ or now).astimezone(dt.UTC), new.until.astimezone(dt.UTC)
        if now - start > dt.timedelta(seconds=self.clinic.settings.clock_ahead_seconds):
            faults.append(Fault("from", "lies in the past; leave it out to begin now"))
        span = CoverTime(max(start, now), end)
        named = [Named("therapist", new.therapist, "therapist"), Named("colleague", new.colleague, "cover")]
        faults += await self.staff.faults(principal, named)
        people = await self._people(principal)
        if principal.role == "supervisor" and people is not None and new.therapist not in people:
            faults.append(Fault("therapist", NOT_SUPERVISED))
        others = await self.clinic.read(stored_covers.spans, new.therapist, new.colleague)
        faults += cover_faults(principal, new, span, now, others)
        unknown = await self.clinic.read(stored_covers.not_theirs, new.therapist, new.courses or ())
        faults += [Fault(f"courses[{index}]", NOT_YOURS) for index, each in enumerate(new.courses or ()) if each in unknown]
        if faults:
            raise CommandInvalid(faults)
        return span

    async def end(self, principal: Principal, cover_id: str) -> CoverView:
        """Ends cover before its time. Either of the two people may, and whoever may arrange it."""
        cover = await self._visible(principal, cover_id)
        await self.clinic.require(principal, "arrange cover")
        if not may_end(principal, cover.therapist, cover.colleague):
            await self.clinic.log(principal, "refusal", "end cover", (), [ROLE])
            raise Forbidden("end this cover", principal.role, ("the therapist", "the colleague", "a supervisor"))
        if await self.clinic.write(stored_covers.end, cover_id, principal.person, self.clinic.clock.now()):
            await self.clinic.log(principal, "access", f"cover {cover_id} ended", await self._courses(cover_id))
        return await self.one(principal, cover_id)

    async def one(self, principal: Principal, cover_id: str) -> CoverView:
        cover = await self._visible(principal, cover_id)
        return self._view(cover, await self._courses(cover_id))

    async def page(self, principal: Principal, after: str, limit: int) -> list[CoverView]:
        """Cover that is planned or in force, in the order it was arranged. A therapist sees what they gave and what they got."""
        await self.clinic.require(principal, "read cover")
        people = await self._people(principal)
        found = await self.clinic.read(stored_covers.page, people, self.clinic.clock.now(), after, limit)
        listing = [each.id for each in found if not each.everything]
        listed = await self.clinic.read(stored_covers.courses_of, listing) if listing else {}
        courses = {each.id: listed.get(each.id, []) for each in found}
        await self.clinic.log(principal, "read", "covers", [course for each in found for course in courses[each.id]])
        return [self._view(each, courses[each.id]) for each in found]

    async def _people(self, principal: Principal) -> list[str] | None:
        """The people whose cover the principal sees; None for all."""
        who = self.clinic.viewer(principal)
        if not who.has_ties or who.sees_organisation:
            return None
        supervised = await self.clinic.read(stored_relations.supervisees_of, who.person) if who.sees_supervisees else ()
        return [who.person, *supervised]

    async def _visible(self, principal: Principal, cover_id: str) -> StoredCover:
        await self.clinic.require(principal, "read cover")
        cover = await self.clinic.read(stored_covers.find, cover_id) if "\x00" not in cover_id else None
        people = await self._people(principal)
        if cover is None:
            raise NotFound(NO_COVER)
        if people is not None and {cover.therapist, cover.colleague}.isdisjoint(people):
            raise await self.clinic.hidden(principal, "see cover", (), NO_COVER)
        return cover

    async def _courses(self, cover_id: str) -> list[str]:
        return (await self.clinic.read(stored_covers.courses_of, [cover_id]))[cover_id]

    def _view(self, cover: StoredCover, courses: Sequence[str]) -> CoverView:
        return CoverView(
            id=cover.id,
            therapist=cover.therapist,
            colleague=cover.colleague,
            from_=cover.starts_at,
            until=cover.ends_at,
            courses=None if cover.everything else tuple(courses),
            client_told=cover.client_told,
            reason=cover.reason,
            status=_status(cover, self.clinic.clock.now()),
            set_by=cover.set_by,
            set_role=cover.set_role,
            set_at=cover.set_at,
            ended_at=cover.ended_at,
            ended_by=cover.ended_by,
        )


def _status(cover: StoredCover, now: dt.datetime) -> Literal["planned", "in_force", "over", "ended"]:
    if cover.ended_at is not None:
        return "ended"
    if cover.ends_at <= now:
        return "over"
    return "in_force" if cover.starts_at <= now else "planned"
