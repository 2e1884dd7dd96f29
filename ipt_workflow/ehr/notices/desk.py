"""What handling a notice needs: reads what it says, finds what is known of it, decides it, and commits what became of it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

import msgspec

from ipt_workflow.access.principal import Principal
from ipt_workflow.ehr.notices import digests, risk, things, types, versions, withdrawals
from ipt_workflow.ehr.notices.commands import DecidedNotice, NoticeOutcome, ignored, waiting
from ipt_workflow.ehr.notices.content import NoticeContent
from ipt_workflow.ehr.notices.fhir import reader
from ipt_workflow.ehr.notices.handler import Notice, NoticeHandler
from ipt_workflow.ehr.notices.sources import VerifiedSender
from ipt_workflow.ehr.notices.versions import Comparison, Standing
from ipt_workflow.errors import Busy, CommandInvalid, CommandMalformed, IptError, StaleVersion
from ipt_workflow.runtime import logs
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.service.decisions import Decisions
from ipt_workflow.store import notices as stored
from ipt_workflow.store.notices import NoticeDetail, NoticeTaken, StoredNotice
from ipt_workflow.store.sources import StoredSource
from ipt_workflow.store.units import ActiveCourseExists, ClientTaken, LoggedEvent, Unit

LOCKS_MAX = 10_000
UNREADABLE = NoticeContent(type=types.UNREADABLE, about="nothing")
HISTORY_TYPE = "history"
HISTORY = (
    "This source also sends visits or measures from long before the courses began. They are not kept; the metric"
    " ipt_notices_ignored counts them. Dismiss this notice."
)
NOT_HANDLED = "The service met an error while it handled this notice. Retry it, or tell the operator its id."
FULL = "Too many notices of this source wait for a person. Resolve some in the inbox, then send this one again."
OVERTAKEN = (StaleVersion, NoticeTaken, ClientTaken, ActiveCourseExists)


class NoticeDesk:
    """Handles the notices of a clinic. Raises ProtocolInvalid if `config/notices.toml` is faulty."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic
        self.types = types.load(clinic.settings.notices, clinic.catalogue.instruments)
        self.handler = NoticeHandler(clinic, self.types)
        self.decisions = Decisions(clinic)
        self.histories: set[str] = set()  # sources whose history has been reported by this process
        self._locks: dict[str, asyncio.Lock] = {}

    # Reading

    def contents_of(self, source: StoredSource, kind: str, body: bytes) -> tuple[NoticeContent, ...]:
        """What a stored message says. Raises CommandMalformed or CommandInvalid."""
        if kind == HISTORY_TYPE:
            return (NoticeContent(type=HISTORY_TYPE, about="person", needs_person=HISTORY),)
        if kind.startswith(reader.TYPE_PREFIX):
            return self.fhir_reader(source).read(reader.decode(body))
        return (self._with_risk(self.types.read(body), body),)

    def content_of(self, source: StoredSource, notice: StoredNotice, body: bytes) -> NoticeContent:
        """The thing that a stored notice is about. Raises CommandMalformed; CommandInvalid also if `body` does not say that thing."""
        taken_back = withdrawals.read(body)
        if taken_back:
            return self.withdrawal(notice, taken_back.withdrawn, taken_back.needs_person)
        contents = self.contents_of(source, notice.type, body)
        content = next((each for each in contents if digests.of_part(source, each.part) == notice.part), None)
        if content is None and len(contents) == 1 and (not notice.part or withdrawals.is_of_resource(contents[0])):
            content = contents[0]
        if notice.void and body == notice.body and not (content and content.void):  # stored with the version that took it back
            return self.withdrawal(notice, notice.resource)
        if content is None:
            raise CommandInvalid([withdrawals.OTHER_THING])
        return content

    def withdrawal(self, kept: StoredNotice, name: str | None, needs_person: str | None = None) -> NoticeContent:
        """The withdrawal of what a kept notice says of the resource with this name."""
        own = self.types.by_name.get(kept.type)
        return NoticeContent(
            type=kept.type,
            about=own.about if own else reader.ABOUT.get(kept.type.removeprefix(reader.TYPE_PREFIX), "person"),
            part=kept.part,
            resource=name,
            refs=(name,) if name else (),
            void=True,
            needs_person=needs_person,
        )

    def _with_risk(self, content: NoticeContent, body: bytes) -> NoticeContent:
        return risk.assessed(content, body, self.clinic.catalogue.instruments)

    def fhir_reader(self, source: StoredSource) -> reader.ResourceReader:
        return reader.ResourceReader(self.types.fhir, self.clinic.catalogue.instruments, source.client_prefix, self.clinic.zone)

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
            kept=self.comparable(content, [each for each in kept or () if each.ordinal is not None and each.id != notice.id]),
            named=sorted(named, key=lambda each: each.id),
            client=client,
        )

    async def versions(self, resource_key: str | None) -> Sequence[StoredNotice]:
        """The kept versions of a resource, in the order they were kept."""
        kept = await self.clinic.versions.get(resource_key) if resource_key else None
        return [each for each in kept or () if each.ordinal is not None]

    def comparable(self, content: NoticeContent, kept: Sequence[StoredNotice]) -> Sequence[StoredNotice]:
        """The kept versions that a message replaces: of our own types, those of its scale, since each scale of a form comes by itself."""
        if not content.part.startswith("scale ") or content.type.startswith(reader.TYPE_PREFIX):
            return kept
        return [each for each in kept if content.part in {each.part, self._scale_of(each) or content.part}]

    def _scale_of(self, kept: StoredNotice) -> str | None:
        """The part of a notice of our own types; None if it was kept before scales were parts, and has no body to tell."""
        with suppress(CommandMalformed, CommandInvalid):
            return kept.part or (self.types.read(kept.body).part if kept.body else None)
        return None

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
        earlier: Sequence[StoredNotice] = [each for each in notice.kept if each.id < kept.id]
        if content.void and content.client_ref is None:
            earlier = things.of(earlier, kept.part, kept.client_id)
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
            request_id=principal.request_id,
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

    @asynccontextmanager
    async def lock(self, key: str) -> AsyncIterator[None]:
        """Lets one at a time through in this process, of those with the same key."""
        if len(self._locks) > LOCKS_MAX:
            self._locks = {known: lock for known, lock in self._locks.items() if lock.locked()}
        async with self._locks.setdefault(key, asyncio.Lock()):
            yield


def detail_of(outcome: NoticeOutcome, says: tuple[str, ...]) -> NoticeDetail | None:
    """Why a notice waits; None if it does not."""
    if outcome.status != "waiting":
        return None
    return NoticeDetail(why=outcome.why, refusals=outcome.refusals, faults=outcome.faults, says=says)
