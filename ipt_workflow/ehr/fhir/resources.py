"""The FHIR R4 resources that this service serves, with the elements that it fills and no others.

A required element has no default, because an element at its default is left out.
"""

import datetime as dt
from typing import Any

from msgspec import Raw

from ipt_workflow.ehr.fhir.types import (
    CodeableConcept,
    Coding,
    Element,
    Extension,
    Identifier,
    Period,
    Quantity,
    Reference,
    Resource,
)


class Patient(Resource, frozen=True, kw_only=True, rename="camel"):
    """A client: only how the EHR knows them, and references to their courses in extensions."""

    extension: tuple[Extension, ...] = ()
    identifier: tuple[Identifier, ...] = ()
    managing_organization: Reference | None = None


class StatusPeriod(Element, frozen=True, kw_only=True):
    status: str
    period: Period


class EpisodeOfCare(Resource, frozen=True, kw_only=True, rename="camel"):
    extension: tuple[Extension, ...] = ()
    identifier: tuple[Identifier, ...] = ()
    status: str
    status_history: tuple[StatusPeriod, ...] = ()
    type: tuple[CodeableConcept, ...] = ()
    patient: Reference
    managing_organization: Reference | None = None
    period: Period | None = None
    care_manager: Reference | None = None


class ActivityDetail(Element, frozen=True, kw_only=True, rename="camel"):
    code: CodeableConcept
    status: str
    scheduled_period: Period | None = None


class Activity(Element, frozen=True, kw_only=True, rename="camel"):
    outcome_reference: tuple[Reference, ...] = ()
    detail: ActivityDetail


class CarePlan(Resource, frozen=True, kw_only=True, rename="camel"):
    instantiates_canonical: tuple[str, ...] = ()
    status: str
    intent: str
    category: tuple[CodeableConcept, ...] = ()
    title: str | None = None
    subject: Reference
    period: Period | None = None
    created: dt.datetime | None = None
    author: Reference | None = None
    supporting_info: tuple[Reference, ...] = ()
    activity: tuple[Activity, ...] = ()


class RelatedAction(Element, frozen=True, kw_only=True, rename="camel"):
    action_id: str
    relationship: str


class Action(Element, frozen=True, kw_only=True, rename="camel"):
    id: str | None = None
    title: str | None = None
    description: str | None = None
    code: tuple[CodeableConcept, ...] = ()
    related_action: tuple[RelatedAction, ...] = ()
    required_behavior: str | None = None
    action: tuple["Action", ...] = ()


class PlanDefinition(Resource, frozen=True, kw_only=True, rename="camel"):
    url: str | None = None
    identifier: tuple[Identifier, ...] = ()
    version: str | None = None
    name: str | None = None
    title: str | None = None
    type: CodeableConcept | None = None
    status: str
    publisher: str | None = None
    description: str | None = None
    topic: tuple[CodeableConcept, ...] = ()
    action: tuple[Action, ...] = ()


class Participant(Element, frozen=True, kw_only=True):
    type: tuple[CodeableConcept, ...] = ()
    individual: Reference | None = None


class Encounter(Resource, frozen=True, kw_only=True, rename={
    "class_": "class", "episode_of_care": "episodeOfCare", "reason_code": "reasonCode"
}):  # fmt: skip
    extension: tuple[Extension, ...] = ()
    identifier: tuple[Identifier, ...] = ()
    status: str
    class_: Coding
    type: tuple[CodeableConcept, ...] = ()
    subject: Reference | None = None
    episode_of_care: tuple[Reference, ...] = ()
    participant: tuple[Participant, ...] = ()
    appointment: tuple[Reference, ...] = ()
    period: Period | None = None
    length: Quantity | None = None
    reason_code: tuple[CodeableConcept, ...] = ()


class Observation(Resource, frozen=True, kw_only=True, rename="camel"):
    identifier: tuple[Identifier, ...] = ()
    status: str
    category: tuple[CodeableConcept, ...] = ()
    code: CodeableConcept
    subject: Reference | None = None
    effective_date_time: dt.datetime | None = None
    issued: dt.datetime | None = None
    performer: tuple[Reference, ...] = ()
    value_quantity: Quantity | None = None
    data_absent_reason: CodeableConcept | None = None
    interpretation: tuple[CodeableConcept, ...] = ()
    derived_from: tuple[Reference, ...] = ()


class Answer(Element, frozen=True, kw_only=True, rename="camel"):
    """Exactly one value is set."""

    value_integer: int | None = None
    value_coding: Coding | None = None


class Item(Element, frozen=True, kw_only=True, rename="camel"):
    """A question. `answer` is empty if it was not answered."""

    link_id: str
    text: str | None = None
    answer: tuple[Answer, ...] = ()


class QuestionnaireResponse(Resource, frozen=True, kw_only=True, rename="camel"):
    identifier: Identifier | None = None
    questionnaire: str | None = None
    status: str
    subject: Reference | None = None
    authored: dt.datetime | None = None
    author: Reference | None = None
    item: tuple[Item, ...] = ()


class ProvenanceAgent(Element, frozen=True, kw_only=True, rename={"on_behalf_of": "onBehalfOf"}):
    type: CodeableConcept | None = None
    role: tuple[CodeableConcept, ...] = ()
    who: Reference
    on_behalf_of: Reference | None = None


class ProvenanceEntity(Element, frozen=True, kw_only=True):
    role: str
    what: Reference


class Provenance(Resource, frozen=True, kw_only=True, rename="camel"):
    extension: tuple[Extension, ...] = ()
    target: tuple[Reference, ...]
    occurred_date_time: dt.datetime | None = None
    recorded: dt.datetime
    activity: CodeableConcept | None = None
    agent: tuple[ProvenanceAgent, ...]
    entity: tuple[ProvenanceEntity, ...] = ()


class Network(Element, frozen=True, kw_only=True):
    address: str
    type: str


class AuditAgent(Element, frozen=True, kw_only=True):
    type: CodeableConcept
    role: tuple[CodeableConcept, ...] = ()
    who: Reference
    name: str | None = None
    requestor: bool
    network: Network | None = None


class AuditSource(Element, frozen=True, kw_only=True):
    observer: Reference
    type: tuple[Coding, ...] = ()


class AuditDetail(Element, frozen=True, kw_only=True, rename="camel"):
    type: str
    value_string: str


class AuditEntity(Element, frozen=True, kw_only=True):
    """`query` is base64."""

    what: Reference | None = None
    type: Coding
    role: Coding | None = None
    name: str | None = None
    query: str | None = None
    detail: tuple[AuditDetail, ...] = ()


class AuditEvent(Resource, frozen=True, kw_only=True, rename={"outcome_desc": "outcomeDesc", "purpose_of_event": "purposeOfEvent"}):
    type: Coding
    subtype: tuple[Coding, ...] = ()
    action: str | None = None
    period: Period | None = None
    recorded: dt.datetime
    outcome: str | None = None
    outcome_desc: str | None = None
    purpose_of_event: tuple[CodeableConcept, ...] = ()
    agent: tuple[AuditAgent, ...]
    source: AuditSource
    entity: tuple[AuditEntity, ...] = ()


class Issue(Element, frozen=True, kw_only=True):
    extension: tuple[Extension, ...] = ()
    severity: str
    code: str
    details: CodeableConcept | None = None
    diagnostics: str | None = None
    expression: tuple[str, ...] = ()


class OperationOutcome(Resource, frozen=True, kw_only=True):
    issue: tuple[Issue, ...]


class BundleLink(Element, frozen=True, kw_only=True):
    relation: str
    url: str


class BundleSearch(Element, frozen=True, kw_only=True):
    mode: str


class Request(Element, frozen=True, kw_only=True):
    method: str
    url: str


class Response(Element, frozen=True, kw_only=True, rename="camel"):
    status: str
    etag: str | None = None
    last_modified: dt.datetime | None = None
    outcome: OperationOutcome | Raw | None = None


class BundleEntry(Element, frozen=True, kw_only=True, rename="camel"):
    full_url: str | None = None
    resource: Any = None
    search: BundleSearch | None = None
    request: Request | None = None
    response: Response | None = None


class Bundle(Resource, frozen=True, kw_only=True):
    type: str
    timestamp: dt.datetime | None = None
    total: int | None = None
    link: tuple[BundleLink, ...] = ()
    entry: tuple[BundleEntry, ...] = ()


class SearchParam(Element, frozen=True, kw_only=True):
    name: str
    type: str
    documentation: str | None = None


class Code(Element, frozen=True, kw_only=True):
    """An interaction of a resource: FHIR writes it as an object with `code`."""

    code: str


class Operation(Element, frozen=True, kw_only=True):
    """An operation of a resource. `definition` is the canonical URL of what it does."""

    name: str
    definition: str


class RestResource(
    Element,
    frozen=True,
    kw_only=True,
    rename={
        "search_param": "searchParam",
        "search_include": "searchInclude",
        "search_rev_include": "searchRevInclude",
        "conditional_read": "conditionalRead",
    },
):
    type: str
    documentation: str | None = None
    interaction: tuple[Code, ...] = ()
    versioning: str | None = None
    conditional_read: str | None = None
    search_include: tuple[str, ...] = ()
    search_rev_include: tuple[str, ...] = ()
    search_param: tuple[SearchParam, ...] = ()
    operation: tuple[Operation, ...] = ()


class Security(Element, frozen=True, kw_only=True):
    extension: tuple[Extension, ...] = ()
    service: tuple[CodeableConcept, ...] = ()
    description: str


class Rest(Element, frozen=True, kw_only=True):
    mode: str
    documentation: str | None = None
    security: Security | None = None
    resource: tuple[RestResource, ...] = ()
    interaction: tuple[Code, ...] = ()
    compartment: tuple[str, ...] = ()


class Software(Element, frozen=True, kw_only=True):
    name: str
    version: str


class Implementation(Element, frozen=True, kw_only=True):
    description: str
    url: str


class CapabilityStatement(Resource, frozen=True, kw_only=True, rename="camel"):
    name: str
    title: str | None = None
    status: str
    date: str
    kind: str
    software: Software | None = None
    implementation: Implementation | None = None
    fhir_version: str
    format: tuple[str, ...]
    rest: tuple[Rest, ...]
