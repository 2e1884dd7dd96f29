"""Faults of a value, in words: all of them at once, each with its place.

Bodies, protocol files and notices share these words. A body may be about a client, so no message repeats a value of it.
"""

import datetime as dt
import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import Any, TypeVar

import jsonschema
import msgspec

from ipt_workflow.errors import CommandInvalid, Fault
from ipt_workflow.values import identities
from ipt_workflow.values.identities import identity_fault
from ipt_workflow.values.types import NO_NEWLINE, Moment

FAULTS_MAX = 50
ID = re.compile("[0-9a-f-]{36}")
YEARS = range(1900, 2200)  # a clinic's dates lie within, and arithmetic on them cannot overflow
TIMELESS = frozenset({str, int, float, bool, type(None)})  # nearly all values of a body
Decoded = TypeVar("Decoded", bound=msgspec.Struct)
IN_YEARS = f"must lie in the years {YEARS[0]} to {YEARS[-1]}"


class Wording(msgspec.Struct, frozen=True):
    """How faults speak about one kind of document. `types`: its names for the types of JSON that it calls otherwise.

    `ours`: this clinic writes the document. Its keys may then be repeated, and the nearest known name is suggested.
    """

    types: Mapping[str, str]
    ours: bool

    def type(self, name: str) -> str:
        return self.types.get(name, f"a {name}")


BODY = Wording({"object": "an object", "array": "an array", "integer": "a whole number"}, ours=False)
FILE = Wording({"object": "a table", "array": "a list", "integer": "a whole number", "string": "a text"}, ours=True)


def decode(struct: type[Decoded], data: dict[str, Any]) -> tuple[Decoded | None, list[Fault]]:
    """The payload, or None with every fault of its data."""
    try:
        decoded = msgspec.convert(data, struct, strict=True)
    except msgspec.ValidationError as error:
        return None, schema_faults(struct, data, "data", str(error))
    faults = list(time_faults(decoded, "data"))
    if not identities.sound(decoded):
        faults += schema_faults(struct, data, "data", "")
    return (None if faults else decoded), faults


def shaped(struct: type[Decoded], value: Any, where: str = "") -> Decoded:
    """The value as a Struct. Raises CommandInvalid with every fault."""
    try:
        decoded = msgspec.convert(value, struct)
    except msgspec.ValidationError as error:
        raise CommandInvalid(schema_faults(struct, value, where, str(error))) from None
    if not identities.sound(decoded):
        raise CommandInvalid(schema_faults(struct, value, where, ""))
    return decoded


def time_faults(value: Any, where: str) -> Iterator[Fault]:
    """Faults for dates and times outside YEARS."""
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
    """Every fault of a body, by the Struct's JSON schema; `first`, the decoder's own message, where the schema finds none."""
    return value_faults(_validator(struct), value, where) or [Fault(where, _decoder_words(first))]


def value_faults(validator: jsonschema.Draft202012Validator, value: Any, where: str) -> list[Fault]:
    """Every fault of a body, by a JSON schema."""
    errors = sorted(validator.iter_errors(value), key=lambda error: list(map(str, error.absolute_path)))
    return list(dict.fromkeys(fault for error in errors for fault in error_faults(error, where, BODY)))


def schema_errors(struct: type[msgspec.Struct], value: Any) -> list[jsonschema.ValidationError]:
    """The errors of jsonschema for a value, by the Struct's JSON schema. None where the decoder accepts it: decoding is faster."""
    try:
        msgspec.convert(value, struct)
    except msgspec.ValidationError:
        return list(_validator(struct).iter_errors(value))
    return []


def validator_of(schema: dict[str, Any]) -> jsonschema.Draft202012Validator:
    """A validator that accepts the same dates and times as the decoder."""
    return jsonschema.Draft202012Validator(schema, format_checker=_formats)


@cache
def _validator(struct: type[msgspec.Struct]) -> jsonschema.Draft202012Validator:
    return validator_of(msgspec.json.schema(struct))


_formats = jsonschema.FormatChecker(formats=())


def _holds(kind: Any) -> Callable[[object], bool]:
    """A check that raises ValidationError for a text that the decoder does not read as this kind."""

    def holds(value: object) -> bool:
        if isinstance(value, str):
            msgspec.convert(value, kind)
        return True

    return holds


_formats.checks(identities.FORMAT)(lambda value: not isinstance(value, str) or identity_fault(value) is None)
_formats.checks("date", raises=msgspec.ValidationError)(_holds(dt.date))
_formats.checks("date-time", raises=msgspec.ValidationError)(_holds(Moment))


def error_faults(error: Any, where: str, wording: Wording) -> list[Fault]:
    """One error of jsonschema (its fields have no useful types) in words."""
    path = path_of(_place(error, wording), where)
    if error.validator == "required":
        return [Fault(path_of([error.message.split("'")[1]], path), "is required")]
    if error.validator == "additionalProperties":
        known = sorted(properties(error))
        unknown = sorted(set(error.instance) - set(known))
        words = "is not known; known are " + (", ".join(known) or "no fields")
        return [Fault(path_of([name[:64]], path), unknown_name(name, known) if wording.ours else words) for name in unknown]
    if error.validator == "anyOf":
        branches = [each for each in error.context if each.validator_value != "null"]
        inner = [each for each in branches if each.validator != "type" or each.relative_path]
        if inner:
            return [fault for each in inner for fault in error_faults(each, where, wording)]
        return [Fault(path, "must be " + " or ".join(wording.type(each.validator_value) for each in branches))]
    return [Fault(path, _identity_words(error) or _requirement(error.validator, error.validator_value, wording))]


def _identity_words(error: Any) -> str | None:
    """What keeps a text from being an identity: more than its pattern and its format say."""
    if error.validator in {"pattern", "format"} and error.schema.get("format") == identities.FORMAT:
        return identity_fault(error.instance)
    return None


def properties(error: Any) -> Mapping[str, Any]:
    """The fields that the failed part of a schema knows."""
    known: Mapping[str, Any] = error.schema.get("properties", {}) if isinstance(error.schema, dict) else {}
    return known


def unknown_name(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return "is not known; " + (f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(known))}")


def path_of(parts: Iterable[str | int], where: str = "") -> str:
    """`phases[0].sessions_min`, below `where`."""
    return (where + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)).removeprefix(".")


def _place(error: Any, wording: Wording) -> list[str | int]:
    """The path to an error. A sender may name a key after a client: of such keys only ids are repeated."""
    parts: list[str | int] = []
    keys, schema = iter(error.absolute_path), iter(error.absolute_schema_path)
    for word in schema:
        if word in {"properties", "prefixItems"}:
            next(schema)
            parts.append(next(keys))
        elif word == "items":
            parts.append(next(keys))
        elif word == "additionalProperties":
            parts += [key if wording.ours or ID.fullmatch(key) else "*" for key in (next(keys, None),) if key is not None]
    return parts


FORMATS = {
    "date": "must be a date such as 2026-03-01",
    "date-time": "must be an RFC 3339 time with an offset, such as 2026-03-01T09:00:00Z",
}


def _requirement(validator: str, value: Any, wording: Wording) -> str:
    words = {
        "type": f"must be {wording.type(str(value))}",
        "enum": f"must be one of {', '.join(map(str, value)) if isinstance(value, list) else value}",
        "const": f"must be {value}",
        "pattern": f"must match {str(value).removesuffix(NO_NEWLINE)}",
        "minLength": "must not be empty" if value == 1 else f"must have at least {value} characters",
        "maxLength": f"must have at most {value} characters",
        "minItems": f"must have at least {value} item{'s' * (value != 1)}",
        "maxItems": f"must have at most {value} item{'s' * (value != 1)}",
        "minimum": f"must be at least {value}",
        "maximum": f"must be at most {value}",
        "format": FORMATS.get(str(value), f"must be a {value}"),
    }
    return words.get(validator, f"does not meet {validator} {value}")


def _decoder_words(message: str) -> str:
    """The decoder's own message; it names types and places, never values."""
    return message.replace("Object", "The data").replace("`", "'")
