"""The parts of FHIR R4 resources that notices are read from. Other fields of a resource are ignored.

They are separate from `ehr/fhir/resources.py` on purpose: these accept leniently what EHR systems send (numbers, dates, missing fields),
and those describe strictly what this service returns.
"""

import datetime as dt
import re
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from ipt_workflow.errors import CommandInvalid, Fault
from ipt_workflow.values.faults import IN_YEARS, YEARS

_REFERENCE = re.compile(r"(?:.*/)?(?P<type>[A-Z][A-Za-z]{1,39})/(?P<id>[A-Za-z0-9.-]{1,64})(?:/_history/[A-Za-z0-9.-]{1,64})?")
_URN = re.compile(r"urn:uuid:(?P<id>[0-9a-fA-F-]{36})")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
NAME = re.compile(r"[A-Z][A-Za-z]{1,39}/[A-Za-z0-9.-]{1,64}")


class ReceivedExtension(msgspec.Struct, frozen=True, kw_only=True):
    url: str = ""
    valueDecimal: float | None = None  # noqa: N815 - FHIR's own names
    valueInteger: int | None = None  # noqa: N815


class ReceivedCoding(msgspec.Struct, frozen=True, kw_only=True):
    system: str = ""
    code: str = ""
    extension: tuple[ReceivedExtension, ...] = ()

    @property
    def key(self) -> str:
        """`http://loinc.org|44261-6`."""
        return f"{self.system}|{self.code}"


class ReceivedConcept(msgspec.Struct, frozen=True, kw_only=True):
    coding: tuple[ReceivedCoding, ...] = ()


class ReceivedIdentifier(msgspec.Struct, frozen=True, kw_only=True):
    value: str | None = None


class ReceivedReference(msgspec.Struct, frozen=True, kw_only=True):
    reference: str | None = None
    identifier: ReceivedIdentifier | None = None
    display: str | None = None

    @property
    def name(self) -> str | None:
        """`Appointment/2231`, without the server's address and the version; None if the reference has another form."""
        match = _REFERENCE.fullmatch(self.reference or "")
        return f"{match['type']}/{match['id']}" if match else None

    def id_of(self, kind: str) -> str | None:
        """The id of a resource of this kind. A bare UUID counts as any kind."""
        urn = _URN.fullmatch(self.reference or "")
        if urn:
            return urn["id"]
        match = _REFERENCE.fullmatch(self.reference or "")
        return match["id"] if match and match["type"] == kind else None


class ReceivedPeriod(msgspec.Struct, frozen=True, kw_only=True):
    start: str | None = None
    end: str | None = None


class ReceivedMeta(msgspec.Struct, frozen=True, kw_only=True):
    versionId: str | None = None  # noqa: N815
    lastUpdated: str | None = None  # noqa: N815


class ReceivedQuantity(msgspec.Struct, frozen=True, kw_only=True):
    value: float | None = None


class ReceivedResource(msgspec.Struct, frozen=True, kw_only=True):
    resourceType: str  # noqa: N815
    id: str | None = None
    meta: ReceivedMeta = ReceivedMeta()
    status: str = ""


class ReceivedParticipant(msgspec.Struct, frozen=True, kw_only=True):
    """A participant: the `individual` of an Encounter, the `actor` of an Appointment."""

    individual: ReceivedReference | None = None
    actor: ReceivedReference | None = None


class ReceivedEncounter(ReceivedResource, frozen=True, kw_only=True, rename={"class_": "class"}):
    class_: ReceivedCoding = ReceivedCoding()
    type: tuple[ReceivedConcept, ...] = ()
    serviceType: ReceivedConcept = ReceivedConcept()  # noqa: N815
    reasonCode: tuple[ReceivedConcept, ...] = ()  # noqa: N815
    subject: ReceivedReference | None = None
    participant: tuple[ReceivedParticipant, ...] = ()
    period: ReceivedPeriod = ReceivedPeriod()
    appointment: tuple[ReceivedReference, ...] = ()
    episodeOfCare: tuple[ReceivedReference, ...] = ()  # noqa: N815
    basedOn: tuple[ReceivedReference, ...] = ()  # noqa: N815


class ReceivedAppointment(ReceivedResource, frozen=True, kw_only=True):
    serviceType: tuple[ReceivedConcept, ...] = ()  # noqa: N815
    reasonCode: tuple[ReceivedConcept, ...] = ()  # noqa: N815
    cancelationReason: ReceivedConcept = ReceivedConcept()  # noqa: N815
    start: str | None = None
    end: str | None = None
    participant: tuple[ReceivedParticipant, ...] = ()
    basedOn: tuple[ReceivedReference, ...] = ()  # noqa: N815


class ReceivedServiceRequest(ReceivedResource, frozen=True, kw_only=True):
    intent: str = ""
    code: ReceivedConcept = ReceivedConcept()
    subject: ReceivedReference | None = None
    authoredOn: str | None = None  # noqa: N815
    requester: ReceivedReference | None = None
    performer: tuple[ReceivedReference, ...] = ()


class ReceivedEpisodeOfCare(ReceivedResource, frozen=True, kw_only=True):
    type: tuple[ReceivedConcept, ...] = ()
    patient: ReceivedReference | None = None
    period: ReceivedPeriod = ReceivedPeriod()
    careManager: ReceivedReference | None = None  # noqa: N815
    referralRequest: tuple[ReceivedReference, ...] = ()  # noqa: N815


class ReceivedLink(msgspec.Struct, frozen=True, kw_only=True):
    other: ReceivedReference = ReceivedReference()
    type: str = ""


class ReceivedPatient(ReceivedResource, frozen=True, kw_only=True):
    link: tuple[ReceivedLink, ...] = ()
    deceasedBoolean: bool = False  # noqa: N815
    deceasedDateTime: str | None = None  # noqa: N815


class ReceivedValue(msgspec.Struct, frozen=True, kw_only=True):
    """The value of an answer, an Observation or a component, in any of FHIR's forms."""

    valueCoding: ReceivedCoding | None = None  # noqa: N815
    valueCodeableConcept: ReceivedConcept | None = None  # noqa: N815
    valueInteger: int | None = None  # noqa: N815
    valueDecimal: float | None = None  # noqa: N815
    valueQuantity: ReceivedQuantity | None = None  # noqa: N815

    @property
    def codings(self) -> tuple[ReceivedCoding, ...]:
        own = (self.valueCoding,) if self.valueCoding else ()
        return (*own, *(self.valueCodeableConcept.coding if self.valueCodeableConcept else ()))

    @property
    def number(self) -> float | None:
        numbers = (self.valueInteger, self.valueDecimal, self.valueQuantity.value if self.valueQuantity else None)
        return next((each for each in numbers if each is not None), None)

    @property
    def given(self) -> bool:
        return bool(self.codings) or self.number is not None


class ReceivedItem(msgspec.Struct, frozen=True, kw_only=True):
    linkId: str = ""  # noqa: N815
    definition: str = ""
    answer: tuple[ReceivedValue, ...] = ()
    item: "tuple[ReceivedItem, ...]" = ()


class ReceivedQuestionnaireResponse(ReceivedResource, frozen=True, kw_only=True):
    questionnaire: str = ""
    subject: ReceivedReference | None = None
    authored: str | None = None
    item: tuple[ReceivedItem, ...] = ()


class ReceivedComponent(ReceivedValue, frozen=True, kw_only=True):
    code: ReceivedConcept = ReceivedConcept()


class ReceivedObservation(ReceivedValue, frozen=True, kw_only=True):
    resourceType: str  # noqa: N815
    id: str | None = None
    meta: ReceivedMeta = ReceivedMeta()
    status: str = ""
    code: ReceivedConcept = ReceivedConcept()
    subject: ReceivedReference | None = None
    effectiveDateTime: str | None = None  # noqa: N815
    effectivePeriod: ReceivedPeriod = ReceivedPeriod()  # noqa: N815
    effectiveInstant: str | None = None  # noqa: N815
    issued: str | None = None
    component: tuple[ReceivedComponent, ...] = ()
    derivedFrom: tuple[ReceivedReference, ...] = ()  # noqa: N815


SupportedResource = (
    ReceivedEncounter
    | ReceivedAppointment
    | ReceivedServiceRequest
    | ReceivedEpisodeOfCare
    | ReceivedPatient
    | ReceivedQuestionnaireResponse
    | ReceivedObservation
)
SUPPORTED: dict[str, type[SupportedResource]] = {
    each.__name__.removeprefix("Received"): each
    for each in (
        ReceivedEncounter,
        ReceivedAppointment,
        ReceivedServiceRequest,
        ReceivedEpisodeOfCare,
        ReceivedPatient,
        ReceivedQuestionnaireResponse,
        ReceivedObservation,
    )
}


def read_resource(resource: dict[str, Any]) -> SupportedResource | None:
    """A resource as its Struct; None for a kind that notices are not read from. Raises CommandInvalid if it is not valid FHIR R4."""
    kind = resource.get("resourceType")
    if not isinstance(kind, str) or not kind:
        raise CommandInvalid([Fault("resourceType", "is required, and must name a type of FHIR R4 resource")])
    struct = SUPPORTED.get(kind)
    if struct is None:
        return None
    try:
        return msgspec.convert(resource, struct)
    except (msgspec.ValidationError, RecursionError) as error:
        words, _, where = str(error).partition(" - at `$")
        raise CommandInvalid([Fault(f"{kind}{where.rstrip('`')}", f"must be as in FHIR R4: {words.lower()}")]) from None


def moment(text: str | None, zone: ZoneInfo) -> dt.datetime | None:
    """A FHIR dateTime or instant; a date is the beginning of its day. Raises ValueError, which says what would be right."""
    if text is None:
        return None
    try:
        if _DATE.fullmatch(text):
            found = dt.datetime.combine(dt.date.fromisoformat(text), dt.time(), zone)
        else:
            found = msgspec.convert(text, dt.datetime)
    except (msgspec.ValidationError, ValueError):
        raise ValueError("must be a date, or a time with an offset from UTC") from None
    if found.tzinfo is None:
        raise ValueError("must be a date, or a time with an offset from UTC")
    if found.year not in YEARS:
        raise ValueError(IN_YEARS)
    return found.astimezone(dt.UTC)
