"""The kinds of resource that are served: how each is made, who may read it, and its search parameters."""

from collections.abc import Callable, Sequence
from typing import Literal

import msgspec

from ipt_workflow.ehr.fhir import course_resources, measures, provenance, sessions
from ipt_workflow.ehr.fhir.record import Record
from ipt_workflow.ehr.fhir.search import Param
from ipt_workflow.ehr.fhir.types import Reference, Resource
from ipt_workflow.errors import NotFound

Make = Callable[[Record], Sequence[Resource]]


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of resource.

    `make` builds its resources from a course; it is None for kinds that are not made from one course. `question` is the access policy's
    name for reading it. `patient` holds the search parameters that name its client.

    `versions` says what makes a version: every entry of the course, an entry about the resource (`part`), or nothing after the first
    (`one`). A Patient has none.
    """

    name: str
    says: str
    question: str
    params: tuple[Param, ...]
    make: Make | None = None
    patient: tuple[str, ...] = ()
    versions: Literal["course", "part", "one", "none"] = "one"

    def param(self, name: str) -> Param | None:
        return next((each for each in self.params if each.name == name), None)


ID = Param(name="_id", kind="token", values=lambda r: (r.id,), says="The resource's id.")
LAST_UPDATED = Param(
    name="_lastUpdated", kind="date", values=lambda r: (r.meta.last_updated,), says="When the latest version was recorded."
)
EPISODE_OF_CARE = Param(
    name="episode-of-care",
    kind="reference",
    values=lambda r: (Reference(reference=f"EpisodeOfCare/{r.id.partition('.')[0]}"),),
    says="The course that it belongs to.",
    targets=("EpisodeOfCare",),
)
PATIENT = Param(
    name="patient",
    kind="reference",
    values=lambda r: (r.patient if r.kind == "EpisodeOfCare" else r.subject,),
    says="The client, as `Patient/id`; by the EHR's identifier with `:identifier`, in a form alone.",
    targets=("Patient",),
)
SUBJECT = msgspec.structs.replace(PATIENT, name="subject")
ENTITY_PATIENT = msgspec.structs.replace(
    PATIENT,
    values=lambda r: [each.what for each in r.entity if each.what and (each.what.reference or "").startswith("Patient/")],
    targets=(),
)

KINDS: dict[str, Served] = {
    served.name: served
    for served in (
        Served(
            name="EpisodeOfCare",
            says="A course. `statusHistory` and `_history` come from its journal.",
            question="read courses",
            make=lambda record: [course_resources.episode_of_care(record)],
            patient=("patient",),
            versions="course",
            params=(
                ID,
                LAST_UPDATED,
                PATIENT,
                Param(name="status", kind="token", values=lambda r: (r.status,), says="The present status."),
                Param(name="date", kind="date", values=lambda r: (r.period,), says="The period it covers."),
                Param(name="type", kind="token", values=lambda r: r.type, says="Interpersonal psychotherapy, or a protocol."),
                Param(
                    name="care-manager",
                    kind="reference",
                    logical=True,
                    values=lambda r: (r.care_manager,),
                    says="The therapist, by identifier.",
                ),
                Param(
                    name="organization",
                    kind="reference",
                    logical=True,
                    values=lambda r: (r.managing_organization,),
                    says="The organisation, by identifier.",
                ),
                Param(name="identifier", kind="token", values=lambda r: r.identifier, says="`urn:uuid:` and the course's id."),
            ),
        ),
        Served(
            name="CarePlan",
            says="A course's plan: an activity for every phase of its protocol.",
            question="read courses",
            make=lambda record: [course_resources.care_plan(record)],
            patient=("patient", "subject"),
            versions="course",
            params=(
                ID,
                LAST_UPDATED,
                PATIENT,
                SUBJECT,
                EPISODE_OF_CARE,
                Param(name="status", kind="token", values=lambda r: (r.status,), says="The present status."),
                Param(name="category", kind="token", values=lambda r: r.category, says="Interpersonal psychotherapy."),
                Param(name="date", kind="date", values=lambda r: (r.period,), says="The period it covers."),
                Param(
                    name="instantiates-canonical",
                    kind="uri",
                    values=lambda r: r.instantiates_canonical,
                    says="The protocol, with or without its version.",
                    targets=("PlanDefinition",),
                ),
                Param(
                    name="activity-code", kind="token", values=lambda r: [each.detail.code for each in r.activity], says="A phase."
                ),
            ),
        ),
        Served(
            name="Encounter",
            says="A session that was held, missed or cancelled.",
            question="read courses",
            make=sessions.encounters,
            patient=("patient", "subject"),
            versions="part",
            params=(
                ID,
                LAST_UPDATED,
                PATIENT,
                SUBJECT,
                EPISODE_OF_CARE,
                Param(name="date", kind="date", values=lambda r: (r.period,), says="When it took place or was planned."),
                Param(name="status", kind="token", values=lambda r: (r.status,), says="finished, cancelled or entered-in-error."),
                Param(name="class", kind="token", values=lambda r: (r.class_,), says="AMB or VR."),
                Param(
                    name="type", kind="token", values=lambda r: r.type, says="Interpersonal psychotherapy, or the session's kind."
                ),
                Param(
                    name="participant",
                    kind="reference",
                    logical=True,
                    values=lambda r: [each.individual for each in r.participant],
                    says="The therapist who gave it, by identifier.",
                ),
            ),
        ),
        Served(
            name="Observation",
            says="A scale's total.",
            question="read courses",
            make=measures.observations,
            patient=("patient", "subject"),
            versions="part",
            params=(
                ID,
                LAST_UPDATED,
                PATIENT,
                SUBJECT,
                EPISODE_OF_CARE,
                Param(name="code", kind="token", values=lambda r: (r.code,), says="The scale."),
                Param(name="category", kind="token", values=lambda r: r.category, says="survey."),
                Param(name="date", kind="date", values=lambda r: (r.effective_date_time,), says="When it was taken."),
                Param(name="status", kind="token", values=lambda r: (r.status,), says="The status."),
                Param(
                    name="derived-from",
                    kind="reference",
                    values=lambda r: r.derived_from,
                    says="The answers that the total is of.",
                    targets=("QuestionnaireResponse",),
                ),
            ),
        ),
        Served(
            name="QuestionnaireResponse",
            says="A scale's answers, where they were recorded.",
            question="read courses",
            make=measures.questionnaire_responses,
            patient=("patient", "subject"),
            versions="part",
            params=(
                ID,
                LAST_UPDATED,
                PATIENT,
                SUBJECT,
                EPISODE_OF_CARE,
                Param(
                    name="questionnaire",
                    kind="uri",
                    values=lambda r: (r.questionnaire,),
                    says="The scale, with or without its version.",
                ),
                Param(name="authored", kind="date", values=lambda r: (r.authored,), says="When it was answered."),
                Param(name="status", kind="token", values=lambda r: (r.status,), says="The status."),
            ),
        ),
        Served(
            name="Provenance",
            says="Who made each version of a course: one for every entry of its journal.",
            question="read courses",
            make=provenance.provenances,
            patient=("patient",),
            params=(
                ID,
                LAST_UPDATED,
                ENTITY_PATIENT,
                EPISODE_OF_CARE,
                Param(
                    name="target",
                    kind="reference",
                    values=lambda r: r.target,
                    says="The resource whose version it explains, at one version or at any.",
                    targets=("EpisodeOfCare", "Encounter", "Observation"),
                ),
                Param(name="recorded", kind="date", values=lambda r: (r.recorded,), says="When it was recorded."),
                Param(
                    name="agent",
                    kind="reference",
                    logical=True,
                    values=lambda r: [each.who for each in r.agent],
                    says="The author or the cosigner, by identifier.",
                ),
            ),
        ),
        Served(
            name="PlanDefinition",
            says="A protocol: an action for every phase, with the artefacts that the phase requires.",
            question="read protocols",
            params=(
                ID,
                Param(name="url", kind="uri", values=lambda r: (r.url,), says="Its canonical URL."),
                Param(name="version", kind="token", values=lambda r: (r.version,), says="Its version."),
                Param(name="status", kind="token", values=lambda r: (r.status,), says="active, or retired."),
                Param(name="title", kind="string", values=lambda r: (r.title,), says="The beginning of its title."),
            ),
        ),
        Served(
            name="Patient",
            says="A client: the EHR's identifier and the courses, without a name and without anything clinical.",
            question="search courses by client",
            versions="none",
            params=(
                ID,
                Param(
                    name="identifier", kind="token", values=lambda r: r.identifier, says="The EHR's identifier; in a form alone."
                ),
            ),
        ),
        Served(
            name="AuditEvent",
            says="A record of the audit log, on the IHE BALP profiles.",
            question="read the audit log",
            patient=("patient",),
            params=(
                ID,
                ENTITY_PATIENT,
                Param(name="date", kind="date", values=lambda r: (r.recorded,), says="When it was recorded."),
                Param(name="action", kind="token", values=lambda r: (r.action,), says="C, R, U or E."),
                Param(name="outcome", kind="token", values=lambda r: (r.outcome,), says="0 for success, 4 for a refusal."),
                Param(name="type", kind="token", values=lambda r: (r.type,), says="`rest`, or the code for signing in."),
                Param(name="subtype", kind="token", values=lambda r: r.subtype, says="The interaction."),
                Param(
                    name="agent",
                    kind="reference",
                    logical=True,
                    values=lambda r: [each.who for each in r.agent],
                    says="The person, by identifier.",
                ),
                Param(name="entity", kind="reference", values=lambda r: [each.what for each in r.entity], says="The course."),
                Param(
                    name="entity-role",
                    kind="token",
                    values=lambda r: [each.role for each in r.entity],
                    says="The role of an entity.",
                ),
            ),
        ),
    )
}


def served_as(kind: str) -> Served:
    """Raises NotFound for an unknown kind."""
    try:
        return KINDS[kind]
    except KeyError:
        raise NotFound(f"This service has no resources of this kind. It has {', '.join(KINDS)}.") from None


class KindReference(msgspec.Struct, frozen=True):
    """References from one kind to another by a search parameter, as `_include` and `_revinclude` name them."""

    kind: str
    param: Param
    target: str

    @property
    def name(self) -> str:
        return f"{self.kind}:{self.param.name}"


RELATIONS = tuple(
    KindReference(served.name, param, target) for served in KINDS.values() for param in served.params for target in param.targets
)


def relations_from(kind: str) -> tuple[KindReference, ...]:
    return tuple(each for each in RELATIONS if each.kind == kind)


def relations_to(kind: str) -> tuple[KindReference, ...]:
    """A PlanDefinition has none: courses all over refer to it, and a page of a search reads a few."""
    return tuple(each for each in RELATIONS if each.target == kind != "PlanDefinition")
