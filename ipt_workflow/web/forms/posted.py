"""Posted pairs as the data of a payload, with every fault at once; and the other way round, data as the pairs that a form begins with.

Nothing here is shown as it stands: a fault has a sentence in English and its numbers, which whoever shows it translates.
"""

import datetime as dt
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from ipt_workflow.values.faults import YEARS, decode
from ipt_workflow.web.forms.shapes import FieldShape, shapes
from ipt_workflow.web.language import noted

Pairs = Mapping[str, Sequence[str]]
FILL_IN = noted("Fill this in.")
CHOOSE = noted("Choose one.")
GIVE_ONE = noted("Give at least one.")
WHOLE = noted("Enter a whole number.")
WHOLE_BETWEEN = noted("Enter a whole number from %(least)s to %(most)s.")
DECIMAL = noted("Enter a number.")
BETWEEN = noted("Enter a number from %(least)s to %(most)s.")
DAY = noted("Enter a real day, with day, month and year.")
MOMENT = noted("Enter a day and a time.")
CLOCK = noted("Enter a time of day, such as 07:30.")
YEAR = noted("Enter a year from %(least)s to %(most)s.")
LONG = noted("Write at most %(most)s characters.")
MANY = noted("Give at most %(most)s.")
CHARACTERS = noted("Remove characters that cannot be printed.")
OTHERWISE = noted("This is not written as it must be. Look at the hint.")
ANSWERS = noted("Enter one whole number a line, or a dash for an answer that is missing.")

UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
ISO_DAY = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})")
WRITTEN_DAY = re.compile(r"(\d{1,2})[ ./](\d{1,2})[ ./](\d{4})")
CLOCK_TIME = re.compile(r"([01]?[0-9]|2[0-3])[:.]([0-5][0-9])(?::[0-5][0-9])?")
INTEGER = re.compile(r"[+-]?\d{1,9}")
NUMBER = re.compile(r"[+-]?\d{1,9}(?:[.,]\d{1,6})?")
ROWS_MAX = 50


def grouped(items: Iterable[tuple[str, Any]]) -> dict[str, list[str]]:
    """The pairs of a form, by name. A name may stand several times; files are left out."""
    pairs: dict[str, list[str]] = {}
    for name, value in items:
        if isinstance(value, str):
            pairs.setdefault(name, []).append(value)
    return pairs


def typed(pairs: Pairs, name: str) -> str:
    """What stands under a name, without the space around it; empty if nothing does."""
    return next(iter(pairs.get(name, ())), "").strip()


class FieldFault(msgspec.Struct, frozen=True):
    """What is wrong with one control: its name, a sentence, and what fills the sentence's places. `whole` faults have no name."""

    name: str
    sentence: str
    values: dict[str, Any] = {}

    def text(self, translate: Callable[[str], str] = str) -> str:
        said = translate(self.sentence)
        return said % self.values if self.values else said


class Read(msgspec.Struct, frozen=True):
    """The data that was posted, as JSON would bring it, and what is wrong with it."""

    data: dict[str, Any]
    faults: tuple[FieldFault, ...]


class _Wrong(Exception):
    """A value that does not fit, with the sentence that says so."""

    def __init__(self, sentence: str, **values: Any) -> None:
        self.sentence, self.values = sentence, values


def read(struct: type[msgspec.Struct], pairs: Pairs, zone: ZoneInfo, prefix: str = "") -> Read:
    """The data of a payload from posted pairs. What was left empty is left out; a row left empty is no row."""
    faults: list[FieldFault] = []
    data = _read(struct, pairs, zone, prefix, faults)
    if not faults:
        _, found = decode(struct, data)
        faults = [FieldFault(prefix + name_of(each.where, pairs), OTHERWISE) for each in found]
    return Read(data, tuple(faults))


def _read(struct: type[msgspec.Struct], pairs: Pairs, zone: ZoneInfo, prefix: str, faults: list[FieldFault]) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for shape in shapes(struct):
        name = prefix + shape.name
        try:
            value = _value(shape, name, pairs, zone, faults)
        except _Wrong as wrong:
            faults.append(FieldFault(name, wrong.sentence, wrong.values))
            continue
        if value is not None:
            data[shape.name] = value
        elif shape.required:
            faults.append(FieldFault(name, _missing(shape)))
    return data


def _missing(shape: FieldShape) -> str:
    if shape.kind in {"radios", "select", "yes_no"}:
        return CHOOSE
    return GIVE_ONE if shape.kind in {"rows", "ticks", "lines", "numbers"} or shape.kind.startswith("by_") else FILL_IN


def _value(shape: FieldShape, name: str, pairs: Pairs, zone: ZoneInfo, faults: list[FieldFault]) -> Any:
    """The value of one field, or None if it was left empty."""
    if shape.struct and shape.kind == "group":
        return _group(shape.struct, pairs, zone, f"{name}.", faults, required=shape.required)
    if shape.struct and shape.kind == "rows":
        found = (_group(shape.struct, pairs, zone, f"{name}.{n}.", faults, required=False) for n in row_numbers(pairs, name))
        return [row for row in found if row] or None
    if shape.kind.startswith("by_"):
        return _by_key(shape, name, pairs, faults)
    texts = [text for each in pairs.get(name, ()) if (text := each.replace("\r\n", "\n").strip())]
    if any(UNPRINTABLE.search(text) for text in texts):
        raise _Wrong(CHARACTERS)
    if shape.kind == "tick":
        return True if texts else (False if shape.required else None)
    if shape.kind == "ticks":
        return _several(shape, texts)
    if shape.kind in {"lines", "numbers", "answers"}:
        return _listed(shape, texts)
    if shape.kind == "day" and not texts:
        return _remembered(name, pairs)
    return SINGLE[shape.kind](shape, texts[0], zone) if texts else None


def _group(
    struct: type[msgspec.Struct], pairs: Pairs, zone: ZoneInfo, prefix: str, faults: list[FieldFault], *, required: bool
) -> dict[str, Any] | None:
    """The data of a group or a row. If nothing was typed but what the form itself proposes, it was left empty."""
    inside: list[FieldFault] = []
    data = _read(struct, pairs, zone, prefix, inside)
    proposed = {shape.name: shape.default for shape in shapes(struct)}
    untouched = all(value is False or value == proposed[name] for name, value in data.items())
    missing = {FILL_IN, CHOOSE, GIVE_ONE}
    if not required and untouched and all(fault.sentence in missing for fault in inside):
        return None
    faults += inside
    return data


def _by_key(shape: FieldShape, name: str, pairs: Pairs, faults: list[FieldFault]) -> dict[str, Any] | None:
    kind, found = shape.kind.removeprefix("by_"), {}
    inner = FieldShape(name=shape.name, kind=kind, required=False)
    for key in [each.removeprefix(f"{name}.") for each in pairs if each.startswith(f"{name}.")]:
        text = typed(pairs, f"{name}.{key}")
        try:
            value = SINGLE[kind](inner, text, UTC) if text else None
        except _Wrong as wrong:
            faults.append(FieldFault(f"{name}.{key}", wrong.sentence, wrong.values))
            continue
        if value is not None:
            found[key] = value
    return found or None


UTC = ZoneInfo("UTC")


def _several(shape: FieldShape, texts: list[str]) -> list[str] | None:
    if any(text not in shape.codes for text in texts):
        raise _Wrong(CHOOSE)
    return texts or None


def _listed(shape: FieldShape, texts: list[str]) -> list[Any] | None:
    """A list: one control with one item a line, or several controls (ticks) with one item each."""
    lines = [line.strip() for text in texts for line in text.splitlines() if line.strip()]
    if not lines:
        return None
    if shape.most is not None and len(lines) > shape.most:
        raise _Wrong(MANY, most=int(shape.most))
    if shape.kind == "lines":
        return lines
    parts = [part for line in lines for part in re.split(r"[\s,;]+", line) if part]
    missing = {"-", "–", "."} if shape.kind == "answers" else set()
    if any(part not in missing and not INTEGER.fullmatch(part) for part in parts):
        raise _Wrong(ANSWERS if shape.kind == "answers" else WHOLE)
    return [None if part in missing else int(part) for part in parts]


def _text(shape: FieldShape, text: str, _zone: ZoneInfo) -> str:
    if shape.most is not None and len(text) > shape.most:
        raise _Wrong(LONG, most=int(shape.most))
    try:
        msgspec.convert(text, shape.annotation or str)
    except msgspec.ValidationError:
        raise _Wrong(OTHERWISE) from None
    return text


def _code(shape: FieldShape, text: str, _zone: ZoneInfo) -> str:
    if text not in shape.codes:
        raise _Wrong(CHOOSE)
    return text


def _yes_no(_shape: FieldShape, text: str, _zone: ZoneInfo) -> bool:
    if text not in {"true", "false"}:
        raise _Wrong(CHOOSE)
    return text == "true"


def _whole(shape: FieldShape, text: str, _zone: ZoneInfo) -> int:
    if not INTEGER.fullmatch(text):
        raise _Wrong(WHOLE)
    return int(_bounded(shape, int(text), WHOLE_BETWEEN))


def _decimal(shape: FieldShape, text: str, _zone: ZoneInfo) -> float:
    if not NUMBER.fullmatch(text):
        raise _Wrong(DECIMAL)
    value = float(text.replace(",", "."))
    return _bounded(shape, int(value) if value.is_integer() else value, BETWEEN)


def _bounded(shape: FieldShape, value: float, sentence: str) -> float:
    least, most = shape.least, shape.most
    if (least is not None and value < least) or (most is not None and value > most):
        raise _Wrong(sentence, least=0 if least is None else int(least), most=1_000_000 if most is None else int(most))
    return value


def _day(_shape: FieldShape, text: str, _zone: ZoneInfo) -> str:
    return _real_day(text).isoformat()


def _real_day(text: str) -> dt.date:
    if match := ISO_DAY.fullmatch(text):
        year, month, day = match.groups()
    elif match := WRITTEN_DAY.fullmatch(text):
        day, month, year = match.groups()
    else:
        raise _Wrong(DAY)
    try:
        found = dt.date(int(year), int(month), int(day))
    except ValueError:
        raise _Wrong(DAY) from None
    if found.year not in YEARS:
        raise _Wrong(YEAR, least=YEARS[0], most=YEARS[-1])
    return found


def _remembered(name: str, pairs: Pairs) -> str | None:
    """A day in three controls, for days that nobody picks in a calendar."""
    parts = [typed(pairs, f"{name}-{part}") for part in ("day", "month", "year")]
    return _real_day(" ".join(parts)).isoformat() if any(parts) else None


def _clock(_shape: FieldShape, text: str, _zone: ZoneInfo) -> str:
    match = CLOCK_TIME.fullmatch(text)
    if not match:
        raise _Wrong(CLOCK)
    return f"{int(match[1]):02}:{match[2]}"


def _moment(_shape: FieldShape, text: str, zone: ZoneInfo) -> str:
    """A day and a time in the reader's zone, with the offset that the zone has then."""
    day, _, clock = text.replace("T", " ").rpartition(" ")
    match = CLOCK_TIME.fullmatch(clock)
    if not match:
        raise _Wrong(MOMENT)
    at = dt.time(int(match[1]), int(match[2]))
    return dt.datetime.combine(_real_day(day.strip()), at, zone).isoformat()


SINGLE: dict[str, Callable[[FieldShape, str, ZoneInfo], Any]] = {
    "text": _text,
    "area": _text,
    "radios": _code,
    "select": _code,
    "yes_no": _yes_no,
    "whole": _whole,
    "decimal": _decimal,
    "day": _day,
    "clock": _clock,
    "moment": _moment,
}


def moment(name: str, text: str, zone: ZoneInfo) -> tuple[dt.datetime | None, list[FieldFault]]:
    """A time beside the data of a command, such as when it happened. None without one."""
    if not text.strip():
        return None, []
    try:
        return dt.datetime.fromisoformat(_moment(FieldShape(name=name, kind="moment", required=False), text.strip(), zone)), []
    except _Wrong as wrong:
        return None, [FieldFault(name, wrong.sentence, wrong.values)]


def row_numbers(pairs: Pairs, name: str) -> list[int]:
    """The numbers of the rows that were posted, in order. They need not follow each other."""
    pattern = re.compile(re.escape(name) + r"\.(\d{1,4})[.]")
    return sorted({int(match[1]) for each in pairs if (match := pattern.match(each))})[:ROWS_MAX]


def name_of(where: str, pairs: Pairs) -> str:
    """The control's name for the place of a fault: `days.0.on` for `data.days[0].on`. Rows left empty were no rows."""
    path = where.removeprefix("data").removeprefix(".")
    name = ""
    for part in re.findall(r"[^.\[\]]+|\[\d+\]", path):
        if part.startswith("["):
            numbers, index = row_numbers(pairs, name), int(part[1:-1])
            if not numbers:  # an item of a list that is one control
                return name
            name += f".{numbers[index] if index < len(numbers) else index}"
        else:
            name += f".{part}" if name else part
    return name


def first_pairs(struct: type[msgspec.Struct], data: Mapping[str, Any], zone: ZoneInfo, prefix: str = "") -> dict[str, list[str]]:
    """The pairs with which a form begins: the data that is known, as JSON has it, and else what the payload proposes."""
    pairs: dict[str, list[str]] = {}
    for shape in shapes(struct):
        name, value = prefix + shape.name, data.get(shape.name, shape.default)
        if shape.struct and shape.kind == "group":
            pairs |= first_pairs(shape.struct, _plain(value), zone, f"{name}.") if value else {}
        elif shape.struct and shape.kind == "rows":
            for index, row in enumerate(value or ()):
                pairs |= first_pairs(shape.struct, _plain(row), zone, f"{name}.{index}.")
        elif shape.kind.startswith("by_"):
            pairs |= {f"{name}.{key}": [str(each)] for key, each in (value or {}).items()}
        elif value is not None and shape.kind != "patch":
            pairs[name] = list(_typed(shape, value, zone))
    return pairs


def _plain(value: Any) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(value)
    return found


def _typed(shape: FieldShape, value: Any, zone: ZoneInfo) -> Iterable[str]:
    """A value as somebody would have typed it."""
    if shape.kind in {"tick", "yes_no"}:
        return ["true"] if value else (["false"] if shape.kind == "yes_no" else [])
    if shape.kind == "ticks":
        return [str(each) for each in value]
    if shape.kind in {"lines", "numbers", "answers"}:
        return ["\n".join("-" if each is None else str(each) for each in value)] if value else []
    if shape.kind == "moment":
        at = value if isinstance(value, dt.datetime) else dt.datetime.fromisoformat(str(value))
        return [at.astimezone(zone).strftime("%Y-%m-%dT%H:%M")]
    return [str(value)]
