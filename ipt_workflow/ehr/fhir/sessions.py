"""Sessions as Encounters: one for every session that was held, missed or cancelled. Its id ends with the seq of its entry."""

import datetime as dt

from ipt_workflow.ehr.fhir import codes
from ipt_workflow.ehr.fhir.record import CurrentEntry, Record
from ipt_workflow.ehr.fhir.resources import Encounter, Participant
from ipt_workflow.ehr.fhir.types import Coding, Extension, Identifier, Period, Quantity, Reference, concept
from ipt_workflow.values.types import ATTENDED


def encounters(record: Record) -> list[Encounter]:
    return [_encounter(record, entry) for entry in record.current_entries("record_session")]


def _encounter(record: Record, entry: CurrentEntry) -> Encounter:
    site, data = record.site, entry.data
    session = record.course.session(entry.seq)
    held = data["attendance"] in ATTENDED
    treatment = (codes.IPT,) if held and data.get("kind", "session") == "session" else ()
    refs = session.refs if session else () if entry.moved else tuple(filter(None, [data.get("ref")]))
    appointments = tuple(Identifier(system=site.own("appointment"), value=ref) for ref in refs)
    return Encounter(
        id=record.name(entry.seq),
        meta=entry.meta,
        extension=tuple(_extensions(record, entry)),
        identifier=appointments,
        status=_status(entry, held=held),
        class_=_class(data.get("medium", "face_to_face")),
        type=(*treatment, concept(site.coding("session-kind", data.get("kind", "session")))),
        subject=record.patient,
        episode_of_care=(record.episode,),
        participant=_participants(record, session.given_by if session else data.get("given_by")),
        appointment=tuple(Reference(type="Appointment", identifier=each) for each in appointments),
        period=_period(entry, held=held),
        length=_minutes(data["minutes"]) if held and "minutes" in data else None,
        reason_code=(concept(site.coding("problem-area", session.focus)),) if session and session.focus else (),
    )


def _status(entry: CurrentEntry, *, held: bool) -> str:
    """R4 has no status for a missed encounter, so it is `cancelled`. The attendance extension holds the details."""
    if entry.fact is None:
        return "entered-in-error"
    return "finished" if held else "cancelled"


def _class(medium: str) -> Coding:
    return codes.IN_PERSON if medium == "face_to_face" else codes.REMOTE


def _period(entry: CurrentEntry, *, held: bool) -> Period:
    minutes = entry.data.get("minutes") if held else None
    return Period(start=entry.at, end=entry.at + dt.timedelta(minutes=minutes) if minutes else None)


def _minutes(minutes: int) -> Quantity:
    return Quantity(value=minutes, unit="min", system=codes.UCUM, code="min")


def _participants(record: Record, therapist: str | None) -> tuple[Participant, ...]:
    return (Participant(type=(codes.PERFORMER,), individual=record.site.person(therapist)),) if therapist else ()


def _extensions(record: Record, entry: CurrentEntry) -> list[Extension]:
    site, code = record.site, entry.data["attendance"]
    attendance = site.coding("attendance", code, codes.ATTENDANCE[code])
    extensions = [Extension(url=site.own("StructureDefinition", "attendance"), value_coding=attendance)]
    session = record.course.session(entry.seq)
    if session and session.phase:
        phase = site.coding("phase", session.phase)
        extensions.append(Extension(url=site.own("StructureDefinition", "phase"), value_coding=phase))
    return extensions
