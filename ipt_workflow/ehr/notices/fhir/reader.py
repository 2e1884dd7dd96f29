"""Reads FHIR R4 resources as notices: Encounters, Appointments, forms, Observations, referrals and Patients.

A FHIR message is stored as one JSON object, so that it can be read again and a person can correct it: `{"resource": {…}}`,
`{"deleted": "Encounter/1"}`, `{"focus": "Encounter/1"}` if only the name was sent, `{"empty": …}` if not even the name was sent, and
`{"missing": …}` for a missing event.
"""

import datetime as dt
import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from ipt_workflow.ehr.notices.content import About, NoticeContent, Version
from ipt_workflow.ehr.notices.fhir import scores
from ipt_workflow.ehr.notices.fhir.resources import (
    NAME,
    ReceivedAppointment,
    ReceivedConcept,
    ReceivedEncounter,
    ReceivedEpisodeOfCare,
    ReceivedMeta,
    ReceivedObservation,
    ReceivedPatient,
    ReceivedQuestionnaireResponse,
    ReceivedReference,
    ReceivedServiceRequest,
    moment,
    read_resource,
)
from ipt_workflow.ehr.notices.fhir.scores import Scored
from ipt_workflow.ehr.notices.types import FhirCodes
from ipt_workflow.errors import CommandInvalid, CommandMalformed, Fault
from ipt_workflow.protocols.instruments import Instrument
from ipt_workflow.values.faults import schema_faults
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
CANCELLED_BY = "it does not say by whom. Correct the notice with `attendance`: 2 by or for the client, 4 by the provider."
MERGED = "The EHR merged two client records. Check that they are one client, then retry or dismiss the notice."
DECEASED = "The EHR reports that the client has died. End the course by correcting the notice, or dismiss it."
DELETED = "deleted"  # the version of a deleted resource
VERSION_MAX = 64
MINUTES_MAX = 600
ERROR = "entered-in-error"


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


class Faults:
    """The faults of a resource, collected while it is read."""

    def __init__(self, zone: ZoneInfo) -> None:
        self.zone = zone
        self.found: list[Fault] = []

    def time(self, where: str, text: str | None, *, required: bool = False) -> dt.datetime | None:
        try:
            at = moment(text, self.zone)
        except ValueError as error:
            self.found.append(Fault(where, str(error)))
            return None
        if at is None and required:
            self.found.append(Fault(where, "is required"))
        return at


class ResourceReader:
    """Reads resources by the codes in `config/notices.toml`. `prefix` goes before a Patient's id to make a client reference."""

    def __init__(self, codes: FhirCodes, instruments: Mapping[str, Instrument], prefix: str, zone: ZoneInfo) -> None:
        self._codes = codes
        self._instruments = instruments
        self._prefix = prefix
        self._zone = zone

    def read(self, kept: dict[str, Any], entries: Mapping[str, dict[str, Any]] | None = None) -> tuple[NoticeContent, ...]:
        """What a stored message says: at least one content; one with `about` `nothing` if it does not concern IPT.

        `entries` are the resources of its Bundle, by `fullUrl`. Raises CommandInvalid.
        """
        return (self._one(kept),)

    def _one(self, kept: dict[str, Any]) -> NoticeContent:
        if isinstance(kept.get("deleted"), str):
            return self._deleted(kept["deleted"], in_doubt=bool(kept.get("in_doubt")))
        if isinstance(kept.get("focus"), str) and "resource" not in kept:
            return self._focus(kept["focus"])
        for kind, why in (("empty", EMPTY), ("missing", MISSING)):
            if kind in kept:
                return NoticeContent(type=TYPE_PREFIX + kind, about="person", needs_person=why)
        resource = kept.get("resource")
        if not isinstance(resource, dict):
            raise CommandInvalid([Fault("resource", "must be a FHIR R4 resource")])
        found = read_resource(resource)
        if found is None:
            return NoticeContent(type=OTHER, about="nothing")
        read: dict[type, Callable[[Any, Faults], NoticeContent]] = {
            ReceivedEncounter: self._encounter,
            ReceivedAppointment: self._appointment,
            ReceivedQuestionnaireResponse: self._form,
            ReceivedObservation: self._observation,
            ReceivedServiceRequest: self._service_request,
            ReceivedEpisodeOfCare: self._episode,
            ReceivedPatient: self._patient,
        }
        faults = Faults(self._zone)
        content = self._corrected(read[type(found)](found, faults), kept)
        version = self._version(found.meta, faults)
        name = f"{found.resourceType}/{found.id}" if found.id else None
        if name and not NAME.fullmatch(name):
            raise CommandInvalid(
                [Fault(f"{found.resourceType}.id", "must have 1 to 64 characters: letters, digits, hyphens and dots")]
            )
        return msgspec.structs.replace(
            content,
            type=TYPE_PREFIX + found.resourceType,
            resource=content.resource or name,
            version=version,
            faults=() if content.about == "nothing" else (*content.faults, *faults.found),
        )

    def _corrected(self, content: NoticeContent, kept: dict[str, Any]) -> NoticeContent:
        """The content with a person's correction of the client, the course, or the attendance."""
        values = {name: kept[name] for name in Correction.__struct_fields__ if name in kept}
        try:
            correction = msgspec.convert(values, Correction)
        except msgspec.ValidationError as error:
            raise CommandInvalid(schema_faults(Correction, values, "data", str(error))) from None
        if correction.client_ref:
            content = msgspec.structs.replace(content, client_ref=correction.client_ref)
        if correction.attendance and content.about == "session":
            data = {**content.data, "attendance": correction.attendance, **_ref(content)}
            content = msgspec.structs.replace(content, trigger="record_session", data=data, needs_person=None)
        return msgspec.structs.replace(content, course=correction.course)

    def _version(self, meta: ReceivedMeta, faults: Faults) -> Version:
        text = meta.versionId[:VERSION_MAX] if meta.versionId else None
        return Version(at=faults.time("meta.lastUpdated", meta.lastUpdated), text=text)

    def _deleted(self, name: str, *, in_doubt: bool) -> NoticeContent:
        kind = name.partition("/")[0]
        if kind not in ABOUT or not NAME.fullmatch(name) or kind == "Patient":
            return NoticeContent(type=OTHER, about="nothing")
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
            return NoticeContent(type=OTHER, about="nothing")
        return NoticeContent(type=TYPE_PREFIX + kind, about=ABOUT[kind], resource=name, refs=(name,), needs_person=NAME_ONLY)

    # Visits

    def _encounter(self, encounter: ReceivedEncounter, faults: Faults) -> NoticeContent:
        refs = _named((*encounter.appointment, ReceivedReference(reference=f"Encounter/{encounter.id}")))
        start, end = (
            faults.time("Encounter.period.start", encounter.period.start),
            faults.time("Encounter.period.end", encounter.period.end),
        )
        visit = NoticeContent(
            type="",
            about="session",
            client_ref=self._client(encounter.subject, faults),
            person=_person([each.individual for each in encounter.participant]),
            occurred_at=start,
            until=end,
            refs=refs,
            part_of=_named((*encounter.episodeOfCare, *encounter.basedOn)),
            of_ipt=self._of_ipt((*encounter.type, encounter.serviceType), encounter.reasonCode),
        )
        if encounter.status == ERROR:
            return msgspec.structs.replace(visit, void=True)
        if encounter.status == "planned":
            return self._booked(visit, faults, "Encounter.period.start")
        if encounter.status == "finished":
            medium = self._codes.media.get(encounter.class_.code)
            return self._held(visit, "5", faults, "Encounter.period.start", {"medium": medium} if medium else {})
        if encounter.status == "cancelled":
            return msgspec.structs.replace(visit, needs_person=f"The encounter was cancelled, but {CANCELLED_BY}")
        return msgspec.structs.replace(visit, about="nothing")  # in progress, or without a known result

    def _appointment(self, appointment: ReceivedAppointment, faults: Faults) -> NoticeContent:
        actors = [each.actor for each in appointment.participant]
        client = next((each for each in actors if each and each.id_of("Patient") and not each.id_of("Practitioner")), None)
        visit = NoticeContent(
            type="",
            about="session",
            client_ref=self._client(client, faults),
            person=_person(actors),
            occurred_at=faults.time("Appointment.start", appointment.start),
            until=faults.time("Appointment.end", appointment.end),
            refs=_named((ReceivedReference(reference=f"Appointment/{appointment.id}"),)),
            part_of=_named(appointment.basedOn),
            of_ipt=self._of_ipt(appointment.serviceType, appointment.reasonCode),
        )
        if appointment.status == ERROR:
            return msgspec.structs.replace(visit, void=True)
        if appointment.status == "booked":
            return self._booked(visit, faults, "Appointment.start")
        if appointment.status in {"fulfilled", "noshow"}:
            return self._held(visit, "5" if appointment.status == "fulfilled" else "3", faults, "Appointment.start")
        if appointment.status == "cancelled":
            code = self._cancelled(appointment.cancelationReason)
            if code is None:
                return msgspec.structs.replace(visit, needs_person=f"The appointment was cancelled, but {CANCELLED_BY}")
            return self._held(visit, code, faults, "Appointment.start")
        return msgspec.structs.replace(visit, about="nothing")  # not agreed yet, or in progress

    def _booked(self, visit: NoticeContent, faults: Faults, where: str) -> NoticeContent:
        if visit.occurred_at is None:
            faults.found.append(Fault(where, "is required"))
            return visit
        data = {"scheduled_for": visit.occurred_at.isoformat(), **_ref(visit)}
        return msgspec.structs.replace(visit, about="booking", trigger="book_session", data=data, occurred_at=None)

    def _held(
        self, visit: NoticeContent, attendance: str, faults: Faults, where: str, more: Mapping[str, Any] | None = None
    ) -> NoticeContent:
        if visit.occurred_at is None:
            faults.found.append(Fault(where, "is required"))
        minutes = int((visit.until - visit.occurred_at).total_seconds() // 60) if visit.until and visit.occurred_at else 0
        length = {"minutes": minutes} if attendance == "5" and 0 < minutes <= MINUTES_MAX else {}
        return msgspec.structs.replace(
            visit, trigger="record_session", data={"attendance": attendance, **(more or {}), **length, **_ref(visit)}
        )

    def _cancelled(self, reason: ReceivedConcept) -> str | None:
        for coding in reason.coding:
            for known in (coding.code, coding.code.partition("-")[0]):
                if known in self._codes.cancelled:
                    return self._codes.cancelled[known]
        return None

    def _of_ipt(self, kinds: Iterable[ReceivedConcept], reasons: Iterable[ReceivedConcept]) -> bool | None:
        """Whether the codes name IPT; None if there is no code of a kind. Other reasons do not count against IPT."""
        codes = [coding.key for kind in kinds for coding in kind.coding]
        if set(self._codes.codes).intersection([*codes, *(coding.key for reason in reasons for coding in reason.coding)]):
            return True
        return False if codes else None

    # Measures

    def _form(self, form: ReceivedQuestionnaireResponse, faults: Faults) -> NoticeContent:
        scored = scores.of_form(form, self._codes.instruments, self._instruments)
        if scored is None or (form.status == "in-progress" and not scored.risk):
            return NoticeContent(type="", about="nothing")
        taken = faults.time("QuestionnaireResponse.authored", form.authored or form.meta.lastUpdated, required=True)
        refs = _named((ReceivedReference(reference=f"QuestionnaireResponse/{form.id}"),))
        return self._measure(form.status, scored, self._client(form.subject, faults), taken, refs)

    def _observation(self, observation: ReceivedObservation, faults: Faults) -> NoticeContent:
        scored = scores.of_observation(observation, self._codes.instruments, self._instruments)
        early = observation.status in {"registered", "preliminary"} and not (scored and scored.risk)
        if scored is None or early or observation.status in {"cancelled", "unknown"}:
            return NoticeContent(type="", about="nothing")
        at = (
            observation.effectiveDateTime
            or observation.effectiveInstant
            or observation.effectivePeriod.end
            or observation.effectivePeriod.start
            or observation.issued
        )
        taken = faults.time("Observation.effectiveDateTime", at, required=True)
        refs = _named((*observation.derivedFrom, ReceivedReference(reference=f"Observation/{observation.id}")))
        return self._measure(observation.status, scored, self._client(observation.subject, faults), taken, refs)

    def _measure(
        self, status: str, scored: Scored, client_ref: str | None, taken: dt.datetime | None, refs: tuple[str, ...]
    ) -> NoticeContent:
        measure = NoticeContent(
            type="",
            about="measure",
            client_ref=client_ref,
            trigger="record_measure",
            occurred_at=taken,
            reason=" ".join(scored.says) or None,
            refs=refs,
            risk=scored.risk,
            says=scored.says,
        )
        if status == ERROR:
            return msgspec.structs.replace(measure, void=True, risk=False)
        data = {**scored.data, **({"taken_at": taken.isoformat()} if taken else {}), **_ref(measure)}
        return msgspec.structs.replace(measure, data=data, faults=scored.faults)

    # Referrals and persons

    def _service_request(self, request: ReceivedServiceRequest, faults: Faults) -> NoticeContent:
        if not self._of_ipt((request.code,), ()):
            return NoticeContent(type="", about="nothing")
        referral = self._referral(
            request.subject, request.requester, faults.time("ServiceRequest.authoredOn", request.authoredOn), faults
        )
        named = msgspec.structs.replace(referral, therapist=_person(request.performer))
        if request.status in {ERROR, "revoked"}:
            return msgspec.structs.replace(named, void=True)
        wanted = request.status in {"active", "on-hold"} and (request.intent.endswith("order") or request.intent == "directive")
        return named if wanted else NoticeContent(type="", about="nothing")

    def _episode(self, episode: ReceivedEpisodeOfCare, faults: Faults) -> NoticeContent:
        if not self._of_ipt(episode.type, ()):
            return NoticeContent(type="", about="nothing")
        referral = self._referral(episode.patient, None, faults.time("EpisodeOfCare.period.start", episode.period.start), faults)
        named = msgspec.structs.replace(referral, therapist=_person([episode.careManager]), refs=_named(episode.referralRequest))
        if episode.status == ERROR:
            return msgspec.structs.replace(named, void=True)
        return named if episode.status in {"planned", "waitlist", "active"} else NoticeContent(type="", about="nothing")

    def _referral(
        self, client: ReceivedReference | None, by: ReceivedReference | None, at: dt.datetime | None, faults: Faults
    ) -> NoticeContent:
        source = (by.display or by.name if by else None) or "The EHR"
        ref = self._client(client, faults)
        return NoticeContent(
            type="", about="referral", client_ref=ref, trigger="refer", data={"source": source[:200]}, occurred_at=at
        )

    def _patient(self, patient: ReceivedPatient, faults: Faults) -> NoticeContent:
        """A merge or a death. Other changes of a Patient do not concern IPT."""
        this = ReceivedReference(reference=f"Patient/{patient.id}")
        for link in patient.link:
            if link.type in {"replaced-by", "replaces"}:
                old, new = (this, link.other) if link.type == "replaced-by" else (link.other, this)
                ref, into = self._client(old, faults), self._client(new, faults)
                data = {"kind": "merge", "client_ref": into}
                return self._for_person("merged", ref, "relink_client", data, MERGED)
        if patient.deceasedBoolean or patient.deceasedDateTime:
            ended = {"end_code": "49", "risk_status": "none", "attempts": 0}
            return self._for_person("deceased", self._client(this, faults), "end_early", ended, DECEASED)
        return NoticeContent(type="", about="nothing")

    def _for_person(self, kind: str, ref: str | None, trigger: str, data: dict[str, Any], why: str) -> NoticeContent:
        """A change that a person must decide. The digest keeps the client's reference out of `resource`."""
        digest = hashlib.sha256(f"{kind} {ref}".encode()).hexdigest()[:32]
        return NoticeContent(
            type="", about="person", client_ref=ref, trigger=trigger, data=data, needs_person=why, resource=f"{kind} {digest}"
        )

    def _client(self, subject: ReceivedReference | None, faults: Faults) -> str | None:
        """The client's reference: the source's prefix and the Patient's id, or the identifier if there is no id."""
        patient_id = subject.id_of("Patient") if subject else None
        ref = self._prefix + patient_id if patient_id else subject.identifier.value if subject and subject.identifier else None
        if ref is None:
            faults.found.append(Fault("subject", "must refer to a Patient, or give an identifier"))
            return None
        try:
            return msgspec.convert(ref, ClientRef)
        except msgspec.ValidationError:
            faults.found.append(Fault("subject", "must refer to a Patient by at most 128 visible characters"))
            return None


def _named(references: Iterable[ReceivedReference]) -> tuple[str, ...]:
    return tuple(each.name for each in references if each.name)


def _ref(content: NoticeContent) -> dict[str, Any]:
    return {"ref": content.refs[0]} if content.refs else {}


def _person(references: Iterable[ReceivedReference | None]) -> str | None:
    """The id of the first practitioner among the references."""
    ids = (each.id_of("Practitioner") for each in references if each and (each.reference or "").count("Practitioner/"))
    return next((each for each in ids if each), None)
