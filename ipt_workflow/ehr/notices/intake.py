"""Notices: taken once, kept before they are acknowledged, acted on, and settled.

A notice that is authentic is never lost: it is put down first, under a key that makes it the same message however often it comes.
Then it is acted on (`acting`), and says what it came to: `applied`, `waiting` for a person, or `ignored` because there was nothing to
do. Only what waits keeps its content. Should the process stop in between, the notice is found as `received` and acted on anew, which
changes nothing twice.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import msgspec

from ipt_workflow.access.principal import Principal
from ipt_workflow.ehr.notices import types
from ipt_workflow.ehr.notices.content import NoticeContent
from ipt_workflow.ehr.notices.fhir import reader as fhir_in
from ipt_workflow.ehr.notices.handler import Notice, NoticeHandler, NoticeOutcome
from ipt_workflow.ehr.notices.sources import Sources, VerifiedSender
from ipt_workflow.errors import Busy, CommandInvalid, CommandMalformed, Faulty, NoticeReused
from ipt_workflow.protocols.instruments import Instrument
from ipt_workflow.service.clinic import Clinic, new_id
from ipt_workflow.store import notices as stored
from ipt_workflow.store import sources as stored_sources
from ipt_workflow.store.notices import NewNotice, NoticeDetail, NoticeResult, NoticeTaken, PutNotice, StoredNotice
from ipt_workflow.store.sources import StoredSource

LOCKS_MAX = 10_000
NOTHING = NoticeContent(type=types.UNREADABLE, about="nothing")


class Incoming(msgspec.Struct, frozen=True, kw_only=True):
    """An authentic message: what makes it the same again (`key`), its bytes, and what it tells, as far as that can be made out.

    `kept` is what is kept of it, where that is not its bytes. `problem` is what its sender is to be told is wrong with it; it waits all the same.
    """

    key: str
    body: bytes
    told: NoticeContent
    kept: bytes | None = None
    problem: Exception | None = None


class Receipt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a sender is answered. `id` is null where nothing was kept; `says` is what to know about how it was read."""

    id: str | None
    status: str
    says: tuple[str, ...] = ()


class Notices:
    """Over a clinic. Raises ProtocolInvalid where `config/notices.toml` is faulty."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic
        self.sources = Sources(clinic)
        self.types = types.load(clinic.settings.notices, clinic.catalogue.instruments)
        self.acting = NoticeHandler(clinic)
        self._locks: dict[str, asyncio.Lock] = {}

    async def receive(self, sender: VerifiedSender, body: bytes, problem: Exception | None, request_id: str | None) -> Receipt:
        """Takes one of our own types, signed by Standard Webhooks. Raises what is wrong with it, once it is kept."""
        told = NOTHING
        if problem is None:
            try:
                told = self.types.read(body)
            except (CommandMalformed, CommandInvalid) as error:
                problem = error
        at_risk = told.risk or _risk(body, self.clinic.catalogue.instruments)
        told = msgspec.structs.replace(told, risk=at_risk)
        assert sender.message_id is not None  # only Standard Webhooks come here
        return await self.take(sender, Incoming(key=sender.message_id, body=body, told=told, problem=problem), request_id)

    async def take(self, sender: VerifiedSender, incoming: Incoming, request_id: str | None) -> Receipt:
        """Takes a message once. Raises NoticeReused where its key came with another body."""
        told = incoming.told
        digest = _digest(sender.source, incoming.key)
        async with self.alone(digest):
            taken = await self._put(sender, incoming, digest)
            row = taken.notice
            if row.body_hash != _hash(incoming.body):
                await self._reused(sender, row, request_id)
            if not taken.new and row.status != "received":
                self._count(sender.source.id, row.type, "repeated")
                return Receipt(id=row.id, status=row.status if row.status != "dismissed" else "ignored")
            if incoming.problem:
                faults = incoming.problem.faults if isinstance(incoming.problem, Faulty) else ()
                outcome = NoticeOutcome(status="waiting", why=str(incoming.problem).partition("\n")[0], faults=faults)
            else:
                outcome = await self.acting.act(self.notice(sender.source, row.id, told, request_id))
            await self.settle(row, outcome, told.says, self._principal(sender.source, told, request_id))
        if incoming.problem:
            raise incoming.problem
        return Receipt(id=row.id, status=outcome.status, says=told.says)

    async def recover(self) -> int:
        """Acts on what was put down and not settled, and says how many that were."""
        rows = await self.clinic.read(stored.unsettled)
        for row in rows:
            source = await self.clinic.read(stored_sources.find, row.source_id)
            assert source is not None  # sources are disabled, never removed
            try:
                told = self.read_again(source, row, row.body or b"")
                outcome = await self.acting.act(self.notice(source, row.id, told, None))
            except (CommandMalformed, CommandInvalid) as error:
                told = NOTHING
                outcome = NoticeOutcome(status="waiting", why=str(error).partition("\n")[0])
            await self.settle(row, outcome, told.says, self._principal(source, told, None))
        return len(rows)

    async def count_waiting(self) -> list[tuple[str, bool, int]]:
        return await self.clinic.read(stored.waiting_by_source)

    def read_again(self, source: StoredSource, row: StoredNotice, body: bytes) -> NoticeContent:
        """What a stored notice tells. Raises CommandMalformed or CommandInvalid."""
        if row.type.startswith(fhir_in.TYPE_PREFIX):
            return self.reader(source).read(fhir_in.decode(body))
        told = self.types.read(body)
        return msgspec.structs.replace(told, risk=told.risk or _risk(body, self.clinic.catalogue.instruments))

    def reader(self, source: StoredSource) -> fhir_in.ResourceReader:
        return fhir_in.ResourceReader(self.types.fhir, self.clinic.catalogue.instruments, source.client_prefix, self.clinic.zone)

    async def settle(
        self,
        row: StoredNotice,
        outcome: NoticeOutcome,
        says: tuple[str, ...],
        principal: Principal,
        *,
        by_person: bool = False,
    ) -> None:
        """Writes down what became of a notice, and in the audit log that it did. What does not wait loses its content."""
        waits = outcome.status == "waiting"
        decided = by_person and not waits
        result = NoticeResult(
            status=outcome.status,
            course_id=outcome.course or row.course_id,
            seq=outcome.seq,
            about_seq=outcome.about_seq,
            detail=NoticeDetail(why=outcome.why, refusals=outcome.refusals, faults=outcome.faults, says=says) if waits else None,
            decided_by=principal.person if decided else None,
            decided_at=self.clinic.clock.now() if decided else None,
        )
        await self.clinic.write(stored.settle, row.id, row.status, result)
        if row.resource and outcome.status != "ignored":
            await self._overtaken(row)
        self._count(row.source_id, row.type, outcome.status)
        action = f"{row.type} {outcome.status}"
        await self.clinic.record(principal, "notice", action, [outcome.course] if outcome.course else [])

    async def close(self, sender: VerifiedSender, key: str) -> None:
        """What waited under a key has come to nothing that a person need see to."""
        row = await self.clinic.read(stored.by_key, sender.source.id, _digest(sender.source, key))
        if row:
            await self.clinic.write(stored.close, row.id)

    async def _overtaken(self, row: StoredNotice) -> None:
        """Older tellings of the same thing need nobody any more, unless there was risk in them."""
        rows = await self.clinic.read(stored.of_resource, row.source_id, [row.resource or ""])
        for older in rows:
            if older.status == "waiting" and not older.risk and older.id < row.id and not _newer(older, row):
                await self.clinic.write(stored.close, older.id)

    async def _put(self, sender: VerifiedSender, incoming: Incoming, digest: str) -> PutNotice:
        """Puts it down. Raises Busy where too many wait."""
        told = incoming.told
        most = self.clinic.settings.notices_waiting_max
        if await self.clinic.read(stored.waiting, most) >= most:
            raise Busy("Too many notices wait for a person. Try again later.")
        new = NewNotice(
            id=new_id(),
            source_id=sender.source.id,
            key=digest,
            body_hash=_hash(incoming.body),
            type=told.type,
            received_at=self.clinic.clock.now(),
            body=incoming.kept or incoming.body,
            risk=told.risk,
            resource=told.resource,
            resource_version=told.version.text,
            resource_at=told.version.at,
        )
        for _attempt in range(3):
            try:
                return await self.clinic.write(stored.put, new, told.client_ref, new_id())
            except NoticeTaken:  # another process put it down, or the client's record: look again
                continue
        raise Busy("The notice is being taken elsewhere. Try again.")

    async def _reused(self, sender: VerifiedSender, row: StoredNotice, request_id: str | None) -> None:
        self.clinic.metrics.notices_refused.labels(sender.source.id, "key_reused").inc()
        principal = Principal(person=sender.actor, role="ehr", via="ehr", request_id=request_id)
        await self.clinic.record(principal, "notice", f"{row.type} refused: its key came with another body")
        raise NoticeReused(
            "The message's id was used before with another body. What has changed is a new message, with an id of its own."
        )

    def notice(self, source: StoredSource, notice_id: str, told: NoticeContent, request_id: str | None) -> Notice:
        """As it is acted on for the EHR; whom it names counts only where its source is trusted to name persons."""
        known = told if source.names_persons else msgspec.structs.replace(told, therapist=None, person=None)
        return Notice(id=notice_id, source=source.id, told=known, principal=self._principal(source, told, request_id))

    def _principal(self, source: StoredSource, told: NoticeContent, request_id: str | None) -> Principal:
        """The actor `ehr:<source>`; the person it acts for, where it is trusted to name them."""
        person = told.person if told.person and source.names_persons else f"ehr:{source.id}"
        return Principal(person=person, role="ehr", via="ehr", request_id=request_id)

    def _count(self, source: str, kind: str, outcome: str) -> None:
        self.clinic.metrics.notices.labels(source, kind, outcome).inc()

    @asynccontextmanager
    async def alone(self, digest: str) -> AsyncIterator[None]:
        """One at a time, of what has the same digest."""
        if len(self._locks) > LOCKS_MAX:
            self._locks = {key: lock for key, lock in self._locks.items() if lock.locked()}
        async with self._locks.setdefault(digest, asyncio.Lock()):
            yield


def _digest(source: StoredSource, key: str) -> str:
    return hashlib.sha256(f"{source.id}\n{key}".encode()).hexdigest()


def _hash(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _newer(one: StoredNotice, other: StoredNotice) -> bool:
    return bool(one.resource_at and other.resource_at and one.resource_at > other.resource_at)


def _risk(body: bytes, instruments: Mapping[str, Instrument]) -> bool:
    """Whether an answer about self-harm is positive: read as far as it can be, also of a notice that is otherwise faulty."""
    try:
        data = msgspec.json.decode(body)["data"]
        name, items = data["instrument"], data["items"]
        known = [each for key, each in instruments.items() if name in {each.id, key} and each.risk_item]
        return any(items[each.risk_item - 1] >= each.risk_threshold for each in known if each.risk_item)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, LookupError, TypeError):
        return False
