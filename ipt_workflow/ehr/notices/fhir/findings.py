"""What is collected while one resource is read: its faults, and what could not be read."""

import datetime as dt
from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from ipt_workflow.ehr.notices.content import Ignored, NoticeContent
from ipt_workflow.ehr.notices.fhir.references import References, Target
from ipt_workflow.ehr.notices.fhir.resources import ReceivedReference, moment
from ipt_workflow.errors import Fault
from ipt_workflow.values.identities import is_identity

ERROR = "entered-in-error"
NO_CLIENT = Fault("subject", "must refer to a Patient, or give an identifier")
LONG_CLIENT = Fault(
    "subject", "must refer to a Patient by at most 128 visible characters in normal form C, without a space at either end"
)


class Findings:
    """Reads the times and clients of one resource, and keeps their faults. `prefix` goes before a Patient's id to name a client."""

    def __init__(self, resource: Mapping[str, Any], prefix: str, zone: ZoneInfo) -> None:
        self.references = References(resource)
        self.prefix = prefix
        self.zone = zone
        self.faults: list[Fault] = []
        self.unread: list[Any] = []

    def time(self, where: str, text: Any, *, required: bool = False) -> dt.datetime | None:
        try:
            at = moment(None if text is None else str(text), self.zone)
        except ValueError as error:
            self.faults.append(Fault(where, str(error)))
            self.unread.append(text)
            return None
        if at is None and required:
            self.faults.append(Fault(where, "is required"))
        return at

    def client(self, target: Target) -> tuple[str | None, tuple[Fault, ...]]:
        """The client's reference: the prefix and the Patient's id, or the identifier if there is no id; and its faults."""
        known = target.kind in {"Patient", ""}
        ref = self.prefix + target.id if known and target.id else next(iter(target.identifiers), None) if known else None
        if ref is None:
            return None, (NO_CLIENT,)
        if not is_identity(ref):
            return None, (LONG_CLIENT,)
        return ref, ()

    def with_client(self, content: NoticeContent, reference: ReceivedReference | None) -> NoticeContent:
        ref, faults = self.client(self.references.target(reference or ReceivedReference()))
        return msgspec.structs.replace(content, client_ref=ref, faults=(*content.faults, *faults))


def nothing(reason: Ignored) -> NoticeContent:
    return NoticeContent(type="", about="nothing", ignored=reason)


def unknown_code(content: NoticeContent, field: str, values: str, code: Any, then: str) -> NoticeContent:
    """The content, waiting because a field has no code of its value set. The message never repeats the code: it may be free text."""
    why = f"`{field}` must be a code of the value set {values} of FHIR R4. Look in the EHR, then {then}"
    return msgspec.structs.replace(content, needs_person=why, unread=(*content.unread, code))
