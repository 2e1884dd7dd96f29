"""The inbox: notices that wait for a person, why they wait, and what the person decides. Records of group sessions wait there too.

`retry` handles a notice again as the EHR, after the course has been changed. If only a person may decide, it is fired as the person
who retries. `correct` changes what the notice says and fires it as the person. `dismiss` ends the notice.
"""

import datetime as dt
from collections.abc import Callable
from typing import Any, Literal

import msgspec

from ipt_workflow import groups
from ipt_workflow.access.principal import Principal
from ipt_workflow.ehr.notices import group_records
from ipt_workflow.ehr.notices.commands import DecidedNotice, waiting
from ipt_workflow.ehr.notices.desk import OVERTAKEN
from ipt_workflow.ehr.notices.fhir import reader
from ipt_workflow.ehr.notices.group_records import HeldRecords
from ipt_workflow.ehr.notices.handler import NOT_OURS, UNORDERED
from ipt_workflow.ehr.notices.intake import Notices
from ipt_workflow.errors import CommandInvalid, CommandMalformed, Fault, NotFound, StaleVersion
from ipt_workflow.service.decisions import retrying
from ipt_workflow.store import notices as stored
from ipt_workflow.store import sources as stored_sources
from ipt_workflow.store.courses import StoredCourse
from ipt_workflow.store.notices import (
    ListedNotice,
    NoticeDetail,
    NoticeFilters,
    NoticeResult,
    NoticeTaken,
    SettledNotice,
    StoredNotice,
)
from ipt_workflow.store.sources import StoredSource
from ipt_workflow.store.units import Unit
from ipt_workflow.values.merge_patch import merge_patch
from ipt_workflow.values.types import Text

NO_NOTICE = "There is no such notice, or none that you may see."
SHOWN_MAX = 4000  # characters of a body that is not JSON


class Proposal(msgspec.Struct, frozen=True):
    """The trigger that a notice would fire, with its data."""

    trigger: str
    data: dict[str, Any]


class NoticeView(msgspec.Struct, frozen=True, kw_only=True):
    """A notice. `content` is what it says, shown only while it waits. `seq` is the entry it made, `about_seq` the entry it is about."""

    id: str
    source: str
    type: str
    status: str
    received_at: dt.datetime
    course: str | None
    client_ref: str | None
    risk: bool
    resource: str | None
    seq: int | None
    about_seq: int | None
    why: str | None
    refusals: tuple[Any, ...]
    faults: tuple[Any, ...]
    says: tuple[str, ...]
    proposes: Proposal | None
    content: Any
    decided_by: str | None
    decided_at: dt.datetime | None


class Resolution(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A person's decision. `data` is a merge patch (RFC 7396) for the notice's `data`, or for the `content` of a FHIR notice."""

    action: Literal["retry", "correct", "dismiss"]
    reason: Text | None = None
    data: dict[str, Any] | None = None


class Inbox:
    """Shows the waiting notices of a clinic and resolves them."""

    def __init__(self, notices: Notices, records: HeldRecords) -> None:
        self.notices = notices
        self.records = records
        self.clinic = notices.clinic

    async def page(self, principal: Principal, filters: NoticeFilters, after: str, limit: int) -> list[NoticeView]:
        """Notices in the order they came, about courses that the caller may see. A supervisor also sees those about no course."""
        await self.clinic.require(principal, "read notices")
        filters = msgspec.structs.replace(filters, viewer=self.clinic.viewer(principal))
        found = await self.clinic.read(stored.page, filters, after, limit, self.clinic.clock.now())
        await self.clinic.log(principal, "read", "notices", [each.course_id for each in found if each.course_id])
        sources = {source.id: source for source in await self.clinic.read(stored_sources.every)}
        views = [self._view(each, sources.get(each.notice.source_id)) for each in found]
        return await self._masked(principal, views)

    async def one(self, principal: Principal, notice_id: str) -> NoticeView:
        listed, source = await self._visible(principal, notice_id)
        await self.clinic.require(principal, "read notices", _courses(listed))
        await self.clinic.log(principal, "read", "notice", _courses(listed))
        return (await self._masked(principal, [self._view(listed, source)]))[0]

    async def resolve(self, principal: Principal, notice_id: str, decode: Callable[[], Resolution]) -> NoticeView:
        """Raises CommandInvalid for a correction that cannot be used, StaleVersion if the notice no longer waits."""
        listed, source = await self._visible(principal, notice_id)
        await self.clinic.require(principal, "resolve notices", _courses(listed))
        if seen := await self._seen(principal, listed):
            await self.clinic.require_lasting(principal, "resolve notices", seen)
        resolution = decode()
        _check(resolution)
        async with self.notices.lock(notice_id):
            listed, _ = await self._visible(principal, notice_id)
            if listed.notice.status != "waiting":
                raise StaleVersion(listed.notice.seq or 0)
            try:
                await self._carry_out(principal, listed, source, resolution)
            except NoticeTaken:
                raise StaleVersion(listed.notice.seq or 0) from None
        return self._view((await self._visible(principal, notice_id))[0], source)

    async def _carry_out(
        self, principal: Principal, listed: ListedNotice, source: StoredSource | None, resolution: Resolution
    ) -> None:
        """Raises NoticeTaken if another process has just settled the notice."""
        if resolution.action == "dismiss":
            await self._dismiss(principal, listed, resolution.reason)
        elif source is None:
            await self._retry_group_record(principal, listed, resolution)
        else:
            await self._retry(principal, listed, source, resolution)

    async def _dismiss(self, principal: Principal, listed: ListedNotice, reason: str | None) -> None:
        notice = listed.notice
        result = NoticeResult(
            status="dismissed",
            course_id=notice.course_id,
            seq=notice.seq,
            about_seq=notice.about_seq,
            detail=NoticeDetail(why=reason),
            decided_by=principal.person,
            decided_at=self.clinic.clock.now(),
        )
        seen = await self._seen(principal, listed)
        event = self.clinic.event(principal, "notice", f"{notice.type} dismissed", [seen] if seen else _courses(listed))
        settled = (SettledNotice(notice.id, "waiting", result),)
        await self.clinic.committer.commit(
            Unit(organisation=self.clinic.organisation, changes=(), settled=settled, events=(event,))
        )

    async def _retry(self, principal: Principal, listed: ListedNotice, source: StoredSource, resolution: Resolution) -> None:
        notice = listed.notice
        try:
            content = self.notices.content_of(source, notice, _corrected(notice, resolution))
        except (CommandMalformed, CommandInvalid) as error:
            if resolution.action == "correct":
                raise
            faults = error.faults if isinstance(error, CommandInvalid) else ()
            await self.notices.settle(notice, waiting(str(error).partition("\n")[0], faults=faults), (), principal, by_person=True)
            return
        person = None
        if resolution.action == "correct" or content.needs_person or _is_doubted(notice):
            content = msgspec.structs.replace(content, reason=resolution.reason or content.reason, person=None)
            person = principal

        async def attempt() -> None:
            decided = await self.notices.decide_again(source, notice, content, person)
            await self.notices.settle(notice, decided, content.says, principal, by_person=True)

        await retrying(attempt, *OVERTAKEN, unless=(NoticeTaken,))

    async def _retry_group_record(self, principal: Principal, listed: ListedNotice, resolution: Resolution) -> None:
        """Fires a record of a group session again. Such a record has no EHR as its source."""
        body, course = _corrected(listed.notice, resolution), listed.notice.course_id or ""
        outcome = await self.records.retry(principal, course, body, corrected=resolution.action == "correct")
        await self.notices.settle(listed.notice, DecidedNotice(outcome=outcome), (), principal, by_person=True)

    async def _visible(self, principal: Principal, notice_id: str) -> tuple[ListedNotice, StoredSource | None]:
        """A notice that the principal may see, with its source; no source for a group's record. Raises NotFound."""
        listed = await self.clinic.read(stored.one, notice_id) if "\x00" not in notice_id else None
        if listed is None:
            raise NotFound(NO_NOTICE)
        about_none = listed.course_id is None and principal.role in {"supervisor", "auditor", "ehr"}
        if not (about_none or await self._seen(principal, listed)):
            raise await self.clinic.hidden(principal, "see a notice", _courses(listed), NO_NOTICE)
        source = await self.clinic.read(stored_sources.find, listed.notice.source_id)
        assert source is not None or listed.notice.source_id == groups.SOURCE  # sources are disabled, never removed
        return listed, source

    async def _seen(self, principal: Principal, listed: ListedNotice) -> StoredCourse | None:
        """The course that the notice is listed with, if the principal may see it."""
        course = await self.clinic.courses.get(listed.course_id) if listed.course_id else None
        return await self.clinic.seen(principal, course) if course else None

    async def _masked(self, principal: Principal, views: list[NoticeView]) -> list[NoticeView]:
        """The notices without what was written about a client, where it is hidden from an auditor. Of no course, it is all hidden."""
        masked = await self.clinic.masked(principal, [each.course or "" for each in views])
        hidden = {"content": None, "proposes": None, "says": (), "why": None}
        return [msgspec.structs.replace(each, **hidden) if (each.course or "") in masked else each for each in views]

    def _view(self, listed: ListedNotice, source: StoredSource | None) -> NoticeView:
        notice = listed.notice
        detail = notice.detail or NoticeDetail()
        return NoticeView(
            id=notice.id,
            source=notice.source_id,
            type=notice.type,
            status=notice.status,
            received_at=notice.received_at,
            course=listed.course_id,
            client_ref=listed.client_ref,
            risk=notice.risk,
            resource=notice.resource,
            seq=notice.seq,
            about_seq=notice.about_seq,
            why=detail.why,
            refusals=detail.refusals,
            faults=detail.faults,
            says=detail.says,
            proposes=self._proposes(listed, source),
            content=_shown(notice.body),
            decided_by=notice.decided_by,
            decided_at=notice.decided_at,
        )

    def _proposes(self, listed: ListedNotice, source: StoredSource | None) -> Proposal | None:
        if listed.notice.body is None:
            return None
        if source is None:
            command = group_records.command(listed.notice.body)
            return Proposal(command.trigger, command.data)
        try:
            content = self.notices.content_of(source, listed.notice, listed.notice.body)
        except (CommandMalformed, CommandInvalid):
            return None
        return Proposal(content.trigger, content.data) if content.trigger else None


def _courses(listed: ListedNotice) -> list[str]:
    return [listed.course_id] if listed.course_id else []


def _is_doubted(notice: StoredNotice) -> bool:
    """Whether the notice waits for a person's word alone, although its content is clear."""
    return notice.detail is not None and notice.detail.why in {NOT_OURS, UNORDERED}


def _check(resolution: Resolution) -> None:
    """Raises CommandInvalid if the action lacks what it needs."""
    faults = []
    if resolution.action != "retry" and resolution.reason is None:
        faults.append(Fault("reason", f"is required to {resolution.action} a notice"))
    if resolution.action == "correct" and resolution.data is None:
        faults.append(Fault("data", "is required to correct a notice"))
    if resolution.action != "correct" and resolution.data is not None:
        faults.append(Fault("data", "is allowed only with the action `correct`"))
    if faults:
        raise CommandInvalid(faults)


def _corrected(notice: StoredNotice, resolution: Resolution) -> bytes:
    """The notice's body with the person's merge patch applied. Raises CommandMalformed if the body is not JSON."""
    body = notice.body or b""
    if resolution.data is None:
        return body
    content = reader.decode(body)
    if notice.type.startswith(reader.TYPE_PREFIX):
        return msgspec.json.encode(merge_patch(content, resolution.data))
    data = content.get("data")
    return msgspec.json.encode({**content, "data": merge_patch(data if isinstance(data, dict) else {}, resolution.data)})


def _shown(body: bytes | None) -> Any:
    """A notice's body as JSON, or as text if it is not JSON."""
    if body is None:
        return None
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body.decode("utf-8", "replace")[:SHOWN_MAX]
