"""The table of notice types, `config/notices.toml`: loads it strictly, makes its schemas, and reads notices by it."""

import datetime as dt
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import UNSET, Meta, UnsetType

from ipt_workflow.course import triggers
from ipt_workflow.course.payloads import Payload
from ipt_workflow.ehr.notices.content import About, NoticeContent, Version
from ipt_workflow.errors import CommandInvalid, CommandMalformed, Fault, ProtocolInvalid
from ipt_workflow.protocols.checks import evidence_faults
from ipt_workflow.protocols.instruments import Evidence, Instrument
from ipt_workflow.runtime.documents import toml_table
from ipt_workflow.values import identities
from ipt_workflow.values.faults import decode, schema_faults, time_faults, validator_of, value_faults
from ipt_workflow.values.types import ClientRef, Code, ExternalRef, Medium, Moment, Person, Seq, Text

FILE = "notices.toml"
UNREADABLE = "unreadable"  # the type of a notice that cannot be read


class NoticeEnvelope(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Targets for a notice's fields, besides the trigger's data. `ref` names the thing that the notice is about."""

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
    """The codes of a scale in FHIR resources: its panels, its totals, its items in order, and its answers with their scores."""

    instrument: str
    panels: tuple[str, ...]
    totals: tuple[str, ...]
    items: tuple[str, ...]
    answers: dict[str, int]


class FhirCodes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    codes: tuple[str, ...]
    media: dict[str, Medium]
    other_classes: tuple[str, ...]
    cancelled: dict[str, Literal["2", "4"]]
    measure_days_before: int
    visit_days_before: int
    instruments: tuple[InstrumentCodes, ...]


class NoticesFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    types: tuple[NoticeType, ...]
    fhir: FhirCodes
    evidence: tuple[Evidence, ...]


class NoticeTypes:
    """The table of notice types, with the schema of each type."""

    def __init__(self, file: NoticesFile) -> None:
        self.fhir = file.fhir
        self.by_name = {row.type: row for row in file.types}
        self.schemas = {row.type: schema(row) for row in file.types}
        self._validators = {name: validator_of(each) for name, each in self.schemas.items()}
        self.shapes = {row.type: shape(row) for row in file.types}

    def read(self, raw: bytes) -> NoticeContent:
        """The content of a notice. Raises CommandMalformed if it is not a JSON object, CommandInvalid with every fault."""
        try:
            value = msgspec.json.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise CommandMalformed(f"The body is not JSON: {error}.") from None
        if not isinstance(value, dict):
            raise CommandMalformed("The body must be a JSON object.")
        row = self.by_name.get(value["type"]) if isinstance(value.get("type"), str) else None
        if row is None:
            raise CommandInvalid([Fault("type", f"must be one of {', '.join(self.by_name)}")])
        try:
            found = msgspec.convert(value, self.shapes[row.type])  # accepts what the schema accepts, in a tenth of the time
        except msgspec.ValidationError:
            found = None
        if found is None or not identities.sound(found):
            raise CommandInvalid(value_faults(self._validators[row.type], value, ""))
        return _content(row, value["data"], msgspec.convert(value["timestamp"], Moment))


def _content(row: NoticeType, data: dict[str, Any], timestamp: dt.datetime) -> NoticeContent:
    """The content of a notice from its data. Raises CommandInvalid if the trigger does not accept the data."""
    beside: dict[str, Any] = {}
    payload: dict[str, Any] = {}
    for field in row.fields:
        value = data.get(field.name, field.default)
        if value is None:
            continue
        for target in field.to:
            place, name = (payload, target.removeprefix("data.")) if target.startswith("data.") else (beside, target)
            place[name] = value
    envelope = msgspec.convert(beside, NoticeEnvelope)
    faults = [*time_faults(timestamp, "timestamp"), *(_fault_of_field(row, fault) for fault in time_faults(envelope, ""))]
    if row.handling == "apply":
        faults += [_fault_of_field(row, fault) for fault in decode(triggers.BY_NAME[row.trigger].payload, payload)[1]]
    if faults:
        raise CommandInvalid(faults)
    ref = payload.get("ref") or envelope.ref
    scale = str(payload.get("instrument", "")).partition("@")[0]
    return NoticeContent(
        type=row.type,
        about=row.about,
        part=f"scale {scale}" if row.about == "measure" and scale else "",
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
        needs_person=f"{row.does} Retry or correct the notice to fire {row.trigger} yourself, or dismiss it."
        if row.handling == "wait"
        else None,
    )


def _fault_of_field(row: NoticeType, fault: Fault) -> Fault:
    """A fault of the trigger's data, located at the field of the notice that it came from."""
    names = {target: field.name for field in row.fields for target in field.to}
    where = fault.where.lstrip(".")
    head = next((target for target in names if where == target or where.startswith((f"{target}.", f"{target}["))), None)
    return Fault(f"data.{names[head]}{where[len(head) :]}", fault.message) if head else fault


def shape(row: NoticeType) -> type[msgspec.Struct]:
    """The Struct of a type's notices. It accepts what the schema accepts; the schema says everything that is wrong."""
    known = {**_hints(triggers.BY_NAME[row.trigger].payload, "data."), **_hints(NoticeEnvelope, "")}
    fields: list[Any] = []
    for field in row.fields:
        kind = known[field.to[0]] if field.to else Annotated[str, Meta(max_length=200)]
        kind = Literal[field.values] if field.values else kind
        fields.append((field.name, kind) if field.required else (field.name, kind | UnsetType, UNSET))
    data = msgspec.defstruct(f"{row.type}.data", fields, kw_only=True, frozen=True, forbid_unknown_fields=True)
    whole = [("type", Literal[row.type]), ("timestamp", Moment), ("data", data)]
    return msgspec.defstruct(row.type, whole, kw_only=True, frozen=True)


@cache
def _hints(struct: type[msgspec.Struct], before: str) -> dict[str, Any]:
    """The type of each field without null, by its name as a target."""
    hints = get_type_hints(struct, include_extras=True)
    return {before + name: _not_null(hint) for name, hint in hints.items()}


def _not_null(hint: Any) -> Any:
    kinds = [each for each in get_args(hint) if each is not type(None)]
    return kinds[0] if get_origin(hint) in {Union, UnionType} and len(kinds) == 1 else hint


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
    """The schema of each field, by its name as a target. Null is not allowed: an optional field is left out instead."""
    properties = msgspec.json.schema(struct)["$defs"][struct.__name__]["properties"]
    return {before + name: _without_null(each) for name, each in properties.items()}


def _without_null(property_: dict[str, Any]) -> dict[str, Any]:
    branches = [each for each in property_.get("anyOf", ()) if each != {"type": "null"}]
    rest = {name: value for name, value in property_.items() if name not in {"anyOf", "default"}}
    return {**rest, **branches[0]} if len(branches) == 1 else property_


def _property(field: Field, known: dict[str, dict[str, Any]]) -> dict[str, Any]:
    if not field.to:
        return {"type": "string", "maxLength": 200}
    narrowed = {"enum": list(field.values)} if field.values else {}
    default = {} if field.default is None else {"default": field.default}
    return {**known[field.to[0]], **narrowed, **default}


# Loading


def load(path: Path, instruments: dict[str, Instrument]) -> NoticeTypes:
    """Loads the table. `instruments` are those of the service, by `id@version`. Raises ProtocolInvalid with every fault."""
    try:
        source = toml_table(path)
    except (ValueError, OSError) as error:
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
            faults.append(Fault(f"{where}.type", f"must be unique, but {row.type} occurs twice"))
        trigger = triggers.BY_NAME.get(row.trigger)
        if trigger is None or trigger is triggers.PATTERN:
            faults.append(Fault(f"{where}.trigger", f"must be one of {', '.join(triggers.BY_NAME)}"))
        elif row.handling == "apply" and "ehr" not in trigger.roles:
            faults.append(
                Fault(f"{where}.trigger", f"must be a trigger that the role ehr may fire; for {row.trigger}, set handling to wait")
            )
        else:
            faults += _row_faults(row, trigger.payload, where) or _example_faults(row, where)
    return faults


def _row_faults(row: NoticeType, payload: type[Payload], where: str) -> list[Fault]:
    """The faults of a row's fields: their targets, values and defaults."""
    known = {**_properties(payload, "data."), **_properties(NoticeEnvelope, "")}
    faults = []
    for index, field in enumerate(row.fields):
        here = f"{where}.fields[{index}]"
        if field.name in [each.name for each in row.fields[:index]]:
            faults.append(Fault(f"{here}.name", f"must be unique, but {field.name} occurs twice"))
        unknown = [target for target in field.to if target not in known]
        faults += [Fault(f"{here}.to", f"must be one of {', '.join(known)}, not {target}") for target in unknown]
        if unknown or not field.to:
            continue
        allowed = known[field.to[0]].get("enum")
        faults += [
            Fault(f"{here}.values", f"must be values of {field.to[0]}; {each} is not")
            for each in field.values
            if allowed and each not in allowed
        ]
        if field.default is not None and value_faults(validator_of(_property(field, known)), field.default, ""):
            faults.append(Fault(f"{here}.default", f"must be a value of {field.to[0]}"))
    covered = {target for field in row.fields if field.required or field.default is not None for target in field.to}
    needed = [f"data.{name}" for name in msgspec.json.schema(payload)["$defs"][payload.__name__].get("required", ())]
    missing = [name for name in needed if name not in covered] if row.handling == "apply" else []
    faults += [
        Fault(f"{where}.fields", f"must have a field with the target {name} that is required or has a default") for name in missing
    ]
    if "client_ref" not in covered:
        faults.append(Fault(f"{where}.fields", "must have a required field with the target client_ref"))
    return faults


def _example_faults(row: NoticeType, where: str) -> list[Fault]:
    notice = example(row)
    faults = value_faults(validator_of(schema(row)), notice, "")
    if not faults:
        try:
            _content(row, row.example, msgspec.convert(notice["timestamp"], Moment))
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
        faults += [
            Fault(f"{where}.answers", f"must score from {instrument.item_min} to {instrument.item_max}; {code} does not")
            for code in wrong
        ]
    every = [code for row in codes.instruments for code in (*row.panels, *row.totals, *row.items)]
    twice = sorted({code for code in every if every.count(code) > 1})
    faults += [Fault("fhir.instruments", f"must use each code once; {code} occurs twice") for code in twice]
    return faults
