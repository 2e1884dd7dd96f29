"""Measures: the total as an Observation, the answers, where they were given, as a QuestionnaireResponse."""

import datetime as dt
from collections.abc import Sequence

import msgspec

from ipt_workflow.ehr.fhir import codes
from ipt_workflow.ehr.fhir.record import Record, Statement
from ipt_workflow.ehr.fhir.resources import Answer, Item, Observation, QuestionnaireResponse
from ipt_workflow.ehr.fhir.types import CodeableConcept, Coding, Extension, Identifier, Quantity, Reference, concept
from ipt_workflow.protocols import instruments
from ipt_workflow.protocols.instruments import Instrument


def observations(record: Record) -> list[Observation]:
    return [_observation(record, told) for told in _taken(record)]


def questionnaire_responses(record: Record) -> list[QuestionnaireResponse]:
    """Answers are sealed: where they were erased there is no response any more, but the total still stands."""
    return [_response(record, told, items) for told in _taken(record) if (items := _answers(told)) is not None]


def _taken(record: Record) -> list[Statement]:
    """Of the scales that are known: one whose file is gone can be read in the journal alone."""
    return [told for told in record.told("record_measure") if told.data["instrument"] in record.protocol.instruments]


def _answers(told: Statement) -> Sequence[int | None] | None:
    return told.words.get("items") if told.words else None


def _taken_at(told: Statement) -> dt.datetime:
    return msgspec.convert(told.data["taken_at"], dt.datetime)


def _observation(record: Record, told: Statement) -> Observation:
    site, data = record.site, told.data
    instrument = record.protocol.instruments[data["instrument"]]
    total, ref = data.get("total"), data.get("ref")
    band = instruments.band(instrument, total)
    response = Reference(reference=f"QuestionnaireResponse/{record.name(told.seq)}")
    return Observation(
        id=record.name(told.seq),
        meta=told.meta,
        identifier=(Identifier(system=site.own("measure"), value=ref),) if ref else (),
        status=_status(told),
        category=(codes.SURVEY,),
        code=total_code(record, instrument),
        subject=record.patient,
        effective_date_time=_taken_at(told),
        issued=told.last.written.recorded_at,
        performer=(site.person(told.entry.written.actor.person, told.entry.written.actor.role),),
        value_quantity=None if total is None else _score(total),
        data_absent_reason=_absent(told) if total is None else None,
        interpretation=(concept(text=band),) if band else (),
        derived_from=(response,) if _answers(told) is not None else (),
    )


def _status(told: Statement) -> str:
    if told.fact is None:
        return "entered-in-error"
    if told.data.get("not_obtained"):
        return "cancelled"
    return "amended" if told.amended else "final"


def _absent(told: Statement) -> CodeableConcept:
    """A measure that could not be had was not performed; one with missing answers has a total nobody knows."""
    return codes.absent("not-performed" if told.data.get("not_obtained") else "unknown")


def total_code(record: Record, instrument: Instrument) -> CodeableConcept:
    own = record.site.coding("instrument", instrument.id)
    return concept(*codes.TOTALS.get(instrument.id, ()), own, text=instrument.title)


def _score(total: int) -> Quantity:
    return Quantity(value=total, unit="{score}", system=codes.UCUM, code="{score}")


def _response(record: Record, told: Statement, items: Sequence[int | None]) -> QuestionnaireResponse:
    instrument = record.protocol.instruments[told.data["instrument"]]
    actor, ref = told.entry.written.actor, told.data.get("ref")
    return QuestionnaireResponse(
        id=record.name(told.seq),
        meta=told.meta,
        identifier=Identifier(system=record.site.own("measure"), value=ref) if ref else None,
        questionnaire=record.site.questionnaire(instrument.id, str(instrument.version)),
        status="entered-in-error" if told.fact is None else "amended" if told.amended else "completed",
        subject=record.patient,
        authored=_taken_at(told),
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
