"""What the pages that record a session and its scales show beside the course: the appointment, the scales, and the note before."""

import datetime as dt
from collections.abc import Sequence
from typing import get_args

import msgspec

from ipt_workflow import journal
from ipt_workflow.access.principal import Principal
from ipt_workflow.course import Course, visits
from ipt_workflow.course.course import Booking, Session
from ipt_workflow.course.facts import Fact
from ipt_workflow.course.fold import current_facts
from ipt_workflow.errors import NotFound
from ipt_workflow.journal import Entry
from ipt_workflow.protocols.definition import Protocol
from ipt_workflow.protocols.instruments import Instrument
from ipt_workflow.service.access.client_labels import ClientLabels
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.service.decisions import Decisions
from ipt_workflow.service.views import CourseView
from ipt_workflow.store.courses import StoredCourse
from ipt_workflow.values.types import Medium

SIGNING = ("sign_session", "attest_session")
READ = ("record_session", *SIGNING, "amend", "move_entries")
MEDIA: tuple[str, ...] = get_args(Medium)
NO_SESSION = "The course has no such session. Its page lists those that it has."


class Scale(msgspec.Struct, frozen=True, kw_only=True):
    """A scale of the course's protocol. `used`: the course has a reading of it. `taken`: on the day of the session already."""

    instrument: Instrument
    used: bool
    taken: bool


class NoteBefore(msgspec.Struct, frozen=True, kw_only=True):
    """What was signed with the session before. Texts that were erased are None."""

    at: dt.datetime
    focus: str | None
    techniques: tuple[str, ...]
    summary: str | None
    mood_link: str | None


class SessionBasis(msgspec.Struct, frozen=True, kw_only=True):
    """What the note of a session begins with. `label` is what the clinic calls the client.

    `session` is the one to be written up, if it is recorded already. `appointments` are the booked ones until today, else the next; the
    first is meant unless the therapist says otherwise. `medium` and `minutes` are those of the session before, else the protocol's.
    """

    course: CourseView
    label: str | None
    now: dt.datetime
    session: Session | None
    appointments: tuple[Booking, ...]
    media: tuple[str, ...]
    medium: str
    minutes: int
    participants: tuple[str, ...]
    areas: tuple[str, ...]
    scales: tuple[Scale, ...]
    before: NoteBefore | None


class ScoreBasis(msgspec.Struct, frozen=True, kw_only=True):
    """What a score outside a session begins with. `label` is what the clinic calls the client."""

    course: CourseView
    label: str | None
    scales: tuple[Scale, ...]


class SessionNotes:
    """Reads for the notes of a clinic's sessions."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic
        self._decisions = Decisions(clinic)
        self._labels = ClientLabels(clinic)

    async def basis(self, principal: Principal, course_id: str, seq: int | None = None) -> SessionBasis:
        """What a note begins with: of a new session, or of one that is recorded. Raises NotFound, or TriggerNotPermitted."""
        stored = await self._opened(principal, course_id, ("record_session", "sign_session"))
        session = stored.course.session(seq) if seq is not None else None
        if seq is not None and session is None:
            raise NotFound(NO_SESSION)
        await self.clinic.log(principal, "read", "session note", [stored])
        known = _Known(await self.clinic.entries_for(principal, course_id, READ))
        course, now, zone = stored.course, self.clinic.clock.now(), self.clinic.zone
        protocol = self.clinic.machine_of(course).protocol
        view, last = self._view(principal, stored, now), _last(course, session)
        return SessionBasis(
            course=view,
            label=await self._label(principal, course),
            now=now,
            session=session,
            appointments=() if session else _appointments(course, visits.day(now, zone).ends),
            media=protocol.medium.allowed if protocol.medium else MEDIA,
            medium=known.medium(last) or _usual_medium(protocol),
            minutes=(last.minutes if last else None) or protocol.contract.minutes.max,
            participants=protocol.participants.required if protocol.participants else ("client",),
            areas=course.focus.areas if course.focus else (),
            scales=_scales(protocol, course, visits.day(session.at if session else now, zone)),
            before=known.note(last),
        )

    async def scales(self, principal: Principal, course_id: str) -> ScoreBasis:
        """A course and its scales, to record a reading outside a session."""
        stored = await self._opened(principal, course_id, ("record_measure",))
        await self.clinic.log(principal, "read", "scales", [stored])
        now, protocol = self.clinic.clock.now(), self.clinic.machine_of(stored.course).protocol
        return ScoreBasis(
            course=self._view(principal, stored, now),
            label=await self._label(principal, stored.course),
            scales=_scales(protocol, stored.course, visits.day(now, self.clinic.zone)),
        )

    async def _label(self, principal: Principal, course: Course) -> str | None:
        return (await self._labels.of_courses(principal, [course])).get(course.id)

    async def _opened(self, principal: Principal, course_id: str, triggers: Sequence[str]) -> StoredCourse:
        stored = await self.clinic.visible_course(principal, course_id)
        await self.clinic.require(principal, "change a course", [course_id])
        await self._decisions.permit(principal, triggers, stored)
        return stored

    def _view(self, principal: Principal, stored: StoredCourse, now: dt.datetime) -> CourseView:
        context = self.clinic.context(principal, now)
        return self.clinic.course_view(stored.course, context, stored.head, stored.client_ref, asked=stored.asked)


class _Known:
    """The facts in force of the triggers in READ, and their sealed data by seq."""

    def __init__(self, entries: Sequence[Entry]) -> None:
        known = {seq: fact for seq, fact in current_facts(journal.facts(entries)).items() if fact is not None}
        self._sessions = {seq: fact for seq, fact in known.items() if fact.trigger == "record_session"}
        self._signed = {fact.data["session"]: (seq, fact) for seq, fact in known.items() if fact.trigger in SIGNING}
        self._given = journal.given(entries)

    def medium(self, session: Session | None) -> str | None:
        fact: Fact | None = self._sessions.get(session.seq) if session else None
        return fact.data.get("medium") if fact else None

    def note(self, session: Session | None) -> NoteBefore | None:
        if session is None or session.seq not in self._signed:
            return None
        seq, fact = self._signed[session.seq]
        words = self._given.get(seq, {})
        return NoteBefore(
            at=session.at,
            focus=fact.data.get("focus"),
            techniques=tuple(fact.data.get("techniques", ())),
            summary=words.get("summary"),
            mood_link=words.get("mood_link"),
        )


def _last(course: Course, but: Session | None) -> Session | None:
    """The last session that the client attended, before the one that is to be written up."""
    attended = (each for each in course.sessions if each.attended and each is not but and (but is None or each.at < but.at))
    return max(attended, key=lambda each: each.at, default=None)


def _appointments(course: Course, until: dt.datetime) -> tuple[Booking, ...]:
    """The booked sessions that are due, the oldest first; if there is none, the next one."""
    due = tuple(each for each in course.bookings if each.scheduled_for < until)
    return due or course.bookings[:1]


def _usual_medium(protocol: Protocol) -> str:
    if protocol.medium is None:
        return MEDIA[0]
    return protocol.medium.default or protocol.medium.allowed[0]


def _scales(protocol: Protocol, course: Course, today: visits.TimeSpan) -> tuple[Scale, ...]:
    """The protocol's scales: those that the course uses first, each aim in the order of the protocol."""
    keys = dict.fromkeys(key for spec in protocol.measures for key in spec.instruments)
    tracks = {key: course.measures.get(key) for key in keys}
    found = [
        Scale(
            instrument=protocol.instruments[key],
            used=track is not None and track.count > 0,
            taken=track is not None and track.latest_at is not None and today.begins <= track.latest_at < today.ends,
        )
        for key, track in tracks.items()
    ]
    return tuple(sorted(found, key=lambda each: not each.used))
