"""The inbox: notices that wait for a person, why they wait, and what the person decides. Records of groups' sessions wait there too.

`retry` acts on a notice again as the EHR, after the course has been changed; what only a person may decide is then done by the person
who retries. `correct` puts right what the notice says, and is done by the person. `dismiss` ends it.
"""

import datetime as dt
import hashlib
from collections.abc import Callable
from typing import Any, Literal

import msgspec

from ipt_workflow import groups
from ipt_workflow.access import policy
from ipt_workflow.access.principal import Principal
from ipt_workflow.ehr.notices import group_records
from ipt_workflow.ehr.notices.content import NoticeContent
from ipt_workflow.ehr.notices.fhir import reader
from ipt_workflow.ehr.notices.group_records import HeldRecords
from ipt_workflow.ehr.notices.handler import Notice, NoticeOutcome
from ipt_workflow.ehr.notices.intake import Notices
from ipt_workflow.errors import CommandInvalid, CommandMalformed, Fault, NotFound, StaleVersion
from ipt_workflow.store import notices as stored
from ipt_workflow.store import sources as stored_sources
from ipt_workflow.store.notices import ListedNotice, NoticeDetail, NoticeFilters
from ipt_workflow.store.sources import StoredSource
from ipt_workflow.values.merge_patch import merge_patch
from ipt_workflow.values.types import Text

NO_NOTICE = "There is no such notice, or none that you may see."
SHOWN_MAX = 4000  # characters of a body that is not JSON


class Proposal(msgspec.Struct, frozen=True):
    """What a notice comes to on the machine."""

    trigger: str
    data: dict[str, Any]


class NoticeView(msgspec.Struct, frozen=True, kw_only=True):
    """A notice. `content` is what it said, there only while it waits; `seq` the entry it made, `about_seq` the entry it is about."""

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
    """What a person decides. `data` is a merge patch (RFC 7396): on the notice's `data`, or, of FHIR, on its `content`."""

    action: Literal["retry", "correct", "dismiss"]
    reason: Text | None = None
    data: dict[str, Any] | None = None


class Inbox:
    """The verbs over the notices."""

    def __init__(self, notices: Notices, records: HeldRecords) -> None:
        self.notices = notices
        self.records = records
        self.clinic = notices.clinic

    async def page(self, principal: Principal, filters: NoticeFilters, after: str, limit: int) -> list[NoticeView]:
        """Notices in the order they came; a therapist's are those about their own courses."""
        policy.require(principal, "read notices")
        if principal.role == "therapist":
            filters = msgspec.structs.replace(filters, therapist=principal.person)
        found = await self.clinic.read(stored.page, filters, after, limit)
        await self.clinic.record(principal, "read", "notices", [each.course_id for each in found if each.course_id])
        sources = {row.id: row for row in await self.clinic.read(stored_sources.every)}
        return [self._view(each, sources.get(each.notice.source_id)) for each in found]

    async def one(self, principal: Principal, notice_id: str) -> NoticeView:
        listed, source = await self._visible(principal, notice_id)
        policy.require(principal, "read notices")
        await self.clinic.record(principal, "read", "notice", _courses(listed))
        return self._view(listed, source)

    async def resolve(self, principal: Principal, notice_id: str, decode: Callable[[], Resolution]) -> NoticeView:
        """Raises CommandInvalid for a correction that cannot be used, StaleVersion where the notice does not wait any more."""
        listed, source = await self._visible(principal, notice_id)
        if not policy.may(principal, "resolve notices"):
            await self.clinic.record(principal, "refusal", "resolve notices", _courses(listed), ["role"])
        policy.require(principal, "resolve notices")
        told = decode()
        _check(told)
        async with self.notices.alone(notice_id):
            listed, _ = await self._visible(principal, notice_id)
            if listed.notice.status != "waiting":
                raise StaleVersion(listed.notice.seq or 0)
            if told.action == "dismiss":
                await self._dismiss(principal, listed, told.reason)
            elif source is None:
                await self._told_again(principal, listed, told)
            else:
                await self._again(principal, listed, source, told)
        return self._view((await self._visible(principal, notice_id))[0], source)

    async def _dismiss(self, principal: Principal, listed: ListedNotice, reason: str | None) -> None:
        notice = listed.notice
        await self.clinic.write(stored.dismiss, notice.id, reason, principal.person, self.clinic.clock.now())
        await self.clinic.record(principal, "notice", f"{notice.type} dismissed", _courses(listed))

    async def _again(self, principal: Principal, listed: ListedNotice, source: StoredSource, told: Resolution) -> None:
        row, body = listed.notice, listed.notice.body or b""
        corrected = _patched(row.type, body, told.data) if told.data is not None else body
        says: tuple[str, ...] = ()
        try:
            said = self.notices.read_again(source, row, corrected)
        except (CommandMalformed, CommandInvalid) as error:
            if told.action == "correct":
                raise
            faults = error.faults if isinstance(error, CommandInvalid) else ()
            outcome = NoticeOutcome(status="waiting", why=str(error).partition("\n")[0], faults=faults)
        else:
            outcome, says = await self._acted(principal, listed, source, told, said, corrected), said.says
        await self._settle(principal, listed, outcome, says)

    async def _told_again(self, principal: Principal, listed: ListedNotice, told: Resolution) -> None:
        """A record of a group's session, which comes from no EHR."""
        row, body = listed.notice, listed.notice.body or b""
        corrected = _patched(row.type, body, told.data) if told.data is not None else body
        outcome = await self.records.again(principal, row.course_id or "", corrected, corrected=told.action == "correct")
        await self._settle(principal, listed, outcome)

    async def _settle(self, principal: Principal, listed: ListedNotice, outcome: NoticeOutcome, says: tuple[str, ...] = ()) -> None:
        await self.notices.settle(listed.notice, outcome, says, principal, by_person=True)

    async def _acted(
        self,
        principal: Principal,
        listed: ListedNotice,
        source: StoredSource,
        told: Resolution,
        said: NoticeContent,
        corrected: bytes,
    ) -> NoticeOutcome:
        """As the EHR where nothing but a retry was asked, else as the person."""
        by_person = told.action == "correct" or said.waits is not None
        if not by_person:
            return await self.notices.acting.act(self.notices.notice(source, listed.notice.id, said, principal.request_id))
        notice = Notice(
            id=listed.notice.id,
            source=source.id,
            told=msgspec.structs.replace(said, reason=told.reason or said.reason, person=None),
            principal=principal,
            by_person=True,
            attempt=hashlib.sha256(corrected).hexdigest(),
        )
        return await self.notices.acting.act(notice)

    async def _visible(self, principal: Principal, notice_id: str) -> tuple[ListedNotice, StoredSource | None]:
        """A notice, if it exists for the principal, with its source; no source where it came from a group. Raises NotFound."""
        listed = await self.clinic.read(stored.one, notice_id) if "\x00" not in notice_id else None
        own = listed is not None and principal.role == "therapist" and listed.therapist == principal.person
        if listed is None or not (own or principal.role in policy.SEES_ORGANISATION):
            raise NotFound(NO_NOTICE)
        source = await self.clinic.read(stored_sources.find, listed.notice.source_id)
        assert source is not None or listed.notice.source_id == groups.SOURCE  # sources are disabled, never removed
        return listed, source

    def _view(self, listed: ListedNotice, source: StoredSource | None) -> NoticeView:
        row = listed.notice
        detail = row.detail or NoticeDetail()
        return NoticeView(
            id=row.id,
            source=row.source_id,
            type=row.type,
            status=row.status,
            received_at=row.received_at,
            course=listed.course_id,
            client_ref=listed.client_ref,
            risk=row.risk,
            resource=row.resource,
            seq=row.seq,
            about_seq=row.about_seq,
            why=detail.why,
            refusals=detail.refusals,
            faults=detail.faults,
            says=detail.says,
            proposes=self._proposes(listed, source),
            content=_shown(row.body),
            decided_by=row.decided_by,
            decided_at=row.decided_at,
        )

    def _proposes(self, listed: ListedNotice, source: StoredSource | None) -> Proposal | None:
        if listed.notice.body is None:
            return None
        if source is None:
            told_again = group_records.command(listed.notice.body)
            return Proposal(told_again.trigger, told_again.data)
        try:
            told = self.notices.read_again(source, listed.notice, listed.notice.body)
        except (CommandMalformed, CommandInvalid):
            return None
        return Proposal(told.trigger, told.data) if told.trigger else None


def _courses(listed: ListedNotice) -> list[str]:
    return [listed.course_id] if listed.course_id else []


def _check(told: Resolution) -> None:
    """Raises CommandInvalid where what an action needs is not there."""
    faults = []
    if told.action != "retry" and told.reason is None:
        faults.append(Fault("reason", f"is required to {told.action} a notice"))
    if (told.action == "correct") != (told.data is not None):
        faults.append(Fault("data", "is required to correct a notice" if told.data is None else "is for correcting a notice only"))
    if faults:
        raise CommandInvalid(faults)


def _patched(kind: str, body: bytes, patch: dict[str, Any]) -> bytes:
    """What a notice says, corrected. Raises CommandMalformed where it is not JSON: then there is nothing to correct."""
    content = reader.decode(body)
    if kind.startswith(reader.TYPE_PREFIX):
        return msgspec.json.encode(merge_patch(content, patch))
    data = content.get("data")
    return msgspec.json.encode({**content, "data": merge_patch(data if isinstance(data, dict) else {}, patch)})


def _shown(body: bytes | None) -> Any:
    """What a notice said, as JSON where it is."""
    if body is None:
        return None
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body.decode("utf-8", "replace")[:SHOWN_MAX]
