"""`_elements` and `_summary`: parts of a resource, with the tag SUBSETTED."""

from collections.abc import Callable
from typing import Any

import msgspec

from ipt_workflow.ehr.fhir import resources
from ipt_workflow.ehr.fhir.types import Coding, Meta, Resource

SUBSETTED = Coding(system="http://terminology.hl7.org/CodeSystem/v3-ObservationValue", code="SUBSETTED", display="subsetted")
SUMMARIES: dict[str, frozenset[str]] = {
    "Patient": frozenset({"identifier", "managingOrganization"}),
    "EpisodeOfCare": frozenset({"status", "type", "patient", "managingOrganization", "period"}),
    "CarePlan": frozenset({"instantiatesCanonical", "status", "intent", "category", "title", "subject", "period",
                           "created", "author"}),
    "Encounter": frozenset({"identifier", "status", "class", "type", "subject", "episodeOfCare", "participant", "appointment",
                            "reasonCode"}),
    "Observation": frozenset({"identifier", "status", "code", "subject", "effectiveDateTime", "issued", "performer",
                              "valueQuantity", "derivedFrom"}),
    "QuestionnaireResponse": frozenset({"identifier", "questionnaire", "status", "subject", "authored", "author"}),
    "Provenance": frozenset({"target", "recorded"}),
    "PlanDefinition": frozenset({"url", "identifier", "version", "name", "title", "type", "status", "publisher",
                                 "description"}),
    "AuditEvent": frozenset({"type", "subtype", "action", "recorded", "outcome", "outcomeDesc", "purposeOfEvent"}),
}  # fmt: skip
"""The elements that R4 marks as a resource's summary, among those that are filled here."""


class Subset(msgspec.Struct, frozen=True):
    """The part that the caller wants. `elements` are names from `_elements`; `summary` is the value of `_summary`."""

    elements: frozenset[str] | None = None
    summary: str | None = None

    @property
    def whole(self) -> bool:
        return self.elements is None and self.summary in {None, "false"}

    def of(self, resource: Resource) -> Any:
        """The resource, or the part of it as a document. Elements that FHIR requires always stay."""
        if self.whole:
            return resource
        document = msgspec.to_builtins(resource)
        wanted = _wanted(self, resource.kind)
        kept = {"resourceType", "id", *_required(type(resource))}
        part = {name: value for name, value in document.items() if name in kept or (name != "meta" and wanted(name))}
        return {"resourceType": resource.kind, "id": resource.id, "meta": msgspec.to_builtins(_tagged(resource.meta)), **part}


def _wanted(subset: Subset, kind: str) -> Callable[[str], bool]:
    if subset.elements is not None:
        return lambda name: name in (subset.elements or ())
    return {"true": SUMMARIES[kind].__contains__, "data": lambda name: name != "text"}.get(str(subset.summary), lambda _: False)


def _required(kind: type[msgspec.Struct]) -> set[str]:
    return {field.encode_name for field in msgspec.structs.fields(kind) if field.required}


def _tagged(meta: Meta | None) -> Meta:
    """A part need not conform to the profile of the whole, so it claims none."""
    return msgspec.structs.replace(meta or Meta(), profile=(), tag=(SUBSETTED,))


def element_names(kind: str) -> frozenset[str]:
    """The elements of a kind that are filled here."""
    return frozenset(field.encode_name for field in msgspec.structs.fields(getattr(resources, kind)))
