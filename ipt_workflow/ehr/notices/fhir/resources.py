"""The parts of FHIR resources that notices are read from. Other fields of a resource are ignored.

They are separate from `ehr/fhir/resources.py` on purpose: these accept leniently what EHR systems send (missing fields, one value where
R4 has a list, the names of R5), and those describe strictly what this service returns. Forms and Observations have no Struct here:
`answers` reads them as they came, so that no answer is lost because another field is malformed.
"""

import datetime as dt
import re
from collections.abc import Iterator
from typing import Any, TypeAlias, TypeVar
from zoneinfo import ZoneInfo

import msgspec

from ipt_workflow.errors import CommandInvalid, Fault
from ipt_workflow.values.faults import IN_YEARS, YEARS

_REFERENCE = re.compile(r"(?:.*/)?(?P<type>[A-Z][A-Za-z]{1,39})/(?P<id>[A-Za-z0-9.-]{1,64})(?:/_history/[A-Za-z0-9.-]{1,64})?")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_SAY_NOTHING = ("v3-NullFlavor", "data-absent-reason")  # code systems whose codes stand for a missing code
ID = re.compile(r"[A-Za-z0-9.-]{1,64}")
NAME = re.compile(r"[A-Z][A-Za-z]{1,39}/[A-Za-z0-9.-]{1,64}")
Each = TypeVar("Each", bound=msgspec.Struct)


class ReceivedConcept(msgspec.Struct, frozen=True, kw_only=True):
    """A Coding, a CodeableConcept, or a CodeableReference of R5."""

    system: str = ""
    code: str = ""
    coding: "tuple[ReceivedConcept, ...]" = ()
    concept: "ReceivedConcept | None" = None
    value: "tuple[ReceivedConcept, ...]" = ()  # of the reason of an Encounter in R5

    @property
    def codings(self) -> "Iterator[ReceivedConcept]":
        todo = [self]
        while todo:  # no recursion: a concept may be as deep as JSON may be
            each = todo.pop()
            if each.code and not each.system.endswith(_SAY_NOTHING):
                yield each
            todo += reversed((*each.coding, *((each.concept,) if each.concept else ()), *each.value))

    @property
    def key(self) -> str:
        """`http://snomed.info/sct|443730003`."""
        return f"{self.system}|{self.code}"


class ReceivedIdentifier(msgspec.Struct, frozen=True, kw_only=True):
    value: str | None = None


class ReceivedReference(msgspec.Struct, frozen=True, kw_only=True):
    reference: str | None = None
    type: str = ""
    identifier: ReceivedIdentifier | None = None
    display: str | None = None

    @property
    def name(self) -> str | None:
        """`Appointment/2231`, without the server's address and the version; None if the reference has another form."""
        match = _REFERENCE.fullmatch(self.reference or "")
        return f"{match['type']}/{match['id']}" if match else None


Concepts: TypeAlias = ReceivedConcept | tuple[ReceivedConcept, ...]
ReferencesField: TypeAlias = ReceivedReference | tuple[ReceivedReference, ...]


class ReceivedPeriod(msgspec.Struct, frozen=True, kw_only=True):
    start: str | None = None
    end: str | None = None


class ReceivedResource(msgspec.Struct, frozen=True, kw_only=True):
    resourceType: str  # noqa: N815 - FHIR's own names
    id: str | None = None
    status: str = ""

    @property
    def own(self) -> ReceivedReference:
        """A reference to this resource; empty without an id."""
        return ReceivedReference(reference=f"{self.resourceType}/{self.id}" if self.id else None)


class ReceivedParticipant(msgspec.Struct, frozen=True, kw_only=True):
    """A participant: the `individual` of an Encounter, the `actor` of an Appointment (in R5 of both)."""

    individual: ReceivedReference | None = None
    actor: ReceivedReference | None = None
    status: str = ""

    @property
    def who(self) -> ReceivedReference:
        return self.individual or self.actor or ReceivedReference()


class ReceivedEncounter(ReceivedResource, frozen=True, kw_only=True, rename={"class_": "class"}):
    class_: Concepts = ()
    type: Concepts = ()
    serviceType: Concepts = ()  # noqa: N815
    reasonCode: Concepts = ()  # noqa: N815
    reason: Concepts = ()  # R5
    subject: ReceivedReference | None = None
    participant: tuple[ReceivedParticipant, ...] = ()
    period: ReceivedPeriod = ReceivedPeriod()
    actualPeriod: ReceivedPeriod = ReceivedPeriod()  # noqa: N815 - R5
    plannedStartDate: str | None = None  # noqa: N815 - R5
    plannedEndDate: str | None = None  # noqa: N815 - R5
    appointment: ReferencesField = ()
    episodeOfCare: ReferencesField = ()  # noqa: N815
    basedOn: ReferencesField = ()  # noqa: N815


class ReceivedAppointment(ReceivedResource, frozen=True, kw_only=True):
    serviceType: Concepts = ()  # noqa: N815
    reasonCode: Concepts = ()  # noqa: N815
    reason: Concepts = ()  # R5
    cancelationReason: ReceivedConcept = ReceivedConcept()  # noqa: N815
    cancellationReason: ReceivedConcept = ReceivedConcept()  # noqa: N815 - R5
    start: str | None = None
    end: str | None = None
    subject: ReceivedReference | None = None  # R5
    participant: tuple[ReceivedParticipant, ...] = ()
    basedOn: ReferencesField = ()  # noqa: N815


class ReceivedServiceRequest(ReceivedResource, frozen=True, kw_only=True):
    intent: str = ""
    doNotPerform: bool = False  # noqa: N815
    code: ReceivedConcept = ReceivedConcept()
    subject: ReceivedReference | None = None
    authoredOn: str | None = None  # noqa: N815
    requester: ReceivedReference | None = None
    performer: ReferencesField = ()


class ReceivedEpisodeOfCare(ReceivedResource, frozen=True, kw_only=True):
    type: Concepts = ()
    patient: ReceivedReference | None = None
    period: ReceivedPeriod = ReceivedPeriod()
    careManager: ReceivedReference | None = None  # noqa: N815
    referralRequest: ReferencesField = ()  # noqa: N815


class ReceivedLink(msgspec.Struct, frozen=True, kw_only=True):
    other: ReceivedReference = ReceivedReference()
    type: str = ""


class ReceivedPatient(ReceivedResource, frozen=True, kw_only=True):
    link: tuple[ReceivedLink, ...] = ()
    deceasedBoolean: bool = False  # noqa: N815
    deceasedDateTime: str | None = None  # noqa: N815


SupportedResource = ReceivedEncounter | ReceivedAppointment | ReceivedServiceRequest | ReceivedEpisodeOfCare | ReceivedPatient
SUPPORTED: dict[str, type[SupportedResource]] = {
    each.__name__.removeprefix("Received"): each
    for each in (ReceivedEncounter, ReceivedAppointment, ReceivedServiceRequest, ReceivedEpisodeOfCare, ReceivedPatient)
}


def read_resource(resource: dict[str, Any]) -> SupportedResource | None:
    """A resource as its Struct; None for a kind that has none. Raises CommandInvalid if it is not valid FHIR."""
    kind = resource["resourceType"]
    struct = SUPPORTED.get(kind)
    if struct is None:
        return None
    try:
        return msgspec.convert(resource, struct)
    except (msgspec.ValidationError, RecursionError) as error:
        words, _, where = str(error).partition(" - at `$")
        raise CommandInvalid([Fault(f"{kind}{where.rstrip('`')}", f"must be as in FHIR R4: {words.lower()}")]) from None


def many(field: Each | tuple[Each, ...] | None) -> tuple[Each, ...]:
    """The values of a field that has one value, a list, or none."""
    return field if isinstance(field, tuple) else () if field is None else (field,)


def is_day(text: str | None) -> bool:
    """Whether this is a date without a time."""
    return bool(text and _DATE.fullmatch(text))


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
