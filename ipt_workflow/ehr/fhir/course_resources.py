"""The course as a whole: EpisodeOfCare, CarePlan and the PlanDefinition that it follows."""

from ipt_workflow.course import Course
from ipt_workflow.ehr.fhir import codes
from ipt_workflow.ehr.fhir.record import Record, Site, Stage
from ipt_workflow.ehr.fhir.resources import (
    Action,
    Activity,
    ActivityDetail,
    CarePlan,
    EpisodeOfCare,
    PlanDefinition,
    RelatedAction,
    StatusPeriod,
)
from ipt_workflow.ehr.fhir.types import Extension, Identifier, Meta, Period, Reference, concept
from ipt_workflow.protocols.definition import COMPLETED, ENDED, ENDED_EARLY, NOT_SUITABLE, PAUSED, REFERRED, PhaseSpec, Protocol

EPISODE_STATUS = {
    REFERRED: "planned",
    PAUSED: "onhold",
    COMPLETED: "finished",
    ENDED_EARLY: "cancelled",
    NOT_SUITABLE: "cancelled",
}
PLAN_STATUS = {REFERRED: "draft", PAUSED: "on-hold", COMPLETED: "completed", ENDED_EARLY: "revoked", NOT_SUITABLE: "revoked"}


def episode_status(state: str) -> str:
    """FHIR's status for a state. Every phase is `active`."""
    return EPISODE_STATUS.get(state, "active")


def plan_status(state: str) -> str:
    return PLAN_STATUS.get(state, "active")


def episode_of_care(record: Record) -> EpisodeOfCare:
    course, site = record.course, record.site
    return EpisodeOfCare(
        id=course.id,
        meta=record.meta,
        extension=_phase(record),
        identifier=(Identifier(system="urn:ietf:rfc:3986", value=f"urn:uuid:{course.id}"),),
        status=episode_status(course.state),
        status_history=_status_history(record.history()),
        type=(codes.IPT, concept(site.coding("protocol", course.protocol, record.protocol.title))),
        patient=record.patient,
        managing_organization=site.organization,
        period=_period(course),
        care_manager=site.person(course.therapist) if course.therapist else None,
    )


def _phase(record: Record) -> tuple[Extension, ...]:
    """The current phase, or the last one reached."""
    if record.course.phase is None:
        return ()
    site, phase = record.site, record.protocol.phase(record.course.phase)
    return (Extension(url=site.own("StructureDefinition", "phase"), value_coding=site.coding("phase", phase.id, phase.title)),)


def _period(course: Course) -> Period:
    return Period(start=course.opened_at, end=course.ending.at if course.ending else None)


def _status_history(stages: tuple[Stage, ...]) -> tuple[StatusPeriod, ...]:
    """The periods by status. Stages with the same status form one period: all phases together are one `active` period."""
    periods: list[StatusPeriod] = []
    for stage in stages:
        status = episode_status(stage.state)
        start = stage.since
        if periods and periods[-1].status == status:
            start = periods.pop().period.start or start
        periods.append(StatusPeriod(status=status, period=Period(start=start, end=stage.until)))
    return tuple(periods)


def care_plan(record: Record) -> CarePlan:
    course, site, protocol = record.course, record.site, record.protocol
    return CarePlan(
        id=course.id,
        meta=record.meta,
        instantiates_canonical=(site.plan(protocol.id, protocol.version),),
        status=plan_status(course.state),
        intent="plan",
        category=(codes.IPT,),
        title=protocol.title,
        subject=record.patient,
        period=_period(course),
        created=course.opened_at,
        author=site.person(course.therapist) if course.therapist else None,
        supporting_info=(record.episode,),
        activity=tuple(_activity(record, phase) for phase in protocol.phases),
    )


def _activity(record: Record, phase: PhaseSpec) -> Activity:
    """A phase, with its sessions as the outcome."""
    stages = [stage for stage in record.history() if stage.phase == phase.id and stage.state not in ENDED]
    period = Period(start=stages[0].since, end=stages[-1].until) if stages else None
    sessions = [session for session in record.course.sessions if session.phase == phase.id]
    return Activity(
        outcome_reference=tuple(Reference(reference=f"Encounter/{record.name(session.seq)}") for session in sessions),
        detail=ActivityDetail(
            code=concept(record.site.coding("phase", phase.id, phase.title)),
            status=phase_status(record.protocol, record.course, phase.id),
            scheduled_period=period,
        ),
    )


def phase_status(protocol: Protocol, course: Course, phase: str) -> str:
    """FHIR's status for a phase. Phases before the present one are completed, even if the course was adopted after them."""
    reached = protocol.position(course.phase) if course.phase else -1
    position = protocol.position(phase)
    if position < reached:
        return "completed"
    if position > reached:
        return "cancelled" if course.state in ENDED else "not-started"
    if course.state in ENDED:
        return "completed" if course.state == COMPLETED else "stopped"
    return "on-hold" if course.state == PAUSED else "in-progress"


def plan_id(protocol_id: str, version: int) -> str:
    return f"{protocol_id}.{version}"


def plan_definition(protocol: Protocol, site: Site, *, current: bool = True) -> PlanDefinition:
    """The protocol as a PlanDefinition. It is `active` if `current`: new courses may follow it. Otherwise it is `retired`."""
    return PlanDefinition(
        id=plan_id(protocol.id, protocol.version),
        meta=Meta(version_id=str(protocol.version)),
        url=site.own("PlanDefinition", protocol.id),
        identifier=(Identifier(system=site.own("protocol-digest"), value=protocol.digest),),
        version=str(protocol.version),
        name="".join(part.capitalize() for part in protocol.id.split("-")),
        title=protocol.title,
        type=codes.CLINICAL_PROTOCOL,
        status="active" if current else "retired",
        publisher=site.organisation,
        description=f"{protocol.contract.sessions} sessions within {protocol.contract.weeks} weeks, by contract.",
        topic=(codes.IPT,),
        action=tuple(_action(protocol, phase, site) for phase in protocol.phases),
    )


def _action(protocol: Protocol, phase: PhaseSpec, site: Site) -> Action:
    """A phase. The artefacts that it requires are actions within it."""
    before = protocol.position(phase.id) - 1
    most = "the rest of the contract" if phase.sessions_max is None else str(phase.sessions_max)
    return Action(
        id=phase.id,
        title=phase.title,
        description=f"At least {phase.sessions_min} sessions, at most {most}.",
        code=(concept(site.coding("phase", phase.id, phase.title)),),
        related_action=(RelatedAction(action_id=protocol.phases[before].id, relationship="after-end"),) if before >= 0 else (),
        action=tuple(
            Action(
                title=name.replace("_", " "),
                code=(concept(site.coding("artefact", name)),),
                required_behavior="must-unless-documented" if name in phase.soft else "must",
            )
            for name in phase.requires
        ),
    )
