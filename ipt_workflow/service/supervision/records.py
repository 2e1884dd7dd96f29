"""Reads the records of supervision: one for each course that a meeting discussed."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ipt_workflow import journal
from ipt_workflow.access.principal import Principal
from ipt_workflow.course import Course
from ipt_workflow.course.course import Discussion
from ipt_workflow.course.fold import timeline
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.store import courses as stored_courses
from ipt_workflow.store import supervision as stored
from ipt_workflow.store.supervision import RECORDING, RecordPlace

QUESTION = "read supervision"


class SupervisionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """That a course was discussed. Records of one meeting share its `meeting`. `discussed` is null if it was not given, or was erased."""

    course: str
    client_ref: str | None
    seq: int
    occurred_at: dt.datetime
    meeting: str | None
    supervisor: str
    supervisees: tuple[str, ...]
    kind: str
    minutes: int
    next_on: dt.date | None
    discussed: str | None
    actions: tuple[str, ...]


class RecordPage(msgspec.Struct, frozen=True):
    """The records of a page. Fewer than asked for do not end the list, since what was taken back is left out: `last` does, if it is null."""

    items: tuple[SupervisionRecord, ...]
    last: RecordPlace | None


class SupervisionRecords:
    """Reads a clinic's records of supervision."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic

    async def page(self, principal: Principal, before: RecordPlace | None, limit: int) -> RecordPage:
        """Records on courses that the principal may see, the last recorded first, as they are after all corrections."""
        await self.clinic.require(principal, QUESTION)
        who, now = self.clinic.viewer(principal), self.clinic.clock.now()
        found = await self.clinic.read(stored.records, who, now, before, limit + 1)
        shown = found[:limit]
        ids = list(dict.fromkeys(each.course for each in shown))
        courses = {each.course.id: each for each in await self.clinic.read(stored_courses.courses_by_id, ids)}
        seen = await self.clinic.all_seen(principal, courses.values())
        words = await self.words(principal, list(seen))
        await self.clinic.log(principal, "read", "supervision", list(seen.values()))
        items = []
        for each in shown:
            course = seen.get(each.course)
            discussion = next((known for known in course.course.discussions if known.seq == each.seq), None) if course else None
            if course and discussion:
                items.append(record(course.course, course.client_ref, discussion, words[each.course]))
        return RecordPage(tuple(items), shown[-1].place if len(found) > limit else None)

    async def words(self, principal: Principal, ids: Sequence[str]) -> dict[str, Mapping[int, dict[str, Any]]]:
        """What was given with each record of each course, by seq, after all corrections."""
        if not ids:
            return {}
        masked = await self.clinic.masked(principal, ids)
        found = await self.clinic.read(stored.words_of, ids)
        return {each: _given(journal.masked(entries) if each in masked else entries) for each, entries in found.items()}


def _given(entries: Sequence[journal.Entry]) -> Mapping[int, dict[str, Any]]:
    given = journal.given(entries)
    acting = [each for each in timeline(journal.facts(entries)) if each.fact.trigger == RECORDING]
    return {each.root: given.get(each.fact.seq, {}) for each in acting}


def record(
    course: Course, client_ref: str | None, discussion: Discussion, words: Mapping[int, dict[str, Any]]
) -> SupervisionRecord:
    """A discussion with its words."""
    given = words.get(discussion.seq, {})
    return SupervisionRecord(
        course=course.id,
        client_ref=client_ref,
        seq=discussion.seq,
        occurred_at=discussion.at,
        meeting=discussion.meeting,
        supervisor=discussion.supervisor,
        supervisees=discussion.supervisees,
        kind=discussion.kind,
        minutes=discussion.minutes,
        next_on=discussion.next_on,
        discussed=given.get("discussed"),
        actions=tuple(given.get("actions") or ()),
    )
