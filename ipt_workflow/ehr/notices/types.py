"""The table of notice types, `config/notices.toml`: loading it strictly, its schemas, and reading a notice by it."""

import datetime as dt
import tomllib
from functools import cache
from pathlib import Path
from typing import Any, Literal

import msgspec

from ipt_workflow.course import triggers
from ipt_workflow.course.payloads import Payload
from ipt_workflow.ehr.notices.content import About, NoticeContent, Version
from ipt_workflow.errors import CommandInvalid, CommandMalformed, Fault, ProtocolInvalid
from ipt_workflow.protocols.checks import evidence_faults
from ipt_workflow.protocols.instruments import Evidence, Instrument
from ipt_workflow.values.faults import decode, schema_faults, time_faults, validator_of, value_faults
from ipt_workflow.values.types import ClientRef, Code, ExternalRef, Moment, Person, Seq, Text

FILE = "notices.toml"
UNREADABLE = "unreadable"  # the type of a notice whose own type cannot be made out


class NoticeEnvelope(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a field of a notice may go beside the trigger's data. `ref` names what the notice tells of."""

    client_ref: ClientRef | None = None
    course: Code | None = None
    ref: ExternalRef | None = None
    occurred_at: Moment | None = None
    until: Moment | None = None
    reason: Text | None = None
    person: Person | None = None
    therapist: Person | None = None
    protocol: Code | None = None
    protocol_version: Seq | None = None


class Field(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: Code
    to: tuple[str, ...] = ()
    required: bool = False
    values: tuple[str, ...] = ()
    default: str | int | bool | None = None


class NoticeType(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One row of the table."""

    type: Code
    does: str
    about: About
    trigger: str
    handling: Literal["apply", "wait"]
    resource: str | None = None
    fields: tuple[Field, ...]
    example: dict[str, Any]


class InstrumentCodes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a scale is called in FHIR resources: its panel, its total, its items in their order, and its answers with what they score."""

    instrument: str
    panels: tuple[str, ...]
    totals: tuple[str, ...]
    items: tuple[str, ...]
    answers: dict[str, int]


class FhirCodes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    codes: tuple[str, ...]
    media: dict[str, Literal["face_to_face", "video", "telephone", "text"]]
    cancelled: dict[str, Literal["2", "4"]]
    measure_days_before: int
    instruments: tuple[InstrumentCodes, ...]


class NoticesFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    types: tuple[NoticeType, ...]
    fhir: FhirCodes
    evidence: tuple[Evidence, ...]


class NoticeTypes:
    """The table as it is used. `instruments` are those of the service, by `id@version`."""

    def __init__(self, file: NoticesFile) -> None:
        self.fhir = file.fhir
        self.by_name = {row.type: row for row in file.types}
        self.schemas = {row.type: schema(row) for row in file.types}
        self._validators = {name: validator_of(each) for name, each in self.schemas.items()}

    def read(self, raw: bytes) -> NoticeContent:
        """A notice as it came. Raises CommandMalformed where it is no JSON object, CommandInvalid with every fault."""
        try:
            value = msgspec.json.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise CommandMalformed(f"The body is not JSON: {error}.") from None
        if not isinstance(value, dict):
            raise CommandMalformed("The body must be a JSON object.")
        row = self.by_name.get(value["type"]) if isinstance(value.get("type"), str) else None
        if row is None:
            raise CommandInvalid([Fault("type", f"must be one of {', '.join(self.by_name)}")])
        faults = value_faults(self._validators[row.type], value, "")
        if faults:
            raise CommandInvalid(faults)
        return tell(row, value["data"], msgspec.convert(value["timestamp"], Moment))


def tell(row: NoticeType, data: dict[str, Any], timestamp: dt.datetime) -> NoticeContent:
    """What a notice's data comes to. Raises CommandInvalid where the trigger's payload is not one."""
    beside: dict[str, Any] = {}
    payload: dict[str, Any] = {}
    for field in row.fields:
        value = data.get(field.name, field.default)
        if value is None:
            continue
        for target in field.to:
            place, name = (payload, target[5:]) if target.startswith("data.") else (beside, target)
            place[name] = value
    envelope = msgspec.convert(beside, NoticeEnvelope)
    faults = [*time_faults(timestamp, "timestamp"), *(_as_told(row, fault) for fault in time_faults(envelope, ""))]
    if row.handling == "apply":
        faults += [_as_told(row, fault) for fault in decode(triggers.BY_NAME[row.trigger].payload, payload)[1]]
    if faults:
        raise CommandInvalid(faults)
    ref = payload.get("ref") or envelope.ref
    return NoticeContent(
        type=row.type,
        about=row.about,
        client_ref=envelope.client_ref,
        course=envelope.course,
        trigger=row.trigger,
        data=payload,
        occurred_at=envelope.occurred_at,
        until=envelope.until,
        reason=envelope.reason,
        person=envelope.person,
        therapist=envelope.therapist,
        protocol=envelope.protocol or "ipt",
        protocol_version=envelope.protocol_version,
        resource=f"{row.resource} {ref}" if row.resource and ref else None,
        refs=(ref,) if ref else (),
        version=Version(at=timestamp),
        waits=f"A person decides: {row.does}" if row.handling == "wait" else None,
    )


def _as_told(row: NoticeType, fault: Fault) -> Fault:
    """A fault of the trigger's data, where the notice has it."""
    names = {target: field.name for field in row.fields for target in field.to}
    where = fault.where.lstrip(".")
    head = next((target for target in names if where == target or where.startswith((f"{target}.", f"{target}["))), None)
    return Fault(f"data.{names[head]}{where[len(head) :]}", fault.message) if head else fault


def schema(row: NoticeType) -> dict[str, Any]:
    """The JSON schema of a type's notices, with its example."""
    known = {**_properties(triggers.BY_NAME[row.trigger].payload, "data."), **_properties(NoticeEnvelope, "")}
    return {
        "type": "object",
        "title": row.type,
        "description": row.does,
        "properties": {
            "type": {"const": row.type},
            "timestamp": {
                "type": "string",
                "format": "date-time",
                "description": "When it happened in the EHR: the later one counts.",
            },
            "data": {
                "type": "object",
                "properties": {field.name: _property(field, known) for field in row.fields},
                "required": [field.name for field in row.fields if field.required],
                "additionalProperties": False,
            },
        },
        "required": ["type", "timestamp", "data"],
        "examples": [example(row)],
    }


def example(row: NoticeType) -> dict[str, Any]:
    return {"type": row.type, "timestamp": "2026-04-12T09:00:00+02:00", "data": row.example}


@cache
def _properties(struct: type[msgspec.Struct], before: str) -> dict[str, dict[str, Any]]:
    """The schema of each field, by where a notice's field would go to it; null is left out, since it need not be told."""
    told = msgspec.json.schema(struct)["$defs"][struct.__name__]["properties"]
    return {before + name: _given(each) for name, each in told.items()}


def _given(told: dict[str, Any]) -> dict[str, Any]:
    branches = [each for each in told.get("anyOf", ()) if each != {"type": "null"}]
    rest = {name: value for name, value in told.items() if name not in {"anyOf", "default"}}
    return {**rest, **branches[0]} if len(branches) == 1 else told


def _property(field: Field, known: dict[str, dict[str, Any]]) -> dict[str, Any]:
    if not field.to:
        return {"type": "string", "maxLength": 200}
    narrowed = {"enum": list(field.values)} if field.values else {}
    default = {} if field.default is None else {"default": field.default}
    return {**known[field.to[0]], **narrowed, **default}


# Loading


def load(path: Path, instruments: dict[str, Instrument]) -> NoticeTypes:
    """Raises ProtocolInvalid with every fault of the file."""
    try:
        source = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ProtocolInvalid([Fault(FILE, f"cannot be read as TOML: {error}")]) from None
    try:
        file = msgspec.convert(source, NoticesFile)
    except msgspec.ValidationError as error:
        faults = schema_faults(NoticesFile, source, "", str(error))
    else:
        faults = [*_table_faults(file), *_fhir_faults(file.fhir, instruments)]
        faults += evidence_faults({"fhir": source["fhir"], "evidence": source["evidence"]})
    if faults:
        raise ProtocolInvalid([Fault(f"{FILE}: {fault.where}", fault.message) for fault in faults])
    return NoticeTypes(file)


def _table_faults(file: NoticesFile) -> list[Fault]:
    faults = []
    names = [row.type for row in file.types]
    for index, row in enumerate(file.types):
        where = f"types[{index}]"
        if row.type in names[:index]:
            faults.append(Fault(f"{where}.type", f"{row.type} stands in the table twice"))
        trigger = triggers.BY_NAME.get(row.trigger)
        if trigger is None or trigger is triggers.PATTERN:
            faults.append(Fault(f"{where}.trigger", f"must be one of {', '.join(triggers.BY_NAME)}"))
        elif row.handling == "apply" and "ehr" not in trigger.roles:
            faults.append(Fault(f"{where}.trigger", f"{row.trigger} is not an EHR's to fire: its handling must be wait"))
        else:
            faults += _row_faults(row, trigger.payload, where) or _example_faults(row, where)
    return faults


def _row_faults(row: NoticeType, payload: type[Payload], where: str) -> list[Fault]:
    """What is wrong with where the fields go, and with what they may hold."""
    known = {**_properties(payload, "data."), **_properties(NoticeEnvelope, "")}
    faults = []
    for index, field in enumerate(row.fields):
        here = f"{where}.fields[{index}]"
        if field.name in [each.name for each in row.fields[:index]]:
            faults.append(Fault(f"{here}.name", f"{field.name} stands there twice"))
        unknown = [target for target in field.to if target not in known]
        faults += [Fault(f"{here}.to", f"{target} is no place; places are {', '.join(known)}") for target in unknown]
        if unknown or not field.to:
            continue
        allowed = known[field.to[0]].get("enum")
        faults += [
            Fault(f"{here}.values", f"{each} is none of {field.to[0]}") for each in field.values if allowed and each not in allowed
        ]
        if field.default is not None and value_faults(validator_of(_property(field, known)), field.default, ""):
            faults.append(Fault(f"{here}.default", f"is no value of {field.to[0]}"))
    covered = {target for field in row.fields if field.required or field.default is not None for target in field.to}
    needed = [f"data.{name}" for name in msgspec.json.schema(payload)["$defs"][payload.__name__].get("required", ())]
    missing = [name for name in needed if name not in covered] if row.handling == "apply" else []
    faults += [Fault(f"{where}.fields", f"need a required field, or one with a default, that goes to {name}") for name in missing]
    if "client_ref" not in covered:
        faults.append(Fault(f"{where}.fields", "need a required field that goes to client_ref"))
    return faults


def _example_faults(row: NoticeType, where: str) -> list[Fault]:
    told = example(row)
    faults = value_faults(validator_of(schema(row)), told, "")
    if not faults:
        try:
            tell(row, row.example, msgspec.convert(told["timestamp"], Moment))
        except CommandInvalid as error:
            faults = list(error.faults)
    return [Fault(f"{where}.example", f"{fault.where} {fault.message}") for fault in faults]


def _fhir_faults(codes: FhirCodes, instruments: dict[str, Instrument]) -> list[Fault]:
    faults = []
    for index, row in enumerate(codes.instruments):
        where = f"fhir.instruments[{index}]"
        instrument = instruments.get(row.instrument)
        if instrument is None:
            faults.append(Fault(f"{where}.instrument", f"must be one of {', '.join(instruments)}"))
            continue
        if len(row.items) != instrument.items:
            faults.append(
                Fault(f"{where}.items", f"must be the {instrument.items} items of {row.instrument}, not {len(row.items)}")
            )
        wrong = [code for code, score in row.answers.items() if not instrument.item_min <= score <= instrument.item_max]
        faults += [Fault(f"{where}.answers", f"{code} scores what no answer of {row.instrument} does") for code in wrong]
    every = [code for row in codes.instruments for code in (*row.panels, *row.totals, *row.items)]
    twice = sorted({code for code in every if every.count(code) > 1})
    faults += [Fault("fhir.instruments", f"{code} means two things") for code in twice]
    return faults
