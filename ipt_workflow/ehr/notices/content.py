"""The content of a notice, once it is read: the same for our own types and for FHIR resources."""

import datetime as dt
from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from ipt_workflow.errors import Fault

About = Literal["referral", "booking", "session", "measure", "consent", "person", "nothing"]
Ignored = Literal["kind", "status", "service", "scale", "empty", "person", "intent"]  # docs/ehr.md says what each means


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
    """One thing that a notice says. A FHIR resource may say several, each with a `part` that names it within its resource.

    `trigger` is the command to fire, with `data`, `occurred_at` and `reason`. `until` is the end of a visit. `day_only`: the message
    gives a date without a time. `person` and `therapist` are the first of `performers`, the practitioners whom the message names.
    `resource` names the thing in the EHR, `refs` its other names, and `part_of` what it belongs to. `part` is stable over the versions
    of a resource: `client Patient/2`, `scale phq9`, `deceased`, `merged Patient/2`, or empty for the only visit of one client.
    `group` is a Group that the message does not resolve. `void`: the EHR withdrew the thing.
    `of_ipt` is None if the message does not show whether it belongs to IPT. `ignored` says why nothing here concerns IPT.
    `faults` prevent its use. `needs_person` says why a person must decide although it has no faults. `unread` is what could not be
    read, as it came. `risk`: an answer about self-harm is positive or cannot be read. `says` holds remarks for its reader.
    """

    type: str
    about: About
    part: str = ""
    ignored: Ignored | None = None
    client_ref: str | None = None
    group: str | None = None
    course: str | None = None
    trigger: str = ""
    data: dict[str, Any] = {}
    occurred_at: dt.datetime | None = None
    until: dt.datetime | None = None
    day_only: bool = False
    reason: str | None = None
    person: str | None = None
    performers: tuple[str, ...] = ()
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
    unread: tuple[Any, ...] = ()
    says: tuple[str, ...] = ()


_WORDS = {"version", "reason", "needs_person", "faults", "says"}  # they change without a change of the thing


def canonical(contents: Iterable[NoticeContent]) -> bytes:
    """What was read, in one form however the message was printed: JSON without versions and prose. It is content: keep only a digest."""
    read = [
        {name: getattr(each, name) for name in NoticeContent.__struct_fields__ if name not in _WORDS}
        | {"faults": [fault.where for fault in each.faults], "waits": each.needs_person is not None}
        for each in sorted(contents, key=lambda each: each.part)
    ]
    return msgspec.json.encode(read, order="deterministic")
