"""Takes notices in: stores each once, handles it, settles it, and only then acknowledges it.

An authentic notice is never lost. It is stored first, under a key that identifies the message however often it comes. Then it is
handled (`handler`) and becomes `applied`, `waiting` for a person, or `ignored` if there is nothing to do. Only a waiting notice keeps
its content. If the process stops in between, the notice stays `received`; the next start handles it again, which is idempotent.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import msgspec

from ipt_workflow.access.principal import Principal
from ipt_workflow.ehr.notices import types
from ipt_workflow.ehr.notices.content import NoticeContent
from ipt_workflow.ehr.notices.fhir import reader
from ipt_workflow.ehr.notices.handler import Notice, NoticeHandler, NoticeOutcome
from ipt_workflow.ehr.notices.sources import Sources, VerifiedSender
from ipt_workflow.errors import Busy, CommandInvalid, CommandMalformed, Faulty, NoticeReused
from ipt_workflow.protocols.instruments import Instrument
from ipt_workflow.service.clinic import Clinic, new_id
from ipt_workflow.service.decisions import retrying
from ipt_workflow.store import notices as stored
from ipt_workflow.store import sources as stored_sources
from ipt_workflow.store.notices import NewNotice, NoticeDetail, NoticeResult, NoticeTaken, PutNotice, StoredNotice
from ipt_workflow.store.sources import StoredSource

LOCKS_MAX = 10_000
UNREADABLE = NoticeContent(type=types.UNREADABLE, about="nothing")


class Incoming(msgspec.Struct, frozen=True, kw_only=True):
    """An authentic message: its `key`, which identifies it when it comes again, its bytes, and its content as far as it is readable.

    `kept` is stored instead of `body` if it is given. `problem` is what is wrong: the sender gets it, and the notice waits.
    """

    key: str
    body: bytes
    content: NoticeContent
    kept: bytes | None = None
    problem: Exception | None = None


class Receipt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to a sender. `id` is null if nothing was stored; `says` holds remarks on how the message was read."""

    id: str | None
    status: str
    says: tuple[str, ...] = ()


class Notices:
    """Takes in the notices of a clinic. Raises ProtocolInvalid if `config/notices.toml` is faulty."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic
        self.sources = Sources(clinic)
        self.types = types.load(clinic.settings.notices, clinic.catalogue.instruments)
        self.handler = NoticeHandler(clinic)
        self._locks: dict[str, asyncio.Lock] = {}

    async def receive(self, sender: VerifiedSender, body: bytes, problem: Exception | None, request_id: str | None) -> Receipt:
        """Takes a notice of our own types, signed by Standard Webhooks. Raises its problem after it is stored."""
        content = UNREADABLE
        if problem is None:
            try:
                content = self.types.read(body)
            except (CommandMalformed, CommandInvalid) as error:
                problem = error
        content = self._with_risk(content, body)
        assert sender.message_id is not None  # the route lets only Standard Webhooks through
        return await self.take(sender, Incoming(key=sender.message_id, body=body, content=content, problem=problem), request_id)

    async def take(self, sender: VerifiedSender, incoming: Incoming, request_id: str | None) -> Receipt:
        """Takes a message once. Raises NoticeReused if its key came before with another body."""
        content = incoming.content
        digest = _digest(sender.source, incoming.key)
        async with self.lock(digest):
            put = await self._put(sender, incoming, digest)
            notice = put.notice
            if notice.body_hash != _hash(incoming.body):
                await self._reused(sender, notice, request_id)
            if not put.new and notice.status != "received":
                self._count(sender.source.id, notice.type, "repeated")
                return Receipt(id=notice.id, status=notice.status if notice.status != "dismissed" else "ignored")
            if incoming.problem:
                faults = incoming.problem.faults if isinstance(incoming.problem, Faulty) else ()
                outcome = NoticeOutcome(status="waiting", why=str(incoming.problem).partition("\n")[0], faults=faults)
            else:
                outcome = await self.handler.handle(self.notice(sender.source, notice.id, content, request_id))
            await self.settle(notice, outcome, content.says, self._principal(sender.source, content, request_id))
        if incoming.problem:
            raise incoming.problem
        return Receipt(id=notice.id, status=outcome.status, says=content.says)

    async def recover(self) -> int:
        """Handles the notices that were stored and not settled; returns their number."""
        notices = await self.clinic.read(stored.unsettled)
        for notice in notices:
            source = await self.clinic.read(stored_sources.find, notice.source_id)
            assert source is not None  # sources are disabled, never removed
            try:
                content = self.content_of(source, notice.type, notice.body or b"")
                outcome = await self.handler.handle(self.notice(source, notice.id, content, None))
            except (CommandMalformed, CommandInvalid) as error:
                content = UNREADABLE
                outcome = NoticeOutcome(status="waiting", why=str(error).partition("\n")[0])
            await self.settle(notice, outcome, content.says, self._principal(source, content, None))
        return len(notices)

    async def count_waiting(self) -> list[tuple[str, bool, int]]:
        return await self.clinic.read(stored.waiting_by_source)

    def content_of(self, source: StoredSource, kind: str, body: bytes) -> NoticeContent:
        """The content of a stored notice of a type. Raises CommandMalformed or CommandInvalid."""
        if kind.startswith(reader.TYPE_PREFIX):
            return first(self.fhir_reader(source).read(reader.decode(body)))
        return self._with_risk(self.types.read(body), body)

    def _with_risk(self, content: NoticeContent, body: bytes) -> NoticeContent:
        return msgspec.structs.replace(content, risk=_risk(body, self.clinic.catalogue.instruments))

    def fhir_reader(self, source: StoredSource) -> reader.ResourceReader:
        return reader.ResourceReader(self.types.fhir, self.clinic.catalogue.instruments, source.client_prefix, self.clinic.zone)

    async def settle(
        self,
        notice: StoredNotice,
        outcome: NoticeOutcome,
        says: tuple[str, ...],
        principal: Principal,
        *,
        by_person: bool = False,
    ) -> None:
        """Stores what became of a notice and records it in the audit log. A notice that does not wait loses its content."""
        waits = outcome.status == "waiting"
        decided = by_person and not waits
        result = NoticeResult(
            status=outcome.status,
            course_id=outcome.course or notice.course_id,
            seq=outcome.seq,
            about_seq=outcome.about_seq,
            detail=NoticeDetail(why=outcome.why, refusals=outcome.refusals, faults=outcome.faults, says=says) if waits else None,
            decided_by=principal.person if decided else None,
            decided_at=self.clinic.clock.now() if decided else None,
        )
        await self.clinic.write(stored.settle, notice.id, notice.status, result)
        if notice.resource and outcome.status != "ignored":
            await self._close_older(notice)
        self._count(notice.source_id, notice.type, outcome.status)
        action = f"{notice.type} {outcome.status}"
        await self.clinic.log(principal, "notice", action, [outcome.course] if outcome.course else [])

    async def close(self, sender: VerifiedSender, key: str) -> None:
        """Ends the waiting notice that has this key: it needs no person any more."""
        notice = await self.clinic.read(stored.by_key, sender.source.id, _digest(sender.source, key))
        if notice:
            await self.clinic.write(stored.close, notice.id)

    async def _close_older(self, notice: StoredNotice) -> None:
        """Ends the older waiting notices about the same resource, except those with risk."""
        for older in await self.clinic.read(stored.of_resource, notice.source_id, [notice.resource or ""]):
            if older.status == "waiting" and not older.risk and older.id < notice.id and not _newer(older, notice):
                await self.clinic.write(stored.close, older.id)

    async def _put(self, sender: VerifiedSender, incoming: Incoming, digest: str) -> PutNotice:
        """Stores the message unless its key is known. Raises Busy if too many notices wait."""
        content = incoming.content
        most = self.clinic.settings.notices_waiting_max
        if await self.clinic.read(stored.waiting, most) >= most:
            raise Busy("Too many notices wait for a person. Resolve some in the inbox, then send this one again.")
        new = NewNotice(
            id=new_id(),
            source_id=sender.source.id,
            key=digest,
            body_hash=_hash(incoming.body),
            type=content.type,
            received_at=self.clinic.clock.now(),
            body=incoming.kept or incoming.body,
            risk=content.risk,
            resource=content.resource,
            resource_version=content.version.text,
            resource_at=content.version.at,
        )

        async def attempt() -> PutNotice:
            return await self.clinic.write(stored.put, new, content.client_ref, new_id())

        # After NoticeTaken the next attempt finds what the other process stored.
        return await retrying(attempt, NoticeTaken, busy="Another process is storing this notice. Send it again.")

    async def _reused(self, sender: VerifiedSender, notice: StoredNotice, request_id: str | None) -> None:
        self.clinic.metrics.notices_refused.labels(sender.source.id, "key_reused").inc()
        principal = Principal(person=sender.actor, role="ehr", via="ehr", request_id=request_id)
        await self.clinic.log(principal, "notice", f"{notice.type} refused: its key came with another body")
        raise NoticeReused("This message id was used before with another body. Send a changed message under a new id.")

    def notice(self, source: StoredSource, notice_id: str, content: NoticeContent, request_id: str | None) -> Notice:
        """The notice as the handler takes it, with the EHR as its actor. Persons count only from a source trusted to name them."""
        known = content if source.names_persons else msgspec.structs.replace(content, therapist=None, person=None)
        return Notice(id=notice_id, source=source.id, content=known, principal=self._principal(source, content, request_id))

    def _principal(self, source: StoredSource, content: NoticeContent, request_id: str | None) -> Principal:
        """The person whom a trusted source names, else the actor `ehr:<source>`."""
        person = content.person if content.person and source.names_persons else f"ehr:{source.id}"
        return Principal(person=person, role="ehr", via="ehr", request_id=request_id)

    def _count(self, source: str, kind: str, outcome: str) -> None:
        self.clinic.metrics.notices.labels(source, kind, outcome).inc()

    @asynccontextmanager
    async def lock(self, key: str) -> AsyncIterator[None]:
        """Lets one at a time through in this process, of those with the same key."""
        if len(self._locks) > LOCKS_MAX:
            self._locks = {known: lock for known, lock in self._locks.items() if lock.locked()}
        async with self._locks.setdefault(key, asyncio.Lock()):
            yield


def first(contents: tuple[NoticeContent, ...]) -> NoticeContent:
    """The first content. A digest stands for the name of a Patient, which names the client."""
    content = contents[0]
    if content.about != "person" or not content.part:
        return content
    digest = hashlib.sha256(f"{content.part} {content.client_ref}".encode()).hexdigest()[:32]
    return msgspec.structs.replace(content, resource=f"{content.part.partition(' ')[0]} {digest}")


def _digest(source: StoredSource, key: str) -> str:
    return hashlib.sha256(f"{source.id}\n{key}".encode()).hexdigest()


def _hash(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _newer(one: StoredNotice, other: StoredNotice) -> bool:
    return bool(one.resource_at and other.resource_at and one.resource_at > other.resource_at)


def _risk(body: bytes, instruments: Mapping[str, Instrument]) -> bool:
    """Whether an answer about self-harm is positive. Reads as far as possible, even in a faulty notice."""
    try:
        data = msgspec.json.decode(body)["data"]
        name, items = data["instrument"], data["items"]
        known = [each for key, each in instruments.items() if name in {each.id, key} and each.risk_item]
        return any(items[each.risk_item - 1] >= each.risk_threshold for each in known if each.risk_item)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, LookupError, TypeError):
        return False
