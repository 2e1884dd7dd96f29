"""The parts of FHIR R4 resources that are read: small Structs. What else a resource holds is passed over."""

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


class Extension(msgspec.Struct, frozen=True, kw_only=True):
    url: str = ""
    valueDecimal: float | None = None  # noqa: N815 - FHIR's own names
    valueInteger: int | None = None  # noqa: N815


class Coding(msgspec.Struct, frozen=True, kw_only=True):
    system: str = ""
    code: str = ""
    extension: tuple[Extension, ...] = ()

    @property
    def key(self) -> str:
        """`http://loinc.org|44261-6`."""
        return f"{self.system}|{self.code}"


class Concept(msgspec.Struct, frozen=True, kw_only=True):
    coding: tuple[Coding, ...] = ()


class Identifier(msgspec.Struct, frozen=True, kw_only=True):
    value: str | None = None


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    reference: str | None = None
    identifier: Identifier | None = None
    display: str | None = None

    @property
    def name(self) -> str | None:
        """`Appointment/2231`, whatever stands before and behind it; None where it is no such reference."""
        match = _REFERENCE.fullmatch(self.reference or "")
        return f"{match['type']}/{match['id']}" if match else None

    def id_of(self, kind: str) -> str | None:
        """The id of a resource of this kind; also where only a UUID was told."""
        urn = _URN.fullmatch(self.reference or "")
        if urn:
            return urn["id"]
        match = _REFERENCE.fullmatch(self.reference or "")
        return match["id"] if match and match["type"] == kind else None


class Period(msgspec.Struct, frozen=True, kw_only=True):
    start: str | None = None
    end: str | None = None


class Meta(msgspec.Struct, frozen=True, kw_only=True):
    versionId: str | None = None  # noqa: N815
    lastUpdated: str | None = None  # noqa: N815


class Quantity(msgspec.Struct, frozen=True, kw_only=True):
    value: float | None = None


class Resource(msgspec.Struct, frozen=True, kw_only=True):
    resourceType: str  # noqa: N815
    id: str | None = None
    meta: Meta = Meta()
    status: str = ""


class Participant(msgspec.Struct, frozen=True, kw_only=True):
    """Of an encounter its `individual`, of an appointment its `actor`."""

    individual: Reference | None = None
    actor: Reference | None = None


class Encounter(Resource, frozen=True, kw_only=True, rename={"class_": "class"}):
    class_: Coding = Coding()
    type: tuple[Concept, ...] = ()
    serviceType: Concept = Concept()  # noqa: N815
    reasonCode: tuple[Concept, ...] = ()  # noqa: N815
    subject: Reference | None = None
    participant: tuple[Participant, ...] = ()
    period: Period = Period()
    appointment: tuple[Reference, ...] = ()
    episodeOfCare: tuple[Reference, ...] = ()  # noqa: N815
    basedOn: tuple[Reference, ...] = ()  # noqa: N815


class Appointment(Resource, frozen=True, kw_only=True):
    serviceType: tuple[Concept, ...] = ()  # noqa: N815
    reasonCode: tuple[Concept, ...] = ()  # noqa: N815
    cancelationReason: Concept = Concept()  # noqa: N815
    start: str | None = None
    end: str | None = None
    participant: tuple[Participant, ...] = ()
    basedOn: tuple[Reference, ...] = ()  # noqa: N815


class ServiceRequest(Resource, frozen=True, kw_only=True):
    intent: str = ""
    code: Concept = Concept()
    subject: Reference | None = None
    authoredOn: str | None = None  # noqa: N815
    requester: Reference | None = None
    performer: tuple[Reference, ...] = ()


class EpisodeOfCare(Resource, frozen=True, kw_only=True):
    type: tuple[Concept, ...] = ()
    patient: Reference | None = None
    period: Period = Period()
    careManager: Reference | None = None  # noqa: N815
    referralRequest: tuple[Reference, ...] = ()  # noqa: N815


class Link(msgspec.Struct, frozen=True, kw_only=True):
    other: Reference = Reference()
    type: str = ""


class Patient(Resource, frozen=True, kw_only=True):
    link: tuple[Link, ...] = ()
    deceasedBoolean: bool = False  # noqa: N815
    deceasedDateTime: str | None = None  # noqa: N815


class Value(msgspec.Struct, frozen=True, kw_only=True):
    """An answer, an observed value or a component's: whichever of FHIR's forms was used."""

    valueCoding: Coding | None = None  # noqa: N815
    valueCodeableConcept: Concept | None = None  # noqa: N815
    valueInteger: int | None = None  # noqa: N815
    valueDecimal: float | None = None  # noqa: N815
    valueQuantity: Quantity | None = None  # noqa: N815

    @property
    def codings(self) -> tuple[Coding, ...]:
        own = (self.valueCoding,) if self.valueCoding else ()
        return (*own, *(self.valueCodeableConcept.coding if self.valueCodeableConcept else ()))

    @property
    def number(self) -> float | None:
        told = (self.valueInteger, self.valueDecimal, self.valueQuantity.value if self.valueQuantity else None)
        return next((each for each in told if each is not None), None)

    @property
    def given(self) -> bool:
        return bool(self.codings) or self.number is not None


class Item(msgspec.Struct, frozen=True, kw_only=True):
    linkId: str = ""  # noqa: N815
    definition: str = ""
    answer: tuple[Value, ...] = ()
    item: "tuple[Item, ...]" = ()


class QuestionnaireResponse(Resource, frozen=True, kw_only=True):
    questionnaire: str = ""
    subject: Reference | None = None
    authored: str | None = None
    item: tuple[Item, ...] = ()


class Component(Value, frozen=True, kw_only=True):
    code: Concept = Concept()


class Observation(Value, frozen=True, kw_only=True):
    resourceType: str  # noqa: N815
    id: str | None = None
    meta: Meta = Meta()
    status: str = ""
    code: Concept = Concept()
    subject: Reference | None = None
    effectiveDateTime: str | None = None  # noqa: N815
    effectivePeriod: Period = Period()  # noqa: N815
    effectiveInstant: str | None = None  # noqa: N815
    issued: str | None = None
    component: tuple[Component, ...] = ()
    derivedFrom: tuple[Reference, ...] = ()  # noqa: N815


Shape = Encounter | Appointment | ServiceRequest | EpisodeOfCare | Patient | QuestionnaireResponse | Observation
SHAPES: dict[str, type[Shape]] = {
    each.__name__: each
    for each in (Encounter, Appointment, ServiceRequest, EpisodeOfCare, Patient, QuestionnaireResponse, Observation)
}


def shaped(resource: dict[str, Any]) -> Shape | None:
    """A resource as its Struct; None for a kind that is not read. Raises CommandInvalid where it is not as FHIR has it."""
    kind = resource.get("resourceType")
    if not isinstance(kind, str) or not kind:
        raise CommandInvalid([Fault("resourceType", "is required: a FHIR R4 resource is expected")])
    shape = SHAPES.get(kind)
    if shape is None:
        return None
    try:
        return msgspec.convert(resource, shape)
    except (msgspec.ValidationError, RecursionError) as error:
        words, _, where = str(error).partition(" - at `$")
        raise CommandInvalid([Fault(f"{kind}{where.rstrip('`')}", f"is not as FHIR R4 has it: {words.lower()}")]) from None


def moment(told: str | None, zone: ZoneInfo) -> dt.datetime | None:
    """A FHIR dateTime or instant; a date is the beginning of its day. Raises ValueError, which says what would be right."""
    if told is None:
        return None
    try:
        if _DATE.fullmatch(told):
            found = dt.datetime.combine(dt.date.fromisoformat(told), dt.time(), zone)
        else:
            found = msgspec.convert(told, dt.datetime)
    except (msgspec.ValidationError, ValueError):
        raise ValueError("must be a date, or a time with an offset") from None
    if found.tzinfo is None:
        raise ValueError("must be a date, or a time with an offset")
    if found.year not in YEARS:
        raise ValueError(IN_YEARS)
    return found.astimezone(dt.UTC)
