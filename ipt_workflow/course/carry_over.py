"""The move of a course to another protocol or version: the facts that carry over, those not valid there, and new requirements.

A requirement is *new* if it is not met under the new protocol, and under the old one it was met, absent or only soft. Gates that the
course has passed are evaluated too. Their gaps show what the course went without, and no longer hold it back.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import msgspec

from ipt_workflow.course import counters, triggers
from ipt_workflow.course.course import Contract, Course
from ipt_workflow.course.effects.protocol_change import repinned
from ipt_workflow.course.rules import ARTEFACT_OF, REGISTRY, Bound, Case, Context, bound_to
from ipt_workflow.errors import Refusal, Severity
from ipt_workflow.protocols.definition import Bounds, ContractSpec, Protocol

replace = msgspec.structs.replace
Kind = Literal["carries_over", "new_gaps", "stuck"]
START_GATE = "start"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One finding about a move. `name` is a rule, or one of `INVALID`. `gate` is the trigger to which the rule is bound."""

    name: str
    says: str
    severity: Severity | None = None
    gate: str | None = None


class Move(msgspec.Struct, frozen=True, kw_only=True, rename={"from_": "from"}):
    """A course's move from one protocol or version to another.

    `phases` maps the phases that the course has been in to their new names. `carried` names recorded facts that stay, `invalid` those
    that are not valid there. `gaps` are new requirements that are not met. `obstacles` are reasons why the course would be stuck.
    `explanation` is all of it in words.
    """

    from_: str
    to: str
    kind: Kind
    phases: dict[str, str]
    carried: tuple[str, ...]
    gaps: tuple[Finding, ...]
    invalid: tuple[Finding, ...]
    obstacles: tuple[Finding, ...] = ()
    explanation: str


# The facts that carry over, each with whether it is on record.
FACTS: dict[str, Callable[[Course], bool]] = {
    "consent": lambda course: bool(course.consents),
    "sessions": lambda course: bool(course.sessions) or bool(course.adopted and any(course.adopted.attended.values())),
    "contacts": lambda course: bool(course.contacts),
    "evaluation": lambda course: course.evaluated,
    "history": lambda course: course.history is not None,
    "inventory": lambda course: course.inventory is not None,
    "timeline": lambda course: course.timeline,
    "formulation": lambda course: course.formulation is not None,
    "acceptance": lambda course: bool(course.formulation and course.formulation.accepted_version),
    "sick_role": lambda course: course.sick_role.status != "pending",
    "focus": lambda course: course.focus is not None,
    "contract": lambda course: course.contract is not None,
    "measures": lambda course: bool(course.measures),
    "rhythm": lambda course: bool(course.rhythm.count),
    "rhythm_target": lambda course: bool(course.rhythm.targets),
    "prescriber_review": lambda course: course.prescriber_reviewed,
    "review": lambda course: course.reviewed_at is not None,
    "risk": lambda course: course.risk.level != "none",
    "ending_announced": lambda course: course.ending_announced_at is not None,
    "gains": lambda course: course.gains,
    "independence": lambda course: course.independence,
    "recurrence_plan": lambda course: course.recurrence_planned,
    "continuation": lambda course: course.continuation is not None,
}

# The facts that another protocol may not accept. `effects.protocol_change.DROPPED` lists those that the fold drops.
INVALID = {
    "focus": "The protocol does not have this problem area. Choose another.",
    "further_areas": "The protocol does not have a further problem area, or allows fewer. The primary one stays.",
    "contract": "The contract lies outside the protocol's range. Agree a new one.",
    "contract_range": "The contract lies outside the protocol's range. It stays in force until it is amended.",
    "sick_role": "The protocol does not use the sick role.",
    "sessions": "A phase has had more sessions than the protocol allows. It can have no more.",
}


def entry_data(course: Course, old: Protocol, new: Protocol, context: Context, *, to_first: bool) -> dict[str, Any]:
    """The structural data of a move's entry. With `to_first`, the course's phase becomes the new protocol's first phase."""
    data: dict[str, Any] = {
        "left": old.key,
        "protocol": new.id,
        "protocol_version": new.version,
        "protocol_digest": new.digest,
        "acute": new.acute,
        "phases": _phases(course, old, new if to_first else None),
    }
    if to_first:
        data["phase"] = new.first.id
    data["invalid"] = list(_invalid(course, old, new))
    moved = repinned(course, data)
    if to_first and _too_many(new, moved):
        data["invalid"].append("sessions")
    gaps = [{"rule": each.rule, "severity": each.severity, "gate": gate} for gate, each in _gaps(course, moved, old, new, context)]
    if reached(new, moved) is not None and contract_fit(new, moved) == "amended":
        gaps.append({"rule": UNFIT, "severity": "hard", "gate": "amend_contract"})
    return {**data, "carried": [name for name, on_record in FACTS.items() if on_record(moved)], "gaps": gaps}


def move(data: Mapping[str, Any], obstacles: tuple[Finding, ...] = ()) -> Move:
    """A move, read from the data of its entry or of the entry that it would make."""
    gaps = tuple(
        Finding(name=each["rule"], says=_says(each["rule"]), severity=each["severity"], gate=each["gate"])
        for each in data.get("gaps", ())
    )
    invalid = tuple(Finding(name=name, says=INVALID.get(name, "")) for name in data.get("invalid", ()))
    kind: Kind = "stuck" if obstacles else "new_gaps" if gaps or invalid else "carries_over"
    return Move(
        from_=data.get("left", ""),
        to=f"{data['protocol']}@{data['protocol_version']}",
        kind=kind,
        phases=data.get("phases", {}),
        carried=tuple(data.get("carried", ())),
        gaps=gaps,
        invalid=invalid,
        obstacles=obstacles,
        explanation=_explanation(gaps, invalid, obstacles),
    )


def _says(rule: str) -> str:
    """The rule's sentence, or an empty text if the rule no longer exists."""
    return REGISTRY[rule].says if rule in REGISTRY else ""


def _explanation(gaps: tuple[Finding, ...], invalid: tuple[Finding, ...], obstacles: tuple[Finding, ...]) -> str:
    """The move in words, without anything about the client."""
    required = ", ".join(f"{each.name} ({each.severity}, {each.gate})" for each in gaps)
    parts = [f"{each.name}: {each.says}" for each in obstacles]
    parts += [f"No longer valid: {', '.join(each.name for each in invalid)}."] if invalid else []
    parts += [f"Newly required: {required}."] if gaps else []
    return " ".join(parts) or "Everything carries over."


def _phases(course: Course, old: Protocol, first_of: Protocol | None) -> dict[str, str]:
    if course.phase is None:
        return {}
    if first_of:
        return {course.phase: first_of.first.id}
    return {phase_id: phase_id for phase_id in old.phase_ids[: old.position(course.phase) + 1]}


def _invalid(course: Course, old: Protocol, new: Protocol) -> Iterator[str]:
    focus = course.focus
    if focus and focus.primary not in new.focus.areas:
        yield "focus"
    elif focus and (len(focus.areas) > new.focus.max or not set(focus.areas) <= set(new.focus.areas)):
        yield "further_areas"
    if course.contract and not _still_agreed(course.contract, old.contract, new.contract):
        yield "contract" if course.phase in {None, old.first.id} else "contract_range"
    if course.sick_role.status != "pending" and new.sick_role.mode == "not_used" != old.sick_role.mode:
        yield "sick_role"


def _still_agreed(contract: Contract, old: ContractSpec, new: ContractSpec) -> bool:
    """Whether the contract lies in the new range, or both protocols have the range beyond which a supervisor agreed to it."""
    same = (old.sessions, old.weeks) == (new.sessions, new.weeks)
    return same or (contract.sessions in new.sessions and contract.weeks in new.weeks)


def _too_many(new: Protocol, moved: Course) -> bool:
    """Whether a phase has had more sessions than its own cap. Sessions that the contract leaves to a phase are no cap of its own."""
    return any(
        phase.sessions_max is not None and counters.phase_count(moved, phase) > (counters.phase_cap(new, moved, phase) or 0)
        for phase in new.phases
    )


UNFIT = "contract_fits_phases"
NO_END = 1000  # more sessions than any contract has


def contract_fit(new: Protocol, moved: Course) -> Literal["fits", "amended", "none_fits"]:
    """Whether the last phase can be reached and held: under this contract, under an amended one in the range, or under none."""
    contract, room, allowed = moved.contract, contract_room(new, moved), new.contract.sessions
    if contract is None and moved.phase not in {None, new.first.id}:
        return "fits"  # a missing contract is a gap of its own
    if contract and contract.sessions in room:
        return "fits"
    if room.min > min(allowed.max, room.max) or room.max < allowed.min:
        return "none_fits"
    return "amended" if contract else "fits"


def contract_room(new: Protocol, moved: Course) -> Bounds:
    """The fewest and the most sessions of a contract under which the last phase can be reached and held whole."""
    phase = new.phase(moved.phase) if moved.phase else new.first
    if phase is new.last and phase is not new.first:
        used_before = counters.consumed(new, moved) - counters.consumed_in_last(new, moved)
        return Bounds(used_before + counters.needed(new, moved, phase), NO_END)
    used, count = counters.used_total(new, moved), counters.phase_count(moved, phase)
    least = counters.fewest(new, moved, phase)
    caps = [each.sessions_max_extended or each.sessions_max for each in new.phases[new.position(phase.id) :]]
    most = NO_END if None in caps else used - count + sum(cap or 0 for cap in caps)
    return Bounds(least, most)


def gates(protocol: Protocol) -> tuple[tuple[str | None, str], ...]:
    """The triggers that lead from phase to phase, each with the phase it leaves: `start` first, `complete` last."""
    ids = protocol.phase_ids
    leaving = [*(triggers.BEGIN_PREFIX + later for later in ids[1:]), "complete"]
    return ((None, START_GATE), *zip(ids, leaving, strict=True))


def reached(protocol: Protocol, course: Course) -> int | None:
    """The index of the course's next gate, or None if the protocol does not have the course's phase."""
    return next((index for index, (phase, _) in enumerate(gates(protocol)) if phase == course.phase), None)


def _gaps(course: Course, moved: Course, old: Protocol, new: Protocol, context: Context) -> Iterator[tuple[str, Refusal]]:
    """New requirements that are not met, with their gates, up to the course's next gate."""
    present = reached(new, moved)
    if present is None or reached(old, course) != present:
        return
    for index, (before, after) in enumerate(zip(gates(old), gates(new), strict=False)):
        if index > present:
            break
        known = unmet(old, course, before, context)
        for name, refusal in unmet(new, moved, after, context).items():
            passed = index < present and after[1] != START_GATE and name not in ARTEFACT_OF
            if not passed and _is_new(refusal, known.get(name)):
                yield after[1], refusal
    mode = _mode_that_does_not_fit(moved, old, new, context)
    if mode:
        yield "update_sick_role", mode


def _is_new(refusal: Refusal, before: Refusal | None) -> bool:
    return before is None or (before.severity == "soft" and refusal.severity == "hard")


def unmet(protocol: Protocol, course: Course, gate: tuple[str | None, str], context: Context) -> dict[str, Refusal]:
    """The refusals at a gate, by rule, as if the course were in the phase that the gate leaves."""
    phase, name = gate
    here = replace(course, phase=phase, state=phase) if phase else course
    data = {"supervisor": course.supervisor} if course.supervisor and name == START_GATE else {}
    case = Case(protocol=protocol, course=here, trigger=name, data=data, at=context.now, context=context, foreseen=True)
    answers = ((bound.rule.name, bound.ask_unless_attested(case)) for bound in bound_to(protocol, name))
    return {rule: refusal for rule, refusal in answers if refusal}


def _mode_that_does_not_fit(moved: Course, old: Protocol, new: Protocol, context: Context) -> Refusal | None:
    """The refusal of a full sick role by a protocol with a limited one."""
    status = moved.sick_role.status
    if old.sick_role.mode == "limited" or status != "assigned_full":
        return None
    case = Case(protocol=new, course=moved, trigger="update_sick_role", data={"mode": "full"}, at=context.now, context=context)
    return Bound(rule=REGISTRY["sick_role_mode_fits"], severity="soft").ask(case)
