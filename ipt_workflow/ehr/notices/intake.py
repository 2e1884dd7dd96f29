"""Takes messages in: decides what becomes of each thing that a message says, and commits it before the message is acknowledged.

A notice, the entries it makes and its record in the audit log are one unit of the committer. So a notice is never lost and never applied
twice: if the process stops before the unit is committed, the sender gets no answer and sends the message again. A notice becomes
`applied`, `waiting` for a person, or `ignored` if there is nothing to do. Only a waiting notice keeps its content.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

import msgspec

from ipt_workflow.access.principal import Principal
from ipt_workflow.ehr.notices import digests, risk, types, versions
from ipt_workflow.ehr.notices.commands import DecidedNotice, NoticeOutcome, ignored, waiting
from ipt_workflow.ehr.notices.content import NoticeContent, canonical
from ipt_workflow.ehr.notices.fhir import reader
from ipt_workflow.ehr.notices.handler import Notice, NoticeHandler
from ipt_workflow.ehr.notices.sources import Sources, VerifiedSender
from ipt_workflow.ehr.notices.versions import Comparison, Standing
from ipt_workflow.errors import Busy, CommandInvalid, CommandMalformed, Faulty, IptError, NoticeReused, StaleVersion
from ipt_workflow.runtime import logs
from ipt_workflow.service.clinic import Clinic, new_id
from ipt_workflow.service.decisions import Decisions, retrying
from ipt_workflow.store import notices as stored
from ipt_workflow.store.notices import NewNotice, NoticeDetail, NoticeTaken, StoredNotice
from ipt_workflow.store.sources import StoredSource
from ipt_workflow.store.units import ActiveCourseExists, ClientTaken, LoggedEvent, NewClient, Unit

LOCKS_MAX = 10_000
UNREADABLE = NoticeContent(type=types.UNREADABLE, about="nothing")
HISTORY_TYPE = "history"
HISTORY = (
    "This source also sends visits or measures from long before the courses began. They are not kept; the metric"
    " ipt_notices_ignored counts them. Dismiss this notice."
)
NOT_HANDLED = "The service met an error while it handled this notice. Retry it, or tell the operator its id."
REUSED = (
    "The EHR sent this under a message id that it had used before. Check in the EHR which counts, then retry or dismiss the notice."
)
TAKEN_BACK = "The EHR has changed or withdrawn this since. Review the risk all the same."
NOT_TRUSTED = "The source is not trusted to name persons, so the {} it names was not used."
FULL = "Too many notices of this source wait for a person. Resolve some in the inbox, then send this one again."
OVERTAKEN = (StaleVersion, NoticeTaken, ClientTaken, ActiveCourseExists)


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """An authentic message: its bytes, and each thing that it says, as far as it is readable.

    `key` identifies it when it comes again; without one, it is compared with the versions of its resource. `kept` is stored instead of
    `body` if it is given. `problem` is what is wrong: the sender gets it, and the message waits. With `room`, it is kept even if the
    inbox is full. With `complete`, what an earlier version said and this one does not is taken back. With `always`, a row is stored even
    if it is ignored.
    """

    key: str | None
    body: bytes
    contents: tuple[NoticeContent, ...]
    kept: bytes | None = None
    problem: Exception | None = None
    room: bool = False
    complete: bool = False
    always: bool = False


class ThingReceipt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of one thing that a message says. `reason` is the code of why it is ignored."""

    id: str | None
    status: str
    type: str
    reason: str | None = None
    says: tuple[str, ...] = ()


class Receipt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to a sender. `id` is null if nothing was stored; `says` holds remarks on how the message was read.

    `things` says what became of each thing, if the message says several.
    """

    id: str | None
    status: str
    reason: str | None = None
    says: tuple[str, ...] = ()
    things: tuple[ThingReceipt, ...] = ()


class Notices:
    """Takes in the notices of a clinic. Raises ProtocolInvalid if `config/notices.toml` is faulty."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic
        self.sources = Sources(clinic)
        self.types = types.load(clinic.settings.notices, clinic.catalogue.instruments)
        self.handler = NoticeHandler(clinic, self.types)
        self.decisions = Decisions(clinic)
        self._locks: dict[str, asyncio.Lock] = {}
        self._reported: set[str] = set()  # sources whose history has been reported by this process

    # Reading

    async def receive(self, sender: VerifiedSender, body: bytes, problem: Exception | None, request_id: str | None) -> Receipt:
        """Takes a notice of our own types, signed by Standard Webhooks. Raises its problem after it is stored."""
        content = UNREADABLE
        if problem is None:
            try:
                content = self.types.read(body)
            except (CommandMalformed, CommandInvalid) as error:
                problem = error
        assert sender.message_id is not None  # the route lets only Standard Webhooks through
        contents = (self._with_risk(content, body),)
        return await self.take(sender, Message(key=sender.message_id, body=body, contents=contents, problem=problem), request_id)

    def contents_of(self, source: StoredSource, kind: str, body: bytes) -> tuple[NoticeContent, ...]:
        """What a stored message says. Raises CommandMalformed or CommandInvalid."""
        if kind == HISTORY_TYPE:
            return (NoticeContent(type=HISTORY_TYPE, about="person", needs_person=HISTORY),)
        if kind.startswith(reader.TYPE_PREFIX):
            value = reader.decode(body)
            return self.fhir_reader(source).read(value, value.get("entries"))
        return (self._with_risk(self.types.read(body), body),)

    def content_of(self, source: StoredSource, notice: StoredNotice, body: bytes) -> NoticeContent:
        """The thing that a stored notice is about. Raises CommandMalformed or CommandInvalid."""
        contents = self.contents_of(source, notice.type, body)
        return next((each for each in contents if digests.of_part(source, each.part) == notice.part), contents[0])

    def _with_risk(self, content: NoticeContent, body: bytes) -> NoticeContent:
        return msgspec.structs.replace(content, risk=risk.of_body(body, self.clinic.catalogue.instruments))

    def fhir_reader(self, source: StoredSource) -> reader.ResourceReader:
        return reader.ResourceReader(self.types.fhir, self.clinic.catalogue.instruments, source.client_prefix, self.clinic.zone)

    # Taking

    async def take(self, sender: VerifiedSender, message: Message, request_id: str | None) -> Receipt:
        """Takes a message once. Raises its problem after it is stored, NoticeReused if its key came before with another body."""
        taking = Taking(self, sender, message, request_id)
        async with self.lock(taking.resource_key or digests.of_message(sender.source, message.key or taking.digest)):
            things = [await taking.thing(content) for content in message.contents]
            things += await taking.taken_back() if message.complete else ()
        if message.problem and taking.is_new:
            raise message.problem
        return _receipt(things)

    async def refuse_reused(self, sender: VerifiedSender, message: Message, request_id: str | None) -> None:
        """Keeps a changed message that came under a used id in the inbox, and raises NoticeReused."""
        self.clinic.metrics.notices_refused.labels(sender.source.id, "key_reused").inc()
        first = message.contents[0]
        content = NoticeContent(
            type=first.type, about="person", needs_person=REUSED, risk=any(each.risk for each in message.contents)
        )
        key = f"reused {digests.of_body(sender.source, message.body)}"
        again = Message(key=key, body=message.body, contents=(content,), kept=message.kept, room=message.room)
        await Taking(self, sender, again, request_id).thing(content)
        raise NoticeReused("This message id was used before with another body. Send a changed message under a new id.")

    async def report_history(self, sender: VerifiedSender, request_id: str | None) -> None:
        """Tells once that a source sends what lies long before the courses."""
        if sender.source.id in self._reported:
            return
        self._reported.add(sender.source.id)
        content = NoticeContent(type=HISTORY_TYPE, about="person", needs_person=HISTORY)
        await self.take(sender, Message(key=HISTORY_TYPE, body=b"{}", contents=(content,), room=True), request_id)

    # Deciding and settling

    def notice(
        self, source: StoredSource, notice_id: str, content: NoticeContent, principal: Principal, comparison: Comparison
    ) -> Notice:
        """The notice as the handler takes it. Persons count only from a source trusted to name them."""
        known = content if source.names_persons else msgspec.structs.replace(content, therapist=None, person=None)
        part = digests.of_part(source, content.part)
        return Notice(id=notice_id, source=source, content=known, principal=principal, comparison=comparison, part=part)

    async def knowledge(self, notice: Notice, resource_key: str | None = None) -> Notice:
        """The notice with everything known about its resource, its references and its client."""
        content, source = notice.content, notice.source
        names = {*content.refs, *content.part_of} - {content.resource}
        own = self.clinic.versions.start(resource_key) if resource_key else None
        others = [self.clinic.versions.start(digests.of_resource(source, name)) for name in names]
        pending = self.clinic.clients.start(content.client_ref) if content.client_ref else None
        kept = await own if own else None
        named = [row for other in others for row in await other or ()]
        client = await pending if pending else None
        return msgspec.structs.replace(
            notice,
            kept=[each for each in kept or () if each.ordinal is not None and each.id != notice.id],
            named=sorted(named, key=lambda each: each.id),
            client=client,
        )

    async def decide(self, notice: Notice) -> DecidedNotice:
        """Decides a notice. An error of the service itself makes it wait, so that it is not lost."""
        try:
            return await self.handler.decide(notice)
        except IptError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the message must be kept
            logs.logger().error("notice not handled", notice=notice.id, type=notice.content.type, exc_info=error)
            return waiting(NOT_HANDLED)

    async def decide_again(
        self,
        source: StoredSource,
        kept: StoredNotice,
        content: NoticeContent,
        person: Principal | None,
        *,
        early: bool = False,
    ) -> DecidedNotice:
        """Decides a stored notice again: for a `person` who decides it, else for the EHR."""
        principal = person or self.principal(source, content, None)
        notice = await self.knowledge(self.notice(source, kept.id, content, principal, Comparison("first")), kept.resource_key)
        earlier = [each for each in notice.kept if each.id < kept.id]
        later = [each for each in notice.kept if each.id > kept.id and each.part == kept.part]
        standing: Standing = (
            "older" if any(versions.version_of(kept).before(versions.version_of(each)) for each in later) else "newer"
        )
        notice = msgspec.structs.replace(
            notice, part=kept.part, comparison=Comparison(standing), kept=earlier, by_person=person is not None, early=early
        )
        return await self.decide(notice)

    async def settle(
        self, notice: StoredNotice, decided: DecidedNotice, says: tuple[str, ...], principal: Principal, *, by_person: bool = False
    ) -> None:
        """Commits what became of a notice that was stored before. Raises NoticeTaken if it was settled meanwhile."""
        outcome = decided.outcome
        finished = by_person and outcome.status != "waiting"
        result = stored.NoticeResult(
            status=outcome.status,
            course_id=outcome.course or notice.course_id,
            seq=outcome.seq,
            about_seq=outcome.about_seq,
            detail=detail_of(outcome, says),
            awaits_course=outcome.awaits_course,
            decided_by=principal.person if finished else None,
            decided_at=self.clinic.clock.now() if finished else None,
        )
        unit = Unit(
            organisation=self.clinic.organisation,
            changes=decided.changes,
            client=decided.client,
            settled=(stored.SettledNotice(notice.id, notice.status, result),),
            events=(*decided.events, self.event(principal, notice.type, outcome)),
        )
        await self.decisions.commit(unit)
        self.count(notice.source_id, notice.type, outcome)

    async def close(self, sender: VerifiedSender, key: str) -> None:
        """Ends the waiting notice that has this key: it needs no person any more."""
        notice = await self.clinic.notices.get(digests.of_message(sender.source, key))
        if notice and notice.status == "waiting":
            principal = Principal(person=sender.actor, role="ehr", via="ehr")
            with suppress(NoticeTaken):  # a person has just resolved it
                await self.settle(notice, ignored("known"), (), principal)

    async def check_room(self, source: StoredSource) -> None:
        """Raises Busy if too many notices of a source wait."""
        most = self.clinic.settings.notices_waiting_max
        if await self.clinic.read(stored.waiting, source.id, most) >= most:
            raise Busy(FULL)

    def event(self, principal: Principal, kind: str, outcome: NoticeOutcome) -> LoggedEvent:
        courses = [outcome.course] if outcome.course else []
        return self.clinic.event(principal, "notice", f"{kind} {outcome.status}", courses)

    def count(self, source: str, kind: str, outcome: NoticeOutcome) -> None:
        self.clinic.metrics.notices.labels(source, kind, outcome.status).inc()
        if outcome.reason:
            self.clinic.metrics.notices_ignored.labels(source, outcome.reason).inc()

    def principal(self, source: StoredSource, content: NoticeContent, request_id: str | None) -> Principal:
        """The person whom a trusted source names, else the actor `ehr:<source>`."""
        person = content.person if content.person and source.names_persons else f"ehr:{source.id}"
        return Principal(person=person, role="ehr", via="ehr", request_id=request_id)

    async def count_waiting(self) -> list[tuple[str, bool, int]]:
        return await self.clinic.read(stored.waiting_by_source)

    @asynccontextmanager
    async def lock(self, key: str) -> AsyncIterator[None]:
        """Lets one at a time through in this process, of those with the same key."""
        if len(self._locks) > LOCKS_MAX:
            self._locks = {known: lock for known, lock in self._locks.items() if lock.locked()}
        async with self._locks.setdefault(key, asyncio.Lock()):
            yield


class Taking:
    """One message while it is taken, each thing that it says by itself."""

    def __init__(self, notices: Notices, sender: VerifiedSender, message: Message, request_id: str | None) -> None:
        self.notices = notices
        self.clinic = notices.clinic
        self.sender = sender
        self.source = sender.source
        self.message = message
        self.request_id = request_id
        resource = next((each.resource for each in message.contents if each.resource), None)
        self.resource_key = digests.of_resource(self.source, resource) if resource else None
        self.digest = digests.of_content(self.source, canonical(message.contents))
        self.kept: Sequence[StoredNotice] = ()  # of the resource, as last read
        self.is_new = False  # whether a notice was stored

    async def thing(self, content: NoticeContent) -> ThingReceipt:
        """Decides one thing and commits what it comes to."""
        notice_id = new_id()

        async def attempt() -> ThingReceipt:
            return await self._attempt(notice_id, content)

        receipt = await retrying(attempt, *OVERTAKEN, busy="The course is being written by others. Send the message again.")
        if receipt.reason == "before":
            await self.notices.report_history(self.sender, self.request_id)
        return receipt

    async def _attempt(self, notice_id: str, content: NoticeContent) -> ThingReceipt:
        principal = self.notices.principal(self.source, content, self.request_id)
        draft = self.notices.notice(self.source, notice_id, content, principal, Comparison("first"))
        key = self._key(draft.part)
        pending = self.clinic.notices.start(key) if key else None
        notice = await self.notices.knowledge(draft, self.resource_key)
        known = await pending if pending else None
        if known:
            return await self._known(known)
        self.kept = notice.kept
        if content.void and content.client_ref is None:  # only the part says what is withdrawn
            notice = msgspec.structs.replace(notice, kept=[each for each in notice.kept if each.part == notice.part])
        comparison = versions.compare(content.version, self.digest, notice.kept) if self.resource_key else Comparison("first")
        repeated = next((each for each in comparison.same if each.part == notice.part), None)
        if repeated and not self.message.problem:
            return self._repeated(repeated)
        decided = await self._decided(msgspec.structs.replace(notice, comparison=comparison))
        return await self._commit(notice, decided, key, comparison)

    def _key(self, part: str) -> str | None:
        """The digest of the message's id; None if the message has none."""
        key = self.message.key
        return digests.of_message(self.source, f"{key} {part}" if part else key) if key else None

    async def _known(self, known: StoredNotice) -> ThingReceipt:
        if known.body_hash != digests.of_body(self.source, self.message.body):
            await self.notices.refuse_reused(self.sender, self.message, self.request_id)
        return self._repeated(known)

    def _repeated(self, known: StoredNotice) -> ThingReceipt:
        self.clinic.metrics.notices.labels(self.source.id, known.type, "repeated").inc()
        status = "ignored" if known.status == "dismissed" else known.status
        return ThingReceipt(id=known.id, status=status, type=known.type)

    async def _decided(self, notice: Notice) -> DecidedNotice:
        problem = self.message.problem
        if problem is None:
            return await self.notices.decide(notice)
        return waiting(str(problem).partition("\n")[0], faults=problem.faults if isinstance(problem, Faulty) else ())

    async def _commit(self, notice: Notice, decided: DecidedNotice, key: str | None, comparison: Comparison) -> ThingReceipt:
        content, outcome = notice.content, decided.outcome
        says = self._says(notice)
        if not self._is_kept(notice, outcome):
            self.notices.count(self.source.id, content.type, outcome)
            return ThingReceipt(id=None, status=outcome.status, type=content.type, reason=outcome.reason, says=says)
        closed = tuple(self._closed(notice, outcome))
        if outcome.status == "waiting" and not (content.risk or closed or self.message.room):
            await self.notices.check_room(self.source)
        new_client = self._new_client(notice, decided)
        row = self._row(notice, outcome, key, says, standing=comparison.standing)
        client = notice.client.id if notice.client else new_client.id if new_client else None
        unit = Unit(
            organisation=self.clinic.organisation,
            changes=decided.changes,
            client=new_client or decided.client,
            notices=(msgspec.structs.replace(row, client_id=client),),
            settled=closed,
            events=(*decided.events, self.notices.event(notice.principal, content.type, outcome)),
        )
        await self.notices.decisions.commit(unit)
        self.is_new = True
        self.notices.count(self.source.id, content.type, outcome)
        return ThingReceipt(id=notice.id, status=outcome.status, type=content.type, reason=outcome.reason, says=says)

    def _says(self, notice: Notice) -> tuple[str, ...]:
        """The remarks of the reader, and which persons were not used because the source is not trusted to name them."""
        sent, used = self._sent(notice), notice.content
        own_type = not used.type.startswith(reader.TYPE_PREFIX)
        dropped = [("therapist", sent.therapist and not used.therapist), ("person", own_type and sent.person and not used.person)]
        return (*used.says, *(NOT_TRUSTED.format(name) for name, is_dropped in dropped if is_dropped))

    def _sent(self, notice: Notice) -> NoticeContent:
        parts = (each for each in self.message.contents if digests.of_part(self.source, each.part) == notice.part)
        return next(parts, notice.content)

    def _is_kept(self, notice: Notice, outcome: NoticeOutcome) -> bool:
        """Whether a row is stored. Of what does not concern IPT, nothing is; of our own types, everything is."""
        if outcome.status != "ignored" or self.message.always or not notice.content.type.startswith(reader.TYPE_PREFIX):
            return True
        if outcome.reason == "person":  # so that an older version, which reports a death, is known as older
            return bool(notice.client and notice.client.courses)
        return outcome.reason == "known" or (outcome.reason == "nothing_here" and bool(notice.kept))

    def _new_client(self, notice: Notice, decided: DecidedNotice) -> NewClient | None:
        """The client's record that must be made: the only row that holds the reference, also for a client without a course."""
        ref = notice.content.client_ref
        if ref is None or notice.client:
            return None
        return decided.client if decided.client and decided.client.ref == ref else NewClient(new_id(), ref)

    def _row(self, notice: Notice, outcome: NoticeOutcome, key: str | None, says: tuple[str, ...], *, standing: str) -> NewNotice:
        content, part = notice.content, notice.part
        last = max((each.ordinal or 0 for each in notice.kept if each.part == part), default=0)
        ordinal = last + 1 if self.resource_key and standing != "older" else None
        about = (
            f"{self.resource_key} {part} {ordinal}" if ordinal else f"body {digests.of_body(self.source, self.message.body)} {part}"
        )
        waits = outcome.status == "waiting"
        return NewNotice(
            id=notice.id,
            source_id=self.source.id,
            key=key or digests.of_message(self.source, about),
            body_hash=digests.of_body(self.source, self.message.body),
            type=content.type,
            received_at=self.clinic.clock.now(),
            body=(self.message.kept or self.message.body) if waits else None,
            status=outcome.status,
            risk=content.risk,
            resource="Patient" if (content.resource or "").startswith("Patient/") else content.resource,
            resource_key=self.resource_key,
            part=part,
            ordinal=ordinal,
            content_digest=self.digest if self.resource_key else None,
            resource_version=content.version.text,
            resource_at=content.version.at,
            void=content.void,
            course_id=outcome.course,
            seq=outcome.seq,
            about_seq=outcome.about_seq,
            detail=detail_of(outcome, says),
            awaits_course=outcome.awaits_course,
        )

    def _closed(self, notice: Notice, outcome: NoticeOutcome) -> list[stored.SettledNotice]:
        """The waiting notices of older versions: they end. One with risk goes on waiting, and says that it was changed."""
        replaces = outcome.status != "ignored" or notice.content.void or notice.content.about != "person"
        older = [each for each in notice.kept if each.status == "waiting" and each.part in {notice.part, ""}]
        return [_superseded(each) for each in older] if replaces and outcome.reason != "older" else []

    async def taken_back(self) -> list[ThingReceipt]:
        """Withdraws what an earlier version of the resource said, and this one does not say any more."""
        contents = [each for each in self.message.contents if each.about != "nothing"]
        earlier = {each.part: each for each in self.kept}
        standing = versions.compare(self.message.contents[0].version, self.digest, self.kept).standing
        if not earlier or standing in {"older", "unordered"}:
            return []
        parts = {digests.of_part(self.source, each.part) for each in contents}
        visit = any(each.about in {"session", "booking"} for each in contents)
        found = [await self.clinic.clients.get(each.client_ref) for each in contents if each.client_ref]
        clients = {each.id for each in found if each}
        gone = [
            each
            for each in earlier.values()
            if not (each.client_id in clients and (visit or each.part in {*parts, ""}))
            and not each.void
            and (each.status in {"waiting", "applied"} or each.about_seq)
            and each.content_digest != self.digest
        ]
        return [await self.thing(self._withdrawal(each)) for each in gone]

    def _withdrawal(self, kept: StoredNotice) -> NoticeContent:
        first = self.message.contents[0]
        return NoticeContent(
            type=kept.type,
            about=reader.ABOUT[kept.type.removeprefix(reader.TYPE_PREFIX)],
            part=kept.part,
            resource=first.resource,
            refs=first.refs,
            void=True,
            version=first.version,
        )


def detail_of(outcome: NoticeOutcome, says: tuple[str, ...]) -> NoticeDetail | None:
    """Why a notice waits; None if it does not."""
    if outcome.status != "waiting":
        return None
    return NoticeDetail(why=outcome.why, refusals=outcome.refusals, faults=outcome.faults, says=says)


def _superseded(kept: StoredNotice) -> stored.SettledNotice:
    detail = kept.detail or NoticeDetail()
    if kept.risk:
        detail = msgspec.structs.replace(detail, says=tuple(dict.fromkeys((*detail.says, TAKEN_BACK))))
    result = stored.NoticeResult(
        status="waiting" if kept.risk else "ignored",
        course_id=kept.course_id,
        seq=kept.seq,
        about_seq=kept.about_seq,
        detail=detail if kept.risk else None,
        awaits_course=kept.awaits_course and kept.risk,
    )
    return stored.SettledNotice(kept.id, "waiting", result)


def _receipt(things: Sequence[ThingReceipt]) -> Receipt:
    """The answer about a message. It waits if any of its things waits, and is applied if any was."""
    order = ("waiting", "applied", "ignored", "received")
    first = min(things, key=lambda each: order.index(each.status))
    says = tuple(dict.fromkeys(remark for each in things for remark in each.says))
    several = tuple(things) if len(things) > 1 else ()
    return Receipt(id=first.id, status=first.status, reason=first.reason, says=says, things=several)
