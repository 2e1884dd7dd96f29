"""The content of a notice, once it is read: the same for our own types and for FHIR resources."""

import datetime as dt
from typing import Any, Literal

import msgspec

from ipt_workflow.errors import Fault

About = Literal["referral", "booking", "session", "measure", "consent", "person", "nothing"]


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """Which of two notices about one thing is newer: by `at`, else by a whole number in `text`, else the one that came later."""

    at: dt.datetime | None = None
    text: str | None = None

    def before(self, other: "Version") -> bool:
        """Whether this version is certainly the older one."""
        if self.at and other.at and self.at != other.at:
            return self.at < other.at
        own, others = self.number, other.number
        return own is not None and others is not None and own < others

    def same(self, other: "Version") -> bool:
        """Whether both are certainly the same version."""
        return self.text is not None and self.text == other.text and self.at == other.at

    @property
    def number(self) -> int | None:
        return int(self.text) if self.text and self.text.isascii() and self.text.isdigit() else None


class NoticeContent(msgspec.Struct, frozen=True, kw_only=True):
    """The content of one notice.

    `trigger` is the command to fire, with `data`, `occurred_at` and `reason`. `until` is the end of a visit.
    `resource` names the thing in the EHR, `refs` its other names, and `part_of` what it belongs to.
    `void`: the EHR withdrew the thing. `of_ipt` is None if the message does not show whether it belongs to IPT.
    `faults` prevent its use. `needs_person` says why a person must decide although it has no faults.
    `risk`: an answer about self-harm is positive or cannot be read. `says` holds remarks for its reader.
    """

    type: str
    about: About
    client_ref: str | None = None
    course: str | None = None
    trigger: str = ""
    data: dict[str, Any] = {}
    occurred_at: dt.datetime | None = None
    until: dt.datetime | None = None
    reason: str | None = None
    person: str | None = None
    therapist: str | None = None
    protocol: str = "ipt"
    protocol_version: int | None = None
    resource: str | None = None
    refs: tuple[str, ...] = ()
    part_of: tuple[str, ...] = ()
    version: Version = Version()
    void: bool = False
    of_ipt: bool | None = True
    risk: bool = False
    needs_person: str | None = None
    faults: tuple[Fault, ...] = ()
    says: tuple[str, ...] = ()
