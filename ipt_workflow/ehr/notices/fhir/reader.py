"""Reads FHIR R4 resources as notices: Encounters, Appointments, forms, Observations, referrals and Patients.

A FHIR message is stored as one JSON object, so that it can be read again and a person can correct it: `{"resource": {…}}`,
`{"deleted": "Encounter/1"}`, `{"focus": "Encounter/1"}` if only the name was sent, `{"empty": …}` if not even the name was sent, and
`{"missing": …}` for a missing event.
"""

import hashlib
from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from ipt_workflow.ehr.notices.content import About, NoticeContent, Version
from ipt_workflow.ehr.notices.fhir import measures, persons, scores, visits
from ipt_workflow.ehr.notices.fhir.answers import MEASURES
from ipt_workflow.ehr.notices.fhir.findings import NO_CLIENT, Findings, nothing
from ipt_workflow.ehr.notices.fhir.references import resolved
from ipt_workflow.ehr.notices.fhir.resources import (
    ID,
    NAME,
    ReceivedAppointment,
    ReceivedEncounter,
    ReceivedEpisodeOfCare,
    ReceivedServiceRequest,
    read_resource,
)
from ipt_workflow.ehr.notices.fhir.scores import Scored
from ipt_workflow.ehr.notices.types import FhirCodes
from ipt_workflow.errors import CommandInvalid, CommandMalformed, Fault
from ipt_workflow.protocols.instruments import Instrument
from ipt_workflow.values.faults import shaped
from ipt_workflow.values.types import AttendanceCode, ClientRef, Code

TYPE_PREFIX = "fhir."
ABOUT: dict[str, About] = {
    "Encounter": "session",
    "Appointment": "booking",
    "QuestionnaireResponse": "measure",
    "Observation": "measure",
    "ServiceRequest": "referral",
    "EpisodeOfCare": "referral",
    "Patient": "person",
}
OTHER = "fhir.other"  # the type of every other resource
UNREADABLE = "fhir.unreadable"
EMPTY = "The EHR sent an event without naming its resource. Look in the EHR for what changed, then dismiss the notice."
MISSING = "An event of the subscription is missing. Have the EHR send it again, or dismiss the notice."
DELETION_UNSIGNED = (
    "The signature does not cover the name of the deleted resource. Check in the EHR, then retry or dismiss the notice."
)
NAME_ONLY = "Only the name of the resource was sent. Look it up in the EHR, and correct the notice with its content."
MODIFIED = (
    "The resource has a modifierExtension, which may change what it means. Look in the EHR, then retry or dismiss the notice."
)
DELETED = "deleted"  # the version of a deleted resource


def decode(body: bytes) -> dict[str, Any]:
    """A FHIR message or its stored form. Raises CommandMalformed."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CommandMalformed(f"The body is not JSON: {error}.") from None
    if not isinstance(value, dict):
        raise CommandMalformed("The body must be a JSON object.")
    return value


class Correction(msgspec.Struct, frozen=True, kw_only=True):
    """What a person may add beside a resource to correct it."""

    client_ref: ClientRef | None = None
    course: Code | None = None
    attendance: AttendanceCode | None = None


class ResourceReader:
    """Reads resources by the codes in `config/notices.toml`. `prefix` goes before a Patient's id to make a client reference."""

    def __init__(self, codes: FhirCodes, instruments: Mapping[str, Instrument], prefix: str, zone: ZoneInfo) -> None:
        self._codes = codes
        self._instruments = instruments
        self._prefix = prefix
        self._zone = zone

    def read(self, kept: dict[str, Any], entries: Mapping[str, dict[str, Any]] | None = None) -> tuple[NoticeContent, ...]:
        """What a stored message says: at least one content, with `about` `nothing` if the message does not concern IPT.

        `entries` are the resources of its Bundle, by `fullUrl`. To read the message again without them, store what
        `references.resolved` makes of it. Raises CommandInvalid if the message is not FHIR and holds no answer about self-harm.
        """
        if isinstance(kept.get("deleted"), str):
            return (self._deleted(kept["deleted"], in_doubt=bool(kept.get("in_doubt"))),)
        if isinstance(kept.get("focus"), str) and "resource" not in kept:
            return (self._focus(kept["focus"]),)
        for kind, why in (("empty", EMPTY), ("missing", MISSING)):
            if kind in kept:
                return (NoticeContent(type=TYPE_PREFIX + kind, about="person", needs_person=why),)
        resource = kept.get("resource")
        if not isinstance(resource, dict):
            raise CommandInvalid([Fault("resource", "must be a FHIR R4 resource")])
        resource = resolved(resource, entries) if entries else resource
        correction = _correction(kept)
        return tuple(_corrected(each, correction) for each in self._resource(resource))

    def _resource(self, resource: dict[str, Any]) -> tuple[NoticeContent, ...]:
        findings = Findings(resource, self._prefix, self._zone)
        kind = str(resource.get("resourceType"))
        found = scores.scales(resource, self._codes.instruments, self._instruments, kind if kind in ABOUT else "answers")
        try:
            name = _name(resource)
            contents = self._contents(resource, found, findings)
        except CommandInvalid as error:
            if not any(each.risk for each in found):
                raise
            findings.faults += error.faults  # an answer about self-harm counts although the rest cannot be used
            name, contents = None, measures.inside(resource, found, findings)
        version = _version(resource.get("meta"), findings)
        kind = TYPE_PREFIX + kind if kind in ABOUT else OTHER
        modified = MODIFIED if resource.get("modifierExtension") else None
        return tuple(_finished(each, kind, name, version, modified, findings) for each in contents)

    def _contents(self, resource: dict[str, Any], found: list[Scored], findings: Findings) -> tuple[NoticeContent, ...]:
        if resource["resourceType"] in MEASURES:
            return measures.contents(resource, found, findings)
        within = measures.inside(resource, found, findings)
        own = self._of_kind(resource, findings)
        return (*(each for each in own if each.about != "nothing"), *within) or own

    def _of_kind(self, resource: dict[str, Any], findings: Findings) -> tuple[NoticeContent, ...]:
        read = read_resource(resource)
        if read is None:
            return (nothing("kind"),)
        if isinstance(read, ReceivedEncounter):
            return visits.encounter(read, self._codes, findings)
        if isinstance(read, ReceivedAppointment):
            return visits.appointment(read, self._codes, findings)
        if isinstance(read, ReceivedServiceRequest):
            return persons.service_request(read, self._codes, findings)
        if isinstance(read, ReceivedEpisodeOfCare):
            return persons.episode(read, self._codes, findings)
        return persons.patient(read, findings)

    def _deleted(self, name: str, *, in_doubt: bool) -> NoticeContent:
        kind = name.partition("/")[0]
        if kind not in ABOUT or not NAME.fullmatch(name) or kind == "Patient":
            return msgspec.structs.replace(nothing("person" if kind == "Patient" else "kind"), type=OTHER)
        return NoticeContent(
            type=TYPE_PREFIX + kind,
            about=ABOUT[kind],
            resource=name,
            refs=(name,),
            void=True,
            version=Version(text=DELETED),
            needs_person=DELETION_UNSIGNED if in_doubt else None,
        )

    def _focus(self, name: str) -> NoticeContent:
        kind = name.partition("/")[0]
        if kind not in ABOUT or not NAME.fullmatch(name):
            return msgspec.structs.replace(nothing("kind"), type=OTHER)
        return NoticeContent(type=TYPE_PREFIX + kind, about=ABOUT[kind], resource=name, refs=(name,), needs_person=NAME_ONLY)


def _name(resource: dict[str, Any]) -> str | None:
    """`Encounter/1`; None without an id. Raises CommandInvalid if the type or the id is not valid."""
    kind, own = resource.get("resourceType"), resource.get("id")
    if not isinstance(kind, str) or not kind:
        raise CommandInvalid([Fault("resourceType", "is required, and must name a type of FHIR R4 resource")])
    if own is None or kind not in ABOUT:
        return None
    if not isinstance(own, str) or not NAME.fullmatch(f"{kind}/{own}"):
        raise CommandInvalid([Fault(f"{kind}.id", "must have 1 to 64 characters: letters, digits, hyphens and dots")])
    return f"{kind}/{own}"


def _version(meta: Any, findings: Findings) -> Version:
    meta = meta if isinstance(meta, dict) else {}
    text = meta.get("versionId")
    at = findings.time("meta.lastUpdated", meta.get("lastUpdated"))
    return Version(at=at, text=text if isinstance(text, str) and ID.fullmatch(text) else None)


def _finished(
    content: NoticeContent, kind: str, name: str | None, version: Version, modified: str | None, findings: Findings
) -> NoticeContent:
    """The content with what holds for the whole resource."""
    content = msgspec.structs.replace(content, type=kind, resource=name, version=version)
    if content.about == "nothing":
        return msgspec.structs.replace(content, faults=())
    return msgspec.structs.replace(
        content,
        faults=() if content.void else (*content.faults, *findings.faults),
        needs_person=content.needs_person or modified,
        unread=tuple(_digest(each) for each in (*content.unread, *findings.unread)),
    )


def _digest(value: Any) -> str:
    try:
        return hashlib.sha256(msgspec.json.encode(value, order="deterministic")).hexdigest()
    except RecursionError:
        return "too deep"


def _correction(kept: dict[str, Any]) -> Correction:
    values = {name: kept[name] for name in Correction.__struct_fields__ if name in kept}
    return shaped(Correction, values, "data")


def _corrected(content: NoticeContent, correction: Correction) -> NoticeContent:
    """The content with a person's correction of the client, the course, or the attendance."""
    if correction.client_ref:
        faults = tuple(fault for fault in content.faults if fault.where != NO_CLIENT.where)
        content = msgspec.structs.replace(content, client_ref=correction.client_ref, faults=faults)
    if correction.attendance and content.about == "session":
        data = {**content.data, "attendance": correction.attendance, **visits.ref_of(content)}
        content = msgspec.structs.replace(content, trigger="record_session", data=data, needs_person=None)
    return msgspec.structs.replace(content, course=correction.course)
