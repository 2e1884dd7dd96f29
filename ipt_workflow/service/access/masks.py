"""The verbs of unmasking: an auditor reads the sealed text of a course for a while, and says why."""

import datetime as dt
from collections.abc import Callable

import msgspec

from ipt_workflow.access.break_glass import NewUnmasking
from ipt_workflow.access.principal import Principal
from ipt_workflow.errors import CommandInvalid, Fault, Forbidden, NotFound
from ipt_workflow.service.access.break_glass import sealed, text_of
from ipt_workflow.service.clinic import ROLE, Clinic, new_id
from ipt_workflow.store import unmaskings as stored
from ipt_workflow.store.unmaskings import StoredUnmasking

UNMASKED = "sealed text unmasked"


class UnmaskingView(msgspec.Struct, frozen=True, kw_only=True):
    """An unmasking. `reason` is null if it was erased."""

    id: str
    course: str
    person: str
    reason: str | None
    started_at: dt.datetime
    until: dt.datetime


class Unmaskings:
    """The unmaskings of a clinic."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic

    async def unmask(self, principal: Principal, decode: Callable[[], NewUnmasking]) -> UnmaskingView:
        """Lets the auditor read the sealed text of a course. Raises Forbidden where the organisation never allows it."""
        await self.clinic.require(principal, "unmask sealed text")
        if self.clinic.access_rules.auditor_text == "never":
            await self.clinic.log(principal, "refusal", "unmask sealed text", (), [ROLE])
            raise Forbidden("unmask sealed text in this organisation", principal.role, ())
        new = decode()
        if self.clinic.access_rules.auditor_text == "open":
            raise CommandInvalid([Fault("course", "needs no unmasking: auditors of this organisation read sealed text")])
        try:
            course = await self.clinic.visible_course(principal, new.course)
        except NotFound:
            raise CommandInvalid([Fault("course", "is no course that you may see")]) from None
        now = self.clinic.clock.now()
        unmasking = StoredUnmasking(
            id=new_id(),
            course_id=new.course,
            person=principal.person,
            starts_at=now,
            ends_at=now + dt.timedelta(minutes=new.minutes),
        )
        text = sealed(new.reason)
        record = self.clinic.event(principal, "access", UNMASKED, [course])
        await self.clinic.write(stored.insert, unmasking, text, record)
        return _view(msgspec.structs.replace(unmasking, reason=text.sealed))

    async def page(self, principal: Principal, after: str, limit: int) -> list[UnmaskingView]:
        """Unmaskings in the order in which they began, of courses that exist for the principal."""
        await self.clinic.require(principal, "read unmaskings")
        items: list[StoredUnmasking] = []
        while len(items) < limit:
            found = await self.clinic.read(stored.page, after, limit)
            unseen = await self.clinic.unseen(principal, [each.course_id for each in found])
            items += [each for each in found if each.course_id not in unseen][: limit - len(items)]
            if len(found) < limit:
                break
            after = found[-1].id
        await self.clinic.log(principal, "read", "unmaskings", [each.course_id for each in items])
        return [_view(each) for each in items]


def _view(unmasking: StoredUnmasking) -> UnmaskingView:
    return UnmaskingView(
        id=unmasking.id,
        course=unmasking.course_id,
        person=unmasking.person,
        reason=text_of(unmasking.reason),
        started_at=unmasking.starts_at,
        until=unmasking.ends_at,
    )
