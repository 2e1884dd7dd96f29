"""What a notice tells, once it has been read: the same for our own types and for FHIR resources."""

import datetime as dt
from typing import Any, Literal

import msgspec

from ipt_workflow.errors import Fault

About = Literal["referral", "booking", "session", "measure", "consent", "person", "nothing"]


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """Which of several tellings about one thing is the later: by `at`, else by a whole `number`, else the one that came later."""

    at: dt.datetime | None = None
    text: str | None = None

    def before(self, other: "Version") -> bool:
        """Whether this is certainly the older one."""
        if self.at and other.at and self.at != other.at:
            return self.at < other.at
        numbers = (self.number, other.number)
        return numbers[0] is not None and numbers[1] is not None and numbers[0] < numbers[1]

    def same(self, other: "Version") -> bool:
        """Whether it is certainly the same one."""
        return self.text is not None and self.text == other.text and self.at == other.at

    @property
    def number(self) -> int | None:
        return int(self.text) if self.text and self.text.isascii() and self.text.isdigit() else None


class NoticeContent(msgspec.Struct, frozen=True, kw_only=True):
    """One notice's content.

    `trigger` with `data`, `occurred_at` and `reason` is the command it comes to. `resource` names what it tells of in the EHR, `refs`
    the same thing under its other names, `belongs` what it is a part of; `until` is the end of a visit. `void`: that thing is taken back. `of_ipt` is None where the
    message does not say whether it belongs to IPT. `faults` are what stands against using it; `waits` says why a person decides even
    so. `risk`: an answer about self-harm was positive, or could not be read. `says` is what is to be known of it beside its content.
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
    belongs: tuple[str, ...] = ()
    version: Version = Version()
    void: bool = False
    of_ipt: bool | None = True
    risk: bool = False
    waits: str | None = None
    faults: tuple[Fault, ...] = ()
    says: tuple[str, ...] = ()
