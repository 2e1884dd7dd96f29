"""The verbs of emergency access: start it, end it, and review it afterwards."""

import datetime as dt
import secrets
from collections.abc import Callable, Sequence

import msgspec

from ipt_workflow import journal
from ipt_workflow.access import break_glass
from ipt_workflow.access.break_glass import NewEmergencyAccess, NewReview
from ipt_workflow.access.principal import Principal
from ipt_workflow.access.relations import EMERGENCY
from ipt_workflow.errors import EmergencyReviewed, Forbidden, NotFound
from ipt_workflow.service.clinic import ROLE, Clinic, new_id
from ipt_workflow.store import courses as stored_courses
from ipt_workflow.store import emergencies as stored
from ipt_workflow.store.emergencies import AccessFilters, SealedText, StoredAccess, StoredReview
from ipt_workflow.store.events import NewEvent
from ipt_workflow.values.canonical import canonical

STARTED, ENDED, REVIEWED = "emergency access started", "emergency access ended", "emergency access reviewed"
NO_CLIENT = "No client has this reference, or they have no course here. Check the reference."
NO_ACCESS = "There is no such emergency access, or none that you may see."


class EmergencyReviewView(msgspec.Struct, frozen=True, kw_only=True):
    """A supervisor's judgement. `comment` is null if there is none, or if it was erased."""

    verdict: str
    reviewer: str
    reviewed_at: dt.datetime
    comment: str | None


class EmergencyAccessView(msgspec.Struct, frozen=True, kw_only=True):
    """An emergency access. `courses` are those that it opens. `ended_at` is null unless it was ended before `until`.

    `often`: it was one more than three of the same person within 30 days. `restricted`: a course was restricted when it was started.
    `overdue`: nobody has reviewed it within 72 hours. `reason` is null if it was erased, or is hidden from an auditor. A supervisor who may
    see no course of the client does not learn who it is: `client_ref` and `reason` are null, and `courses` is empty.
    """

    id: str
    client_ref: str | None
    courses: tuple[str, ...]
    person: str
    role: str
    via: str
    code: str
    reason: str | None
    started_at: dt.datetime
    until: dt.datetime
    ended_at: dt.datetime | None
    ended_by: str | None
    in_force: bool
    restricted: bool
    often: bool
    review_due: dt.datetime
    overdue: bool
    review: EmergencyReviewView | None


class EmergencyAccesses:
    """The emergency accesses of a clinic."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic

    async def start(self, principal: Principal, decode: Callable[[], NewEmergencyAccess]) -> EmergencyAccessView:
        """Opens the courses of the client with this reference. Raises PersonNeeded or ReauthenticationNeeded."""
        await self.clinic.require(principal, "take emergency access")
        now = self.clinic.clock.now()
        await self.clinic.require_fresh(principal, "take emergency access")
        new = decode()
        client = await self.clinic.read(stored_courses.client_id, new.client_ref)
        courses = await self.clinic.read(stored_courses.of_client, client) if client else []
        if client is None or not courses:
            await self.clinic.log(principal, "refusal", "take emergency access", (), ["client"])
            raise NotFound(NO_CLIENT)
        access = StoredAccess(
            id=new_id(),
            client_id=client,
            person=principal.person,
            role=principal.role,
            via=principal.via,
            code=new.code,
            starts_at=now,
            ends_at=now + dt.timedelta(minutes=new.minutes),
            restricted=any(each.restricted for each in courses),
        )
        ids = [each.course.id for each in courses]
        published = [NewEvent(id=new_id(), kind="emergency", course=each, detail=access.id, created_at=now) for each in ids]
        record = self.clinic.event(principal, "access", STARTED, ids, why=EMERGENCY)
        await self.clinic.write(stored.start, access, sealed(new.reason), record, published)
        self.clinic.committer.signal()
        return await self._view(principal, access.id)

    async def end(self, principal: Principal, access_id: str) -> EmergencyAccessView:
        """Ends an access before its time: by whoever took it, or a supervisor. One that is over stays as it is."""
        access = await self._visible(principal, access_id)
        courses = await self._courses(access)
        await self.clinic.require(principal, "take emergency access", courses)
        if principal.role != "supervisor" and access.person != principal.person:
            await self.clinic.log(principal, "refusal", "end emergency access", courses, [ROLE])
            raise Forbidden("end the emergency access of somebody else", principal.role, ("supervisor",))
        now = self.clinic.clock.now()
        if break_glass.in_force(access, now):
            record = self.clinic.event(principal, "access", ENDED, courses, why=EMERGENCY)
            await self.clinic.write(stored.finish, access_id, principal.person, now, record)
        return await self._view(principal, access_id)

    async def review(self, principal: Principal, access_id: str, decode: Callable[[], NewReview]) -> EmergencyAccessView:
        """A supervisor, who is not the person, judges an access. Raises Forbidden or EmergencyReviewed."""
        access = await self._visible(principal, access_id)
        courses = await self._courses(access)
        await self.clinic.require(principal, "review emergency access", courses)
        if access.person == principal.person:
            await self.clinic.log(principal, "refusal", "review emergency access", courses, [ROLE])
            raise Forbidden("review their own emergency access", principal.role, ("another supervisor",))
        new = decode()
        review = StoredReview(
            access_id=access_id, reviewer=principal.person, reviewed_at=self.clinic.clock.now(), verdict=new.verdict
        )
        comment = sealed(new.comment) if new.comment else None
        record = self.clinic.event(principal, "access", REVIEWED, courses)
        if not await self.clinic.write(stored.judge, review, comment, record):
            raise EmergencyReviewed
        return await self._view(principal, access_id)

    async def page(self, principal: Principal, reviewed: bool | None, after: str, limit: int) -> list[EmergencyAccessView]:
        """Accesses in the order in which they were started. A therapist sees their own, and those to courses of theirs."""
        await self.clinic.require(principal, "read emergency access")
        of = principal.person if principal.role == "therapist" else None
        found = await self.clinic.read(stored.page, AccessFilters(reviewed=reviewed, of=of), after, limit)
        views = await self._views(principal, found)
        await self._log(principal, views)
        return views

    async def to_clients_of(self, principal: Principal, since: dt.datetime, limit: int) -> list[EmergencyAccessView]:
        """Accesses of others to courses of a therapist, started since a moment. If there are none, nothing is recorded."""
        filters = AccessFilters(of=principal.person, but=principal.person, since=since)
        views = await self._views(principal, await self.clinic.read(stored.page, filters, "", limit))
        if views:
            await self._log(principal, views)
        return views

    async def _log(self, principal: Principal, views: Sequence[EmergencyAccessView]) -> None:
        await self.clinic.log(principal, "read", "emergency accesses", [each for view in views for each in view.courses])

    async def one(self, principal: Principal, access_id: str) -> EmergencyAccessView:
        access = await self._visible(principal, access_id)
        courses = await self._courses(access)
        await self.clinic.require(principal, "read emergency access", courses)
        (view,) = await self._views(principal, [access])
        await self.clinic.log(principal, "read", "emergency access", view.courses)
        return view

    async def _visible(self, principal: Principal, access_id: str) -> StoredAccess:
        """An access that the principal may see. Raises NotFound."""
        found = await self.clinic.read(stored.find, access_id) if "\x00" not in access_id else None
        if found is None:
            raise NotFound(NO_ACCESS)
        if principal.role in {"supervisor", "auditor"} or (principal.role == "therapist" and found.person == principal.person):
            return found
        courses = await self.clinic.read(stored_courses.of_client, found.client_id)
        if principal.role == "therapist" and any(each.course.therapist == principal.person for each in courses):
            return found
        raise await self.clinic.hidden(principal, "see emergency access", [each.course.id for each in courses], NO_ACCESS)

    async def _courses(self, access: StoredAccess) -> list[str]:
        return (await self.clinic.read(stored.courses_of_clients, [access.client_id]))[access.client_id]

    async def _view(self, principal: Principal, access_id: str) -> EmergencyAccessView:
        found = await self.clinic.read(stored.find, access_id)
        assert found is not None  # they are never removed
        return (await self._views(principal, [found]))[0]

    async def _views(self, principal: Principal, found: Sequence[StoredAccess]) -> list[EmergencyAccessView]:
        if not found:
            return []
        courses = await self.clinic.read(stored.courses_of_clients, list({each.client_id for each in found}))
        starts = await self.clinic.read(stored.starts_of, list({each.person for each in found}))
        ids = [each for of_client in courses.values() for each in of_client]
        masked = await self.clinic.masked(principal, ids)
        unseen = await self.clinic.unseen(principal, ids) if principal.role == "supervisor" else set()
        now, views = self.clinic.clock.now(), []
        for each in found:
            concerned, texts, ref = courses[each.client_id], {"reason": each.reason, "comment": each.comment}, each.client_ref
            open_to = concerned if each.person == principal.person else [course for course in concerned if course not in unseen]
            if not open_to or masked & {*concerned}:
                texts = {"reason": None, "comment": None}
            shown = msgspec.structs.replace(each, client_ref=ref if open_to else None, **texts)
            views.append(_view(shown, open_to, starts[each.person], now))
        return views


def sealed(text: str) -> SealedText:
    """A text with a salt, so that its digest tells nothing once it is erased."""
    salt, document = secrets.token_bytes(journal.SALT_BYTES), canonical({"text": text})
    return SealedText(salt.hex(), document, journal.data_digest(salt, document))


def text_of(document: bytes | None) -> str | None:
    """A sealed text; None if there is none, or it was erased."""
    return msgspec.json.decode(document)["text"] if document else None


def _view(access: StoredAccess, courses: Sequence[str], starts: Sequence[dt.datetime], now: dt.datetime) -> EmergencyAccessView:
    review = None
    if access.reviewer and access.reviewed_at and access.verdict:
        review = EmergencyReviewView(
            verdict=access.verdict, reviewer=access.reviewer, reviewed_at=access.reviewed_at, comment=text_of(access.comment)
        )
    due = break_glass.overdue_at(access)
    return EmergencyAccessView(
        id=access.id,
        client_ref=access.client_ref,
        courses=tuple(courses),
        person=access.person,
        role=access.role,
        via=access.via,
        code=access.code,
        reason=text_of(access.reason),
        started_at=access.starts_at,
        until=access.ends_at,
        ended_at=access.ended_at,
        ended_by=access.ended_by,
        in_force=break_glass.in_force(access, now),
        restricted=access.restricted,
        often=break_glass.is_often(access, starts),
        review_due=due,
        overdue=review is None and due <= now,
        review=review,
    )
