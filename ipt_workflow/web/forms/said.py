"""Recorded data in words: every field that was given, with its label, and codes as the words that the forms offer."""

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from ipt_workflow.web.forms.fields import Translate
from ipt_workflow.web.forms.labels import label_of, option_text
from ipt_workflow.web.forms.shapes import FieldShape, shapes

Formats = Mapping[str, Callable[[Any], str]]
READERS: dict[str, Callable[[str], dt.date]] = {"day": dt.date.fromisoformat, "moment": dt.datetime.fromisoformat}
ANSWERS = frozenset({"radios", "select", "text", "ticks", "lines"})


class SaidField(msgspec.Struct, frozen=True):
    """A field that was given: its label, what was given one below the other, and what is within it."""

    label: str
    texts: tuple[str, ...] = ()
    inner: tuple["SaidField", ...] = ()


def consent_text(code: str, translate: Translate = str) -> str:
    """A consent on record: to what, and where it names one for which purpose (`sharing/HRESCH`)."""
    scope, _, purpose = code.partition("/")
    text = translate(option_text("consent_scope", scope))
    return f"{text}: {translate(option_text('sharing_purpose', purpose))}" if purpose else text


def said(
    struct: type[msgspec.Struct], data: Mapping[str, Any], formats: Formats, translate: Translate = str
) -> tuple[SaidField, ...]:
    """The data of an entry as people read it. `formats` writes a `day` and a `moment`. What was erased is left out."""
    found = (
        _said(struct, shape, data[shape.name], formats, translate) for shape in shapes(struct) if data.get(shape.name) is not None
    )
    return tuple(each for each in found if each is not None)


def _said(struct: type[msgspec.Struct], shape: FieldShape, value: Any, formats: Formats, translate: Translate) -> SaidField | None:
    label = label_of(struct, shape.name)
    text = translate(label.label)
    if shape.struct and shape.kind == "group":
        return SaidField(text, inner=said(shape.struct, value, formats, translate)) if isinstance(value, Mapping) else None
    if shape.struct and shape.kind == "rows":
        rows = (said(shape.struct, row, formats, translate) for row in value if isinstance(row, Mapping))
        one = translate(label.one)
        return SaidField(text, inner=tuple(SaidField(f"{one} {number}", inner=row) for number, row in enumerate(rows, 1)))
    if isinstance(value, Mapping):
        options = "state" if shape.name == "attended" else "activity"
        return SaidField(text, tuple(f"{translate(option_text(options, key))}: {each}" for key, each in value.items()))
    values = value if isinstance(value, list | tuple) else [value]
    return SaidField(text, tuple(_text(each, shape, label.options, formats, translate) for each in values))


def _text(value: Any, shape: FieldShape, options: str, formats: Formats, translate: Translate) -> str:
    if isinstance(value, bool):
        return translate(option_text("yes_no", str(value).lower()))
    if value is None:
        return "–"
    if shape.kind in READERS:
        return formats[shape.kind](READERS[shape.kind](str(value)))
    if options and shape.kind in ANSWERS:
        return translate(option_text(options, str(value)))
    return str(value)
