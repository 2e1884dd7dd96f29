"""A scale as a sheet to fill in: its questions with their answers, or its total; and what was typed as a reading.

The questions stand as the scale's file has them, in the language of the scale.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from ipt_workflow.protocols import instruments
from ipt_workflow.protocols.instruments import Instrument, Score
from ipt_workflow.service.session_notes import Scale
from ipt_workflow.service.views import MeasureView
from ipt_workflow.service.views.course import ReadingView
from ipt_workflow.web.forms import Choice, FieldFault, FormField, Pairs, typed
from ipt_workflow.web.forms.posted import NUMBER
from ipt_workflow.web.language import _, gettext, noted

HOW_OFTEN = (noted("Not at all"), noted("Several days"), noted("More than half the days"), noted("Nearly every day"))
ANSWERS: Mapping[str, tuple[str, ...]] = {"phq9": HOW_OFTEN, "gad7": HOW_OFTEN}
RADIOS_MAX = 5  # more answers than these are a select
WEEKS = noted("Over the last two weeks, how often was the client bothered by any of this?")
INTRODUCTIONS: Mapping[str, str] = {"phq9": WEEKS, "gad7": WEEKS}
LEFT_OUT = noted("Choose an answer, or tick that questions were left out.")
EITHER = noted("Give either the answers or the total.")
NO_NUMBER = noted("Enter a number from %(least)s to %(most)s.")


class ScaleQuestion(msgspec.Struct, frozen=True, kw_only=True):
    """One question: the name of its control, what was chosen, and what is wrong with it. `risk`: its answer may ask for a risk review."""

    number: int
    name: str
    text: str
    value: str
    error: str
    risk: bool


class ScaleSheet(msgspec.Struct, frozen=True, kw_only=True):
    """A scale to be filled in. `score` is that of the answers chosen so far, once there is one for each question.

    A sheet without questions takes the total alone.
    """

    id: str
    title: str
    introduction: str
    questions: tuple[ScaleQuestion, ...]
    choices: tuple[Choice, ...]
    radios: bool
    least: int
    most: int
    total: str
    total_error: str
    partial: bool
    last: ReadingView | None
    score: Score | None
    risk_item: int | None
    used: bool
    taken: bool

    @property
    def has_words(self) -> bool:
        """Whether the scale's file has the words of its questions."""
        return any(each.text for each in self.questions)

    @property
    def answered(self) -> bool:
        return bool(self.total) or any(each.value for each in self.questions)

    @property
    def faulty(self) -> bool:
        return bool(self.total_error) or any(each.error for each in self.questions)


class SheetRead(msgspec.Struct, frozen=True):
    """The data of `record_measure`, None if the sheet was left empty, and what is wrong."""

    data: dict[str, Any] | None
    faults: tuple[FieldFault, ...] = ()


def prefix(instrument: Instrument) -> str:
    """What the names of a sheet's controls begin with."""
    return f"scale.{instrument.id}."


def sheet(scale: Scale, measure: MeasureView | None, pairs: Pairs, faults: Sequence[FieldFault] = ()) -> ScaleSheet:
    """A scale with what was typed. `measure` is what the course knows of it."""
    instrument, errors = scale.instrument, {each.name: each.text(gettext) for each in faults}
    begins = prefix(instrument)
    read = _answers(instrument, pairs)
    return ScaleSheet(
        id=instrument.id,
        title=gettext(instrument.title),
        introduction=gettext(INTRODUCTIONS[instrument.id]) if instrument.id in INTRODUCTIONS else "",
        questions=tuple(_question(instrument, number, pairs, errors) for number in _numbers(instrument)),
        choices=_choices(instrument),
        radios=instrument.item_max - instrument.item_min < RADIOS_MAX,
        least=instrument.total_min,
        most=instrument.total_max,
        total=typed(pairs, f"{begins}total"),
        total_error=errors.get(f"{begins}total", ""),
        partial=bool(typed(pairs, f"{begins}partial")),
        last=measure.last if measure else None,
        score=instruments.score(instrument, read) if read and None not in read else None,
        risk_item=instrument.risk_item,
        used=scale.used,
        taken=scale.taken,
    )


def read_sheet(instrument: Instrument, pairs: Pairs) -> SheetRead:
    """What was typed in a sheet, as the data of a reading."""
    begins, answers, total = prefix(instrument), _answers(instrument, pairs), typed(pairs, f"{prefix(instrument)}total")
    if total and any(each is not None for each in answers):
        return SheetRead(None, (FieldFault(f"{begins}total", EITHER),))
    if total:
        return _total(instrument, total)
    if all(each is None for each in answers):
        return SheetRead(None)
    missing = [number for number, each in enumerate(answers, 1) if each is None]
    if missing and not typed(pairs, f"{begins}partial"):
        return SheetRead(None, tuple(FieldFault(f"{begins}{number}", LEFT_OUT) for number in missing))
    return SheetRead({"instrument": instrument.key, "items": answers})


def shows_risk(instrument: Instrument, pairs: Pairs) -> bool:
    """Whether the answers ask for a risk review."""
    answers = _answers(instrument, pairs)
    return bool(answers) and instruments.score(instrument, answers).risk


def sheet_fields(sheets: Iterable[ScaleSheet]) -> list[FormField]:
    """The controls of the sheets, as an error summary names them."""
    found = []
    for each in sheets:
        questions = [(q.name, _("%(scale)s, question %(number)s", scale=each.title, number=q.number)) for q in each.questions]
        found += [FormField(name=name, kind="radios", label=label) for name, label in questions]
        found.append(FormField(name=f"scale.{each.id}.total", kind="decimal", label=each.title))
    return found


def _total(instrument: Instrument, text: str) -> SheetRead:
    name = f"{prefix(instrument)}total"
    value = float(text.replace(",", ".")) if NUMBER.fullmatch(text) else None
    if value is None or instruments.faults_in(instrument, value):
        bounds = {"least": instrument.total_min, "most": instrument.total_max}
        return SheetRead(None, (FieldFault(name, NO_NUMBER, bounds),))
    return SheetRead({"instrument": instrument.key, "total": int(value) if value.is_integer() else value})


def _numbers(instrument: Instrument) -> range:
    """The numbers of the questions. A scale whose total is no plain sum has none, nor has one of a single question."""
    return range(1, instrument.items + 1) if instrument.summed and instrument.items > 1 else range(0)


def _question(instrument: Instrument, number: int, pairs: Pairs, errors: Mapping[str, str]) -> ScaleQuestion:
    name = f"{prefix(instrument)}{number}"
    return ScaleQuestion(
        number=number,
        name=name,
        text=gettext(instrument.item_texts[number - 1]) if instrument.item_texts else "",
        value=typed(pairs, name),
        error=errors.get(name, ""),
        risk=number == instrument.risk_item,
    )


def _choices(instrument: Instrument) -> tuple[Choice, ...]:
    words, values = ANSWERS.get(instrument.id, ()), range(instrument.item_min, instrument.item_max + 1)
    if not _numbers(instrument):
        return ()
    return tuple(Choice(str(each), f"{each} – {gettext(words[each])}" if words else str(each)) for each in values)


def _answers(instrument: Instrument, pairs: Pairs) -> list[int | None]:
    """The chosen answers, None where there is none; empty for a scale without questions."""
    allowed = {str(each): each for each in range(instrument.item_min, instrument.item_max + 1)}
    return [allowed.get(typed(pairs, f"{prefix(instrument)}{number}")) for number in _numbers(instrument)]
