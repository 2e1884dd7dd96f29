"""A payload as fields that a template can show: their labels, options, what was typed, and what is wrong with it."""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from ipt_workflow.web.forms.labels import label_of, option_text
from ipt_workflow.web.forms.posted import FieldFault, Pairs, row_numbers
from ipt_workflow.web.forms.shapes import FieldShape, shapes

Translate = Callable[[str], str]
CHOSEN = {"text": "radios", "lines": "ticks", "whole": "radios"}  # the control of such a field if its choices are known
CHOSEN_MAX = 7  # more choices of one are a select


class Choice(msgspec.Struct, frozen=True):
    """One option, in the reader's words. `hint` is said below it."""

    value: str
    text: str
    hint: str = ""


class FormField(msgspec.Struct, frozen=True, kw_only=True):
    """One control. `values` is what was typed, as it was typed. `fields` are those of a group, `rows` those of each row."""

    name: str
    kind: str
    label: str
    hint: str = ""
    required: bool = False
    optional: bool = False  # neither required nor filled in by the form itself
    rare: bool = False
    values: tuple[str, ...] = ()
    parts: dict[str, str] = {}  # what was typed as day, month and year
    options: tuple[Choice, ...] = ()
    error: str = ""
    most: float | None = None
    one: str = ""
    add: str = ""
    fields: tuple["FormField", ...] = ()
    rows: tuple[tuple["FormField", ...], ...] = ()

    @property
    def id(self) -> str:
        return id_of(self.name)

    @property
    def value(self) -> str:
        return self.values[0] if self.values else ""


class FormContext(msgspec.Struct, frozen=True, kw_only=True):
    """What a form is described with: the posted pairs, its faults, the rows to add, and choices that depend on the course.

    `choices` has the options of fields that hold the course's or the protocol's codes, by name without row numbers (`targets.activity`).
    `without` leaves fields out. `translate` turns an English text into the reader's language.
    """

    pairs: Pairs
    faults: Sequence[FieldFault] = ()
    choices: Mapping[str, Sequence[Choice]] = {}
    without: frozenset[str] = frozenset()
    add: str = ""
    translate: Translate = str

    def error(self, name: str) -> str:
        return " ".join(fault.text(self.translate) for fault in self.faults if fault.name == name)


def id_of(name: str) -> str:
    """The id of a control in the page."""
    return "f-" + name.replace(".", "-")


def describe(struct: type[msgspec.Struct], context: FormContext, prefix: str = "") -> tuple[FormField, ...]:
    """The fields of a payload. `prefix` is what their names begin with, `measure.`, where a form has several payloads."""
    return _describe(struct, context, prefix, "")


def _describe(struct: type[msgspec.Struct], context: FormContext, prefix: str, path: str) -> tuple[FormField, ...]:
    found = [_field(struct, each, context, prefix, path) for each in shapes(struct) if path + each.name not in context.without]
    return tuple(each for each in found if each is not None)


def _field(struct: type[msgspec.Struct], shape: FieldShape, context: FormContext, prefix: str, path: str) -> FormField | None:
    name, known = prefix + shape.name, context.choices.get(path + shape.name)
    label, said = label_of(struct, shape.name), context.translate
    if shape.kind == "patch" or (shape.kind.startswith("by_") and not known):
        return None
    kind = _control(shape, known, label.control)
    if kind in {"radios", "yes_no"} and not shape.required and shape.default is None:
        kind = "select"  # what was chosen can be taken back
    field = FormField(
        name=name,
        kind=kind,
        parts=_parts(context.pairs, name) if kind == "remembered" else {},
        label=said(label.label),
        hint=said(label.hint) if label.hint else "",
        required=shape.required,
        optional=not shape.required and not shape.default,
        rare=label.rare,
        values=_typed(context.pairs, name, kind),
        options=tuple(known) if known else _options(struct, shape, said),
        error=context.error(name),
        most=shape.most,
        one=said(label.one) if label.one else "",
        add=said(label.add) if label.add else "",
    )
    return _nested(field, shape, context, path)


def _control(shape: FieldShape, known: Sequence[Choice] | None, control: str) -> str:
    if known is not None and shape.kind in CHOSEN:
        kind = CHOSEN[shape.kind]
        return "select" if kind == "radios" and len(known) > CHOSEN_MAX else kind
    return control or shape.kind


def _typed(pairs: Pairs, name: str, kind: str) -> tuple[str, ...]:
    """What was typed. Boxes that are offered in place of lines have one value each."""
    typed = pairs.get(name, ())
    return tuple(line for each in typed for line in each.splitlines()) if kind == "ticks" else tuple(typed)


def _parts(pairs: Pairs, name: str) -> dict[str, str]:
    """The three controls of a day: as they were typed, or from the whole day with which a form begins."""
    year, month, day = [*next(iter(pairs.get(name, ())), "").split("-"), "", "", ""][:3]
    whole = {"day": day, "month": month, "year": year}
    return {part: next(iter(pairs.get(f"{name}-{part}", ())), whole[part]) for part in whole}


def _options(struct: type[msgspec.Struct], shape: FieldShape, said: Translate) -> tuple[Choice, ...]:
    if shape.kind == "yes_no":
        return (Choice("true", said(option_text("yes_no", "true"))), Choice("false", said(option_text("yes_no", "false"))))
    options = label_of(struct, shape.name).options
    return tuple(Choice(code, said(option_text(options, code))) for code in shape.codes)


def _nested(field: FormField, shape: FieldShape, context: FormContext, path: str) -> FormField:
    inner = f"{path}{shape.name}."
    if shape.kind == "group" and shape.struct:
        return msgspec.structs.replace(field, fields=_describe(shape.struct, context, f"{field.name}.", inner))
    if shape.kind == "rows" and shape.struct:
        struct = shape.struct
        numbers = row_numbers(context.pairs, field.name) or [0]
        if context.add == field.name and len(numbers) < (shape.most or 0):
            numbers.append(numbers[-1] + 1)
        rows = tuple(_describe(struct, context, f"{field.name}.{number}.", inner) for number in numbers)
        return msgspec.structs.replace(field, rows=rows)
    if shape.kind.startswith("by_"):
        parts = [
            FormField(
                name=f"{field.name}.{each.value}",
                kind=shape.kind.removeprefix("by_"),
                label=each.text,
                values=tuple(context.pairs.get(f"{field.name}.{each.value}", ())),
                error=context.error(f"{field.name}.{each.value}"),
            )
            for each in field.options
        ]
        return msgspec.structs.replace(field, kind="group", fields=tuple(parts), options=())
    return field


def errors(fields: Sequence[FormField], faults: Sequence[FieldFault], translate: Translate = str) -> list[tuple[str, str]]:
    """The error summary: for each fault its text, with the label of its field, and the id of the control to go to."""
    labels = {name: (label, target) for name, label, target in _labels(fields)}
    found = []
    for fault in faults:
        label, target = labels.get(fault.name, ("", ""))
        found.append((f"{label}: {fault.text(translate)}" if label else fault.text(translate), target))
    return found


def _labels(fields: Sequence[FormField]) -> list[tuple[str, str, str]]:
    found = []
    for field in fields:
        found.append((field.name, field.label, field.id + ("-day" if field.kind == "remembered" else "")))
        found += _labels(field.fields)
        for number, row in enumerate(field.rows, 1):
            found += [(name, f"{field.one or field.label} {number}, {label}", target) for name, label, target in _labels(row)]
    return found
