"""Scales in FHIR R4: a QuestionnaireResponse, or an Observation of a panel, of one item or of a total, read by declared codes.

Codes are looked for where senders put them: in an item's `linkId` (`/44250-9`), in its `definition`, in an Observation's code. What is
answered and cannot be read is a fault; of an answer about self-harm it counts as risk, until somebody has looked.
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
    """What was made out: the data of a measure, what is to be known of it, whether there is risk in it, and what stands against it."""

    data: dict[str, Any]
    says: tuple[str, ...] = ()
    risk: bool = False
    faults: tuple[Fault, ...] = ()


def of_form(
    form: ReceivedQuestionnaireResponse, known: Iterable[InstrumentCodes], instruments: Mapping[str, Instrument]
) -> Scored | None:
    """The scale that a form is; None where it is none that is known."""
    answers = {code: answer for item in _items(form.item, 0) for code in _codes(item) for answer in item.answer[:1]}
    asked = {code for item in _items(form.item, 0) for code in _codes(item)}
    for row in known:
        named = any(_bare(panel) in form.questionnaire for panel in row.panels)
        if named or asked.intersection(map(_bare, (*row.items, *row.totals))):
            told = {_bare(code): code for code in (*row.items, *row.totals)}
            values = {told[code]: value for code, value in answers.items() if code in told}
            return _scored(row, instruments[row.instrument], values, "QuestionnaireResponse")
    return None


def of_observation(
    seen: ReceivedObservation, known: Iterable[InstrumentCodes], instruments: Mapping[str, Instrument]
) -> Scored | None:
    """The scale that an Observation is of: its whole panel, one answer, or its total."""
    codes = {coding.key for coding in seen.code.coding}
    for row in known:
        instrument = instruments[row.instrument]
        for code in codes.intersection((*row.items, *row.totals)):
            return _scored(row, instrument, {code: seen}, "Observation")
        if codes.intersection(row.panels):
            parts: dict[str, ReceivedValue] = {coding.key: part for part in seen.component for coding in part.code.coding}
            if not parts and seen.given:  # a total under the panel's code, as many send it
                parts = {row.totals[0]: seen}
            return _scored(row, instrument, parts, "Observation") if parts else None
    return None


def _scored(row: InstrumentCodes, instrument: Instrument, values: Mapping[str, ReceivedValue], where: str) -> Scored:
    faults: list[Fault] = []
    items = [_score(row, values.get(code), instrument, f"{where}: {_bare(code)}", faults) for code in row.items]
    unreadable = {fault.where for fault in faults}
    told = next((values[code] for code in row.totals if code in values), None)
    total = _whole(told.number) if told else None
    if told and told.given and total is None:
        faults.append(Fault(f"{where}: {_bare(row.totals[0])}", "must be a whole number"))
    risk = _risk(row, instrument, items, unreadable, where)
    if all(each is None for each in items):
        if total is None and not faults:
            faults.append(Fault(where, "has neither answers nor a total"))
        return Scored(data={"instrument": row.instrument, "total": total}, risk=risk, faults=tuple(faults))
    summed = None if None in items else sum(each for each in items if each is not None)
    if total is not None and summed is not None and total != summed:
        faults.append(Fault(f"{where}: {_bare(row.totals[0])}", f"is {total}, but the answers add up to {summed}"))
    says = _missing(instrument, items) if where == "QuestionnaireResponse" else ()
    return Scored(data={"instrument": row.instrument, "items": items}, says=says, risk=risk, faults=tuple(faults))


def _missing(instrument: Instrument, items: list[int | None]) -> tuple[str, ...]:
    """What is to be known of a form that is not complete."""
    missing = [index for index, each in enumerate(items, start=1) if each is None]
    if not missing:
        return ()
    if instrument.risk_item in missing:
        about = f"The form has no answer to item {instrument.risk_item}, which asks about self-harm: it tells nothing of that risk"
        return (f"{about}, and has no total of {instrument.key} ({len(missing)} of {len(items)} answers are missing).",)
    return (f"{len(missing)} of {len(items)} answers are missing: there is no total of {instrument.key}.",)


def _risk(row: InstrumentCodes, instrument: Instrument, items: list[int | None], unreadable: set[str], where: str) -> bool:
    if instrument.risk_item is None:
        return False
    answer = items[instrument.risk_item - 1]
    unread = f"{where}: {_bare(row.items[instrument.risk_item - 1])}" in unreadable
    return unread or (answer is not None and answer >= instrument.risk_threshold)


def _score(
    row: InstrumentCodes, value: ReceivedValue | None, instrument: Instrument, where: str, faults: list[Fault]
) -> int | None:
    """What an answer scores: by its declared code, its ordinal, or as a number. A fault where it is one and cannot be read."""
    if value is None or not value.given:
        return None
    by_code = [row.answers[coding.key] for coding in value.codings if coding.key in row.answers]
    ordinals = [_whole(number) for coding in value.codings for number in _ordinals(coding)]
    found = next(iter([*by_code, *(each for each in ordinals if each is not None)]), _whole(value.number))
    if found is None or not instrument.item_min <= found <= instrument.item_max:
        wanted = f"{instrument.item_min} to {instrument.item_max}, or a code of {', '.join(map(_bare, row.answers))}"
        faults.append(Fault(where, f"must be answered by {wanted}"))
        return None
    return found


def _ordinals(coding: ReceivedCoding) -> Iterator[float]:
    for extension in coding.extension:
        told = extension.valueDecimal if extension.valueDecimal is not None else extension.valueInteger
        if extension.url == ORDINAL and told is not None:
            yield told


def _whole(number: float | None) -> int | None:
    return int(number) if number is not None and abs(number) < 100_000 and number == int(number) else None


def _items(items: Iterable[ReceivedItem], depth: int) -> Iterator[ReceivedItem]:
    for item in items:
        yield item
        if depth < DEPTH_MAX:
            yield from _items(item.item, depth + 1)


def _codes(item: ReceivedItem) -> set[str]:
    """The codes an item may be of: the last part of its link, and of its definition."""
    return {item.linkId.rpartition("/")[2], item.definition.rpartition("|")[2].rpartition("/")[2].rpartition("#")[2]} - {""}


def _bare(code: str) -> str:
    return code.rpartition("|")[2]
