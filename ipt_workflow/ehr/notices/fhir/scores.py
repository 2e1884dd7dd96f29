"""Scores the scales in a FHIR resource by declared codes: each by its answers, or by its total.

An answer that cannot be read, or answers that contradict each other, are a fault. If the question is the one about self-harm, they
count as risk until a person has looked. So does a total that can only be reached with a positive answer to it.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import msgspec

from ipt_workflow.ehr.notices.fhir import answers
from ipt_workflow.ehr.notices.fhir.answers import Question
from ipt_workflow.ehr.notices.risk import IMPLIED, is_implied
from ipt_workflow.ehr.notices.types import InstrumentCodes
from ipt_workflow.errors import Fault
from ipt_workflow.protocols.instruments import Instrument


class Scored(msgspec.Struct, frozen=True, kw_only=True):
    """One scale as the data of a measure. `empty`: it is named, but nothing of it is answered. `unread` is what could not be read."""

    scale: str
    data: dict[str, Any]
    empty: bool = False
    says: tuple[str, ...] = ()
    risk: bool = False
    needs_person: str | None = None
    faults: tuple[Fault, ...] = ()
    unread: tuple[Any, ...] = ()


def scales(
    resource: Mapping[str, Any], known: Iterable[InstrumentCodes], instruments: Mapping[str, Instrument], where: str
) -> list[Scored]:
    """Every declared scale of which the resource has a question. `where` is the kind of resource, for faults."""
    asked = answers.questions(resource)
    named = resource.get("questionnaire")
    named = named.get("reference") if isinstance(named, dict) else named
    name = named if isinstance(named, str) else ""
    if not asked and not name:
        return []
    found = []
    for row in known:
        codes = _codes(row.items, row.totals, row.panels)
        by_name = any(_bare(panel) in name for panel in row.panels)
        own = [each for each in asked if not codes.isdisjoint(each.codes)]
        if own or by_name:
            others = by_name and any(each.answers for each in asked if each.form and codes.isdisjoint(each.codes))
            found.append(_Scale(row, instruments[row.instrument], own, where).scored(others=others))
    return found


@cache
def _codes(*groups: tuple[str, ...]) -> frozenset[str]:
    return frozenset(_bare(code) for group in groups for code in group)


class _Scale:
    """The questions of one scale."""

    def __init__(self, row: InstrumentCodes, instrument: Instrument, asked: Sequence[Question], where: str) -> None:
        self.row = row
        self.instrument = instrument
        self.form = any(each.form for each in asked)
        self.answers: dict[str, list[Any]] = {}
        self.panel: list[Any] = []  # what Observations give as the value of the panel itself
        panels = _codes(row.panels)
        for each in asked:
            for code in each.codes:
                self.answers.setdefault(code, []).extend(each.answers)
            if not each.form and not panels.isdisjoint(each.codes):
                self.panel += each.answers
        self.where = where
        self.faults: list[Fault] = []
        self.unread: list[Any] = []

    def scored(self, *, others: bool) -> Scored:
        """`others`: the form is of this scale, and has answers to questions without a known code."""
        items = [self._item(index, code) for index, code in enumerate(self.row.items, start=1)]
        risk = self._risk(items)
        total = self._total(answered=any(each is not None for each in items))
        data = {"instrument": self.row.instrument, **self._data(items, total)}
        empty = total is None and not self.faults and all(each is None for each in items)
        if empty:
            self.faults.append(Fault(self.where, "must have answers or a total"))
            risk = others and self.instrument.risk_item is not None
        implied = not risk and is_implied(self.instrument, items, total)
        return Scored(
            scale=self.instrument.id,
            data=data,
            empty=empty and not risk,
            says=self._missing(items) if self.form and "items" in data else (),
            risk=risk or implied,
            needs_person=IMPLIED if implied else None,
            faults=tuple(self.faults),
            unread=tuple(self.unread),
        )

    def _item(self, index: int, code: str) -> int | None:
        """The score of an item. For the risk item, an answer that says why it is absent cannot be read."""
        sent = self.answers.get(_bare(code))
        if not sent:
            return None
        found = answers.reply(sent, self.row.answers)
        low, high = self.instrument.item_min, self.instrument.item_max
        outside = any(not low <= each <= high for each in found.numbers)
        if found.unreadable or outside or (found.absent and index == self.instrument.risk_item):
            allowed = f"{low} to {high}, or a code of {', '.join(map(_bare, self.row.answers))}"
            self._fault(code, f"must be answered by {allowed}", sent)
        elif len(found.numbers) > 1:
            self._fault(code, "must have one answer, not several that differ", sent)
        elif found.numbers:
            return int(next(iter(found.numbers)))
        return None

    def _total(self, *, answered: bool) -> float | None:
        """The total; many EHR systems send it under the panel's code. A panel's text beside its answers is no total."""
        sent = [answer for code in self.row.totals for answer in self.answers.get(_bare(code), ())]
        if not sent and not self.panel:
            return None
        decimals = self.instrument.step != "1"
        own, found = answers.reply(self.panel, {}, decimals=decimals), answers.reply(sent, {}, decimals=decimals)
        numbers = found.numbers | own.numbers
        if found.unreadable or (own.unreadable and not answered and not numbers):
            wanted = "must be a number" if decimals else "must be a whole number"
            self._fault(self.row.totals[0], wanted, [*sent, *self.panel])
        elif len(numbers) > 1:
            self._fault(self.row.totals[0], "must be one number, not several that differ", [*sent, *self.panel])
        elif numbers:
            return next(iter(numbers))
        return None

    def _data(self, items: list[int | None], total: float | None) -> dict[str, Any]:
        known = [each for each in items if each is not None]
        if not known:
            return {"total": total}
        missing = len(items) - len(known)
        low = sum(known) + missing * self.instrument.item_min
        high = sum(known) + missing * self.instrument.item_max
        if total is not None and self.instrument.summed and not low <= total <= high:
            right = f"{low}, the sum of the answers" if low == high else f"from {low} to {high} with these answers"
            self._fault(self.row.totals[0], f"must be {right}", [total])
        return {"items": items}

    def _risk(self, items: list[int | None]) -> bool:
        item = self.instrument.risk_item
        if item is None:
            return False
        answer, unread = items[item - 1], f"{self.where}: {_bare(self.row.items[item - 1])}"
        return any(fault.where == unread for fault in self.faults) or (
            answer is not None and answer >= self.instrument.risk_threshold
        )

    def _missing(self, items: list[int | None]) -> tuple[str, ...]:
        """Remarks on a form that is not complete."""
        missing = [index for index, each in enumerate(items, start=1) if each is None]
        if not missing:
            return ()
        without = f"{len(missing)} of {len(items)} answers are missing, so there is no total of {self.instrument.key}."
        item = self.instrument.risk_item
        if item in missing:
            about = f"The form has no answer to item {item}, which asks about self-harm: assess that risk yourself"
            return (f"{about}. {without}",)
        return (without,)

    def _fault(self, code: str, message: str, sent: Sequence[Any]) -> None:
        self.faults.append(Fault(f"{self.where}: {_bare(code)}", message))
        self.unread += sent


def _bare(code: str) -> str:
    return code.rpartition("|")[2]
