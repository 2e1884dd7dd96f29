"""What became of the messages of one source, for that source.

Its own words for why a message waits reveal nothing of a course: the inbox has the rest, for people.
"""

import datetime as dt
import re

import msgspec

from ipt_workflow.access.principal import Principal
from ipt_workflow.ehr.notices import digests, types
from ipt_workflow.ehr.notices.fhir import reader
from ipt_workflow.errors import SourceUnbound
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.store import messages as stored
from ipt_workflow.store.messages import MessageFilters, StoredMessage

UNREADABLE = "It could not be read. A person decides; or send it again in a form that can be read."
FIELDS = "Some of its fields cannot be used{}. A person decides; or send it again corrected."
REFUSED = "The course does not accept it as it stands. A person decides."
NO_COURSE = "Its client has no course here. It is handled by itself when one is opened."
NO_ONE_COURSE = "It could not be matched to one course here. A person decides."
PERSON = "A person decides what becomes of it."
FIELDS_MAX = 10
_FIELD = re.compile(r"[A-Za-z_]\w{0,39}(\.[A-Za-z_]\w{0,39}|\[\d{1,4}\]){0,8}", re.ASCII)


class MessageView(msgspec.Struct, frozen=True, kw_only=True):
    """A message. `id` is the one that its receipt gave. `why` says why it waits. `seq` is the entry of `course` that it made."""

    id: str
    type: str
    resource: str | None
    resource_version: str | None
    status: str
    received_at: dt.datetime
    decided_at: dt.datetime | None
    why: str | None
    course: str | None
    seq: int | None


class Messages:
    """Shows the sources of a clinic what became of their messages."""

    def __init__(self, clinic: Clinic) -> None:
        self.clinic = clinic

    async def page(
        self, principal: Principal, message_id: str | None, filters: MessageFilters, after: str, limit: int
    ) -> list[MessageView]:
        """The messages of the caller's source, in the order they came; with `message_id`, only the one that was sent under it.

        Raises SourceUnbound if the token has no enabled source.
        """
        await self.clinic.require(principal, "read own messages")
        bound = await self.clinic.sources.get(principal.source) if principal.source else None
        if bound is None or bound.source.disabled_at is not None:
            raise SourceUnbound
        if message_id is not None:
            filters = msgspec.structs.replace(filters, key=digests.of_message(bound.source, message_id))
        found = await self.clinic.read(stored.page, bound.source.id, filters, after, limit)
        await self.clinic.log(principal, "read", "messages", {each.course_id for each in found if each.course_id})
        return [_view(each) for each in found]


def _view(message: StoredMessage) -> MessageView:
    return MessageView(
        id=message.id,
        type=message.type,
        resource=message.resource,
        resource_version=message.resource_version,
        status=message.status,
        received_at=message.received_at,
        decided_at=message.decided_at,
        why=_why(message) if message.status == "waiting" else None,
        course=message.course_id,
        seq=message.seq,
    )


def _why(message: StoredMessage) -> str:
    """Why a message waits. Names fields of what was sent, and never what a course holds."""
    if message.detail and message.detail.faults:
        fields = [fault.where for fault in message.detail.faults if _FIELD.fullmatch(fault.where)][:FIELDS_MAX]
        return FIELDS.format(f": {', '.join(fields)}" if fields else "")
    if message.type in {types.UNREADABLE, reader.UNREADABLE}:
        return UNREADABLE
    if message.detail and message.detail.refusals:
        return REFUSED
    if message.awaits_course:
        return NO_COURSE
    return PERSON if message.course_id else NO_ONE_COURSE
