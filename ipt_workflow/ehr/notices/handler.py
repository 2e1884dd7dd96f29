"""Handles a notice: finds its client and course, matches it with what is recorded, and fires the rest.

Every change goes through the machine, by the same verbs as a person's writes. A notice that the machine refuses waits with its
refusals. A command is decided on the version of the course that was read; if the course changes meanwhile, all is read again.
"""

import hashlib
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from ipt_workflow.access.principal import Principal
from ipt_workflow.course import triggers
from ipt_workflow.course.payloads import Payload
from ipt_workflow.course.triggers import BY_NAME, Command
from ipt_workflow.ehr.notices import matches
from ipt_workflow.ehr.notices.content import NoticeContent, Version
from ipt_workflow.ehr.notices.matches import RecordedEntry
from ipt_workflow.errors import CommandInvalid, Fault, NotFound, Refusal, StaleVersion, TransitionRefused, TriggerNotPermitted
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.service.courses import Courses
from ipt_workflow.service.decisions import retrying
from ipt_workflow.service.writes import FOR_EVER, IdempotencyKey, Opening, Write
from ipt_workflow.store import courses as stored_courses
from ipt_workflow.store import notices as stored
from ipt_workflow.store.courses import StoredCourse
from ipt_workflow.store.notices import StoredNotice

SETTLED = ("applied", "waiting", "ignored", "dismissed")
UNUSABLE = "Some fields of the notice cannot be used. Correct them, or dismiss the notice."
REFERRAL_WITHDRAWN = "The EHR withdrew this referral. End the course if that is right, then dismiss the notice."
NO_COURSE = "This client has no course here. Open one and retry, or correct the client's reference."
WHICH_COURSE = "It is not clear which course this is about. Correct the notice: name the course in `course`."

Status = Literal["applied", "waiting", "ignored"]


class NoticeOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a notice. `seq` is the entry it made, `about_seq` the entry it is about; `why` says in words why it waits."""

    status: Status
    why: str | None = None
    course: str | None = None
    seq: int | None = None
    about_seq: int | None = None
    refusals: tuple[Refusal, ...] = ()
    faults: tuple[Fault, ...] = ()


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """A notice to be handled. `principal` fires its command; `attempt` distinguishes a person's corrections."""

    id: str
    source: str
    content: NoticeContent
    principal: Principal
    by_person: bool = False
    attempt: str = ""

    def key(self, step: int = 0) -> IdempotencyKey:
        """The key of one step: each step is committed once, however often the notice is handled."""
        scope = hashlib.sha256(f"notice\n{self.id}\n{self.attempt}\n{step}".encode()).hexdigest()
        return IdempotencyKey(scope, scope, kept=FOR_EVER)


class NoticeHandler:
    """Handles the notices of a clinic."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic
        self.courses = Courses(clinic)

    async def handle(self, notice: Notice) -> NoticeOutcome:
        """Returns every problem of the notice as an outcome. Raises only what concerns the store, such as Busy."""

        async def attempt() -> NoticeOutcome:
            return await self._committed_before(notice) or await self._handle(notice)

        try:
            return await retrying(attempt, StaleVersion)
        except TransitionRefused as error:
            return NoticeOutcome(status="waiting", refusals=error.refusals, why=error.summary)
        except CommandInvalid as error:
            return NoticeOutcome(status="waiting", faults=error.faults, why=UNUSABLE)
        except (TriggerNotPermitted, NotFound) as error:
            return NoticeOutcome(status="waiting", why=str(error))

    async def _handle(self, notice: Notice) -> NoticeOutcome:
        """Handles the notice. If nothing changed, checks again whether another process has just handled it."""
        outcome = await self._dispatch(notice)
        return outcome if outcome.status == "applied" else await self._committed_before(notice) or outcome

    async def client_of(self, content: NoticeContent) -> str | None:
        if content.client_ref is None:
            return None
        return await self.clinic.read(stored_courses.client_id, content.client_ref)

    async def courses_of(self, client: str | None) -> list[StoredCourse]:
        return await self.clinic.read(stored_courses.of_client, client) if client else []

    async def earlier(self, source: str, resources: Sequence[str], but: str = "") -> list[StoredNotice]:
        """The source's settled notices about these resources, except the notice `but`; the newest first."""
        rows = await self.clinic.read(stored.of_resource, source, [each for each in resources if each])
        return [row for row in rows if row.id != but and row.status in SETTLED]

    async def _earlier(self, notice: Notice) -> list[StoredNotice]:
        return await self.earlier(notice.source, [notice.content.resource or ""], notice.id)

    async def _committed_before(self, notice: Notice) -> NoticeOutcome | None:
        """The outcome of an earlier attempt that committed and stopped before the notice was settled; None if there was none."""
        kept = await self.clinic.kept_answer(notice.key().scope)
        if (
            kept is None or notice.content.trigger in triggers.CONCERNING_CLIENT
        ):  # the attempt may have stopped before the last course
            return None
        fact = next(entry.fact for entry in await self.clinic.entries(kept.course_id) if entry.written.seq == kept.first_seq)
        about = fact.data.get("supersedes") or fact.data.get("session") or fact.seq
        return NoticeOutcome(status="applied", course=kept.course_id, seq=kept.first_seq, about_seq=about)

    async def _dispatch(self, notice: Notice) -> NoticeOutcome:
        content = notice.content
        if content.about == "nothing":
            return NoticeOutcome(status="ignored")
        if content.about == "referral":
            return await self._refer(notice)
        if content.about == "person" and await self._earlier(notice):  # the EHR has reported this merge or death before
            return NoticeOutcome(status="ignored")
        if content.void and content.client_ref is None:
            return await self._deleted(notice)
        courses = await self.courses_of(await self.client_of(content))
        found = matches.course_for(content, courses, self.clinic.clock.now())
        course = found.course.id if found else None
        if content.faults:
            return NoticeOutcome(status="waiting", faults=content.faults, course=course, why=UNUSABLE)
        if content.needs_person and not (notice.by_person and content.trigger):
            return NoticeOutcome(status="waiting", course=course, why=content.needs_person)
        if not courses:
            return NoticeOutcome(status="waiting", why=NO_COURSE)
        if found is None:
            return NoticeOutcome(status="waiting", why=WHICH_COURSE)
        if content.trigger in triggers.CONCERNING_CLIENT:
            return await self._fire_on_every(notice, courses if content.course is None else [found])
        return await self._on_course(notice, found)

    # Referrals

    async def _refer(self, notice: Notice) -> NoticeOutcome:
        content = notice.content
        earlier = await self.earlier(notice.source, [content.resource or "", *content.refs], notice.id)
        course = next((row.course_id for row in earlier if row.course_id), None)
        if content.void and course is None:  # the referral opened no course here
            return NoticeOutcome(status="ignored")
        if content.faults or content.needs_person or content.void:
            why = content.needs_person or (REFERRAL_WITHDRAWN if content.void else UNUSABLE)
            return NoticeOutcome(status="waiting", course=course, faults=content.faults, why=why)
        if course:  # the referral opened this course before
            return NoticeOutcome(status="ignored", course=course)
        opening = Opening(
            client_ref=content.client_ref or "",
            protocol=content.protocol,
            protocol_version=content.protocol_version,
            therapist=content.therapist,
            occurred_at=content.occurred_at,
            data=content.data,
        )
        done = await self.courses.open_course(notice.principal, lambda: opening, notice.key())
        return NoticeOutcome(status="applied", course=done.course_id, seq=1, about_seq=1)

    async def _deleted(self, notice: Notice) -> NoticeOutcome:
        """A deletion names no client: it is about the course of the earlier notices about the resource."""
        course_id = next((row.course_id for row in await self._earlier(notice) if row.course_id), None)
        course = await self.clinic.courses.get(course_id) if course_id else None
        if course is None:  # the resource changed nothing here
            return NoticeOutcome(status="ignored")
        if notice.content.needs_person and not notice.by_person:
            return NoticeOutcome(status="waiting", course=course_id, why=notice.content.needs_person)
        return await self._on_course(notice, course)

    # On every course of a client

    async def _fire_on_every(self, notice: Notice, courses: Sequence[StoredCourse]) -> NoticeOutcome:
        """Fires the command on each course, each in a commit of its own and none twice. If one course refuses, the notice waits."""
        done = [
            await self._fire(notice, course, self._command(notice.content, course), step) for step, course in enumerate(courses)
        ]
        return next((each for each in done if each.status == "waiting"), done[0])

    # On one course

    async def _on_course(self, notice: Notice, course: StoredCourse) -> NoticeOutcome:
        content = notice.content
        rows = await self._earlier(notice)
        newer_came = any(content.version.before(_version(row)) for row in rows)
        same_came = any(content.version.same(_version(row)) and row.status != "waiting" for row in rows)
        if newer_came or (same_came and not content.void):
            return NoticeOutcome(status="ignored", course=course.course.id)
        if content.about not in {"session", "booking", "measure"}:
            return await self._fire_new(notice, course)
        entries = matches.recorded_entries(await self.clinic.entries(course.course.id))
        own = [row for row in rows if row.course_id == course.course.id and row.about_seq in entries]
        if own:
            outcome = await self._newer_version(notice, course, entries[own[0].about_seq or 0], {row.seq for row in own})
            if outcome:
                return outcome
        if content.void:  # the resource changed nothing here
            return NoticeOutcome(status="ignored", course=course.course.id)
        found = self._match(content, course, entries, await self._entry_of_other_resource(notice, entries))
        return await (self._already_recorded(notice, course, found) if found else self._fire_new(notice, course))

    async def _entry_of_other_resource(self, notice: Notice, entries: dict[int, RecordedEntry]) -> RecordedEntry | None:
        """The entry of another resource that this resource refers to, as an Encounter refers to its Appointment."""
        others = [ref for ref in notice.content.refs if ref != notice.content.resource]
        rows = await self.earlier(notice.source, others, notice.id) if others else []
        seqs = [row.about_seq for row in rows if row.about_seq in entries]
        return entries[seqs[0]] if seqs and seqs[0] is not None else None

    def _match(
        self, content: NoticeContent, course: StoredCourse, entries: dict[int, RecordedEntry], named: RecordedEntry | None
    ) -> RecordedEntry | None:
        if named and named.fact and named.trigger == content.trigger:
            return named
        if content.about == "measure":
            return matches.reading(content, entries, self.clinic.machine_of(course.course).protocol, self.clinic.zone)
        if content.about == "booking":
            return matches.visit(msgspec.structs.replace(content, occurred_at=None), entries)
        return matches.visit(content, entries)

    async def _newer_version(
        self, notice: Notice, course: StoredCourse, known: RecordedEntry, own: set[int | None]
    ) -> NoticeOutcome | None:
        """Handles a newer version of a recorded resource; None if it is to be handled as new.

        Amends an entry if this source made it and every amendment of it: `own` holds their seqs. Else the notice waits for a person.
        """
        content, name = notice.content, f"Entry {known.root}"
        ours = known.root in own and known.last in own
        if known.fact is None or content.void:
            return await self._withdrawn(notice, course, known, ours=ours)
        if known.trigger == content.trigger and not self._differs(content, course, known):
            return _ignored(course, known)
        if known.trigger == "book_session":  # a new booking or a session replaces it
            return None
        if known.trigger != content.trigger:
            return _waiting(course, known, f"{name} is a {known.trigger} by now. Amend it yourself, or dismiss the notice.")
        if known.root not in own:
            return await self._already_recorded(notice, course, known)
        if not ours:
            return _waiting(course, known, f"{name} was amended here. Amend it again if the EHR is right, or dismiss the notice.")
        return await self._amend(notice, course, known)

    async def _withdrawn(self, notice: Notice, course: StoredCourse, known: RecordedEntry, *, ours: bool) -> NoticeOutcome | None:
        """Voids an entry whose resource the EHR withdrew; None if the EHR restores what it withdrew itself."""
        void, name = notice.content.void, f"Entry {known.root}"
        if known.fact is None and void:  # it is void already
            return _ignored(course, known)
        if known.fact is None and not ours:
            return _waiting(
                course, known, f"{name} was made void here. Record it again if the EHR is right, or dismiss the notice."
            )
        if not ours:
            return _waiting(
                course, known, f"{name} does not come from this source alone. Amend it yourself, or dismiss the notice."
            )
        return await self._amend(notice, course, known) if void else None

    async def _already_recorded(self, notice: Notice, course: StoredCourse, known: RecordedEntry) -> NoticeOutcome:
        """The visit or measure is already recorded. At most, links the EHR's reference to it."""
        content = notice.content
        assert known.fact is not None
        if content.about == "measure":
            return await self._measure_recorded(notice, course, known)
        if content.about == "session" and matches.attended(content.data) != matches.attended(known.fact.data):
            why = f"Entry {known.root} records another attendance for this visit. Amend the entry, or dismiss the notice."
            return _waiting(course, known, why)
        if content.about == "booking" or known.refs or not content.data.get("ref"):
            return _ignored(course, known)
        link = Command("link_session", {"session": known.root, "ref": content.data["ref"]})
        return await self._fire(notice, course, link, about=known.root)

    async def _measure_recorded(self, notice: Notice, course: StoredCourse, known: RecordedEntry) -> NoticeOutcome:
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
        return _ignored(course, known)

    def _differs(self, content: NoticeContent, course: StoredCourse, known: RecordedEntry) -> bool:
        assert known.fact is not None
        command = self._command(content, course)
        same_time = command.occurred_at is None or command.occurred_at == known.fact.occurred_at
        return not same_time or known.given != _entry_data(command)

    async def _amend(self, notice: Notice, course: StoredCourse, known: RecordedEntry) -> NoticeOutcome:
        """Amends the entry to what the notice says. For the EHR, it acts as the person who recorded the entry."""
        content = notice.content
        data: dict[str, Any] = {"supersedes": known.last}
        if content.void:
            data["void"] = True
        else:
            command = self._command(content, course)
            removed = dict.fromkeys(set(known.given or {}) - set(_entry_data(command)))
            data |= {"data": {**removed, **_entry_data(command)}}
            data |= {"occurred_at": command.occurred_at.isoformat()} if command.occurred_at else {}
        reason = "The EHR withdrew it." if content.void else "The EHR sent a newer version."
        if not notice.by_person:
            principal = msgspec.structs.replace(notice.principal, person=known.person)
            notice = msgspec.structs.replace(notice, principal=principal)
        return await self._fire(notice, course, Command("amend", data, reason=content.reason or reason), about=known.root)

    # Firing

    async def _fire_new(self, notice: Notice, course: StoredCourse) -> NoticeOutcome:
        return await self._fire(notice, course, self._command(notice.content, course))

    def _command(self, content: NoticeContent, course: StoredCourse) -> Command:
        """The notice's command for a course. A measure taken before the course was opened is placed at its opening."""
        at = content.occurred_at
        if content.about == "measure" and at:
            at = max(at, course.course.opened_at)
        return Command(content.trigger, content.data, at, content.reason)

    async def _fire(
        self, notice: Notice, course: StoredCourse, command: Command, step: int = 0, about: int | None = None
    ) -> NoticeOutcome:
        """Fires a command once. Raises StaleVersion if the course has changed since it was read."""
        write = Write(
            decode=lambda: (command,),
            triggers=(command.trigger,),
            version=course.course.version,
            version_required=False,
            key=notice.key(step),
        )
        try:
            done = await self.courses.fire(notice.principal, course.course.id, write)
        except TransitionRefused as error:
            return NoticeOutcome(
                status="waiting", course=course.course.id, refusals=error.refusals, why=error.summary, about_seq=about
            )
        except CommandInvalid as error:
            return NoticeOutcome(status="waiting", course=course.course.id, faults=error.faults, why=UNUSABLE, about_seq=about)
        except TriggerNotPermitted as error:
            return NoticeOutcome(status="waiting", course=course.course.id, why=str(error), about_seq=about)
        seq = done.entries[-1].seq
        return NoticeOutcome(status="applied", course=done.course_id, seq=seq, about_seq=about or seq)


def _waiting(course: StoredCourse, known: RecordedEntry, why: str) -> NoticeOutcome:
    return NoticeOutcome(status="waiting", course=course.course.id, about_seq=known.root, why=why)


def _ignored(course: StoredCourse, known: RecordedEntry) -> NoticeOutcome:
    """The entry already records what the notice says."""
    return NoticeOutcome(status="ignored", course=course.course.id, about_seq=known.root)


def _version(row: StoredNotice) -> Version:
    return Version(at=row.resource_at, text=row.resource_version)


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
