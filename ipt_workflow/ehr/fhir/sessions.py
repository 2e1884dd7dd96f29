"""Sessions as Encounters: one for every session that was held, missed or cancelled, by the seq of the entry that told of it."""

import datetime as dt

from ipt_workflow.ehr.fhir import codes
from ipt_workflow.ehr.fhir.record import Record, Statement
from ipt_workflow.ehr.fhir.resources import Encounter, Participant
from ipt_workflow.ehr.fhir.types import Coding, Extension, Identifier, Period, Quantity, Reference, concept
from ipt_workflow.values.types import ATTENDED


def encounters(record: Record) -> list[Encounter]:
    return [_encounter(record, told) for told in record.told("record_session")]


def _encounter(record: Record, told: Statement) -> Encounter:
    site, data = record.site, told.data
    session = record.course.session(told.seq)
    held = data["attendance"] in ATTENDED
    treatment = (codes.IPT,) if held and data.get("kind", "session") == "session" else ()
    ref = session.ref if session else data.get("ref")
    appointment = Identifier(system=site.own("appointment"), value=ref)
    return Encounter(
        id=record.name(told.seq),
        meta=told.meta,
        extension=tuple(_extensions(record, told)),
        identifier=(appointment,) if ref else (),
        status=_status(told, held=held),
        class_=_class(data.get("medium", "face_to_face")),
        type=(*treatment, concept(site.coding("session-kind", data.get("kind", "session")))),
        subject=record.patient,
        episode_of_care=(record.episode,),
        participant=_participants(record, data.get("given_by")),
        appointment=(Reference(type="Appointment", identifier=appointment),) if ref else (),
        period=_period(told, held=held),
        length=_minutes(data["minutes"]) if held and "minutes" in data else None,
        reason_code=(concept(site.coding("problem-area", session.focus)),) if session and session.focus else (),
    )


def _status(told: Statement, *, held: bool) -> str:
    """R4 has no status for an encounter that the client did not come to: it is cancelled, and the extension says how."""
    if told.fact is None:
        return "entered-in-error"
    return "finished" if held else "cancelled"


def _class(medium: str) -> Coding:
    return codes.IN_PERSON if medium == "face_to_face" else codes.REMOTE


def _period(told: Statement, *, held: bool) -> Period:
    minutes = told.data.get("minutes") if held else None
    return Period(start=told.at, end=told.at + dt.timedelta(minutes=minutes) if minutes else None)


def _minutes(minutes: int) -> Quantity:
    return Quantity(value=minutes, unit="min", system=codes.UCUM, code="min")


def _participants(record: Record, therapist: str | None) -> tuple[Participant, ...]:
    return (Participant(type=(codes.PERFORMER,), individual=record.site.person(therapist)),) if therapist else ()


def _extensions(record: Record, told: Statement) -> list[Extension]:
    site, code = record.site, told.data["attendance"]
    attendance = site.coding("attendance", code, codes.ATTENDANCE[code])
    extensions = [Extension(url=site.own("StructureDefinition", "attendance"), value_coding=attendance)]
    session = record.course.session(told.seq)
    if session and session.phase:
        phase = site.coding("phase", session.phase)
        extensions.append(Extension(url=site.own("StructureDefinition", "phase"), value_coding=phase))
    return extensions
