"""The stored form of a withdrawal: `{"withdrawn": "Appointment/1"}`. The version that withdrew a thing may speak of other clients alone."""

import msgspec

from ipt_workflow.ehr.notices.content import NoticeContent
from ipt_workflow.errors import Fault

OTHER_THING = Fault("data", "does not say what this notice is about: its client or its scale. Leave that in, or dismiss the notice")


class StoredWithdrawal(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`withdrawn` names the resource. Whose thing it is, and which of its resource, the notice itself says."""

    withdrawn: str
    needs_person: str | None = None


def stored(content: NoticeContent) -> bytes:
    return msgspec.json.encode(StoredWithdrawal(withdrawn=content.resource or "", needs_person=content.needs_person))


def read(body: bytes) -> StoredWithdrawal | None:
    """None if the body is no stored withdrawal."""
    try:
        return msgspec.json.decode(body, type=StoredWithdrawal)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def is_of_resource(content: NoticeContent) -> bool:
    """Whether a resource is withdrawn whole, so that it names no client and no thing of its own."""
    return content.void and content.client_ref is None
