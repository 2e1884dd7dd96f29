"""The verbs about labels of clients: what the clinic calls a client on its pages, beside the EHR's reference. Nobody needs one.

A label is about a person, so it is kept apart from the journal, in no URL, log or event, and can be erased. It is hidden from an auditor
where sealed text is.
"""

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from ipt_workflow.access.principal import Principal
from ipt_workflow.course import Course
from ipt_workflow.errors import NotFound
from ipt_workflow.service.access.break_glass import text_of
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.store import client_labels as stored
from ipt_workflow.store.client_labels import StoredLabel
from ipt_workflow.store.courses import StoredCourse
from ipt_workflow.values.canonical import canonical
from ipt_workflow.values.types import SEALED, whole

GIVEN, TAKEN_AWAY = "client label given", "client label taken away"
NO_LABEL = "The client has no label, or none that you may read."
LABEL_MAX = 80
LabelText = Annotated[
    str,
    Meta(min_length=1, max_length=LABEL_MAX, pattern=whole(r"[^\x00-\x1f\x7f]*[^\x00-\x20\x7f][^\x00-\x1f\x7f]*"), extra=SEALED),
]


class NewClientLabel(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A label to be given to the client of a course."""

    label: LabelText


class ClientLabelView(msgspec.Struct, frozen=True, kw_only=True):
    """The label of a course's client, and who gave it."""

    course: str
    label: str
    given_by: str
    given_at: dt.datetime


class ClientLabels:
    """The labels of a clinic's clients."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic

    async def one(self, principal: Principal, course_id: str) -> ClientLabelView:
        """Raises NotFound if the client has no label."""
        course = await self.clinic.visible_course(principal, course_id)
        await self.clinic.require(principal, "read courses", [course_id])
        await self.clinic.log(principal, "read", "client label", [course])
        found = None if await self.clinic.masked(principal, [course_id]) else await self.clinic.read(stored.of_course, course_id)
        if found is None or found.sealed is None:
            raise NotFound(NO_LABEL)
        return _view(course_id, found)

    async def to_give(self, principal: Principal, course_id: str) -> str | None:
        """The label that the client has, for whoever may give another."""
        course = await self._to_label(principal, course_id)
        await self.clinic.log(principal, "read", "client label", [course])
        found = await self.clinic.read(stored.of_course, course_id)
        return text_of(found.sealed) if found else None

    async def give(self, principal: Principal, course_id: str, decode: Callable[[], NewClientLabel]) -> ClientLabelView:
        """Gives the client of a course a label, in place of the one they have."""
        course = await self._to_label(principal, course_id)
        label = self._of(principal, course, canonical({"text": decode().label}))
        await self.clinic.write(stored.give, label, self.clinic.event(principal, "access", GIVEN, [course]))
        return _view(course_id, label)

    async def take_away(self, principal: Principal, course_id: str) -> None:
        """Leaves the client of a course without a label, and erases the one they have. Raises NotFound if they have none."""
        course = await self._to_label(principal, course_id)
        found = await self.clinic.read(stored.of_course, course_id)
        if found is None or found.sealed is None:
            raise NotFound(NO_LABEL)
        record = self.clinic.event(principal, "access", TAKEN_AWAY, [course])
        await self.clinic.write(stored.give, self._of(principal, course, None), record)

    async def of_courses(self, principal: Principal, courses: Sequence[Course]) -> dict[str, str]:
        """The labels of the clients of courses that the principal sees, by course. They are part of another read, which is recorded."""
        masked = await self.clinic.masked(principal, [each.id for each in courses])
        shown = [each for each in courses if each.id not in masked]
        found = await self.clinic.read(stored.of_clients, list({each.client for each in shown})) if shown else {}
        texts = {client: text_of(document) for client, document in found.items()}
        return {each.id: text for each in shown if (text := texts.get(each.client))}

    def _of(self, principal: Principal, course: StoredCourse, document: bytes | None) -> StoredLabel:
        now = self.clinic.clock.now()
        return StoredLabel(client_id=course.course.client, sealed=document, given_by=principal.person, given_at=now)

    async def _to_label(self, principal: Principal, course_id: str) -> StoredCourse:
        course = await self.clinic.visible_course(principal, course_id)
        await self.clinic.require(principal, "label a client", [course_id])
        await self.clinic.require_lasting(principal, "label a client", course)
        await self.clinic.require_processing(principal, "label a client", course)
        return course


def _view(course_id: str, label: StoredLabel) -> ClientLabelView:
    text = text_of(label.sealed)
    assert text is not None  # the callers have looked
    return ClientLabelView(course=course_id, label=text, given_by=label.given_by, given_at=label.given_at)
