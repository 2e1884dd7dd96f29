"""What is wrong with a value, in words: every fault at once, each with its place."""

import datetime as dt
import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, TypeVar

import jsonschema
import msgspec

from ipt_workflow.errors import Fault
from ipt_workflow.values.types import Moment

FAULTS_MAX = 50
ID = re.compile("[0-9a-f-]{36}")
YEARS = range(1900, 2200)  # within which a clinic's dates lie, and within which no arithmetic on them can overflow
TIMELESS = frozenset({str, int, float, bool, type(None)})  # nearly everything that is told
Decoded = TypeVar("Decoded", bound=msgspec.Struct)
IN_YEARS = f"must lie in the years {YEARS[0]} to {YEARS[-1]}"


def decode(struct: type[Decoded], data: dict[str, Any]) -> tuple[Decoded | None, list[Fault]]:
    """A payload, or everything that is wrong with its data."""
    try:
        decoded = msgspec.convert(data, struct, strict=True)
    except msgspec.ValidationError as error:
        return None, schema_faults(struct, data, "data", str(error))
    faults = list(time_faults(decoded, "data"))
    return (None if faults else decoded), faults


def time_faults(value: Any, where: str) -> Iterator[Fault]:
    """Dates and times that lie where no clinic's do."""
    if isinstance(value, dt.date):
        if value.year not in YEARS:
            yield Fault(where, IN_YEARS)
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            if type(each := getattr(value, name)) not in TIMELESS:
                yield from time_faults(each, f"{where}.{name}")
    elif isinstance(value, tuple):
        for index, each in enumerate(value):
            if type(each) not in TIMELESS:
                yield from time_faults(each, f"{where}[{index}]")


def schema_faults(struct: type[msgspec.Struct], value: Any, where: str, first: str) -> list[Fault]:
    """Every fault in a value, by the Struct's JSON schema; `first` is what the decoder said, for what no schema can say."""
    return value_faults(_validator(struct), value, where) or [Fault(where, _decoder_words(first))]


def value_faults(validator: jsonschema.Draft202012Validator, value: Any, where: str) -> list[Fault]:
    """Every fault in a value, by a JSON schema."""
    errors = sorted(validator.iter_errors(value), key=lambda error: list(map(str, error.absolute_path)))
    return [fault for error in errors for fault in _faults(error, where)]


def validator_of(schema: dict[str, Any]) -> jsonschema.Draft202012Validator:
    """What judges values by a schema, dates and times as the decoder does."""
    return jsonschema.Draft202012Validator(schema, format_checker=_formats)


@cache
def _validator(struct: type[msgspec.Struct]) -> jsonschema.Draft202012Validator:
    return validator_of(msgspec.json.schema(struct))


_formats = jsonschema.FormatChecker(formats=())


def _holds(kind: Any) -> Callable[[object], bool]:
    """Whether a text is what the decoder takes for this kind."""

    def holds(value: object) -> bool:
        if isinstance(value, str):
            msgspec.convert(value, kind)
        return True

    return holds


_formats.checks("date", raises=msgspec.ValidationError)(_holds(dt.date))
_formats.checks("date-time", raises=msgspec.ValidationError)(_holds(Moment))


def _faults(error: Any, where: str) -> list[Fault]:
    """One error of jsonschema (whose fields have no types worth checking) in words. Values never appear in them: they may be about a client."""
    path = _path(where, _place(error))
    schema = error.schema if isinstance(error.schema, dict) else {}
    if error.validator == "required":
        return [Fault(_path(path, [error.message.split("'")[1]]), "is required")]
    if error.validator == "additionalProperties":
        known = sorted(schema.get("properties", {}))
        unknown = sorted(set(error.instance) - set(known))
        return [
            Fault(_path(path, [name[:64]]), f"is not known here; known are {', '.join(known) or 'no fields'}") for name in unknown
        ]
    if error.validator == "anyOf" and error.context:
        branches = [sub for sub in error.context if sub.validator != "type" or sub.validator_value != "null"]
        return _faults(branches[0], where) if branches else [Fault(path, "has the wrong type")]
    return [Fault(path, _requirement(error.validator, error.validator_value))]


def _place(error: Any) -> list[str | int]:
    """Where an error is. Of keys that the sender chose only ids are repeated, since any other may be about a client."""
    parts: list[str | int] = []
    keys, schema = iter(error.absolute_path), iter(error.absolute_schema_path)
    for word in schema:
        if word in {"properties", "prefixItems"}:
            next(schema)
            parts.append(next(keys))
        elif word == "items":
            parts.append(next(keys))
        elif word == "additionalProperties":
            parts += [key if ID.fullmatch(key) else "*" for key in (next(keys, None),) if key is not None]
    return parts


def _path(where: str, parts: list[str | int]) -> str:
    return (where + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)).lstrip(".")


FORMATS = {
    "date": "must be a date such as 2026-03-01",
    "date-time": "must be an RFC 3339 time with an offset, such as 2026-03-01T09:00:00Z",
}


def _requirement(validator: str, value: Any) -> str:
    words = {
        "type": f"must be of type {value}",
        "enum": f"must be one of {', '.join(map(str, value)) if isinstance(value, list) else value}",
        "const": f"must be {value}",
        "pattern": f"must match {value}",
        "minLength": f"must have at least {value} character(s)",
        "maxLength": f"must have at most {value} characters",
        "minItems": f"must have at least {value} item(s)",
        "maxItems": f"must have at most {value} items",
        "minimum": f"must be at least {value}",
        "maximum": f"must be at most {value}",
        "format": FORMATS.get(str(value), f"must be a {value}"),
    }
    return words.get(validator, f"breaks {validator}: {value}")


def _decoder_words(message: str) -> str:
    """The decoder's own message; it names types and places, never values."""
    return message.replace("Object", "The data").replace("`", "'")
