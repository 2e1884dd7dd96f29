"""The verb that reads what is printed of a course: a summary for the file, a letter for the referrer, a sheet for the client."""

import datetime as dt
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from ipt_workflow import journal
from ipt_workflow.access.principal import Principal
from ipt_workflow.course.fold import timeline
from ipt_workflow.journal import Entry
from ipt_workflow.protocols.definition import Protocol
from ipt_workflow.service import views
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.service.organisations import OrganisationTexts, texts_of
from ipt_workflow.service.views import CourseDetails
from ipt_workflow.store import courses as stored_courses
from ipt_workflow.store import organisations, people
from ipt_workflow.store.database import Connection
from ipt_workflow.store.organisations import StoredOrganisation
from ipt_workflow.store.people import PersonFilters, StoredPerson

PaperKind = Literal["summary", "letter", "client"]
SOURCES = ("refer", "adopt")
WORDS = ("record_gains", "record_independence", "plan_for_recurrence", "decide_continuation", "end_early", "complete")


class PaperWords(msgspec.Struct, frozen=True, kw_only=True):
    """What was written down for the time after the therapy; empty where nothing was, or where it was erased."""

    source: str = ""
    gains: tuple[str, ...] = ()
    does_alone: tuple[str, ...] = ()
    anticipate: tuple[str, ...] = ()
    identify: tuple[str, ...] = ()
    manage: tuple[str, ...] = ()
    continuation: str | None = None
    plan: str = ""


class PaperView(msgspec.Struct, frozen=True, kw_only=True):
    """A course as papers show it. `written_at` is the moment that the paper tells of."""

    course: CourseDetails
    protocol: Protocol
    words: PaperWords
    clinic: str
    texts: OrganisationTexts
    names: Mapping[str, str]
    written_at: dt.datetime


class _Read(msgspec.Struct, frozen=True):
    entries: list[Entry]
    organisation: StoredOrganisation | None
    people: list[StoredPerson]


class Papers:
    """Reads a clinic's courses for paper. The audit log records which paper was made."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic

    async def one(self, principal: Principal, course_id: str, kind: PaperKind) -> PaperView:
        """Raises NotFound or Forbidden."""
        stored = await self.clinic.visible_course(principal, course_id)
        await self.clinic.require(principal, "read courses", [course_id])
        course, now = stored.course, self.clinic.clock.now()
        named = tuple(each for each in (course.therapist, course.supervisor) if each)
        read = await self.clinic.read(_read, course_id, named)
        await self.clinic.log(principal, "read", f"paper {kind}", [stored])
        entries = read.entries[: course.version]
        if await self.clinic.masked(principal, [course_id]):
            entries = journal.masked(entries)
        machine, context = self.clinic.machine_of(course), self.clinic.context(principal, now)
        view = self.clinic.course_view(course, context, stored.head, stored.client_ref, asked=stored.asked)
        return PaperView(
            course=views.course_details(view, course, machine.protocol, entries, context, None),
            protocol=machine.protocol,
            words=_words(entries),
            clinic=read.organisation.title if read.organisation else self.clinic.organisation,
            texts=texts_of(read.organisation.settings if read.organisation else b"{}"),
            names={each.id: each.name for each in read.people},
            written_at=now,
        )


def _read(connection: Connection, organisation: str, course_id: str, named: tuple[str, ...]) -> _Read:
    return _Read(
        stored_courses.load_entries(connection, organisation, course_id),
        organisations.find(connection, organisation),
        people.page(connection, organisation, PersonFilters(ids=named), "", None),
    )


def _words(entries: list[Entry]) -> PaperWords:
    """The latest words of each kind that are in force."""
    given, latest = journal.given(entries), {}
    for placed in timeline(journal.facts(entries)):
        if placed.fact.trigger in (*SOURCES, *WORDS):
            latest[placed.fact.trigger] = {**placed.fact.data, **given.get(placed.fact.seq, {})}

    def of(trigger: str, name: str) -> Any:
        return latest.get(trigger, {}).get(name)

    def all_of(trigger: str, name: str) -> tuple[str, ...]:
        return tuple(of(trigger, name) or ())

    return PaperWords(
        source=of("refer", "source") or of("adopt", "source") or "",
        gains=all_of("record_gains", "gains"),
        does_alone=all_of("record_independence", "does_alone"),
        anticipate=all_of("plan_for_recurrence", "anticipate"),
        identify=all_of("plan_for_recurrence", "identify"),
        manage=all_of("plan_for_recurrence", "manage"),
        continuation=of("decide_continuation", "decision"),
        plan=of("decide_continuation", "plan") or of("end_early", "onward_plan") or "",
    )
