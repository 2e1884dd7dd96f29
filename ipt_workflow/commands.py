"""From a command as it came to one that can be judged: decoded, checked, placed in time. Every fault is reported at once."""

import datetime as dt
import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, TypeVar

import jsonschema
import msgspec

from ipt_workflow import measures, rhythm, triggers
from ipt_workflow.errors import CommandInvalid, Fault, TriggerNotPermitted
from ipt_workflow.payloads import (
    Amend,
    Moment,
    Payload,
    RecordMeasure,
    RecordRhythm,
    RecordSession,
    RelinkClient,
    SetRhythmTarget,
)
from ipt_workflow.protocol import Protocol
from ipt_workflow.rules import REGISTRY, Context
from ipt_workflow.structure import structural
from ipt_workflow.triggers import Command, Override, Trigger

FAULTS_MAX = 50
ID = re.compile("[0-9a-f-]{36}")
YEARS = range(1900, 2200)  # within which a clinic's dates lie, and within which no arithmetic on them can overflow
TIMELESS = frozenset({str, int, float, bool, type(None)})  # nearly everything that is told
Decoded = TypeVar("Decoded", bound=msgspec.Struct)
IN_YEARS = f"must lie in the years {YEARS[0]} to {YEARS[-1]}"


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """A command ready to be judged. `given` is the data as the entry keeps it; `data` its structural form."""

    name: str
    row: Trigger
    payload: Payload
    given: dict[str, Any]
    data: dict[str, Any]
    at: dt.datetime
    reason: str | None
    override: Override | None


def prepare(protocol: Protocol, command: Command, context: Context) -> Prepared:
    """Decodes a command under a protocol.

    Raises CommandInvalid with every fault, or TriggerNotPermitted where the actor's role may never fire the trigger.
    """
    row = triggers.find(command.trigger, protocol)
    if row is None:
        known = ", ".join(triggers.names(protocol))
        raise CommandInvalid([Fault("trigger", f"is none that {protocol.key} has; it has {known}")])
    if context.actor.role not in row.roles:
        raise TriggerNotPermitted(command.trigger, context.actor.role, row.roles)
    payload, faults = decode(row.payload, command.data)
    faults += _envelope_faults(row, command)
    at, late_faults = _moment(command, payload, context)
    faults += late_faults
    if payload is not None:
        faults += _payload_faults(protocol, payload, command)
    if faults or payload is None:
        raise CommandInvalid(faults[:FAULTS_MAX])
    return Prepared(
        name=command.trigger,
        row=row,
        payload=payload,
        given=_given(payload),
        data=structural(payload),
        at=at,
        reason=command.reason,
        override=command.override,
    )


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


def _envelope_faults(row: Trigger, command: Command) -> list[Fault]:
    faults = []
    if row.reason_required and command.reason is None:
        faults.append(Fault("reason", f"is required for {command.trigger}"))
    named = command.override.rules if command.override else ()
    unknown = [index for index, name in enumerate(named) if name not in REGISTRY]
    return [*faults, *(Fault(f"override.rules[{index}]", "is no rule; rules are listed in docs/rules.md") for index in unknown)]


def _payload_faults(protocol: Protocol, payload: Payload, command: Command) -> list[Fault]:
    """What no schema of one field can say."""
    if isinstance(payload, RecordSession) and payload.kind == "additional" and command.reason is None:
        return [Fault("reason", "is required for an additional session")]
    if isinstance(payload, RecordMeasure):
        return _measure_faults(protocol, payload, command)
    if isinstance(payload, RecordRhythm):
        return _rhythm_faults(payload)
    if isinstance(payload, SetRhythmTarget):
        return _target_faults(payload)
    if isinstance(payload, Amend):
        return _amend_faults(payload)
    return []


def _measure_faults(protocol: Protocol, payload: RecordMeasure, command: Command) -> list[Fault]:
    told = [payload.items is not None, payload.total is not None, payload.not_obtained]
    faults = []
    if sum(told) != 1:
        faults.append(Fault("data", "must have exactly one of items, total and not_obtained"))
    if payload.not_obtained and command.reason is None:
        faults.append(Fault("reason", "is required where a measure could not be obtained"))
    key = instrument_key(protocol, payload.instrument)
    if key is None:
        faults.append(Fault("data.instrument", f"is not known; known are {', '.join(sorted(protocol.instruments))}"))
    elif payload.items is not None or payload.total is not None:
        instrument = protocol.instruments[key]
        faults += measures.faults_in(instrument, payload.items if payload.items is not None else payload.total)
    return faults


def _rhythm_faults(payload: RecordRhythm) -> list[Fault]:
    known, week = rhythm.ACTIVITIES[payload.instrument], [payload.week_of + dt.timedelta(days=day) for day in range(7)]
    days = [day.on for day in payload.days]
    faults = [
        Fault(f"data.days[{index}].on", f"must be a day of the week from {week[0]} to {week[-1]}, each once")
        for index, on in enumerate(days)
        if on not in week or on in days[:index]
    ]
    return faults + [
        Fault(f"data.days[{index}].times", f"has activities that {payload.instrument} does not know; known are {', '.join(known)}")
        for index, day in enumerate(payload.days)
        if not set(day.times) <= set(known)
    ]


def _target_faults(payload: SetRhythmTarget) -> list[Fault]:
    known = rhythm.ACTIVITIES["srm17"]
    named = [target.activity for target in payload.targets]
    return [
        Fault(f"data.targets[{index}].activity", f"must be one of {', '.join(known)}, each once")
        for index, activity in enumerate(named)
        if activity not in known or activity in named[:index]
    ]


def instrument_key(protocol: Protocol, name: str) -> str | None:
    """`phq9` and `phq9@1` alike: the version the protocol pins, else the newest known."""
    if name in protocol.instruments:
        return name
    pinned = [key for spec in protocol.measures for key in spec.instruments if key.partition("@")[0] == name]
    known = sorted((i.version, key) for key, i in protocol.instruments.items() if i.id == name)
    return pinned[0] if pinned else known[-1][1] if known else None


def _amend_faults(payload: Amend) -> list[Fault]:
    corrects = payload.data is not None or payload.occurred_at is not None
    if payload.void == corrects:
        return [Fault("data", "must have either void: true, or data or occurred_at")]
    return []


def _moment(command: Command, payload: Payload | None, context: Context) -> tuple[dt.datetime, list[Fault]]:
    """When it happened: now, unless told. A little ahead is a clock that runs fast, and taken as now."""
    if command.occurred_at is None:
        return context.now, []
    if command.occurred_at.year not in YEARS:
        return context.now, [Fault("occurred_at", IN_YEARS)]
    at = command.occurred_at.astimezone(dt.UTC)
    if at <= context.now or (payload is not None and triggers.may_lie_ahead(command.trigger, structural(payload))):
        return at, []
    if at - context.now <= dt.timedelta(seconds=context.ahead_seconds):
        return context.now, []
    return at, [Fault("occurred_at", f"lies more than {context.ahead_seconds} s ahead; only bookings and cancellations may")]


def _given(payload: Payload) -> dict[str, Any]:
    given: dict[str, Any] = msgspec.to_builtins(payload)
    if isinstance(payload, RelinkClient):
        del given["client_ref"]
    return given
