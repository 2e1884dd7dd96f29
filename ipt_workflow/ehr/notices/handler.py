"""What a notice comes to: its client and course are found, what is on record already is matched, and the rest is fired.

Everything goes through the machine, by the same verbs as a person's writes. What the machine refuses waits with its refusals. A
command is decided on the version of the course that was looked at; where the course moved meanwhile, all is looked at again.
"""

import datetime as dt
import hashlib
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from ipt_workflow.access.principal import Principal
from ipt_workflow.course import triggers
from ipt_workflow.course.payloads import Payload
from ipt_workflow.course.triggers import BY_NAME, Command
from ipt_workflow.ehr.notices import matching
from ipt_workflow.ehr.notices.content import NoticeContent, Version
from ipt_workflow.ehr.notices.matching import RecordedEntry
from ipt_workflow.errors import Busy, CommandInvalid, Fault, NotFound, Refusal, StaleVersion, TransitionRefused, TriggerNotPermitted
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.service.courses import Courses
from ipt_workflow.service.writes import IdempotencyKey, Opening, Write
from ipt_workflow.store import courses as stored_courses
from ipt_workflow.store import notices as stored
from ipt_workflow.store.courses import StoredCourse
from ipt_workflow.store.schema.tables import NoticeRow

ATTEMPTS = 8
FOR_EVER = dt.timedelta(days=36_500)
SETTLED = ("applied", "waiting", "ignored", "dismissed")

Status = Literal["applied", "waiting", "ignored"]


class NoticeOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a notice. `seq` is the entry that it made, `about_seq` the entry that what it tells of is; `why` is in words."""

    status: Status
    why: str | None = None
    course: str | None = None
    seq: int | None = None
    about_seq: int | None = None
    refusals: tuple[Refusal, ...] = ()
    faults: tuple[Fault, ...] = ()


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """A notice that is to be acted on. `principal` fires what it comes to; `attempt` tells one person's correction from another."""

    id: str
    source: str
    told: NoticeContent
    principal: Principal
    by_person: bool = False
    attempt: str = ""

    def key(self, step: int = 0) -> IdempotencyKey:
        """However often it is acted on, each step of it is committed once."""
        scope = hashlib.sha256(f"notice\n{self.id}\n{self.attempt}\n{step}".encode()).hexdigest()
        return IdempotencyKey(scope, scope, kept=FOR_EVER)


class NoticeHandler:
    """Over a clinic."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic
        self.service = Courses(clinic)

    async def act(self, notice: Notice) -> NoticeOutcome:
        """Raises nothing that is about the notice; Busy and the like where the store is."""
        try:
            for _attempt in range(ATTEMPTS):
                try:
                    return await self._done_before(notice) or await self._told(notice)
                except StaleVersion:
                    continue
        except TransitionRefused as error:
            return NoticeOutcome(status="waiting", refusals=error.refusals, why=error.summary)
        except CommandInvalid as error:
            return NoticeOutcome(status="waiting", faults=error.faults, why="Some of it cannot be used.")
        except (TriggerNotPermitted, NotFound) as error:
            return NoticeOutcome(status="waiting", why=str(error))
        raise Busy("The course is being written by others. Try again.")

    async def _told(self, notice: Notice) -> NoticeOutcome:
        """What it comes to. Where that is nothing new, another process may have acted on it since it was looked for."""
        outcome = await self._act(notice)
        return outcome if outcome.status == "applied" else await self._done_before(notice) or outcome

    async def client_of(self, told: NoticeContent) -> str | None:
        if told.client_ref is None:
            return None
        return await self.clinic.read(stored_courses.client_id, told.client_ref)

    async def courses_of(self, client: str | None) -> list[StoredCourse]:
        return await self.clinic.read(stored.courses_of, client) if client else []

    async def told_of(self, source: str, resources: Sequence[str], but: str = "") -> list[NoticeRow]:
        """What was told of these things before, the newest first."""
        rows = await self.clinic.read(stored.of_resource, source, [r for r in resources if r])
        return [row for row in rows if row.id != but and row.status in SETTLED]

    async def _done_before(self, notice: Notice) -> NoticeOutcome | None:
        """What it came to, where it was committed and whoever did so was stopped before they could say it."""
        kept = await self.clinic.kept_answer(notice.key().scope)
        if kept is None or notice.told.trigger in triggers.CONCERNING_CLIENT:  # some of them may not have been told
            return None
        fact = next(entry.fact for entry in await self.clinic.entries(kept.course_id) if entry.written.seq == kept.first_seq)
        about = fact.data.get("supersedes") or fact.data.get("session") or fact.seq
        return NoticeOutcome(status="applied", course=kept.course_id, seq=kept.first_seq, about_seq=about)

    async def _act(self, notice: Notice) -> NoticeOutcome:
        told = notice.told
        if told.about == "nothing":
            return NoticeOutcome(status="ignored")
        if told.about == "referral":
            return await self._refer(notice)
        if told.about == "person" and await self.told_of(notice.source, [told.resource or ""], notice.id):
            return NoticeOutcome(status="ignored", why="It was told before.")
        if told.void and told.client_ref is None:
            return await self._taken_back(notice)
        courses = await self.courses_of(await self.client_of(told))
        at = matching.course_for(told, courses, self.clinic.clock.now())
        course = at.course.id if at else None
        if told.faults:
            return NoticeOutcome(status="waiting", faults=told.faults, course=course, why="Some of it cannot be used.")
        if told.waits and not (notice.by_person and told.trigger):
            return NoticeOutcome(status="waiting", course=course, why=told.waits)
        if not courses:
            return NoticeOutcome(status="waiting", why="No course of this client is known here.")
        if at is None:
            return NoticeOutcome(
                status="waiting", why="The client has several courses, or not the one named: say which it is about."
            )
        if told.trigger in triggers.CONCERNING_CLIENT:
            return await self._every(notice, courses if told.course is None else [at])
        return await self._about(notice, at)

    # Referrals

    async def _refer(self, notice: Notice) -> NoticeOutcome:
        told = notice.told
        before = [row for row in await self.told_of(notice.source, [told.resource or "", *told.refs], notice.id) if row.course_id]
        if told.faults or told.waits or told.void:
            course = before[0].course_id if before else None
            if told.void and course is None:
                return NoticeOutcome(status="ignored", why="Nothing came of it here.")
            return NoticeOutcome(
                status="waiting", course=course, faults=told.faults, why=told.waits or "The referral is taken back."
            )
        if before:
            return NoticeOutcome(status="ignored", course=before[0].course_id, why="The referral opened a course before.")
        opening = Opening(
            client_ref=told.client_ref or "",
            protocol=told.protocol,
            protocol_version=told.protocol_version,
            therapist=told.therapist,
            occurred_at=told.occurred_at,
            data=told.data,
        )
        done = await self.service.open_course(notice.principal, lambda: opening, notice.key())
        return NoticeOutcome(status="applied", course=done.course.id, seq=1, about_seq=1)

    async def _taken_back(self, notice: Notice) -> NoticeOutcome:
        """A deletion, which names no client: it is about the course that the thing was told of."""
        rows = await self.told_of(notice.source, [notice.told.resource or ""], notice.id)
        its = next((row.course_id for row in rows if row.course_id), None)
        course = await self.clinic.courses.get(its) if its else None
        if course is None:
            return NoticeOutcome(status="ignored", why="Nothing came of it here.")
        if notice.told.waits and not notice.by_person:
            return NoticeOutcome(status="waiting", course=its, why=notice.told.waits)
        return await self._about(notice, course)

    # What is told of every course of a client

    async def _every(self, notice: Notice, courses: Sequence[StoredCourse]) -> NoticeOutcome:
        """Fires it on each course; where one refuses, that is what it came to. Each is committed alone, and none twice."""
        done = [await self._fire(notice, course, self._command(notice.told, course), step) for step, course in enumerate(courses)]
        return next((each for each in done if each.status == "waiting"), done[0])

    # What is told of one course

    async def _about(self, notice: Notice, course: StoredCourse) -> NoticeOutcome:
        told = notice.told
        rows = await self.told_of(notice.source, [told.resource or ""], notice.id)
        if any(told.version.before(_version(row)) for row in rows):
            return NoticeOutcome(status="ignored", course=course.course.id, why="A newer version of it came before.")
        if not told.void and any(told.version.same(_version(row)) and row.status != "waiting" for row in rows):
            return NoticeOutcome(status="ignored", course=course.course.id, why="This version of it came before.")
        if told.about not in {"session", "booking", "measure"}:
            return await self._fresh(notice, course)
        everything = matching.known(course.course, await self.clinic.entries(course.course.id))
        own = [row for row in rows if row.course_id == course.course.id and row.about_seq in everything]
        again = await self._again(notice, course, everything[own[0].about_seq or 0], {row.seq for row in own}) if own else None
        if again:
            return again
        if told.void:
            return NoticeOutcome(status="ignored", course=course.course.id, why="Nothing came of it here.")
        found = self._match(told, course, everything, await self._named(notice, everything))
        return await (self._alike(notice, course, found) if found else self._fresh(notice, course))

    async def _named(self, notice: Notice, everything: dict[int, RecordedEntry]) -> RecordedEntry | None:
        """What another resource that this one names became."""
        others = [ref for ref in notice.told.refs if ref != notice.told.resource]
        rows = await self.told_of(notice.source, others, notice.id) if others else []
        seqs = [row.about_seq for row in rows if row.about_seq in everything]
        return everything[seqs[0]] if seqs and seqs[0] is not None else None

    def _match(
        self, told: NoticeContent, course: StoredCourse, everything: dict[int, RecordedEntry], named: RecordedEntry | None
    ) -> RecordedEntry | None:
        if named and named.fact and named.trigger == told.trigger:
            return named
        if told.about == "measure":
            return matching.reading(told, everything, self.clinic.machine_of(course.course).protocol, self.clinic.zone)
        if told.about == "booking":
            return matching.visit(msgspec.structs.replace(told, occurred_at=None), everything)
        return matching.visit(told, everything)

    async def _again(
        self, notice: Notice, course: StoredCourse, known: RecordedEntry, own: set[int | None]
    ) -> NoticeOutcome | None:
        """A newer telling about an entry. What this source told and nobody has signed is amended; all else is a person's to decide.

        None where it is to be taken as something new.
        """
        told, name = notice.told, f"Entry {known.root}"
        ours = known.root in own and known.last in own
        if known.fact is None and told.void:
            return _nothing(course, known, "It was taken back before.")
        if not ours and (known.fact is None or told.void):
            return _wait(
                course, known, f"{name} {'was made void here' if known.fact is None else 'was not told by this source alone'}."
            )
        if told.void:
            return await self._amend(notice, course, known)
        if known.fact is None:  # it tells anew what it took back itself
            return None
        if known.trigger == told.trigger and not self._differs(told, course, known):
            return _nothing(course, known, f"{name} says the same.")
        if known.trigger == "book_session":  # it is moved by booking it anew, and ends with what became of it
            return None
        if known.trigger != told.trigger:
            return _wait(course, known, f"{name} is a {known.trigger} by now.")
        if known.root not in own:
            return await self._alike(notice, course, known)
        if not ours:
            return _wait(course, known, f"{name} was amended here.")
        return await self._amend(notice, course, known)

    async def _alike(self, notice: Notice, course: StoredCourse, known: RecordedEntry) -> NoticeOutcome:
        """Something else tells of what is on record: at most the EHR's name for it is new."""
        told = notice.told
        assert known.fact is not None
        if told.about == "measure":
            return await self._same_measure(notice, course, known)
        if told.about == "session" and matching.attended(told.data) != matching.attended(known.fact.data):
            return _wait(course, known, f"Entry {known.root} tells otherwise of this visit.")
        if told.about == "booking" or known.refs or not told.data.get("ref"):
            return _nothing(course, known, f"The visit is entry {known.root} already.")
        link = Command("link_session", {"session": known.root, "ref": told.data["ref"]})
        return await self._fire(notice, course, link, about=known.root)

    async def _same_measure(self, notice: Notice, course: StoredCourse, known: RecordedEntry) -> NoticeOutcome:
        """Answers that complete what is on record are added to it; a positive risk answer that cannot be is recorded for itself."""
        told = notice.told
        assert known.fact is not None
        added = _completed((known.given or {}).get("items"), told.data.get("items"))
        if added and known.person == notice.principal.person:
            filled = msgspec.structs.replace(told, data={**(known.given or {}), "items": added}, occurred_at=known.fact.occurred_at)
            return await self._amend(msgspec.structs.replace(notice, told=filled), course, known)
        if told.risk and not known.fact.data.get("risk"):
            return await self._fresh(notice, course)
        return _nothing(course, known, f"The measure is entry {known.root} already.")

    def _differs(self, told: NoticeContent, course: StoredCourse, known: RecordedEntry) -> bool:
        assert known.fact is not None
        command = self._command(told, course)
        same_time = command.occurred_at is None or command.occurred_at == known.fact.occurred_at
        return not same_time or known.given != _plain(command)

    async def _amend(self, notice: Notice, course: StoredCourse, known: RecordedEntry) -> NoticeOutcome:
        """Says what the entry should have said, as whoever told it."""
        told = notice.told
        data: dict[str, Any] = {"supersedes": known.last}
        if told.void:
            data["void"] = True
        else:
            command = self._command(told, course)
            gone = dict.fromkeys(set(known.given or {}) - set(_plain(command)))
            data |= {"data": {**gone, **_plain(command)}}
            data |= {"occurred_at": command.occurred_at.isoformat()} if command.occurred_at else {}
        reason = "The EHR has taken it back." if told.void else "The EHR tells it anew."
        as_told = (
            notice
            if notice.by_person
            else msgspec.structs.replace(notice, principal=msgspec.structs.replace(notice.principal, person=known.person))
        )
        return await self._fire(as_told, course, Command("amend", data, reason=told.reason or reason), about=known.root)

    # Firing

    async def _fresh(self, notice: Notice, course: StoredCourse) -> NoticeOutcome:
        """Fires what the notice tells, as something new."""
        return await self._fire(notice, course, self._command(notice.told, course))

    def _command(self, told: NoticeContent, course: StoredCourse) -> Command:
        """The command that a notice comes to in a course. A measure taken before the course was opened belongs to its beginning."""
        at = told.occurred_at
        if told.about == "measure" and at:
            at = max(at, course.course.opened_at)
        return Command(told.trigger, told.data, at, told.reason)

    async def _fire(
        self, notice: Notice, course: StoredCourse, command: Command, step: int = 0, about: int | None = None
    ) -> NoticeOutcome:
        """Raises StaleVersion where the course has moved since it was looked at."""
        write = Write(
            decode=lambda: (command,),
            triggers=(command.trigger,),
            version=course.course.version,
            version_required=False,
            key=notice.key(step),
        )
        try:
            done = await self.service.fire(notice.principal, course.course.id, write)
        except TransitionRefused as error:
            return NoticeOutcome(
                status="waiting", course=course.course.id, refusals=error.refusals, why=error.summary, about_seq=about
            )
        except CommandInvalid as error:
            why = "Some of it cannot be used."
            return NoticeOutcome(status="waiting", course=course.course.id, faults=error.faults, why=why, about_seq=about)
        except TriggerNotPermitted as error:
            return NoticeOutcome(status="waiting", course=course.course.id, why=str(error), about_seq=about)
        seq = done.entries[-1].seq
        return NoticeOutcome(status="applied", course=done.course.id, seq=seq, about_seq=about or seq)


def _wait(course: StoredCourse, known: RecordedEntry, why: str) -> NoticeOutcome:
    return NoticeOutcome(status="waiting", course=course.course.id, about_seq=known.root, why=why)


def _nothing(course: StoredCourse, known: RecordedEntry, why: str) -> NoticeOutcome:
    """There is nothing to do: it is on record as it is told."""
    return NoticeOutcome(status="ignored", course=course.course.id, about_seq=known.root, why=why)


def _version(row: NoticeRow) -> Version:
    return Version(at=row.resource_at, text=row.resource_version)


def _plain(command: Command) -> dict[str, Any]:
    """A command's data as an entry would keep it."""
    payload: type[Payload] = BY_NAME[command.trigger].payload
    plain: dict[str, Any] = msgspec.to_builtins(msgspec.convert(command.data, payload))
    return plain


def _completed(given: Sequence[int | None] | None, told: Sequence[int | None] | None) -> list[int | None] | None:
    """The answers of both, where the second has one that the first has not; None where it has none."""
    if not given or not told or len(given) != len(told):
        return None
    both = [a if a is not None else b for a, b in zip(given, told, strict=True)]
    return both if both != list(given) else None
