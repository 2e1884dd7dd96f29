"""The audit log as AuditEvents on the IHE BALP profiles.

BALP has no profile for a refusal. A refusal has the shape of the attempted action, with the outcome "minor failure" and without a
profile. BALP has none for signing in either. The raw request of a query may name a client, so it is not kept: the AuditEvent's
query holds the name of the action instead.
"""

import base64
from collections.abc import Mapping

import msgspec

from ipt_workflow.course.triggers import OPENINGS
from ipt_workflow.ehr.fhir.codes import DICOM, PARTICIPATION
from ipt_workflow.ehr.fhir.record import Site
from ipt_workflow.ehr.fhir.resources import AuditAgent, AuditDetail, AuditEntity, AuditEvent, AuditSource, Network
from ipt_workflow.ehr.fhir.types import CodeableConcept, Coding, Identifier, Meta, Reference, concept
from ipt_workflow.journal.audit import AuditRecord

BALP = "https://profiles.ihe.net/ITI/BALP"
EVENT_TYPE = "http://terminology.hl7.org/CodeSystem/audit-event-type"
INTERACTION = "http://hl7.org/fhir/restful-interaction"
ENTITY_TYPE = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
OBJECT_ROLE = "http://terminology.hl7.org/CodeSystem/object-role"
ACT_REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
REST = Coding(system=EVENT_TYPE, code="rest", display="Restful Operation")
AUTHENTICATION = Coding(system=DICOM, code="110114", display="User Authentication")
LOGIN = Coding(system=DICOM, code="110122", display="Login")
SECURITY_ALERT = Coding(system=DICOM, code="110113", display="Security Alert")
OVERRIDES = {  # by the actions of emergency access
    "emergency access started": Coding(system=DICOM, code="110127", display="Emergency Override Started"),
    "emergency access ended": Coding(system=DICOM, code="110138", display="Emergency Override Stopped"),
}
BREAK_THE_GLASS = Coding(system=ACT_REASON, code="BTG", display="break the glass")
APPLICATION_SERVER = Coding(
    system="http://terminology.hl7.org/CodeSystem/security-source-type", code="4", display="Application Server"
)
URI = "5"  # network-type
DONE, REFUSED = "0", "4"  # audit-event-outcome: success, minor failure
# Actions of kind "read" that are queries, even if they show one course.
LOOKED = ("see ", "read ", "search ", "export ", "verify ")  # how the actions of refused reads begin
SEARCHES = frozenset({"caseload", "audit", "proposals", "groups", "events", "deliveries", "notices", "messages"})


class Interaction(msgspec.Struct, frozen=True):
    """The FHIR interaction of a record. `profile` is BALP's profile for it, or None."""

    code: str
    action: str
    profile: str | None


CREATE = Interaction("create", "C", "Create")
UPDATE = Interaction("update", "U", "Update")
READ = Interaction("read", "R", "Read")
VREAD = Interaction("vread", "R", "Read")
QUERY = Interaction("search-type", "E", "Query")
OPERATION = Interaction("operation", "E", None)


def interaction(record: AuditRecord) -> Interaction:
    """The interaction that a record describes."""
    if record.kind == "transition":
        return CREATE if record.action in OPENINGS else UPDATE
    if record.kind == "refusal" and record.action.startswith(LOOKED):
        return READ if len(record.courses) == 1 else QUERY
    if record.kind == "refusal":
        return CREATE if record.action in OPENINGS or record.action == "open a course" else UPDATE
    if record.kind == "config":
        return CREATE if record.action.endswith((" created", " added")) else UPDATE
    if record.kind == "read":
        return _read_interaction(record)
    return {"export": QUERY, "proposal": UPDATE}.get(record.kind, OPERATION)


def _read_interaction(record: AuditRecord) -> Interaction:
    if record.action.startswith("fhir everything "):
        return OPERATION
    query = record.action in SEARCHES or " search " in record.action or record.action.endswith(" AuditEvent")
    if query or len(record.courses) != 1:
        return QUERY
    return VREAD if record.action == "entry" or " vread " in record.action else READ


def audit_event(record: AuditRecord, clients: Mapping[str, Reference], site: Site) -> AuditEvent:
    """`clients` maps the ids of the record's courses to their clients, as far as these are known."""
    performed = interaction(record)
    patients = list(dict.fromkeys(clients[course] for course in record.courses if course in clients))
    return AuditEvent(
        id=record.id,
        meta=Meta(version_id="1", last_updated=record.recorded_at, profile=_profile(record, performed, patients)),
        type=_type(record),
        subtype=(_subtype(record, performed),),
        action=performed.action,
        recorded=record.recorded_at,
        outcome=REFUSED if record.kind == "refusal" else DONE,
        outcome_desc=f"Refused: {', '.join(record.rules)}" if record.kind == "refusal" else None,
        purpose_of_event=tuple(concept(each) for each in _purposes(record)),
        agent=tuple(_agents(record, performed, site)),
        source=AuditSource(observer=_service(site), type=(APPLICATION_SERVER,)),
        entity=tuple(_entities(record, performed, patients, site)),
    )


def _type(record: AuditRecord) -> Coding:
    if record.action in OVERRIDES:
        return SECURITY_ALERT
    return AUTHENTICATION if record.kind == "sign_in" else REST


def _subtype(record: AuditRecord, performed: Interaction) -> Coding:
    if record.action in OVERRIDES:
        return OVERRIDES[record.action]
    return LOGIN if record.kind == "sign_in" else Coding(system=INTERACTION, code=performed.code, display=performed.code)


def _purposes(record: AuditRecord) -> list[Coding]:
    """What the record's use was for. Emergency access is itself a breaking of the glass."""
    purposes = [Coding(system=ACT_REASON, code=record.purpose)] if record.purpose else []
    return [*purposes, BREAK_THE_GLASS] if record.action in OVERRIDES else purposes


def _profile(record: AuditRecord, performed: Interaction, patients: list[Reference]) -> tuple[str, ...]:
    if performed.profile is None or record.kind in {"refusal", "sign_in"}:
        return ()
    patient = "Patient" if len(patients) == 1 else ""
    return (f"{BALP}/StructureDefinition/IHE.BasicAudit.{patient}{performed.profile}",)


def _service(site: Site) -> Reference:
    return Reference(
        type="Device", identifier=Identifier(system=site.own("service"), value=site.organisation), display="ipt_workflow"
    )


def _agents(record: AuditRecord, performed: Interaction, site: Site) -> list[AuditAgent]:
    """The caller, this service and the user. On a write the caller is the source, on a read the destination. BALP allows one user."""
    actor, reads = record.actor, performed.action == "R"
    client = "110152" if reads else "110153"
    server = "110153" if reads else "110152"
    return [
        AuditAgent(
            type=_role_id(client),
            who=Reference(identifier=Identifier(system=site.own("via"), value=actor.via)),
            requestor=False,
            network=Network(address=site.own("via", actor.via), type=URI),
        ),
        AuditAgent(
            type=_role_id(server),
            who=_service(site),
            requestor=False,
            network=Network(address=site.base or site.own("service"), type=URI),
        ),
        AuditAgent(
            type=_participation("AUT" if performed.action in {"C", "U"} else "IRCP"),
            role=(concept(site.coding("role", actor.role)),),
            who=site.person(actor.person, actor.role),
            requestor=True,
        ),
    ]


def _role_id(code: str) -> CodeableConcept:
    display = {"110152": "Destination Role ID", "110153": "Source Role ID"}[code]
    return concept(Coding(system=DICOM, code=code, display=display))


def _participation(code: str) -> CodeableConcept:
    display = {"AUT": "author (originator)", "IRCP": "information recipient"}[code]
    return concept(Coding(system=PARTICIPATION, code=code, display=display))


def _entities(record: AuditRecord, performed: Interaction, patients: list[Reference], site: Site) -> list[AuditEntity]:
    entities = _subjects(record, performed, site)
    entities += [
        AuditEntity(what=patient, type=_entity_type("1", "Person"), role=_object_role("1", "Patient")) for patient in patients
    ]
    if record.request_id:
        what = Reference(identifier=Identifier(value=record.request_id))
        entities.append(AuditEntity(what=what, type=Coding(system=f"{BALP}/CodeSystem/BasicAuditEntityType", code="XrequestId")))
    return entities


def _subjects(record: AuditRecord, performed: Interaction, site: Site) -> list[AuditEntity]:
    """For a query, its name, its basis (a query has no detail) and every course that it showed; otherwise the resource that was written or read."""
    if performed.action == "E":
        shown = [
            AuditEntity(what=Reference(reference=f"EpisodeOfCare/{course}"), type=_entity_type("4", "Other"))
            for course in record.courses
        ]
        query = base64.b64encode(f"{record.kind} {record.action}".encode()).decode()
        basis = Reference(identifier=Identifier(system=site.own("basis"), value=record.basis))
        return [
            AuditEntity(type=_entity_type("2", "System Object"), role=_object_role("24", "Query"), query=query),
            *([AuditEntity(what=basis, type=site.coding("audit-entity-type", "basis"))] if record.basis else []),
            *shown,
        ]
    details = {
        "action": record.action,
        "basis": record.basis,
        "cosigned_by": record.cosigned_by,
        "on_behalf_of": record.on_behalf_of,
        "group_session": record.group_session,
        "overridden": ", ".join(record.rules) if record.kind == "transition" else None,
    }
    return [
        AuditEntity(
            what=_resource(record, site),
            type=_entity_type("2", "System Object"),
            role=_object_role("4", "Domain Resource"),
            detail=tuple(AuditDetail(type=name, value_string=value) for name, value in details.items() if value),
        )
    ]


def _resource(record: AuditRecord, site: Site) -> Reference:
    if record.kind == "config":
        return Reference(identifier=Identifier(system=site.own("config"), value=record.action.rpartition(" ")[0]))
    if not record.courses:
        return Reference(type="EpisodeOfCare")  # the course was not opened, so it has no id
    version = f"/_history/{record.seq}" if record.seq else ""
    return Reference(reference=f"EpisodeOfCare/{record.courses[0]}{version}")


def _entity_type(code: str, display: str) -> Coding:
    return Coding(system=ENTITY_TYPE, code=code, display=display)


def _object_role(code: str, display: str) -> Coding:
    return Coding(system=OBJECT_ROLE, code=code, display=display)
