"""Checks of an instrument or protocol file beyond the types of its fields."""

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import msgspec

from ipt_workflow.errors import Fault
from ipt_workflow.protocols.definition import (
    PHASE_ID,
    RESERVED_STATES,
    AttentionSpec,
    ContractSpec,
    FocusSpec,
    FollowupSpec,
    GroupSpec,
    MeasureSpec,
    MediumSpec,
    PhaseSpec,
    SickRoleSpec,
)
from ipt_workflow.protocols.instruments import Evidence, InstrumentFile, faults_of
from ipt_workflow.values.faults import unknown_name

Spec = TypeVar("Spec", bound=msgspec.Struct)
INTEGER_MAX = 2**53 - 1  # RFC 8785 writes no larger number exactly
AT_LEAST_ONE = (
    "ages.min",
    "contract.weeks.min",
    "contract.sessions.min",
    "contract.minutes.min",
    "contract.cadence_days",
    "contract.gap_days",
    "group.members.min",
    "group.minutes.min",
    "rhythm.weeks",
    "review.every_days",
    "attention.misses",
    "attention.check_session",
    "attention.outcome_days",
    "attention.transfer_days",
)
AT_LEAST_NONE = (
    "contract.grace_days",
    "contract.ending_notice_sessions",
    "contract.ending_notice_days",
    "group.pre_individual.min",
)
WINDOW_DAYS_MAX = 3650  # so that the days before a start are dates
MEMBERS_MAX = 50  # one transaction records a group's session for every member


class KnownRules(msgspec.Struct, frozen=True, kw_only=True):
    """The names that a protocol file may use: rules a phase may add, with their parameters, and artefacts it may require."""

    rules: Mapping[str, frozenset[str]]
    artefacts: frozenset[str]
    needs: Mapping[str, str] = {}  # from an artefact to the table that a protocol needs to require it


def walk(value: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a document with its path (`phases[0].sessions_min`), including tables and lists."""
    yield where, value
    if isinstance(value, dict):
        for name, item in value.items():
            yield from walk(item, f"{where}.{name}" if where else name)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from walk(item, f"{where}[{index}]")


# Checks of every file


def canonical_faults(source: dict[str, Any]) -> list[Fault]:
    """Faults for values without one canonical form: floats, dates, and whole numbers that RFC 8785 cannot write exactly."""
    faults = []
    for where, value in walk(source):
        if isinstance(value, int) and abs(value) > INTEGER_MAX:
            faults.append(Fault(where, f"must lie within {-INTEGER_MAX} and {INTEGER_MAX}"))
        elif not isinstance(value, dict | list | str | int):
            faults.append(Fault(where, "must be a text, a whole number, true or false; no fraction, no date"))
    return faults


def name_faults(stem: str, source: dict[str, Any]) -> list[Fault]:
    fitting = (f"{source.get('id')}", f"{source.get('id')}@{source.get('version')}")
    if "id" not in source or stem in fitting:
        return []
    return [Fault("id", f"does not fit the file's name: rename the file {fitting[0]}.toml or {fitting[1]}.toml")]


def order_faults(source: dict[str, Any]) -> list[Fault]:
    return [
        Fault(f"{where}.max", f"must not be below min ({value['min']})")
        for where, value in walk(source)
        if isinstance(value, dict) and _number(value.get("min")) and _number(value.get("max"))
        if value["max"] < value["min"]
    ]


def evidence_faults(source: dict[str, Any]) -> list[Fault]:
    """Every number except the version needs a row, for itself or for the table around it. Every row needs a value."""
    rows = [(index, _section(row, Evidence)) for index, row in enumerate(_list(source.get("evidence")))]
    keys = {row.key: index for index, row in rows if row}
    values = dict(walk({name: value for name, value in source.items() if name != "evidence"}))
    inside = tuple(f"{key}{mark}" for key in keys for mark in ".[")
    stale = [key for key in keys if key not in values]
    bare = [
        where
        for where, value in values.items()
        if _number(value) and where not in {"version", *keys} and not where.startswith(inside)
    ]
    faults = [Fault(f"evidence[{keys[key]}].key", f"{key} {unknown_name(key, values)}") for key in stale]
    return faults + [Fault(where, "needs an [[evidence]] row that names the source of the number") for where in bare]


def _number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _section(table: Any, struct: type[Spec]) -> Spec | None:
    """A table as its Struct. None if it is malformed: then the schema has found the faults."""
    try:
        return msgspec.convert(table, struct)
    except msgspec.ValidationError:
        return None


def instrument_faults(source: dict[str, Any]) -> list[Fault]:
    spec = _section(source, InstrumentFile)
    return faults_of(spec) if spec else []


# Checks of a protocol


def protocol_faults(source: dict[str, Any], known: KnownRules, instruments: Mapping[str, Any]) -> list[Fault]:
    """Skips malformed tables. A check across tables runs only if all of them are well-formed."""
    contract = _section(source.get("contract"), ContractSpec)
    focus = _section(source.get("focus"), FocusSpec)
    phases = [_section(phase, PhaseSpec) for phase in _list(source.get("phases"))]
    measures = [_section(measure, MeasureSpec) for measure in _list(source.get("measures"))]
    sick_role = _section(source.get("sick_role"), SickRoleSpec)
    faults = _least_faults(source) + _repeated_faults(source) + _phase_list_faults(phases) + _sick_role_faults(sick_role, phases)
    for index, phase in enumerate(phases):
        faults += _phase_faults(f"phases[{index}]", phase, known) if phase else []
    faults += _measure_faults(measures, instruments)
    faults += _group_faults(source) + _arrangement_faults(source) + _medium_faults(source)
    faults += _needs_faults(source, [phase for phase in phases if phase], known)
    faults += _focus_faults(focus) if focus else []
    if contract:
        faults += _attention_faults(source, contract)
    if contract and phases and all(phases):
        faults += _sum_faults([phase for phase in phases if phase], contract)
    if all(phases) and all(measures):
        faults += _unmeasured_faults([p for p in phases if p], [m for m in measures if m])
    return faults


def _least_faults(source: dict[str, Any]) -> list[Fault]:
    values = dict(walk(source))
    least = dict.fromkeys(AT_LEAST_ONE, 1) | dict.fromkeys(AT_LEAST_NONE, 0)
    least |= {f"phases[{index}].sessions_min": 1 for index in range(len(_list(source.get("phases"))))}
    return [
        Fault(where, f"must be at least {bound}, not {values[where]}")
        for where, bound in least.items()
        if _number(values.get(where)) and values[where] < bound
    ]


def _repeated_faults(source: dict[str, Any]) -> list[Fault]:
    """A list names each value once, a phase each rule once, and each value has one row of evidence."""
    faults = []
    for where, value in walk(source):
        if not isinstance(value, list):
            continue
        name = "key" if where == "evidence" else "rule" if where.endswith(".rules") else None
        named = [each.get(name) if isinstance(each, dict) else each for each in value]
        for index, each in enumerate(named):
            if isinstance(each, str) and each in named[:index]:
                faults.append(Fault(f"{where}[{index}]" + (f".{name}" if name else ""), f"{each} is listed already"))
    return faults


def _phase_list_faults(phases: list[PhaseSpec | None]) -> list[Fault]:
    """Ids differ. At most one phase, neither first nor last, may leave `sessions_max` to the contract."""
    faults, ids, open_ended = [], set(), 0
    for index, phase in enumerate(phases):
        if phase is None:
            continue
        where, edge = f"phases[{index}]", len(phases) > 1 and index in {0, len(phases) - 1}
        if phase.id in ids:
            faults.append(Fault(f"{where}.id", f"{phase.id} is the id of an earlier phase"))
        ids.add(phase.id)
        open_ended += phase.sessions_max is None
        if phase.sessions_max is None and edge:
            faults.append(Fault(f"{where}.sessions_max", "is required in the first phase and in the last"))
        elif phase.sessions_max is None and open_ended > 1:
            faults.append(Fault(f"{where}.sessions_max", "is required: only one phase may have none"))
    last = phases[-1] if len(phases) > 1 else None
    if last and last.sessions_max not in {None, last.sessions_min}:
        wanted = f"must equal sessions_min ({last.sessions_min}), since a last phase has a fixed length"
        faults.append(Fault(f"phases[{len(phases) - 1}].sessions_max", wanted))
    return faults


def _phase_faults(where: str, phase: PhaseSpec, known: KnownRules) -> list[Fault]:
    faults = _cap_faults(where, phase) + _requirement_faults(where, phase, known)
    if phase.id in RESERVED_STATES:
        faults.append(Fault(f"{where}.id", f"{phase.id} is a state of every course: choose another id"))
    elif not PHASE_ID.fullmatch(phase.id):
        faults.append(Fault(f"{where}.id", f"must match {PHASE_ID.pattern}"))
    for index, extra in enumerate(phase.rules):
        place, parameters = f"{where}.rules[{index}]", known.rules.get(extra.rule)
        if parameters is None:
            faults.append(Fault(f"{place}.rule", f"{extra.rule} {unknown_name(extra.rule, known.rules)}"))
        elif set(extra.parameters) != parameters:
            wanted = ", ".join(sorted(parameters)) or "none"
            faults.append(Fault(f"{place}.parameters", f"must be, for {extra.rule}: {wanted}"))
    return faults


def _cap_faults(where: str, phase: PhaseSpec) -> list[Fault]:
    least, most, extended = phase.sessions_min, phase.sessions_max, phase.sessions_max_extended
    faults = []
    if most is not None and most < least:
        faults.append(Fault(f"{where}.sessions_max", f"must not be below sessions_min ({least})"))
    if extended is not None and most is None:
        faults.append(Fault(f"{where}.sessions_max_extended", "needs a sessions_max that it extends"))
    if extended is not None and most is not None and extended <= most:
        faults.append(Fault(f"{where}.sessions_max_extended", f"must be above sessions_max ({most})"))
    return faults


def _requirement_faults(where: str, phase: PhaseSpec, known: KnownRules) -> list[Fault]:
    unknown = [name for name in dict.fromkeys(phase.requires) if name not in known.artefacts]
    faults = [Fault(f"{where}.requires", f"{name} {unknown_name(name, known.artefacts)}") for name in unknown]
    astray = [name for name in phase.soft if name not in phase.requires]
    return faults + [Fault(f"{where}.soft", f"{name} is not among requires") for name in astray]


def _sick_role_faults(sick_role: SickRoleSpec | None, phases: list[PhaseSpec | None]) -> list[Fault]:
    """The first phase names a sick role that the protocol requires. No phase softens it, or requires one that is not used."""
    mode = sick_role.mode if sick_role else None
    faults = []
    if mode in {"full", "limited"} and phases and phases[0] and "sick_role" not in phases[0].requires:
        faults.append(Fault("phases[0].requires", f"must name the sick_role, whose mode is {mode}"))
    for index, phase in enumerate(phases):
        if mode == "not_used" and phase and "sick_role" in phase.requires:
            faults.append(Fault(f"phases[{index}].requires", "names a sick_role whose mode is not_used"))
        if mode in {"full", "limited"} and phase and "sick_role" in phase.soft:
            faults.append(Fault(f"phases[{index}].soft", f"names a sick_role whose mode is {mode}"))
    return faults


def _sum_faults(phases: list[PhaseSpec], contract: ContractSpec) -> list[Fault]:
    where, most = "contract.sessions.max", contract.sessions.max
    fewest = sum(phase.sessions_min for phase in phases)
    caps = [phase.sessions_max for phase in phases if phase.sessions_max is not None]
    if most < fewest:
        return [Fault(where, f"must be at least {fewest}, the number of sessions that the phases need")]
    if len(caps) == len(phases) and most > sum(caps):
        return [Fault(where, f"must be at most {sum(caps)}, the number of sessions that the phases allow")]
    return []


def _needs_faults(source: dict[str, Any], phases: list[PhaseSpec], known: KnownRules) -> list[Fault]:
    """What reads a table of the protocol may be named only if the table is there: a required artefact, or what is carried over."""
    followup = _section(source.get("followup"), FollowupSpec)
    named = [
        (f"phases[{index}].requires", name, known.needs.get(name)) for index, each in enumerate(phases) for name in each.requires
    ]
    named += [("followup.carries", name, name if name == "rhythm" else None) for name in (followup.carries if followup else ())]
    return [
        Fault(where, f"names {name}: add the table [{needs}] that it needs, or remove it")
        for where, name, needs in named
        if needs and needs not in source
    ]


def _arrangement_faults(source: dict[str, Any]) -> list[Fault]:
    """Values that a format or a provider requires."""
    required = (
        ("format", "couple", "participants.required", "partner"),
        ("format", "telephone", "medium.allowed", "telephone"),
        ("provider", "non_specialist", "supervision.required", True),
    )
    values = dict(walk(source))
    return [
        Fault(where, f"must {'be true' if wanted is True else f'name {wanted}'}: {key} is {value}")
        for key, value, where, wanted in required
        if source.get(key) == value and wanted not in (_list(values.get(where)) or [values.get(where)])
    ]


def _group_faults(source: dict[str, Any]) -> list[Fault]:
    """Only a protocol for groups has a table of group sizes."""
    if "group" not in source:
        return []
    spec = _section(source["group"], GroupSpec)
    faults = [] if source.get("format") == "group" else [Fault("group", 'is allowed only with format = "group"')]
    if spec and spec.members.max > MEMBERS_MAX:
        faults.append(Fault("group.members.max", f"must be at most {MEMBERS_MAX}"))
    return faults


def _attention_faults(source: dict[str, Any], contract: ContractSpec) -> list[Fault]:
    spec = _section(source.get("attention"), AttentionSpec)
    most = contract.sessions.max
    if spec is None or spec.check_session is None or spec.check_session <= most:
        return []
    return [Fault("attention.check_session", f"must be at most {most}, the most sessions of a contract")]


def _medium_faults(source: dict[str, Any]) -> list[Fault]:
    spec = _section(source.get("medium"), MediumSpec)
    if spec is None or spec.default is None or spec.default in spec.allowed:
        return []
    return [Fault("medium.default", f"{spec.default} is not among allowed")]


def _focus_faults(focus: FocusSpec) -> list[Fault]:
    areas = focus.areas
    if not areas:
        return [Fault("focus.areas", "must name at least one problem area")]
    if not 1 <= focus.max <= len(areas):
        return [Fault("focus.max", f"must lie from 1 to {len(areas)}, the number of areas")]
    astray = [area for area in focus.discouraged if area not in areas]
    return [Fault("focus.discouraged", f"{area} is not among areas") for area in astray]


def _measure_faults(measures: list[MeasureSpec | None], instruments: Mapping[str, Any]) -> list[Fault]:
    """Each aim has one table, whose instruments are known and measure it."""
    faults, aims = [], set()
    for index, measure in enumerate(measures):
        if measure is None:
            continue
        where = f"measures[{index}]"
        if measure.aim in aims:
            faults.append(Fault(f"{where}.aim", f"{measure.aim} has a table already"))
        aims.add(measure.aim)
        if not measure.instruments:
            faults.append(Fault(f"{where}.instruments", "must name at least one instrument"))
        if measure.baseline_days is not None and not 1 <= measure.baseline_days <= WINDOW_DAYS_MAX:
            faults.append(Fault(f"{where}.baseline_days", f"must lie from 1 to {WINDOW_DAYS_MAX}"))
        for key in measure.instruments:
            if key not in instruments:
                faults.append(Fault(f"{where}.instruments", f"{key} {unknown_name(key, instruments)}"))
            elif instruments[key] != measure.aim:
                faults.append(Fault(f"{where}.instruments", f"{key} has another aim in its own file"))
    return faults


def _unmeasured_faults(phases: list[PhaseSpec], measures: list[MeasureSpec]) -> list[Fault]:
    """A phase may require a baseline or an end measure only if the protocol has a scale of symptoms."""
    required = sorted({name for phase in phases for name in phase.requires} & {"baseline", "end_measures"})
    if not required or any(measure.aim == "symptoms" for measure in measures):
        return []
    return [Fault("measures", f"must have the aim symptoms: phases require {' and '.join(required)}")]
