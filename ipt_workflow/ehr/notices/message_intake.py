"""One message while it is taken in: each thing that it says is decided and committed by itself."""

from collections.abc import Sequence

import msgspec

from ipt_workflow.ehr.notices import digests, things, versions, withdrawals
from ipt_workflow.ehr.notices.commands import DecidedNotice, NoticeOutcome, waiting
from ipt_workflow.ehr.notices.content import NoticeContent, canonical
from ipt_workflow.ehr.notices.desk import HISTORY, HISTORY_TYPE, OVERTAKEN, NoticeDesk, detail_of
from ipt_workflow.ehr.notices.fhir import reader
from ipt_workflow.ehr.notices.handler import UNORDERED, Notice
from ipt_workflow.ehr.notices.receipts import Message, ThingReceipt
from ipt_workflow.ehr.notices.sources import VerifiedSender
from ipt_workflow.ehr.notices.versions import Comparison
from ipt_workflow.errors import Faulty, NoticeReused
from ipt_workflow.service.clinic import new_id
from ipt_workflow.service.decisions import retrying
from ipt_workflow.store import notices as stored
from ipt_workflow.store.notices import NewNotice, NoticeDetail, StoredNotice
from ipt_workflow.store.units import NewClient, Unit

REUSED = (
    "The EHR sent this under a message id that it had used before. Check in the EHR which counts, then retry or dismiss the notice."
)
TAKEN_BACK = "The EHR has changed or withdrawn this since. Review the risk all the same."
NOT_TRUSTED = "The source is not trusted to name persons, so the {} it names was not used."


class MessageIntake:
    """One message while it is taken, each thing that it says by itself."""

    def __init__(self, desk: NoticeDesk, sender: VerifiedSender, message: Message, request_id: str | None) -> None:
        self.desk = desk
        self.clinic = desk.clinic
        self.sender = sender
        self.source = sender.source
        self.message = message
        self.request_id = request_id
        resource = next((each.resource for each in message.contents if each.resource), None)
        self.resource_key = digests.of_resource(self.source, resource) if resource else None
        self.digest = digests.of_content(self.source, canonical(message.contents))
        self.kept: Sequence[StoredNotice] = ()  # of the resource, as the last thing was compared with them
        self.first: NoticeContent | StoredNotice = message.contents[0]  # it is stored under the message's id
        self.is_new = False  # whether a notice was stored

    async def things(self) -> list[ThingReceipt]:
        """Decides each thing that the message says or withdraws, and commits what it comes to."""
        if self.message.withdraws:
            await self._check_deletion()
            return [await self._withdraw(each) for each in self.message.withdraws]
        said = [await self.thing(content) for content in self.message.contents]
        return [*said, *(await self._taken_back() if self.message.complete else ())]

    async def _check_deletion(self) -> None:
        """Refuses a deletion under a used id. If the id is new, the first thing is stored under it."""
        known = await self.clinic.notices.get(digests.of_message(self.source, self.message.key)) if self.message.key else None
        if known and not digests.is_of_body(self.source, known.body_hash, self.message.body):
            await self._refuse_reused()
        self.first = self.message.withdraws[0] if known is None else self.first

    async def thing(self, content: NoticeContent, withdrawn: StoredNotice | None = None) -> ThingReceipt:
        """Decides one thing and commits what it comes to. `withdrawn` is the latest notice of a thing that is withdrawn."""

        async def attempt() -> ThingReceipt:
            return await self._attempt(new_id(), content, withdrawn)

        receipt = await retrying(attempt, *OVERTAKEN, busy="The course is being written by others. Send the message again.")
        if receipt.reason == "before":
            await self._report_history()
        return receipt

    async def _attempt(self, notice_id: str, content: NoticeContent, withdrawn: StoredNotice | None) -> ThingReceipt:
        principal = self.desk.principal(self.source, content, self.request_id)
        draft = self.desk.notice(self.source, notice_id, content, principal, Comparison("first"))
        key = self._key(content, draft.part, withdrawn)
        pending = self.clinic.notices.start(key) if key else None
        notice = await self.desk.knowledge(draft, self.resource_key)
        known = await pending if pending else None
        if known:
            return await self._known(known)
        self.kept = notice.kept
        if withdrawn:
            overtaken = not self.message.withdraws and self._compare(notice.kept).standing == "older"
            notice = msgspec.structs.replace(notice, kept=things.of(notice.kept, notice.part, withdrawn.client_id))
            doubtful = content.needs_person is not None
            own = versions.compare_withdrawal(notice.kept, self.digest, in_doubt=doubtful)
            comparison = Comparison("older") if overtaken else own
        else:
            comparison = self._compare(notice.kept) if self.resource_key else Comparison("first")
        repeated = next((each for each in comparison.same if each.part == notice.part and each.void == content.void), None)
        if repeated and not self.message.problem:
            return self._repeated(repeated)
        decided = await self._decided(msgspec.structs.replace(notice, comparison=comparison))
        return await self._commit(notice, decided, key, comparison, withdrawn)

    def _compare(self, kept: Sequence[StoredNotice]) -> Comparison:
        """A bare name is no version of its resource. It says nothing new while the same name waits."""
        first = self.message.contents[0]
        if _is_name(first):
            waits = tuple(each for each in kept if each.status == "waiting" and each.content_digest == self.digest)
            return Comparison("repeat", waits) if waits else Comparison("newer")
        return versions.compare(first.version, self.digest, self._without_names(kept))

    def _without_names(self, kept: Sequence[StoredNotice]) -> Sequence[StoredNotice]:
        """The kept notices without those of the bare name of the resource."""
        name = self.desk.fhir_reader(self.source).read({"focus": self.message.contents[0].resource}) if kept else ()
        named = digests.of_content(self.source, canonical(name))
        return [each for each in kept if each.content_digest != named]

    def _key(self, content: NoticeContent, part: str, withdrawn: StoredNotice | None) -> str | None:
        """The digest of the message's id, for its first thing; with the thing's names for every other. None if the message has no id."""
        if self.message.key is None:
            return None
        if (withdrawn or content) is self.first:
            return digests.of_message(self.source, self.message.key)
        return digests.of_message(self.source, f"{self.message.key} {part} of {withdrawn.client_id if withdrawn else ''}")

    async def _known(self, known: StoredNotice) -> ThingReceipt:
        if not digests.is_of_body(self.source, known.body_hash, self.message.body):
            await self._refuse_reused()
        return self._repeated(known)

    async def _refuse_reused(self) -> None:
        """Keeps a changed message that came under a used id in the inbox, and raises NoticeReused."""
        self.clinic.metrics.notices_refused.labels(self.source.id, "key_reused").inc()
        first = self.message.contents[0]
        ref = next((each.client_ref for each in self.message.contents if each.client_ref), None)
        client = await self.clinic.clients.get(ref) if ref else None
        content = NoticeContent(
            type=first.type,
            about="person",
            client_ref=ref if client and client.courses else None,  # so that it shows on the course, with its risk
            needs_person=REUSED,
            risk=any(each.risk for each in self.message.contents),
        )
        key = f"reused {digests.of_body(self.source, self.message.body)}"
        again = Message(key=key, body=self.message.body, contents=(content,), kept=self.message.kept, room=self.message.room)
        await MessageIntake(self.desk, self.sender, again, self.request_id).thing(content)
        raise NoticeReused("This message id was used before with another body. Send a changed message under a new id.")

    async def _report_history(self) -> None:
        """Tells once that a source sends what lies long before the courses."""
        if self.source.id in self.desk.histories:
            return
        self.desk.histories.add(self.source.id)
        content = NoticeContent(type=HISTORY_TYPE, about="person", needs_person=HISTORY)
        message = Message(key=HISTORY_TYPE, body=b"{}", contents=(content,), room=True)
        await MessageIntake(self.desk, self.sender, message, self.request_id).thing(content)

    def _repeated(self, known: StoredNotice) -> ThingReceipt:
        self.clinic.metrics.notices.labels(self.source.id, known.type, "repeated").inc()
        status = "ignored" if known.status == "dismissed" else known.status
        return ThingReceipt(id=known.id, status=status, type=known.type)

    async def _decided(self, notice: Notice) -> DecidedNotice:
        problem = self.message.problem
        if problem is None:
            return await self.desk.decide(notice)
        return waiting(str(problem).partition("\n")[0], faults=problem.faults if isinstance(problem, Faulty) else ())

    async def _commit(
        self, notice: Notice, decided: DecidedNotice, key: str | None, comparison: Comparison, withdrawn: StoredNotice | None
    ) -> ThingReceipt:
        content, outcome = notice.content, decided.outcome
        says = self._says(notice)
        if not self._is_kept(notice, outcome):
            self.desk.count(self.source.id, content.type, outcome)
            return ThingReceipt(id=None, status=outcome.status, type=content.type, reason=outcome.reason, says=says)
        doubtful = comparison.standing == "unordered" or _is_name(content)  # a person chooses between it and what waits
        closed = () if doubtful else tuple(self._closed(notice, outcome))
        if outcome.status == "waiting" and not (content.risk or closed or self.message.room):
            await self.desk.check_room(self.source)
        new_client = self._new_client(notice, decided)
        row = self._row(notice, outcome, key, says, standing=comparison.standing)
        if row.body is not None and withdrawn and not self.message.withdraws:
            row = msgspec.structs.replace(row, body=withdrawals.stored(content))
        named = notice.client or new_client
        client = withdrawn.client_id if withdrawn else named.id if named else None
        unit = Unit(
            organisation=self.clinic.organisation,
            changes=decided.changes,
            client=new_client or decided.client,
            notices=(msgspec.structs.replace(row, client_id=client),),
            settled=closed,
            events=(*decided.events, self.desk.event(notice.principal, content.type, outcome)),
            request_id=self.request_id,
        )
        await self.desk.decisions.commit(unit)
        self.is_new = True
        self.desk.count(self.source.id, content.type, outcome)
        return ThingReceipt(id=notice.id, status=outcome.status, type=content.type, says=says)

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
        here = bool(notice.client and notice.client.courses)
        if here and outcome.reason in {"person", "nothing_here"}:  # so that an older version, which comes late, is known as older
            return True
        follows = bool(notice.kept) and notice.content.about != "nothing"  # it ends what an earlier version left waiting
        return outcome.reason == "known" or (follows and outcome.reason != "older")

    def _new_client(self, notice: Notice, decided: DecidedNotice) -> NewClient | None:
        """The client's record that must be made: the only row that holds the reference, also for a client without a course."""
        ref = notice.content.client_ref
        if ref is None or notice.client:
            return None
        return decided.client if decided.client and decided.client.ref == ref else NewClient(new_id(), ref)

    def _row(self, notice: Notice, outcome: NoticeOutcome, key: str | None, says: tuple[str, ...], *, standing: str) -> NewNotice:
        content, part = notice.content, notice.part
        last = max((each.ordinal or 0 for each in self.kept if each.part == part), default=0)
        ordinal = last + 1 if self.resource_key and standing != "older" else None
        body_hash = digests.of_body(self.source, self.message.body)
        about = f"{self.resource_key} {part} {ordinal}" if ordinal else f"body {body_hash} {part}"
        waits = outcome.status == "waiting"
        return NewNotice(
            id=notice.id,
            source_id=self.source.id,
            key=key or digests.of_message(self.source, about),
            body_hash=body_hash,
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
        client = notice.client.id if notice.client else None
        older = [
            each for each in notice.kept if each.status == "waiting" and (not each.part or things.is_of(each, notice.part, client))
        ]
        if notice.content.void and outcome.status == "waiting":  # what it withdraws stands until a person has decided
            older = [each for each in older if each.void]
        return [_superseded(each) for each in older] if replaces and outcome.reason != "older" else []

    async def _taken_back(self) -> list[ThingReceipt]:
        """Withdraws what an earlier version of the resource said, and this one does not say any more."""
        kept = await self._kept()
        comparison = self._compare(kept)
        doubted = bool(comparison.same) and _waits_unordered(comparison.same[-1])
        if not kept or comparison.standing in {"older", "unordered"} or doubted:
            return []
        return [await self._withdraw(each) for each in await self._gone(kept)]

    async def _kept(self) -> Sequence[StoredNotice]:
        """The kept versions as they are now: also with what this message came to, and others meanwhile."""
        kept = self.desk.comparable(self.message.contents[0], await self.desk.versions(self.resource_key))
        return self._without_names(kept)

    async def _gone(self, kept: Sequence[StoredNotice]) -> list[StoredNotice]:
        """The things that the kept notices say, and this message does not."""
        contents = [each for each in self.message.contents if each.about != "nothing"]
        parts = {digests.of_part(self.source, each.part) for each in contents}
        visit = any(each.about in {"session", "booking"} for each in contents)
        found = [await self.clinic.clients.get(each.client_ref) for each in contents if each.client_ref]
        clients = {each.id for each in found if each}
        courses = {each.course.id for client in found if client for each in client.courses}  # also those that followed a merge
        return [
            each
            for each in things.left(kept)
            if not ((each.client_id in clients or each.course_id in courses) and (visit or each.part in {*parts, ""}))
            and each.content_digest != self.digest
        ]

    async def _withdraw(self, kept: StoredNotice) -> ThingReceipt:
        first = self.message.contents[0]
        content = self.desk.withdrawal(kept, first.resource, first.needs_person if first.void else None)
        content = msgspec.structs.replace(content, refs=first.refs, version=first.version)
        return await self.thing(content, kept)


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


def _is_name(content: NoticeContent) -> bool:
    """Whether only the name of a resource was sent."""
    return content.needs_person == reader.NAME_ONLY


def _waits_unordered(kept: StoredNotice) -> bool:
    """Whether a version waits because nothing says that it counts."""
    return kept.status == "waiting" and kept.detail is not None and kept.detail.why == UNORDERED
