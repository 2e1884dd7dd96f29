"""Prepares a command for the rules: decodes it, checks it, and determines when it happened. It reports every fault at once."""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ipt_workflow.course import triggers
from ipt_workflow.course.payloads import (
    Amend,
    AssessRisk,
    BookSeries,
    Consent,
    EndEarly,
    LinkSession,
    Payload,
    RecordMeasure,
    RecordRhythm,
    RecordSession,
    RelinkClient,
    SetRhythmTarget,
)
from ipt_workflow.course.rules import REGISTRY, Context
from ipt_workflow.course.structural import structural
from ipt_workflow.course.triggers import Command, Override, Trigger
from ipt_workflow.errors import CommandInvalid, Fault, TriggerNotPermitted
from ipt_workflow.protocols import instruments, rhythm
from ipt_workflow.protocols.definition import Protocol
from ipt_workflow.values.faults import (
    FAULTS_MAX,
    IN_YEARS,
    YEARS,
    decode,
    time_faults,
)
from ipt_workflow.values.types import AGREED, DECEASED

FOR_ADDITIONAL = "is required for an additional session"
FOR_NOT_OBTAINED = "is required for a measure that could not be obtained"


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """A command that the rules can judge. `given` is the data that the entry seals, `data` its structural form.

    `kept` is derived data that an entry from another course keeps.
    """

    name: str
    row: Trigger
    payload: Payload
    given: dict[str, Any]
    data: dict[str, Any]
    at: dt.datetime
    reason: str | None
    override: Override | None
    kept: dict[str, Any] = {}


def prepare(protocol: Protocol, command: Command, context: Context) -> Prepared:
    """Prepares a command under a protocol.

    Raises CommandInvalid with every fault, or TriggerNotPermitted if the actor's role may never fire the trigger.
    """
    row = triggers.find(command.trigger, protocol)
    if row is None:
        known = ", ".join(triggers.names(protocol))
        raise CommandInvalid([Fault("trigger", f"is not a trigger of {protocol.key}; use one of {known}")])
    if context.actor.role not in row.roles:
        raise TriggerNotPermitted(command.trigger, context.actor.role, row.roles)
    payload, faults = decode(row.payload, command.data)
    rules = command.override.rules if command.override else ()
    faults += envelope_faults(row, command.trigger, command.data if payload is None else {}, command.reason, rules)
    at, late_faults = _moment(command, payload, context)
    faults += late_faults
    if payload is not None:
        faults += payload_faults(protocol, payload, command.reason, context)
        if isinstance(payload, LinkSession) and payload.ref is None and context.group_session is None:
            faults.append(Fault("data.ref", "is required"))
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


def command_faults(command: Command) -> list[Fault]:
    """The faults of a command that no protocol is needed to see."""
    rules = command.override.rules if command.override else ()
    return faults_as_sent(command.trigger, command.data, command.reason, rules, command.occurred_at)


def faults_as_sent(
    name: str, data: dict[str, Any], reason: object, rules: Sequence[object], occurred_at: dt.datetime | None
) -> list[Fault]:
    """The same of a command whose parts were read one by one."""
    row = triggers.BY_NAME.get(name)
    if row is None:
        return []
    _, faults = decode(row.payload, data)
    faults += envelope_faults(row, name, data, reason, rules)
    return [*faults, *time_faults(occurred_at, "occurred_at")]


def envelope_faults(row: Trigger, name: str, data: Mapping[str, Any], reason: object, rules: Sequence[object]) -> list[Fault]:
    """Faults beside the data of a command. `data` is given as it was sent if it cannot be decoded: else `payload_faults` looks at it."""
    faults = []
    if row.reason_required and reason is None:
        faults.append(Fault("reason", f"is required for {name}"))
    elif reason is None and row.payload is RecordSession and data.get("kind") == "additional":
        faults.append(Fault("reason", FOR_ADDITIONAL))
    elif reason is None and row.payload is RecordMeasure and data.get("not_obtained"):
        faults.append(Fault("reason", FOR_NOT_OBTAINED))
    unknown = [index for index, name in enumerate(rules) if not isinstance(name, str) or name not in REGISTRY]
    return [*faults, *(Fault(f"override.rules[{index}]", "is not a rule; docs/rules.md lists all rules") for index in unknown)]


def payload_faults(protocol: Protocol, payload: Payload, reason: str | None, context: Context) -> list[Fault]:
    """Faults that the schema of a single field cannot express."""
    if isinstance(payload, RecordSession) and payload.kind == "additional" and reason is None:
        return [Fault("reason", FOR_ADDITIONAL)]
    if isinstance(payload, AssessRisk):
        return _risk_faults(payload, context)
    if isinstance(payload, Consent):
        return [Fault("data.purposes", "is only for the scope sharing")] if payload.purposes and payload.scope != "sharing" else []
    if isinstance(payload, EndEarly):
        return _ending_faults(payload)
    if isinstance(payload, BookSeries):
        return _series_faults(payload)
    if isinstance(payload, RecordMeasure):
        return _measure_faults(protocol, payload, reason)
    if isinstance(payload, RecordRhythm):
        return _rhythm_faults(payload)
    if isinstance(payload, SetRhythmTarget):
        return _target_faults(payload)
    if isinstance(payload, Amend):
        return _amend_faults(payload)
    return []


def _series_faults(payload: BookSeries) -> list[Fault]:
    refs = payload.refs
    faults = [] if len(refs) in {0, payload.times} else [Fault("data.refs", f"must name each of the {payload.times} sessions")]
    return faults + [Fault(f"data.refs[{n}]", "must be named once") for n, ref in enumerate(refs) if ref in refs[:n]]


def _risk_faults(payload: AssessRisk, context: Context) -> list[Fault]:
    """A person who assesses an acute risk says what is planned and who was told. An EHR is never refused: its risk is reviewed."""
    if payload.level != "acute" or context.actor.role == "ehr":
        return []
    missing = (name for name in ("plan", "told") if getattr(payload, name) is None)
    return [Fault(f"data.{name}", "is required for an acute risk") for name in missing]


def _ending_faults(payload: EndEarly) -> list[Fault]:
    """Nobody tries to reach a client who agreed to the ending, and nobody asks after the risk of one who died."""
    died = payload.end_code in DECEASED
    required = {
        "risk_status": payload.risk_status is None and not died,
        "attempts": payload.attempts is None and not died and payload.end_code != AGREED,
    }
    return [Fault(f"data.{name}", f"is required with end code {payload.end_code}") for name, lacks in required.items() if lacks]


def _measure_faults(protocol: Protocol, payload: RecordMeasure, reason: str | None) -> list[Fault]:
    faults = []
    if [payload.items is not None, payload.total is not None, payload.not_obtained].count(True) != 1:
        faults.append(Fault("data", "must have exactly one of items, total and not_obtained"))
    if payload.not_obtained and reason is None:
        faults.append(Fault("reason", FOR_NOT_OBTAINED))
    key = instrument_key(protocol, payload.instrument)
    if key is None:
        faults.append(Fault("data.instrument", f"is unknown; use one of {', '.join(sorted(protocol.instruments))}"))
    elif payload.items is not None or payload.total is not None:
        instrument = protocol.instruments[key]
        faults += instruments.faults_in(instrument, payload.items if payload.items is not None else payload.total)
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
        Fault(f"data.days[{index}].times", f"must have activities of {payload.instrument} only: {', '.join(known)}")
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
    """The key of `phq9` or `phq9@1`. A name without a version means the version that the protocol pins, else the newest."""
    if name in protocol.instruments:
        return name
    pinned = [key for spec in protocol.measures for key in spec.instruments if key.partition("@")[0] == name]
    known = sorted((each.version, key) for key, each in protocol.instruments.items() if each.id == name)
    return pinned[0] if pinned else known[-1][1] if known else None


def _amend_faults(payload: Amend) -> list[Fault]:
    corrects = payload.data is not None or payload.occurred_at is not None
    if payload.void == corrects:
        return [Fault("data", "must have either void: true, or data or occurred_at")]
    if payload.whole and not payload.void:
        return [Fault("data.whole", "is allowed only with void: true")]
    return []


def _moment(command: Command, payload: Payload | None, context: Context) -> tuple[dt.datetime, list[Fault]]:
    """When the command happened: `occurred_at`, else now. A time slightly ahead comes from a fast clock and counts as now."""
    if command.occurred_at is None:
        return context.now, []
    if command.occurred_at.year not in YEARS:
        return context.now, [Fault("occurred_at", IN_YEARS)]
    at = command.occurred_at.astimezone(dt.UTC)
    if at <= context.now or _may_lie_ahead(command, payload):
        return at, []
    if at - context.now <= dt.timedelta(seconds=context.ahead_seconds):
        return context.now, []
    return at, [
        Fault("occurred_at", f"must not be more than {context.ahead_seconds} s ahead, except for bookings and cancellations")
    ]


def _may_lie_ahead(command: Command, payload: Payload | None) -> bool:
    """By the data as it was sent if they cannot be decoded: a time is wrong only if it would be wrong with right data."""
    if payload is not None:
        return triggers.may_lie_ahead(command.trigger, structural(payload))
    return triggers.may_lie_ahead(command.trigger, {"attendance": None, **command.data})


def _given(payload: Payload) -> dict[str, Any]:
    given: dict[str, Any] = msgspec.to_builtins(payload)
    if isinstance(payload, RelinkClient):
        del given["client_ref"]
    return given
