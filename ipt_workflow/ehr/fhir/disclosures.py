"""Disclosures as AuditEvents: DICOM's Export, from the clinic to a recipient, with the client and what was disclosed.

Of repeated disclosures, `period` is from the first to the last, and a detail says how many there were.
"""

from ipt_workflow.ehr.fhir.audit_events import ACT_REASON, APPLICATION_SERVER, ENTITY_TYPE, OBJECT_ROLE
from ipt_workflow.ehr.fhir.codes import DICOM
from ipt_workflow.ehr.fhir.record import Site
from ipt_workflow.ehr.fhir.resources import AuditAgent, AuditDetail, AuditEntity, AuditEvent, AuditSource
from ipt_workflow.ehr.fhir.types import CodeableConcept, Coding, Period, Reference, concept
from ipt_workflow.journal.disclosures import DisclosureView

EXPORT = Coding(system=DICOM, code="110106", display="Export")
DISCLOSE = Coding(
    system="http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle", code="disclose", display="Disclose Record Lifecycle Event"
)
ERASED = "erased"  # the name of a recipient whose name was erased


def disclosure_event(made: DisclosureView, patient: Reference, site: Site) -> AuditEvent:
    """An AuditEvent of disclosures to one recipient. It is part of a report alone, and has no id."""
    details = {"what": "; ".join(made.what), "times": str(made.times), "way": made.way, "address": made.address or ""}
    return AuditEvent(
        type=EXPORT,
        subtype=(DISCLOSE,),
        action="R",
        period=Period(start=made.first_at, end=made.last_at),
        recorded=made.last_at,
        outcome="0",
        purpose_of_event=(concept(Coding(system=ACT_REASON, code=made.purpose)),) if made.purpose else (),
        agent=(
            AuditAgent(type=_role("110153", "Source Role ID"), who=site.organization, requestor=False),
            AuditAgent(
                type=_role("110152", "Destination Role ID"), who=Reference(display=made.recipient or ERASED), requestor=True
            ),
        ),
        source=AuditSource(observer=site.organization, type=(APPLICATION_SERVER,)),
        entity=(
            AuditEntity(
                what=patient,
                type=Coding(system=ENTITY_TYPE, code="1", display="Person"),
                role=Coding(system=OBJECT_ROLE, code="1", display="Patient"),
            ),
            AuditEntity(
                type=Coding(system=ENTITY_TYPE, code="2", display="System Object"),
                role=Coding(system=OBJECT_ROLE, code="3", display="Report"),
                detail=tuple(AuditDetail(type=name, value_string=value) for name, value in details.items() if value),
            ),
        ),
    )


def _role(code: str, display: str) -> CodeableConcept:
    return concept(Coding(system=DICOM, code=code, display=display))
