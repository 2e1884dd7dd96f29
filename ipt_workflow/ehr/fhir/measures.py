"""Measures: the total as an Observation, recorded answers as a QuestionnaireResponse."""

import datetime as dt
from collections.abc import Sequence

import msgspec

from ipt_workflow.ehr.fhir import codes
from ipt_workflow.ehr.fhir.record import CurrentEntry, Record
from ipt_workflow.ehr.fhir.resources import Answer, Item, Observation, QuestionnaireResponse
from ipt_workflow.ehr.fhir.types import CodeableConcept, Coding, Extension, Identifier, Quantity, Reference, concept
from ipt_workflow.protocols import instruments
from ipt_workflow.protocols.instruments import Instrument


def observations(record: Record) -> list[Observation]:
    return [_observation(record, entry) for entry in _taken(record)]


def questionnaire_responses(record: Record) -> list[QuestionnaireResponse]:
    """Answers are sealed. After their erasure the response is gone, and the Observation keeps the total."""
    return [_response(record, entry, items) for entry in _taken(record) if (items := _answers(entry)) is not None]


def _taken(record: Record) -> list[CurrentEntry]:
    """Measures on known scales. A measure whose scale has no file any more is readable in the journal only."""
    return [entry for entry in record.current_entries("record_measure") if entry.data["instrument"] in record.protocol.instruments]


def _answers(entry: CurrentEntry) -> Sequence[int | None] | None:
    return entry.words.get("items") if entry.words else None


def _taken_at(entry: CurrentEntry) -> dt.datetime:
    return msgspec.convert(entry.data["taken_at"], dt.datetime)


def _observation(record: Record, entry: CurrentEntry) -> Observation:
    site, data = record.site, entry.data
    instrument = record.protocol.instruments[data["instrument"]]
    total, ref = data.get("total"), data.get("ref")
    band = instruments.band(instrument, total)
    response = Reference(reference=f"QuestionnaireResponse/{record.name(entry.seq)}")
    return Observation(
        id=record.name(entry.seq),
        meta=entry.meta,
        identifier=(Identifier(system=site.own("measure"), value=ref),) if ref else (),
        status=_status(entry),
        category=(codes.SURVEY,),
        code=total_code(record, instrument),
        subject=record.patient,
        effective_date_time=_taken_at(entry),
        issued=entry.last.written.recorded_at,
        performer=(site.person(entry.first.written.actor.person, entry.first.written.actor.role),),
        value_quantity=None if total is None else _score(total),
        data_absent_reason=_absent(entry) if total is None else None,
        interpretation=(concept(text=band),) if band else (),
        derived_from=(response,) if _answers(entry) is not None else (),
    )


def _status(entry: CurrentEntry) -> str:
    if entry.fact is None:
        return "entered-in-error"
    if entry.data.get("not_obtained"):
        return "cancelled"
    return "amended" if entry.amended else "final"


def _absent(entry: CurrentEntry) -> CodeableConcept:
    """The reason for a missing total: the measure was not performed, or its total is unknown because answers are missing."""
    return codes.absent("not-performed" if entry.data.get("not_obtained") else "unknown")


def total_code(record: Record, instrument: Instrument) -> CodeableConcept:
    own = record.site.coding("instrument", instrument.id)
    return concept(*codes.TOTALS.get(instrument.id, ()), own, text=instrument.title)


def _score(total: float) -> Quantity:
    return Quantity(value=total, unit="{score}", system=codes.UCUM, code="{score}")


def _response(record: Record, entry: CurrentEntry, items: Sequence[int | None]) -> QuestionnaireResponse:
    instrument = record.protocol.instruments[entry.data["instrument"]]
    actor, ref = entry.first.written.actor, entry.data.get("ref")
    return QuestionnaireResponse(
        id=record.name(entry.seq),
        meta=entry.meta,
        identifier=Identifier(system=record.site.own("measure"), value=ref) if ref else None,
        questionnaire=record.site.questionnaire(instrument.id, str(instrument.version)),
        status="entered-in-error" if entry.fact is None else "amended" if entry.amended else "completed",
        subject=record.patient,
        authored=_taken_at(entry),
        author=record.site.person(actor.person, actor.role),
        item=tuple(_item(instrument, number, answer) for number, answer in enumerate(items)),
    )


def _item(instrument: Instrument, number: int, answer: int | None) -> Item:
    """One question, counted from 0."""
    loinc = codes.ITEMS.get(instrument.id)
    return Item(
        link_id=f"/{loinc[number]}" if loinc else str(number + 1),
        text=instrument.item_texts[number] if instrument.item_texts else None,
        answer=() if answer is None else (_answer(instrument, answer),),
    )


def _answer(instrument: Instrument, answer: int) -> Answer:
    known = codes.ANSWERS.get(instrument.id)
    if known is None:
        return Answer(value_integer=answer)
    code, display = known[answer]
    score = Extension(url=codes.ORDINAL, value_decimal=answer)
    return Answer(value_coding=Coding(extension=(score,), system=codes.LOINC, code=code, display=display))
