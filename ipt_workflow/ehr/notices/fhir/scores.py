"""Reads scales in FHIR R4 by declared codes: a QuestionnaireResponse, or an Observation of a panel, one item or a total.

Codes are looked up where senders put them: in an item's `linkId` (`/44250-9`), in its `definition`, in an Observation's code. An answer
that cannot be read is a fault. If it is the answer about self-harm, it counts as risk until a person has looked at it.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from ipt_workflow.ehr.notices.fhir.resources import (
    ReceivedCoding,
    ReceivedItem,
    ReceivedObservation,
    ReceivedQuestionnaireResponse,
    ReceivedValue,
)
from ipt_workflow.ehr.notices.types import InstrumentCodes
from ipt_workflow.errors import Fault
from ipt_workflow.protocols.instruments import Instrument

ORDINAL = "http://hl7.org/fhir/StructureDefinition/ordinalValue"
DEPTH_MAX = 20


class Scored(msgspec.Struct, frozen=True, kw_only=True):
    """The data of a measure, remarks for its reader, whether it shows risk, and its faults."""

    data: dict[str, Any]
    says: tuple[str, ...] = ()
    risk: bool = False
    faults: tuple[Fault, ...] = ()


def of_form(
    form: ReceivedQuestionnaireResponse, known: Iterable[InstrumentCodes], instruments: Mapping[str, Instrument]
) -> Scored | None:
    """The scale that a form contains; None if it contains no declared scale."""
    answers = {code: answer for item in _items(form.item, 0) for code in _codes(item) for answer in item.answer[:1]}
    questions = {code for item in _items(form.item, 0) for code in _codes(item)}
    for row in known:
        named = any(_bare(panel) in form.questionnaire for panel in row.panels)
        if named or questions.intersection(map(_bare, (*row.items, *row.totals))):
            full = {_bare(code): code for code in (*row.items, *row.totals)}
            values = {full[code]: value for code, value in answers.items() if code in full}
            return _scored(row, instruments[row.instrument], values, "QuestionnaireResponse")
    return None


def of_observation(
    observation: ReceivedObservation, known: Iterable[InstrumentCodes], instruments: Mapping[str, Instrument]
) -> Scored | None:
    """The scale of an Observation: its whole panel, one answer, or its total; None if it is of no declared scale."""
    codes = {coding.key for coding in observation.code.coding}
    for row in known:
        instrument = instruments[row.instrument]
        for code in codes.intersection((*row.items, *row.totals)):
            return _scored(row, instrument, {code: observation}, "Observation")
        if codes.intersection(row.panels):
            parts: dict[str, ReceivedValue] = {coding.key: part for part in observation.component for coding in part.code.coding}
            if not parts and observation.given:  # many EHR systems send the total under the panel's code
                parts = {row.totals[0]: observation}
            return _scored(row, instrument, parts, "Observation") if parts else None
    return None


def _scored(row: InstrumentCodes, instrument: Instrument, values: Mapping[str, ReceivedValue], where: str) -> Scored:
    faults: list[Fault] = []
    items = [_score(row, values.get(code), instrument, f"{where}: {_bare(code)}", faults) for code in row.items]
    unreadable = {fault.where for fault in faults}
    sent = next((values[code] for code in row.totals if code in values), None)
    total = _whole(sent.number) if sent else None
    if sent and sent.given and total is None:
        faults.append(Fault(f"{where}: {_bare(row.totals[0])}", "must be a whole number"))
    risk = _risk(row, instrument, items, unreadable, where)
    if all(each is None for each in items):
        if total is None and not faults:
            faults.append(Fault(where, "must have answers or a total"))
        return Scored(data={"instrument": row.instrument, "total": total}, risk=risk, faults=tuple(faults))
    summed = None if None in items else sum(each for each in items if each is not None)
    if total is not None and summed is not None and total != summed:
        faults.append(Fault(f"{where}: {_bare(row.totals[0])}", f"must be {summed}, the sum of the answers, not {total}"))
    says = _missing(instrument, items) if where == "QuestionnaireResponse" else ()
    return Scored(data={"instrument": row.instrument, "items": items}, says=says, risk=risk, faults=tuple(faults))


def _missing(instrument: Instrument, items: list[int | None]) -> tuple[str, ...]:
    """Remarks on a form that is not complete."""
    missing = [index for index, each in enumerate(items, start=1) if each is None]
    if not missing:
        return ()
    if instrument.risk_item in missing:
        about = f"The form has no answer to item {instrument.risk_item}, which asks about self-harm: assess that risk yourself"
        return (f"{about}. {len(missing)} of {len(items)} answers are missing, so there is no total of {instrument.key}.",)
    return (f"{len(missing)} of {len(items)} answers are missing, so there is no total of {instrument.key}.",)


def _risk(row: InstrumentCodes, instrument: Instrument, items: list[int | None], unreadable: set[str], where: str) -> bool:
    if instrument.risk_item is None:
        return False
    answer = items[instrument.risk_item - 1]
    unread = f"{where}: {_bare(row.items[instrument.risk_item - 1])}" in unreadable
    return unread or (answer is not None and answer >= instrument.risk_threshold)


def _score(
    row: InstrumentCodes, value: ReceivedValue | None, instrument: Instrument, where: str, faults: list[Fault]
) -> int | None:
    """The score of an answer: by its declared code, its ordinal value, or as a number. An answer that cannot be read is a fault."""
    if value is None or not value.given:
        return None
    by_code = [row.answers[coding.key] for coding in value.codings if coding.key in row.answers]
    ordinals = [_whole(number) for coding in value.codings for number in _ordinals(coding)]
    found = next(iter([*by_code, *(each for each in ordinals if each is not None)]), _whole(value.number))
    if found is None or not instrument.item_min <= found <= instrument.item_max:
        allowed = f"{instrument.item_min} to {instrument.item_max}, or a code of {', '.join(map(_bare, row.answers))}"
        faults.append(Fault(where, f"must be answered by {allowed}"))
        return None
    return found


def _ordinals(coding: ReceivedCoding) -> Iterator[float]:
    for extension in coding.extension:
        number = extension.valueDecimal if extension.valueDecimal is not None else extension.valueInteger
        if extension.url == ORDINAL and number is not None:
            yield number


def _whole(number: float | None) -> int | None:
    return int(number) if number is not None and abs(number) < 100_000 and number == int(number) else None


def _items(items: Iterable[ReceivedItem], depth: int) -> Iterator[ReceivedItem]:
    for item in items:
        yield item
        if depth < DEPTH_MAX:
            yield from _items(item.item, depth + 1)


def _codes(item: ReceivedItem) -> set[str]:
    """The possible codes of an item: the last part of its `linkId`, and of its `definition`."""
    return {item.linkId.rpartition("/")[2], item.definition.rpartition("|")[2].rpartition("/")[2].rpartition("#")[2]} - {""}


def _bare(code: str) -> str:
    return code.rpartition("|")[2]
