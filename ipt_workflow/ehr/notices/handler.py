"""Decides what becomes of a notice: finds its client and course, matches it with what is recorded, and decides its command.

Nothing is written here. The notice, its entries and its record are committed together by `intake`; if the course changed meanwhile, all is
read and decided again.
"""

import datetime as dt
from collections.abc import Sequence
from typing import Any

import msgspec

from ipt_workflow.access.principal import Principal
from ipt_workflow.course.course import Session
from ipt_workflow.course.payloads import Payload
from ipt_workflow.course.triggers import BY_NAME, Command
from ipt_workflow.ehr.notices import commands, matches, relevance
from ipt_workflow.ehr.notices.commands import UNUSABLE, DecidedNotice, NoticeCommands, ignored, waiting
from ipt_workflow.ehr.notices.content import NoticeContent
from ipt_workflow.ehr.notices.fhir import reader
from ipt_workflow.ehr.notices.matches import RecordedEntry
from ipt_workflow.ehr.notices.types import NoticeTypes
from ipt_workflow.ehr.notices.versions import Comparison
from ipt_workflow.errors import StaleVersion
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.service.writes import Opening
from ipt_workflow.store.courses import StoredCourse
from ipt_workflow.store.lookups import KnownClient
from ipt_workflow.store.notices import StoredNotice
from ipt_workflow.store.sources import StoredSource

REFERRAL_WITHDRAWN = "The EHR withdrew this referral. End the course if that is right, then dismiss the notice."
NO_COURSE = "This client has no course here. It is handled when one is opened. Open one, or correct the client's reference."
WHICH_COURSE = "It is not clear which course this is about. Correct the notice: name the course in `course`."
UNORDERED = (
    "The EHR sent an earlier version again, and nothing says which counts. Look in the EHR, then retry or dismiss the notice."
)
NOT_OURS = "Nothing says that this visit belongs to IPT. Retry the notice if it does, or dismiss it."
TAKEN_BACK = "The EHR took back what it reported. Entry {} was made for it: change it yourself if needed, then dismiss the notice."
OTHER_ATTENDANCE = "Entry {} records another attendance for this visit. Amend the entry, or dismiss the notice."
OTHER_COURSE = (
    "An earlier version of this is entry {} of another course of the client. Make that entry void and retry, or dismiss the notice."
)
OTHER_CLIENT = (
    "The EHR names another client than the course in which this is recorded. Correct the client in the EHR, or put this course right."
    " Then dismiss the notice."
)
CAME_EARLY = "The EHR sent this before the course was opened."


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """A notice to be decided. `principal` fires its command.

    `part` says which part of its resource it is, as stored. `comparison` says how it stands to the versions of its resource, `kept`.
    `named` are kept notices about its other references.
    `client` is None if nobody has heard of them. If it is decided `by_person`, doubts are theirs. `early`: it awaited its course.
    """

    id: str
    source: StoredSource
    content: NoticeContent
    principal: Principal
    comparison: Comparison
    part: str = ""
    kept: Sequence[StoredNotice] = ()
    named: Sequence[StoredNotice] = ()
    client: KnownClient | None = None
    by_person: bool = False
    early: bool = False


class NoticeHandler:
    """Decides the notices of a clinic."""

    def __init__(self, clinic: Clinic, types: NoticeTypes) -> None:
        self.clinic = clinic
        self.types = types
        self.commands = NoticeCommands(clinic)

    async def decide(self, notice: Notice) -> DecidedNotice:
        """Returns every problem of the notice as its outcome. Raises only what concerns the store, such as Busy."""
        content = notice.content
        if content.about == "nothing":
            return ignored(content.ignored or "kind")
        if notice.comparison.standing == "older":
            return ignored("older", await self._course_of(notice.kept))
        if notice.comparison.standing == "unordered" and not notice.by_person:
            return waiting(UNORDERED, await self._course_of(notice.kept))
        if content.about == "referral":
            return await self._refer(notice)
        if content.about == "person" and self._said_before(notice):
            return ignored("known")
        if content.void and content.client_ref is None:
            return await self._withdrawn_resource(notice)
        return await self._about_client(notice)

    async def _course_of(self, kept: Sequence[StoredNotice]) -> StoredCourse | None:
        """The course of the latest of these notices that names one."""
        course_id = next((each.course_id for each in reversed(kept) if each.course_id), None)
        return await self.clinic.courses.get(course_id) if course_id else None

    def _said_before(self, notice: Notice) -> bool:
        """Whether an earlier version already reported this merge or death, and none took it back since."""
        own = [each for each in notice.kept if each.part == notice.part]
        only_named = notice.content.needs_person == reader.NAME_ONLY
        return not (notice.content.void or only_named) and bool(own) and not own[-1].void

    async def _about_client(self, notice: Notice) -> DecidedNotice:
        content = notice.content
        courses = notice.client.courses if notice.client else ()
        fitting = matches.course_for(content, courses, self.clinic.clock.now())
        found, stands = await self._recorded_in(notice, courses, fitting)
        verdict = "ours" if notice.by_person else self._relevance(notice, courses, found)
        if verdict not in {"ours", "doubtful"}:
            return ignored(verdict)
        if content.faults:
            return waiting(UNUSABLE, found, faults=content.faults)
        if content.needs_person and not (notice.by_person and content.trigger):
            return waiting(content.needs_person, found)
        if not courses and content.void:
            return ignored("nothing_here")
        if not courses:
            decided = waiting(NO_COURSE)
            return msgspec.structs.replace(decided, outcome=msgspec.structs.replace(decided.outcome, awaits_course=True))
        if found is None:
            return waiting(WHICH_COURSE)
        if commands.of_client(content.trigger):
            on = [found] if content.course else self._not_done(content, courses)
            return await self.commands.fire_on_every(notice.principal, [(each, self._command(notice, each)) for each in on])
        if verdict == "doubtful":
            return waiting(NOT_OURS, found)
        if stands and content.course and content.course != found.course.id:
            return waiting(OTHER_COURSE.format(stands), found, stands)
        return await self._on_client_course(notice, courses, found)

    async def _recorded_in(
        self, notice: Notice, courses: Sequence[StoredCourse], fitting: StoredCourse | None
    ) -> tuple[StoredCourse | None, int | None]:
        """The course in which an earlier version stands, with its entry: it comes before the course that fits by the time."""
        elsewhere = await self._elsewhere(notice, courses)
        if elsewhere:
            return elsewhere, None
        by_id = {each.course.id: each for each in courses}
        of_thing = [each for each in notice.kept if notice.content.about != "measure" or each.part in {notice.part, ""}]
        own = [each for each in of_thing if each.about_seq and each.course_id in by_id]
        if not own or notice.content.about not in {"session", "booking", "measure"}:
            return fitting, None
        course = by_id[own[-1].course_id or ""]
        if fitting and course.course.id == fitting.course.id:
            return fitting, None
        own = [each for each in own if each.course_id == course.course.id]
        known = self._own_entry(notice.content, own, matches.recorded_entries(await self.clinic.entries(course.course.id)))
        if known is None or (known.trigger == "book_session" and not course.course.open):  # it was only planned there
            return fitting, None
        withdrawn = known.fact is None and {known.root, known.last} <= {each.seq for each in own}
        free = withdrawn or (known.fact is None and notice.content.course)
        return (fitting, None) if free and not notice.content.void else (course, known.root)

    async def _elsewhere(self, notice: Notice, courses: Sequence[StoredCourse]) -> StoredCourse | None:
        """The other client's course in which an earlier version of this now stands: its entry, or its whole course, was moved there."""
        if notice.content.about not in {"session", "booking", "measure"} or notice.client is None or notice.by_person:
            return None
        own = {each.course.id for each in courses}
        about = [each for each in (*notice.named, *notice.kept) if each.about_seq and each.client_id == notice.client.id]
        if notice.content.about == "measure":
            about = [each for each in about if each.part in {notice.part, ""}]
        last = about[-1] if about else None
        return None if last is None or last.course_id in own else await self._course_of([last])

    async def _on_client_course(self, notice: Notice, courses: Sequence[StoredCourse], found: StoredCourse) -> DecidedNotice:
        """Decides on a course. If that is another client's, the EHR still names the wrong client: it then changes nothing by itself."""
        decided = await self._on_course(notice, found)
        if found.course.id in {each.course.id for each in courses} or not decided.changes:
            return decided
        return waiting(OTHER_CLIENT, found, decided.outcome.about_seq)

    def _relevance(self, notice: Notice, courses: Sequence[StoredCourse], found: StoredCourse | None) -> str:
        """`ours`, `doubtful`, or the code of the reason why the notice is ignored. Our own types always concern IPT."""
        content, codes = notice.content, self.types.fhir
        if content.void:
            return "ours" if notice.kept else "nothing_here"
        if not content.type.startswith(reader.TYPE_PREFIX):
            return "ours"
        if content.about == "person":
            return "ours" if courses or content.client_ref is None else "client"
        if content.about in {"session", "booking"}:
            days = dt.timedelta(days=codes.visit_days_before)
            known = [*notice.kept, *notice.named]
            return relevance.of_visit(content, notice.source, courses, found, known, before=days, zone=self.clinic.zone)
        if content.about == "measure":
            return relevance.of_measure(content, courses, dt.timedelta(days=codes.measure_days_before))
        return "ours"

    def _not_done(self, content: NoticeContent, courses: Sequence[StoredCourse]) -> Sequence[StoredCourse]:
        """The courses in which this person has not withdrawn this consent yet; all of them if it is withdrawn in each."""
        scope, who = str(content.data.get("scope")), content.data.get("who", "client")
        scopes = [f"{scope}/{purpose}" for purpose in content.data.get("purposes", ())] or [scope]
        withdrawn = {f"{each}:{who}" for each in scopes}
        left = [each for each in courses if content.trigger != "withdraw_consent" or not withdrawn <= {*each.course.withdrawing}]
        return left or courses

    # Referrals and deletions

    async def _refer(self, notice: Notice) -> DecidedNotice:
        content = notice.content
        course = await self._course_of([*notice.named, *notice.kept])
        if content.void and course is None:  # the referral opened no course here
            return ignored("nothing_here")
        if content.faults or content.needs_person or content.void:
            why = content.needs_person or (REFERRAL_WITHDRAWN if content.void else UNUSABLE)
            return waiting(why, course, faults=content.faults)
        if course:  # the referral opened this course before
            return ignored("known", course)
        opening = Opening(
            client_ref=content.client_ref or "",
            protocol=content.protocol,
            protocol_version=content.protocol_version,
            therapist=content.therapist,
            occurred_at=content.occurred_at,
            data=content.data,
        )
        return await self.commands.open_course(notice.principal, opening)

    async def _withdrawn_resource(self, notice: Notice) -> DecidedNotice:
        """A deletion names no client: it is about the course of the earlier notices about the resource."""
        course = await self._course_of(notice.kept)
        if course is None:  # the resource changed nothing here
            return ignored("nothing_here")
        if notice.content.needs_person and not notice.by_person:
            return waiting(notice.content.needs_person, course)
        if notice.content.about == "person":
            acted = next((each.seq for each in reversed(notice.kept) if each.seq), None)
            return waiting(TAKEN_BACK.format(acted), course, acted) if acted else ignored("nothing_here", course)
        return await self._on_course(notice, course)

    # On one course

    async def _on_course(self, notice: Notice, course: StoredCourse) -> DecidedNotice:
        content = notice.content
        if content.about not in {"session", "booking", "measure"}:
            return await self._fire_new(notice, course)
        own = [each for each in notice.kept if each.course_id == course.course.id and each.about_seq]
        entries = await self._recorded(notice, course, own)
        seqs = [each.seq or 0 for each in (*notice.kept, *notice.named) if each.course_id == course.course.id]
        written = max([*seqs, *(each.last for each in entries.values())], default=0)
        if written > course.course.version:  # the course was read before another process wrote to it
            raise StaleVersion(written)
        known = self._own_entry(content, own, entries)
        if known:
            decided = await self._newer_version(notice, course, known, {each.seq for each in own})
            if decided:
                return decided
        if content.void:  # the resource changed nothing here
            return ignored("nothing_here", course)
        if content.about == "measure":
            protocol = self.clinic.machine_of(course.course).protocol
            reading = self._named_entry(notice, entries) or matches.reading(content, entries, protocol, self.clinic.zone)
            return await (self._measure_recorded(notice, course, reading) if reading else self._fire_new(notice, course))
        session = self._named_session(notice, course) or matches.visit(self._by_name(content), course.course, self.clinic.zone)
        return await (self._visit_recorded(notice, course, session) if session else self._fire_new(notice, course))

    async def _recorded(self, notice: Notice, course: StoredCourse, own: Sequence[StoredNotice]) -> dict[int, RecordedEntry]:
        """The entries that the notice may be about. Of a visit that is new to its course, the course itself knows the sessions."""
        content = notice.content
        if content.about != "measure":
            return matches.recorded_entries(await self.clinic.entries(course.course.id)) if own else {}
        protocol = self.clinic.machine_of(course.course).protocol
        if not (own or notice.named) and matches.is_new_day(content, course.course, protocol, self.clinic.zone):
            return {}
        measures = await self.clinic.measures.get(course.course.id) or ()
        return matches.recorded_entries(await self.clinic.keys.opened(measures))

    def _by_name(self, content: NoticeContent) -> NoticeContent:
        """A booking matches a session only by reference: its time may have passed without a session."""
        return msgspec.structs.replace(content, occurred_at=None) if content.about == "booking" else content

    def _own_entry(
        self, content: NoticeContent, own: Sequence[StoredNotice], entries: dict[int, RecordedEntry]
    ) -> RecordedEntry | None:
        """The latest entry that stands for this thing. A form of two scales has an entry for each."""
        scales = {content.part, ""}  # without a part, the notice was kept before a form had one for each scale
        of_thing = [each for each in own if content.about != "measure" or not content.part or each.part in scales]
        found = [entries[each.about_seq] for each in of_thing if each.about_seq in entries]
        scale = content.data.get("instrument") or content.part.removeprefix("scale ")
        if content.about == "measure" and scale:
            found = [each for each in found if each.fact is None or matches.of_scale(each, scale)]
        return found[-1] if found else None

    def _named_session(self, notice: Notice, course: StoredCourse) -> Session | None:
        """The session of another resource that this one refers to, as an Encounter refers to its Appointment."""
        seqs = [each.about_seq for each in notice.named if each.course_id == course.course.id and each.about_seq]
        return next((found for seq in reversed(seqs) if (found := course.course.session(seq))), None)

    def _named_entry(self, notice: Notice, entries: dict[int, RecordedEntry]) -> RecordedEntry | None:
        """The measure of another resource that this one refers to, as an Observation refers to its form."""
        seqs = [each.about_seq for each in notice.named if each.about_seq in entries]
        named = entries[seqs[-1]] if seqs and seqs[-1] is not None else None
        scale = str(notice.content.data.get("instrument"))
        return named if named and named.fact and matches.of_scale(named, scale) else None

    async def _newer_version(
        self, notice: Notice, course: StoredCourse, known: RecordedEntry, own: set[int | None]
    ) -> DecidedNotice | None:
        """Decides on a newer version of a recorded resource; None if it is to be handled as new.

        Amends an entry if this source made it and every amendment of it: `own` holds their seqs. Else the notice waits for a person.
        """
        content, name = notice.content, f"Entry {known.root}"
        ours = known.root in own and known.last in own
        if known.fact is None or content.void:
            return await self._withdrawn(notice, course, known, ours=ours)
        if known.trigger == content.trigger and not self._differs(notice, course, known):
            return ignored("known", course, known.root)
        if known.trigger == "book_session":  # a new booking or a session replaces it
            return None
        if known.trigger != content.trigger:
            why = f"{name} is a {known.trigger} by now. Amend it yourself, or dismiss the notice."
            return waiting(why, course, known.root)
        if known.root not in own:
            return await self._recorded_elsewhere(notice, course, known)
        if not ours:
            why = f"{name} was amended here. Amend it again if the EHR is right, or dismiss the notice."
            return waiting(why, course, known.root)
        return await self._amend(notice, course, known)

    async def _withdrawn(self, notice: Notice, course: StoredCourse, known: RecordedEntry, *, ours: bool) -> DecidedNotice | None:
        """Voids an entry whose resource the EHR withdrew; None if the EHR restores what it withdrew itself."""
        void, name = notice.content.void, f"Entry {known.root}"
        if known.fact is None and void:  # it is void already
            return ignored("known", course, known.root)
        if known.fact is None and not ours:
            why = f"{name} was made void here. Record it again if the EHR is right, or dismiss the notice."
            return waiting(why, course, known.root)
        if not ours:
            why = f"{name} does not come from this source alone. Amend it yourself, or dismiss the notice."
            return waiting(why, course, known.root)
        return await self._amend(notice, course, known) if void else None

    async def _recorded_elsewhere(self, notice: Notice, course: StoredCourse, known: RecordedEntry) -> DecidedNotice:
        """Somebody else recorded the visit or the measure that an earlier version was linked to."""
        if notice.content.about == "measure":
            return await self._measure_recorded(notice, course, known)
        session = course.course.session(known.root)
        return await self._visit_recorded(notice, course, session) if session else ignored("known", course, known.root)

    async def _visit_recorded(self, notice: Notice, course: StoredCourse, known: Session) -> DecidedNotice:
        """The visit is already recorded. At most, links the EHR's reference to it."""
        content = notice.content
        if content.about == "session" and matches.contradicts(content.data, known):
            return waiting(OTHER_ATTENDANCE.format(known.seq), course, known.seq)
        if content.about == "booking" or known.refs or not content.data.get("ref"):
            return ignored("known", course, known.seq)
        link = Command("link_session", {"session": known.seq, "ref": content.data["ref"]})
        return await self.commands.fire(notice.principal, course, link, about=known.seq)

    async def _measure_recorded(self, notice: Notice, course: StoredCourse, known: RecordedEntry) -> DecidedNotice:
        """Adds missing answers to a recorded measure. A positive risk answer that cannot be added becomes a measure of its own."""
        content = notice.content
        assert known.fact is not None
        added = _combined((known.given or {}).get("items"), content.data.get("items"))
        if added and known.person == notice.principal.person:
            data = {**(known.given or {}), "items": added}
            filled = msgspec.structs.replace(content, data=data, occurred_at=known.fact.occurred_at)
            return await self._amend(msgspec.structs.replace(notice, content=filled), course, known)
        if content.risk and not known.fact.data.get("risk"):
            return await self._fire_new(notice, course)
        return ignored("known", course, known.root)

    def _differs(self, notice: Notice, course: StoredCourse, known: RecordedEntry) -> bool:
        assert known.fact is not None
        command = self._command(notice, course)
        same_time = command.occurred_at is None or command.occurred_at == known.fact.occurred_at
        return not same_time or known.given != _entry_data(command)

    async def _amend(self, notice: Notice, course: StoredCourse, known: RecordedEntry) -> DecidedNotice:
        """Amends the entry to what the notice says. For the EHR, it acts as the person who recorded the entry."""
        content = notice.content
        data: dict[str, Any] = {"supersedes": known.last}
        if content.void:
            data |= {"void": True, "whole": known.last != known.root}
        else:
            command = self._command(notice, course)
            removed = dict.fromkeys(set(known.given or {}) - set(_entry_data(command)))
            data |= {"data": {**removed, **_entry_data(command)}}
            data |= {"occurred_at": command.occurred_at.isoformat()} if command.occurred_at else {}
        reason = content.reason or ("The EHR withdrew it." if content.void else "The EHR sent a newer version.")
        principal = notice.principal
        if not notice.by_person:
            principal = msgspec.structs.replace(principal, person=known.person)
        return await self.commands.fire(principal, course, Command("amend", data, reason=reason), about=known.root)

    # Firing

    async def _fire_new(self, notice: Notice, course: StoredCourse) -> DecidedNotice:
        return await self.commands.fire(notice.principal, course, self._command(notice, course))

    def _command(self, notice: Notice, course: StoredCourse) -> Command:
        """The notice's command for a course. A measure taken before the course was opened is placed at its opening."""
        content = notice.content
        at = content.occurred_at
        if content.about == "measure" and at:
            at = max(at, course.course.opened_at)
        reason = " ".join(filter(None, (content.reason, CAME_EARLY if notice.early else None))) or None
        return Command(content.trigger, content.data, at, reason)


def _entry_data(command: Command) -> dict[str, Any]:
    """A command's data in the form that an entry keeps."""
    payload: type[Payload] = BY_NAME[command.trigger].payload
    data: dict[str, Any] = msgspec.to_builtins(msgspec.convert(command.data, payload))
    return data


def _combined(recorded: Sequence[int | None] | None, sent: Sequence[int | None] | None) -> list[int | None] | None:
    """The recorded answers, completed by those that were sent; None if no answer is added."""
    if not recorded or not sent or len(recorded) != len(sent):
        return None
    both = [known if known is not None else new for known, new in zip(recorded, sent, strict=True)]
    return both if both != list(recorded) else None
