"""What a payload's annotations say about each of its fields, as a form needs to know it.

`msgspec.inspect` sorts the codes of a Literal. A form shows them in the order in which they were written, so the annotations are read here.
"""

import datetime as dt
import types
from collections.abc import Iterator
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

SHORT = 300  # a text that may be longer gets several lines
RADIOS_MAX = 7  # more options than these are a select
SCALARS = {int: "whole", float: "decimal", dt.date: "day", dt.datetime: "moment", str: "text"}
CLOCK = "[0-5][0-9]"  # in the pattern of a time of day


class FieldShape(msgspec.Struct, frozen=True, kw_only=True):
    """One field of a payload: its kind of control, its bounds, and its default.

    `least` and `most` bound a number, a text's length or a list's. `codes` are the options as written. `struct` is that of a group or of
    rows; `annotation` is what a value decodes to.
    """

    name: str
    kind: str
    required: bool
    default: Any = None
    least: float | None = None
    most: float | None = None
    codes: tuple[str, ...] = ()
    struct: type[msgspec.Struct] | None = None
    annotation: Any = None


@cache
def shapes(struct: type[msgspec.Struct]) -> tuple[FieldShape, ...]:
    """The fields of a payload, in the order in which they were written."""
    hints = get_type_hints(struct, include_extras=True)
    return tuple(_shape(field, hints[field.name]) for field in msgspec.structs.fields(struct))


def _shape(field: msgspec.structs.FieldInfo, annotation: Any) -> FieldShape:
    default = None if field.default is msgspec.NODEFAULT else field.default
    kind, more = _kind(annotation, default)
    return FieldShape(name=field.name, kind=kind, required=field.required, default=default, annotation=annotation, **more)


def _kind(annotation: Any, default: Any) -> tuple[str, dict[str, Any]]:
    inner, metas = _unwrapped(annotation)
    bounds = _bounds(metas)
    if get_origin(inner) is Literal:
        codes = get_args(inner)
        return ("radios" if len(codes) <= RADIOS_MAX else "select"), {"codes": codes}
    if inner is bool:
        return ("tick" if default in {False, None} and not _optional(annotation) else "yes_no"), {}
    if inner is str:
        return _text(metas, bounds), bounds
    if inner in SCALARS:
        return SCALARS[inner], bounds
    if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
        return "group", {"struct": inner}
    if get_origin(inner) is tuple:
        return _many(get_args(inner)[0], bounds)
    if get_origin(inner) is dict:
        key, value = get_args(inner)
        return f"by_{_kind(value, None)[0]}" if key is not str else "patch", bounds
    raise TypeError(f"A form has no control for {annotation}")


def _text(metas: list[Meta], bounds: dict[str, Any]) -> str:
    if any(meta.pattern and CLOCK in meta.pattern for meta in metas):
        return "clock"
    return "area" if (bounds.get("most") or 0) > SHORT else "text"


def _many(item: Any, bounds: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    kind, more = _kind(item, None)
    if kind == "group":
        return "rows", {**bounds, **more}
    if kind in {"radios", "select"}:
        return "ticks", {**bounds, **more}
    return ("answers" if kind == "whole" and _optional(item) else "numbers" if kind == "whole" else "lines"), bounds


def _unwrapped(annotation: Any) -> tuple[Any, list[Meta]]:
    """The type without None and without its Metas, and those Metas."""
    metas: list[Meta] = []
    while True:
        if get_origin(annotation) is Annotated:
            metas += [each for each in annotation.__metadata__ if isinstance(each, Meta)]
            annotation = annotation.__origin__
        elif get_origin(annotation) in {Union, types.UnionType}:
            annotation = next(each for each in get_args(annotation) if each is not type(None))
        else:
            return annotation, metas


def _optional(annotation: Any) -> bool:
    while get_origin(annotation) is Annotated:
        annotation = annotation.__origin__
    return type(None) in get_args(annotation)


def _bounds(metas: list[Meta]) -> dict[str, Any]:
    def said(*names: str) -> Any:
        return next((value for meta in metas for name in names if (value := getattr(meta, name)) is not None), None)

    return {"least": said("ge", "min_length"), "most": said("le", "max_length")}


def every_shape(struct: type[msgspec.Struct]) -> Iterator[tuple[type[msgspec.Struct], FieldShape]]:
    """Every field of a payload and of what it holds, with the Struct that has it."""
    for shape in shapes(struct):
        yield struct, shape
        if shape.struct:
            yield from every_shape(shape.struct)
