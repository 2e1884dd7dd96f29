"""FHIR R4 resources as notices: what an Encounter, Appointment, form, Observation, referral or Patient tells of a course.

What is kept of a FHIR message is one JSON object, so that it can be read again and a person can correct it: `{"resource": {…}}`,
`{"deleted": "Encounter/1"}`, `{"focus": "Encounter/1"}` where only the name was sent, `{"empty": …}` where not even that, and `{"missing":
…}` for an event that did not come.
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
    shaped,
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
OTHER = "fhir.other"  # the type of what is none of these
UNREADABLE = "fhir.unreadable"
EMPTY = "Something happened that the subscription is about, and was not named. Ask the EHR."
MISSING = "An event of the subscription did not come. Ask the EHR for it."
DELETED = "deleted"  # the version of what is deleted
VERSION_MAX = 64
MINUTES_MAX = 600
ERROR = "entered-in-error"


def decode(body: bytes) -> dict[str, Any]:
    """What was kept of a FHIR message. Raises CommandMalformed."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CommandMalformed(f"The body is not JSON: {error}.") from None
    if not isinstance(value, dict):
        raise CommandMalformed("The body must be a JSON object.")
    return value


class Beside(msgspec.Struct, frozen=True, kw_only=True):
    """What a person may put beside a resource to put it right."""

    client_ref: ClientRef | None = None
    course: Code | None = None
    attendance: AttendanceCode | None = None


class Faults:
    """What stands against a resource, gathered while it is read."""

    def __init__(self, zone: ZoneInfo) -> None:
        self.zone = zone
        self.found: list[Fault] = []

    def time(self, where: str, told: str | None, *, required: bool = False) -> dt.datetime | None:
        try:
            at = moment(told, self.zone)
        except ValueError as error:
            self.found.append(Fault(where, str(error)))
            return None
        if at is None and required:
            self.found.append(Fault(where, "is required"))
        return at


class ResourceReader:
    """Reads by the declared codes. `prefix` goes before the id of a Patient to make a client reference."""

    def __init__(self, codes: FhirCodes, instruments: Mapping[str, Instrument], prefix: str, zone: ZoneInfo) -> None:
        self._codes = codes
        self._instruments = instruments
        self._prefix = prefix
        self._zone = zone

    def read(self, kept: dict[str, Any]) -> NoticeContent:
        """What a message tells; `about` is `nothing` where it is of a kind that never concerns IPT. Raises CommandInvalid."""
        if isinstance(kept.get("deleted"), str):
            return self._deleted(kept["deleted"], in_doubt=bool(kept.get("in_doubt")))
        if isinstance(kept.get("focus"), str) and "resource" not in kept:
            return self._focus(kept["focus"])
        for kind, waits in (("empty", EMPTY), ("missing", MISSING)):
            if kind in kept:
                return NoticeContent(type=TYPE_PREFIX + kind, about="person", waits=waits)
        resource = kept.get("resource")
        if not isinstance(resource, dict):
            raise CommandInvalid([Fault("resource", "must be a FHIR R4 resource")])
        found = shaped(resource)
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
        told = self._corrected(read[type(found)](found, faults), kept)
        version = self._version(found.meta, faults)
        name = f"{found.resourceType}/{found.id}" if found.id else None
        if name and not NAME.fullmatch(name):
            raise CommandInvalid([Fault(f"{found.resourceType}.id", "must have 1 to 64 letters, digits, hyphens and dots")])
        return msgspec.structs.replace(
            told,
            type=TYPE_PREFIX + found.resourceType,
            resource=told.resource or name,
            version=version,
            faults=() if told.about == "nothing" else (*told.faults, *faults.found),
        )

    def _corrected(self, told: NoticeContent, kept: dict[str, Any]) -> NoticeContent:
        """With what a person has put right beside the resource: the client, the course, or how a visit was attended."""
        beside = {name: kept[name] for name in ("client_ref", "course", "attendance") if name in kept}
        try:
            right = msgspec.convert(beside, Beside)
        except msgspec.ValidationError as error:
            raise CommandInvalid(schema_faults(Beside, beside, "data", str(error))) from None
        if right.client_ref:
            told = msgspec.structs.replace(told, client_ref=right.client_ref)
        if right.attendance and told.about == "session":
            data = {**told.data, "attendance": right.attendance, **_ref(told)}
            told = msgspec.structs.replace(told, trigger="record_session", data=data, waits=None)
        return msgspec.structs.replace(told, course=right.course)

    def _version(self, meta: ReceivedMeta, faults: Faults) -> Version:
        text = meta.versionId[:VERSION_MAX] if meta.versionId else None
        return Version(at=faults.time("meta.lastUpdated", meta.lastUpdated), text=text)

    def _deleted(self, name: str, *, in_doubt: bool) -> NoticeContent:
        kind = name.partition("/")[0]
        if kind not in ABOUT or not NAME.fullmatch(name) or kind == "Patient":
            return NoticeContent(type=OTHER, about="nothing")
        waits = "What was deleted is named where no signature reaches: a person decides." if in_doubt else None
        return NoticeContent(
            type=TYPE_PREFIX + kind,
            about=ABOUT[kind],
            resource=name,
            refs=(name,),
            void=True,
            version=Version(text=DELETED),
            waits=waits,
        )

    def _focus(self, name: str) -> NoticeContent:
        kind = name.partition("/")[0]
        if kind not in ABOUT or not NAME.fullmatch(name):
            return NoticeContent(type=OTHER, about="nothing")
        waits = "Only its name was sent. Ask the EHR for it, and correct the notice with what it says."
        return NoticeContent(type=TYPE_PREFIX + kind, about=ABOUT[kind], resource=name, refs=(name,), waits=waits)

    # Visits

    def _encounter(self, told: ReceivedEncounter, faults: Faults) -> NoticeContent:
        refs = _named((*told.appointment, ReceivedReference(reference=f"Encounter/{told.id}")))
        start, end = faults.time("Encounter.period.start", told.period.start), faults.time("Encounter.period.end", told.period.end)
        visit = NoticeContent(
            type="",
            about="session",
            client_ref=self._client(told.subject, faults),
            person=_person([each.individual for each in told.participant]),
            occurred_at=start,
            until=end,
            refs=refs,
            belongs=_named((*told.episodeOfCare, *told.basedOn)),
            of_ipt=self._of_ipt((*told.type, told.serviceType), told.reasonCode),
        )
        if told.status == ERROR:
            return msgspec.structs.replace(visit, void=True)
        if told.status == "planned":
            return self._booked(visit, faults, "Encounter.period.start")
        if told.status == "finished":
            medium = self._codes.media.get(told.class_.code)
            return self._held(visit, "5", faults, "Encounter.period.start", {"medium": medium} if medium else {})
        if told.status == "cancelled":
            return msgspec.structs.replace(
                visit, waits="The encounter was cancelled, and does not say by whom: 2 by the client, 4 by the provider."
            )
        return msgspec.structs.replace(visit, about="nothing")  # under way, or not known yet

    def _appointment(self, told: ReceivedAppointment, faults: Faults) -> NoticeContent:
        actors = [each.actor for each in told.participant]
        client = next((each for each in actors if each and each.id_of("Patient") and not each.id_of("Practitioner")), None)
        visit = NoticeContent(
            type="",
            about="session",
            client_ref=self._client(client, faults),
            person=_person(actors),
            occurred_at=faults.time("Appointment.start", told.start),
            until=faults.time("Appointment.end", told.end),
            refs=_named((ReceivedReference(reference=f"Appointment/{told.id}"),)),
            belongs=_named(told.basedOn),
            of_ipt=self._of_ipt(told.serviceType, told.reasonCode),
        )
        if told.status == ERROR:
            return msgspec.structs.replace(visit, void=True)
        if told.status == "booked":
            return self._booked(visit, faults, "Appointment.start")
        if told.status in {"fulfilled", "noshow"}:
            return self._held(visit, "5" if told.status == "fulfilled" else "3", faults, "Appointment.start")
        if told.status == "cancelled":
            code = self._cancelled(told.cancelationReason)
            if code is None:
                why = "The appointment was cancelled, and does not say by whom: 2 by the client, 4 by the provider."
                return msgspec.structs.replace(visit, waits=why)
            return self._held(visit, code, faults, "Appointment.start")
        return msgspec.structs.replace(visit, about="nothing")  # not agreed yet, or under way

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
        """Whether the codes say that it is IPT; None where they say nothing. A reason never speaks against it."""
        said = [coding.key for kind in kinds for coding in kind.coding]
        if set(self._codes.codes).intersection([*said, *(coding.key for reason in reasons for coding in reason.coding)]):
            return True
        return False if said else None

    # Measures

    def _form(self, told: ReceivedQuestionnaireResponse, faults: Faults) -> NoticeContent:
        scored = scores.of_form(told, self._codes.instruments, self._instruments)
        if scored is None or (told.status == "in-progress" and not scored.risk):
            return NoticeContent(type="", about="nothing")
        taken = faults.time("QuestionnaireResponse.authored", told.authored or told.meta.lastUpdated, required=True)
        refs = _named((ReceivedReference(reference=f"QuestionnaireResponse/{told.id}"),))
        return self._measure(told.status, scored, self._client(told.subject, faults), taken, refs)

    def _observation(self, told: ReceivedObservation, faults: Faults) -> NoticeContent:
        scored = scores.of_observation(told, self._codes.instruments, self._instruments)
        early = told.status in {"registered", "preliminary"} and not (scored and scored.risk)
        if scored is None or early or told.status in {"cancelled", "unknown"}:
            return NoticeContent(type="", about="nothing")
        at = (
            told.effectiveDateTime or told.effectiveInstant or told.effectivePeriod.end or told.effectivePeriod.start or told.issued
        )
        taken = faults.time("Observation.effectiveDateTime", at, required=True)
        refs = _named((*told.derivedFrom, ReceivedReference(reference=f"Observation/{told.id}")))
        return self._measure(told.status, scored, self._client(told.subject, faults), taken, refs)

    def _measure(
        self, status: str, scored: Scored, client_ref: str | None, taken: dt.datetime | None, refs: tuple[str, ...]
    ) -> NoticeContent:
        told = NoticeContent(
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
            return msgspec.structs.replace(told, void=True, risk=False)
        data = {**scored.data, **({"taken_at": taken.isoformat()} if taken else {}), **_ref(told)}
        return msgspec.structs.replace(told, data=data, faults=scored.faults)

    # Referrals and persons

    def _service_request(self, told: ReceivedServiceRequest, faults: Faults) -> NoticeContent:
        if not self._of_ipt((told.code,), ()):
            return NoticeContent(type="", about="nothing")
        referral = self._referral(told.subject, told.requester, faults.time("ServiceRequest.authoredOn", told.authoredOn), faults)
        named = msgspec.structs.replace(referral, therapist=_person(told.performer))
        if told.status in {ERROR, "revoked"}:
            return msgspec.structs.replace(named, void=True)
        wanted = told.status in {"active", "on-hold"} and (told.intent.endswith("order") or told.intent == "directive")
        return named if wanted else NoticeContent(type="", about="nothing")

    def _episode(self, told: ReceivedEpisodeOfCare, faults: Faults) -> NoticeContent:
        if not self._of_ipt(told.type, ()):
            return NoticeContent(type="", about="nothing")
        referral = self._referral(told.patient, None, faults.time("EpisodeOfCare.period.start", told.period.start), faults)
        named = msgspec.structs.replace(referral, therapist=_person([told.careManager]), refs=_named(told.referralRequest))
        if told.status == ERROR:
            return msgspec.structs.replace(named, void=True)
        return named if told.status in {"planned", "waitlist", "active"} else NoticeContent(type="", about="nothing")

    def _referral(
        self, client: ReceivedReference | None, by: ReceivedReference | None, at: dt.datetime | None, faults: Faults
    ) -> NoticeContent:
        source = (by.display or by.name if by else None) or "The EHR"
        ref = self._client(client, faults)
        return NoticeContent(
            type="", about="referral", client_ref=ref, trigger="refer", data={"source": source[:200]}, occurred_at=at
        )

    def _patient(self, told: ReceivedPatient, faults: Faults) -> NoticeContent:
        """A merge, or a death; what else happens to a Patient is not ours."""
        this = ReceivedReference(reference=f"Patient/{told.id}")
        for link in told.link:
            if link.type in {"replaced-by", "replaces"}:
                old, new = (this, link.other) if link.type == "replaced-by" else (link.other, this)
                ref, into = self._client(old, faults), self._client(new, faults)
                data = {"kind": "merge", "client_ref": into}
                return self._decided("merged", ref, "relink_client", data, "Two records of the EHR are one client.")
        if told.deceasedBoolean or told.deceasedDateTime:
            ended = {"end_code": "49", "risk_status": "none", "attempts": 0}
            return self._decided("deceased", self._client(this, faults), "end_early", ended, "The client has died.")
        return NoticeContent(type="", about="nothing")

    def _decided(self, kind: str, ref: str | None, trigger: str, data: dict[str, Any], waits: str) -> NoticeContent:
        digest = hashlib.sha256(f"{kind} {ref}".encode()).hexdigest()[:32]
        return NoticeContent(
            type="", about="person", client_ref=ref, trigger=trigger, data=data, waits=waits, resource=f"{kind} {digest}"
        )

    def _client(self, subject: ReceivedReference | None, faults: Faults) -> str | None:
        """The client's reference: the source's prefix and the Patient's id, or the identifier where only that was told."""
        its_id = subject.id_of("Patient") if subject else None
        ref = self._prefix + its_id if its_id else subject.identifier.value if subject and subject.identifier else None
        if ref is None:
            faults.found.append(Fault("subject", "must name a Patient"))
            return None
        try:
            return msgspec.convert(ref, ClientRef)
        except msgspec.ValidationError:
            faults.found.append(Fault("subject", "must name a Patient by at most 128 visible characters"))
            return None


def _named(references: Iterable[ReceivedReference]) -> tuple[str, ...]:
    return tuple(each.name for each in references if each.name)


def _ref(told: NoticeContent) -> dict[str, Any]:
    return {"ref": told.refs[0]} if told.refs else {}


def _person(references: Iterable[ReceivedReference | None]) -> str | None:
    """The first practitioner that is named."""
    ids = (each.id_of("Practitioner") for each in references if each and (each.reference or "").count("Practitioner/"))
    return next((each for each in ids if each), None)
