"""The FHIR R4 data types that this service uses. Fields have FHIR's names. A field at its default is left out."""

import datetime as dt

import msgspec


class Element(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The base of every type. FHIR has no empty lists, so an empty tuple is left out."""


class Coding(Element, frozen=True, kw_only=True):
    extension: tuple["Extension", ...] = ()
    system: str | None = None
    code: str | None = None
    display: str | None = None


class CodeableConcept(Element, frozen=True, kw_only=True):
    coding: tuple[Coding, ...] = ()
    text: str | None = None


class Identifier(Element, frozen=True, kw_only=True):
    system: str | None = None
    value: str | None = None


class Reference(Element, frozen=True, kw_only=True):
    """Literal (`reference`) or logical (`identifier`). A person whom only the EHR knows is named by an identifier."""

    reference: str | None = None
    type: str | None = None
    identifier: Identifier | None = None
    display: str | None = None


class Period(Element, frozen=True, kw_only=True):
    """`end` is None while it lasts."""

    start: dt.datetime | None = None
    end: dt.datetime | None = None


class Quantity(Element, frozen=True, kw_only=True):
    value: float | None = None
    unit: str | None = None
    system: str | None = None
    code: str | None = None


class Extension(Element, frozen=True, kw_only=True, rename="camel"):
    """Exactly one value is set, or extensions are."""

    url: str
    extension: "tuple[Extension, ...]" = ()
    value_coding: Coding | None = None
    value_decimal: int | None = None
    value_reference: Reference | None = None
    value_string: str | None = None
    value_uri: str | None = None


class Meta(Element, frozen=True, kw_only=True, rename="camel"):
    version_id: str | None = None
    last_updated: dt.datetime | None = None
    profile: tuple[str, ...] = ()
    tag: tuple[Coding, ...] = ()


class Resource(Element, frozen=True, kw_only=True, tag_field="resourceType"):
    """A resource. The name of its class is its type. `id` is None if the resource exists only within an answer."""

    id: str | None = None
    meta: Meta | None = None

    @property
    def kind(self) -> str:
        return type(self).__name__

    @property
    def local(self) -> str:
        """`EpisodeOfCare/0197…`."""
        return f"{self.kind}/{self.id}"


def concept(*codings: Coding, text: str | None = None) -> CodeableConcept:
    return CodeableConcept(coding=codings, text=text)
