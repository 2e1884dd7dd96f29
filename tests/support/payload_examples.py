"""Data that each payload takes: the least, and all of it."""

from typing import Any

import msgspec

from ipt_workflow.web.forms.shapes import FieldShape, shapes

TEXTS = {
    "text": "mother",
    "area": "A text of\ntwo lines.",
    "day": "2026-03-01",
    "moment": "2026-03-01T09:00:00+01:00",
    "clock": "07:30",
}
NAMED = {
    ("Refer", "age_band"): "25-44",
    ("RecordRhythm", "instrument"): "srm5",
}


def example_data(payload: type[msgspec.Struct]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The least data that the payload takes, and data with every field."""
    return _data(payload, every=False), _data(payload, every=True)


def _data(struct: type[msgspec.Struct], *, every: bool) -> dict[str, Any]:
    return {shape.name: _value(struct, shape, every=every) for shape in shapes(struct) if every or shape.required}


def _value(struct: type[msgspec.Struct], shape: FieldShape, *, every: bool) -> Any:
    if (named := NAMED.get((struct.__name__, shape.name))) is not None:
        return named
    if shape.kind in {"radios", "select"}:
        return shape.codes[-1]
    if shape.struct:
        inner = _data(shape.struct, every=every)
        return inner if shape.kind == "group" else [inner]
    listed = {"ticks": list(shape.codes[:2]), "lines": ["one"], "numbers": [3], "answers": [1, None, 3]}
    numbers = {"whole": int(shape.least or 1) + 1, "decimal": 4.2, "tick": True, "yes_no": False}
    by_key = {"by_clock": {"dinner": "18:30"}, "by_whole": {"initial": 2}}
    return (TEXTS | listed | numbers | by_key)[shape.kind]
