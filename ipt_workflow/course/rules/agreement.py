"""Rules about what therapist and client agree: the problem area and the contract."""

from ipt_workflow.course import counters
from ipt_workflow.course.context import supervisor_of
from ipt_workflow.course.effects.sessions import joined_late
from ipt_workflow.course.rules.case import Case, rule
from ipt_workflow.errors import Refusal
from ipt_workflow.protocols.definition import Bounds

STAGE_MOVES = {
    None: {"renegotiation", "impasse", "dissolution"},
    "renegotiation": {"impasse", "resolved", "dissolution"},
    "impasse": {"renegotiation", "dissolution"},
}

# What a problem area lacks, in the words of `required`, and the message where it is the only one that lacks something.
LACKS = {
    "grief": ("a person of the inventory who died", "focus_grounded.grief"),
    "role_dispute": ("a stage", "focus_grounded.role_dispute"),
    "role_transition": ("an old and a new role", "focus_grounded.role_transition"),
    "interpersonal_deficits": ("that the other areas do not fit", "focus_grounded.interpersonal_deficits"),
}


def _areas(case: Case) -> list[str]:
    return [*(case.data[name] for name in ("primary", "secondary", "focus") if name in case.data), *case.data.get("further", ())]


@rule(source="seed S8")
def focus_area_allowed(case: Case) -> Refusal | None:
    """A problem area is one of the protocol's."""
    wrong = [area for area in _areas(case) if area not in case.protocol.focus.areas]
    if not wrong:
        return None
    return case.refuses(
        "focus_area_allowed",
        current=wrong,
        required="one of " + ", ".join(case.protocol.focus.areas),
        protocol=case.protocol.title,
        areas=tuple(wrong),
        allowed=tuple(case.protocol.focus.areas),
    )


@rule(source="domain I5")
def focus_count(case: Case) -> Refusal | None:
    """The problem areas are one primary and no more others than the protocol allows. Each is named once."""
    areas, allowed = _areas(case), case.protocol.focus.max
    required = f"at most {allowed}, each once"
    if len(areas) > allowed:
        return case.refuses("focus_count.too_many", current=areas, required=required, most=allowed)
    if len(set(areas)) < len(areas):
        return case.refuses("focus_count.repeated", current=areas, required=required)
    return None


@rule(source="domain I18")
def focus_grounded(case: Case) -> Refusal | None:
    """Grief names a person who died, a dispute its stage, a transition an old and a new role.

    Interpersonal deficits are chosen only where no other area fits (soft).
    """
    lacking = [area for area in dict.fromkeys(_areas(case)) if area in LACKS and not _grounded(case, area)]
    if not lacking:
        return None
    current, required = sorted(case.data), {area: LACKS[area][0] for area in lacking}
    remedies = ("record_inventory",) if "grief" in lacking else ()
    if len(lacking) > 1:
        return case.refuses("focus_grounded.several", current=current, required=required, remedies=remedies, areas=tuple(lacking))
    return case.refuses(
        LACKS[lacking[0]][1],
        current=current,
        required=required,
        remedies=remedies,
        severity="soft" if lacking == ["interpersonal_deficits"] else None,
    )


def _grounded(case: Case, area: str) -> bool:
    if area == "grief":
        people = case.course.inventory.people if case.course.inventory else ()
        named = set(case.data.get("people", ()))
        died = any(person.deceased and (not named or person.id in named) for person in people)
        return died or "inventory" in case.course.attested
    if area == "role_dispute":
        return bool(case.data.get("stage"))
    if area == "role_transition":
        return bool(case.data.get("old_role") and case.data.get("new_role"))
    return bool(case.data.get("others_do_not_fit"))


@rule(source="domain 2 (IPT-B, HIV)", soft=True)
def focus_encouraged(case: Case) -> Refusal | None:
    """No problem area is chosen that the protocol advises against."""
    discouraged = [area for area in _areas(case) if area in case.protocol.focus.discouraged]
    if not discouraged:
        return None
    return case.refuses(
        "focus_encouraged",
        current=discouraged,
        required="one of " + ", ".join(area for area in case.protocol.focus.areas if area not in discouraged),
        protocol=case.protocol.title,
        areas=tuple(discouraged),
    )


@rule(source="seed S8")
def focus_selected(case: Case) -> Refusal | None:
    """A primary problem area is selected."""
    if case.course.focus:
        return None
    selecting = "select_focus" if case.course.phase in {None, case.protocol.first.id} else "change_focus"
    has_inventory = bool(case.course.inventory)
    return case.refuses(
        "focus_selected.select" if has_inventory else "focus_selected.inventory_first",
        current=None,
        required="one of " + ", ".join(case.protocol.focus.areas),
        remedies=(selecting,) if has_inventory else ("record_inventory", selecting),
    )


@rule(source="domain I19")
def formulation_renewed(case: Case) -> Refusal | None:
    """The client has accepted a new formulation before the problem area is changed."""
    formulation, focus = case.course.formulation, case.course.focus
    accepted = formulation.accepted_version if formulation else None
    chosen_on = focus.formulation if focus else None
    if accepted is not None and (chosen_on is None or accepted > chosen_on):
        return None
    waiting = formulation is not None and formulation.version != accepted
    return case.refuses(
        "formulation_renewed.accept" if waiting else "formulation_renewed.record",
        current=accepted,
        required="a formulation recorded and accepted since",
        remedies=("accept_formulation",) if waiting else ("record_formulation", "accept_formulation"),
    )


@rule(source="domain I19", soft=True)
def focus_change_in_time(case: Case) -> Refusal | None:
    """The problem area is changed before two thirds of the contracted sessions are used."""
    contract = case.course.contract
    used = counters.consumed(case.protocol, case.course)
    if contract is None or used * 3 < contract.sessions * 2:
        return None
    return case.refuses(
        "focus_change_in_time",
        current=used,
        required=f"fewer than two thirds of {contract.sessions} sessions",
        used=used,
        sessions=contract.sessions,
    )


@rule(source="domain 1.6")
def dispute_stage_legal(case: Case) -> Refusal | None:
    """A role dispute is a problem area of the course, and moves from its stage to one that can follow."""
    focus = case.course.focus
    if focus is None or "role_dispute" not in focus.areas:
        selecting = "select_focus" if case.course.phase == case.protocol.first.id else "change_focus"
        return case.refuses(
            "dispute_stage_legal.no_dispute",
            current=list(focus.areas) if focus else None,
            required="role_dispute",
            remedies=(selecting,),
        )
    stage, wanted, moves = focus.stage, case.data["stage"], sorted(STAGE_MOVES.get(focus.stage, set()))
    if wanted in moves:
        return None
    required = "one of " + ", ".join(moves) if moves else "a dispute that is not settled"
    if stage is None:
        return case.refuses("dispute_stage_legal.begin", current=None, required=required, wanted=wanted, allowed=tuple(moves))
    if not moves:
        return case.refuses("dispute_stage_legal.settled", current=stage, required=required, stage=stage)
    return case.refuses(
        "dispute_stage_legal.move", current=stage, required=required, stage=stage, wanted=wanted, allowed=tuple(moves)
    )


@rule(source="domain I6")
def contract_agreed(case: Case) -> Refusal | None:
    """There is a contract."""
    if case.course.contract:
        return None
    first = case.course.phase == case.protocol.first.id
    return case.refuses(
        "contract_agreed.agree" if first else "contract_agreed.too_late",
        current=None,
        required="a contract",
        remedies=("agree_contract",) if first else (),
    )


@rule(source="domain I6, I10")
def both_agree(case: Case) -> Refusal | None:
    """Client and therapist both agree the contract."""
    lacking = [who for who in ("client", "therapist") if not case.data[f"{who}_agrees"]]
    if not lacking:
        return None
    return case.refuses("both_agree", current=lacking, required="client_agrees and therapist_agrees", who=tuple(lacking))


@rule(source="seed S1; domain I7")
def contract_in_range(case: Case) -> Refusal | None:
    """Weeks and sessions lie in the protocol's range, or a supervisor agrees.

    A client who joined a group late may agree as many fewer as the group had held before.
    """
    if _nothing_to_change(case):
        return None
    terms, spec = case.data["terms"], case.protocol.contract
    ranges = {"sessions": spec.sessions, "weeks": spec.weeks}
    if terms.get("from_joining"):
        ranges = _since_joining(case, ranges)
    outside = [name for name, bounds in ranges.items() if terms[name] not in bounds]
    if not outside or supervisor_of(case.context):
        return None
    return case.needs_supervisor(
        "contract_in_range",
        current={name: terms[name] for name in ("sessions", "weeks")},
        required={name: str(bounds) for name, bounds in ranges.items()},
        outside=tuple(outside),
        sessions_min=ranges["sessions"].min,
        sessions_max=ranges["sessions"].max,
        weeks_min=ranges["weeks"].min,
        weeks_max=ranges["weeks"].max,
    )


def _since_joining(case: Case, ranges: dict[str, Bounds]) -> dict[str, Bounds]:
    """The ranges of a contract that counts from joining a group: less the sessions that it had held, and the weeks it had met."""
    held = joined_late(case.course, case.data).held_before
    if held is None:
        return ranges
    begins = counters.first_session_on(case.course, case.context.zone) or case.day(case.at)
    weeks = -(-(begins - case.day(held.since)).days // 7)  # a week begun counts
    fewer = {"sessions": held.sessions, "weeks": weeks}
    return {name: Bounds(max(1, bounds.min - fewer[name]), bounds.max) for name, bounds in ranges.items()}


@rule(source="seed S4; domain I8", structural=True)
def contract_fits_phases(case: Case) -> Refusal | None:
    """The contract leaves room for the sessions already used and the sessions that the coming phases must have."""
    if _nothing_to_change(case):
        return None
    protocol, sessions = case.protocol, case.data["terms"]["sessions"]
    course = joined_late(case.course, case.data)
    last = protocol.last
    if course.phase == last.id and last is not protocol.first:
        used_before = counters.consumed(protocol, course) - counters.consumed_in_last(protocol, course)
        needed = used_before + counters.needed(protocol, course, last)
        if sessions == needed:
            return None
        required = f"exactly {needed}: the {last.id} phase has begun"
        return case.refuses("contract_fits_phases.exact", current=sessions, required=required, phase=last.id, needed=needed)
    needed = counters.fewest(protocol, course, case.phase)
    if sessions >= needed:
        return None
    return case.refuses("contract_fits_phases.too_few", current=sessions, required=f"at least {needed}", needed=needed)


def _nothing_to_change(case: Case) -> bool:
    """A change of a contract that was never agreed has no whole terms to judge; `contract_agreed` refuses it."""
    return case.trigger == "amend_contract" and case.course.contract is None
