"""The audit log as AuditEvents on the IHE BALP profiles.

BALP has profiles for what was done, not for what was refused: a refusal has the shape of what was tried, with an outcome that says
so, and names no profile. Nor has it one for signing in. The raw request of a query is not kept, since it may name a client: the
query is the name of what was asked.
"""

import base64
from collections.abc import Mapping

import msgspec

from ipt_workflow.ehr.fhir.codes import DICOM, PARTICIPATION
from ipt_workflow.ehr.fhir.provenance import OPENING
from ipt_workflow.ehr.fhir.record import Site
from ipt_workflow.ehr.fhir.resources import AuditAgent, AuditDetail, AuditEntity, AuditEvent, AuditSource, Network
from ipt_workflow.ehr.fhir.types import CodeableConcept, Coding, Identifier, Meta, Reference, concept
from ipt_workflow.journal.audit import AuditRecord

BALP = "https://profiles.ihe.net/ITI/BALP"
EVENT_TYPE = "http://terminology.hl7.org/CodeSystem/audit-event-type"
INTERACTION = "http://hl7.org/fhir/restful-interaction"
ENTITY_TYPE = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
OBJECT_ROLE = "http://terminology.hl7.org/CodeSystem/object-role"
REST = Coding(system=EVENT_TYPE, code="rest", display="Restful Operation")
AUTHENTICATION = Coding(system=DICOM, code="110114", display="User Authentication")
LOGIN = Coding(system=DICOM, code="110122", display="Login")
APPLICATION_SERVER = Coding(
    system="http://terminology.hl7.org/CodeSystem/security-source-type", code="4", display="Application Server"
)
URI = "5"  # network-type
DONE, REFUSED = "0", "4"  # audit-event-outcome: success, minor failure
# Reads that are queries, however many courses they show.
SEARCHES = frozenset({"caseload", "audit", "proposals", "groups", "events", "deliveries", "notices"})


class Interaction(msgspec.Struct, frozen=True):
    """What was done, in FHIR's words; `profile` is BALP's for it, None where there is none."""

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
    """What a record tells of."""
    if record.kind == "transition":
        return CREATE if record.action in OPENING else UPDATE
    if record.kind == "refusal":
        return CREATE if record.action in OPENING or record.action == "open a course" else UPDATE
    if record.kind == "config":
        return CREATE if record.action.endswith(" created") else UPDATE
    if record.kind == "read":
        return _reading(record)
    return {"export": QUERY, "proposal": UPDATE}.get(record.kind, OPERATION)


def _reading(record: AuditRecord) -> Interaction:
    query = record.action in SEARCHES or " search " in record.action or record.action.endswith(" AuditEvent")
    if query or len(record.courses) != 1:
        return QUERY
    return VREAD if record.action == "entry" or " vread " in record.action else READ


def audit_event(record: AuditRecord, clients: Mapping[str, Reference], site: Site) -> AuditEvent:
    """`clients` names the client of every course that the record names, where that is known."""
    did = interaction(record)
    patients = list(dict.fromkeys(clients[course] for course in record.courses if course in clients))
    return AuditEvent(
        id=record.id,
        meta=Meta(version_id="1", last_updated=record.recorded_at, profile=_profile(record, did, patients)),
        type=AUTHENTICATION if record.kind == "sign_in" else REST,
        subtype=(LOGIN,) if record.kind == "sign_in" else (Coding(system=INTERACTION, code=did.code, display=did.code),),
        action=did.action,
        recorded=record.recorded_at,
        outcome=REFUSED if record.kind == "refusal" else DONE,
        outcome_desc=f"Refused: {', '.join(record.rules)}" if record.kind == "refusal" else None,
        agent=tuple(_agents(record, did, site)),
        source=AuditSource(observer=_service(site), type=(APPLICATION_SERVER,)),
        entity=tuple(_entities(record, did, patients, site)),
    )


def _profile(record: AuditRecord, did: Interaction, patients: list[Reference]) -> tuple[str, ...]:
    if did.profile is None or record.kind in {"refusal", "sign_in"}:
        return ()
    patient = "Patient" if len(patients) == 1 else ""
    return (f"{BALP}/StructureDefinition/IHE.BasicAudit.{patient}{did.profile}",)


def _service(site: Site) -> Reference:
    return Reference(
        type="Device", identifier=Identifier(system=site.own("service"), value=site.organisation), display="ipt_workflow"
    )


def _agents(record: AuditRecord, did: Interaction, site: Site) -> list[AuditAgent]:
    """Where data was written, the caller is its source; where it was read, the caller is where it went. BALP has room for one user."""
    actor, reads = record.actor, did.action == "R"
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
            type=_participation("AUT" if did.action in {"C", "U"} else "IRCP"),
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


def _entities(record: AuditRecord, did: Interaction, patients: list[Reference], site: Site) -> list[AuditEntity]:
    entities = _subjects(record, did, site)
    entities += [
        AuditEntity(what=patient, type=_entity_type("1", "Person"), role=_object_role("1", "Patient")) for patient in patients
    ]
    if record.request_id:
        what = Reference(identifier=Identifier(value=record.request_id))
        entities.append(AuditEntity(what=what, type=Coding(system=f"{BALP}/CodeSystem/BasicAuditEntityType", code="XrequestId")))
    return entities


def _subjects(record: AuditRecord, did: Interaction, site: Site) -> list[AuditEntity]:
    """What was asked, and every course that was shown; or what was written or read."""
    if did.action == "E":
        shown = [
            AuditEntity(what=Reference(reference=f"EpisodeOfCare/{course}"), type=_entity_type("4", "Other"))
            for course in record.courses
        ]
        query = base64.b64encode(f"{record.kind} {record.action}".encode()).decode()
        return [
            AuditEntity(type=_entity_type("2", "System Object"), role=_object_role("24", "Query"), query=query),
            *shown,
        ]
    told = {"action": record.action, "cosigned_by": record.cosigned_by, "group_session": record.group_session}
    return [
        AuditEntity(
            what=_data(record, site),
            type=_entity_type("2", "System Object"),
            role=_object_role("4", "Domain Resource"),
            detail=tuple(AuditDetail(type=name, value_string=value) for name, value in told.items() if value),
        )
    ]


def _data(record: AuditRecord, site: Site) -> Reference:
    if record.kind == "config":
        return Reference(identifier=Identifier(system=site.own("config"), value=record.action.rpartition(" ")[0]))
    if not record.courses:
        return Reference(type="EpisodeOfCare")  # one that was not opened
    version = f"/_history/{record.seq}" if record.seq else ""
    return Reference(reference=f"EpisodeOfCare/{record.courses[0]}{version}")


def _entity_type(code: str, display: str) -> Coding:
    return Coding(system=ENTITY_TYPE, code=code, display=display)


def _object_role(code: str, display: str) -> Coding:
    return Coding(system=OBJECT_ROLE, code=code, display=display)
