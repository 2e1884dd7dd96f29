"""The verbs about drafts: what somebody has begun to write about a course is kept for them alone, until they record it.

A draft is no part of the record: neither the journal nor the audit log has it. It is sealed with the setting
`secret_keys`. Whoever may no longer see the course does not see their draft either.
"""

import datetime as dt
import re
from collections.abc import Iterable

import msgspec

from ipt_workflow.access.principal import Principal
from ipt_workflow.access.secret_box import SecretBox
from ipt_workflow.errors import NotFound, SecretUnreadable
from ipt_workflow.runtime.settings import listed
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.store import courses as stored_courses
from ipt_workflow.store import drafts as stored
from ipt_workflow.store.drafts import DraftPlace, StoredDraft

MINE_MAX = 50
NO_FORM = "There is no such form of a course."
_FORM = re.compile(r"(?=.{1,80}\Z)[a-z0-9_]+(/[a-z0-9_-]+){0,2}")
Pairs = tuple[tuple[str, str], ...]


class DraftView(msgspec.Struct, frozen=True, kw_only=True):
    """A form that somebody has begun: the names and values of its fields, in order."""

    course: str
    form: str
    saved_at: dt.datetime
    pairs: Pairs


class DraftLine(msgspec.Struct, frozen=True, kw_only=True):
    """Where somebody has begun to write, and when they saved it last."""

    course: str
    form: str
    saved_at: dt.datetime


class Drafts:
    """The drafts of a clinic. Everybody has to do with their own alone."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic
        self._box = SecretBox(listed(clinic.settings.secret_keys))

    async def save(self, principal: Principal, course_id: str, form: str, pairs: Iterable[tuple[str, str]]) -> None:
        """Keeps a form as it is, in the place of what was kept of it before. Raises NotFound."""
        if not _FORM.fullmatch(form):
            raise NotFound(NO_FORM)
        await self.clinic.visible_course(principal, course_id)
        await self.clinic.require(principal, "keep drafts", [course_id])
        draft = StoredDraft(
            course_id=course_id,
            person=principal.person,
            form=form,
            saved_at=self.clinic.clock.now(),
            sealed=self._box.seal(msgspec.json.encode(tuple(pairs)).decode()).encode(),
        )
        await self.clinic.write(stored.keep, draft)

    async def find(self, principal: Principal, course_id: str, form: str) -> DraftView | None:
        """The principal's draft of a form; None if there is none, or its key is gone. Raises NotFound if they may not see the course."""
        await self.clinic.visible_course(principal, course_id)
        found = await self.clinic.read(stored.find, DraftPlace(course_id, principal.person, form))
        try:
            return self._opened(found) if found else None
        except SecretUnreadable:
            return None

    async def mine(self, principal: Principal) -> list[DraftLine]:
        """The principal's drafts on courses that they may see, the oldest first."""
        await self.clinic.require(principal, "keep drafts")
        found = await self.begun(principal)
        courses = await self.clinic.read(stored_courses.courses_by_id, sorted({each.course for each in found}))
        seen = await self.clinic.all_seen(principal, courses)
        return [each for each in found if each.course in seen]

    async def begun(self, principal: Principal) -> list[DraftLine]:
        """The principal's drafts, the oldest first, for a caller that leaves out those on courses that they may not see."""
        found = await self.clinic.read(stored.of_person, principal.person, MINE_MAX)
        return [DraftLine(course=each.course_id, form=each.form, saved_at=each.saved_at) for each in found]

    async def drop(self, principal: Principal, course_id: str, form: str) -> None:
        """Removes the principal's draft of a form, if there is one."""
        await self.clinic.write(stored.drop, DraftPlace(course_id, principal.person, form))

    def _opened(self, found: StoredDraft) -> DraftView:
        pairs = msgspec.json.decode(self._box.open(found.sealed.decode()), type=Pairs)
        return DraftView(course=found.course_id, form=found.form, saved_at=found.saved_at, pairs=pairs)
