"""Rules about what therapist and client agree: the problem area and the contract."""

from ipt_workflow.course import counters
from ipt_workflow.course.context import supervisor_of
from ipt_workflow.course.rules.case import Case, rule
from ipt_workflow.course.rules.episode import with_supervisor
from ipt_workflow.errors import Refusal

STAGE_MOVES = {
    None: {"renegotiation", "impasse", "dissolution"},
    "renegotiation": {"impasse", "resolved", "dissolution"},
    "impasse": {"renegotiation", "dissolution"},
}


def _areas(case: Case) -> list[str]:
    return [*(case.data[name] for name in ("primary", "secondary", "focus") if name in case.data), *case.data.get("further", ())]


@rule(source="seed S8")
def focus_area_allowed(case: Case) -> Refusal | None:
    """A problem area is one of the protocol's."""
    wrong = [area for area in _areas(case) if area not in case.protocol.focus.areas]
    if not wrong:
        return None
    return case.stands(
        f"{case.protocol.title} has no problem area {', '.join(wrong)}.",
        current=wrong,
        required="one of " + ", ".join(case.protocol.focus.areas),
    )


@rule(source="domain I5")
def focus_count(case: Case) -> Refusal | None:
    """One primary problem area and no more others than the protocol allows, each of them once."""
    areas, allowed = _areas(case), case.protocol.focus.max
    if len(areas) <= allowed and len(set(areas)) == len(areas):
        return None
    return case.stands(
        "Each problem area is named once." if len(areas) <= allowed else "There are too many problem areas.",
        current=areas,
        required=f"at most {allowed}, each once",
    )


@rule(source="domain I18")
def focus_grounded(case: Case) -> Refusal | None:
    """Grief points at a person who died, a dispute has a stage, a transition an old and a new role; deficits come last (soft)."""
    lacking = {area: need for area in _areas(case) if (need := _lacks(case, area))}
    if not lacking:
        return None
    return case.stands(
        "; ".join(f"{area} needs {need}" for area, need in lacking.items()) + ".",
        current=sorted(case.data),
        required=lacking,
        remedies=("record_inventory",) if "grief" in lacking else (),
        severity="soft" if set(lacking) == {"interpersonal_deficits"} else None,
    )


def _lacks(case: Case, area: str) -> str | None:
    if area == "grief":
        people = case.course.inventory.people if case.course.inventory else ()
        named = set(case.data.get("people", ()))
        died = any(person.deceased and (not named or person.id in named) for person in people)
        return None if died or "inventory" in case.course.attested else "a person of the inventory who died"
    if area == "role_dispute":
        return None if case.data.get("stage") else "a stage"
    if area == "role_transition":
        return None if case.data.get("old_role") and case.data.get("new_role") else "an old and a new role"
    if area == "interpersonal_deficits":
        return None if case.data.get("others_do_not_fit") else "that the other areas do not fit"
    return None


@rule(source="domain 2 (IPT-B, HIV)", soft=True)
def focus_encouraged(case: Case) -> Refusal | None:
    """No problem area is chosen that the protocol advises against."""
    discouraged = [area for area in _areas(case) if area in case.protocol.focus.discouraged]
    if not discouraged:
        return None
    return case.stands(
        f"{case.protocol.title} advises against {' and '.join(discouraged)}.",
        current=discouraged,
        required="one of " + ", ".join(area for area in case.protocol.focus.areas if area not in discouraged),
    )


@rule(source="seed S8")
def focus_selected(case: Case) -> Refusal | None:
    """A primary problem area is selected."""
    if case.course.focus:
        return None
    selecting = "select_focus" if case.course.phase in {None, case.protocol.first.id} else "change_focus"
    return case.stands(
        "No problem area has been selected.",
        current=None,
        required="one of " + ", ".join(case.protocol.focus.areas),
        remedies=(selecting,) if case.course.inventory else ("record_inventory", selecting),
    )


@rule(source="domain I19")
def formulation_renewed(case: Case) -> Refusal | None:
    """The problem area is changed on the ground of a formulation accepted after the present one was chosen."""
    formulation, focus = case.course.formulation, case.course.focus
    accepted = formulation.accepted_version if formulation else None
    chosen_on = focus.formulation if focus else None
    if accepted is not None and (chosen_on is None or accepted > chosen_on):
        return None
    waiting = formulation is not None and formulation.version != accepted
    return case.stands(
        "No newer formulation has been accepted since the problem area was chosen.",
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
    return case.stands(
        "It is late to change the problem area.", current=used, required=f"fewer than two thirds of {contract.sessions} sessions"
    )


@rule(source="domain 1.6")
def dispute_stage_legal(case: Case) -> Refusal | None:
    """A role dispute is worked on, and moves from its stage to one that can follow."""
    focus = case.course.focus
    if focus is None or "role_dispute" not in focus.areas:
        selecting = "select_focus" if case.course.phase == case.protocol.first.id else "change_focus"
        return case.stands(
            "No role dispute is a problem area of this course.",
            current=list(focus.areas) if focus else None,
            required="role_dispute",
            remedies=(selecting,),
        )
    moves = STAGE_MOVES.get(focus.stage, set())
    if case.data["stage"] in moves:
        return None
    return case.stands(
        f"From {focus.stage} the dispute cannot go to {case.data['stage']}.",
        current=focus.stage,
        required="one of " + ", ".join(sorted(moves)) if moves else "a dispute that is not settled",
    )


@rule(source="domain I6")
def contract_agreed(case: Case) -> Refusal | None:
    """There is a contract."""
    if case.course.contract:
        return None
    first = case.course.phase == case.protocol.first.id
    return case.stands(
        "No contract has been agreed.", current=None, required="a contract", remedies=("agree_contract",) if first else ()
    )


@rule(source="domain I6, I10")
def both_agree(case: Case) -> Refusal | None:
    """A contract is agreed by client and therapist, each of them."""
    lacking = [who for who in ("client", "therapist") if not case.data[f"{who}_agrees"]]
    if not lacking:
        return None
    return case.stands(
        f"The {' and the '.join(lacking)} did not agree.", current=lacking, required="client_agrees and therapist_agrees"
    )


@rule(source="seed S1; domain I7")
def contract_in_range(case: Case) -> Refusal | None:
    """Weeks and sessions lie in the protocol's range; outside it a supervisor agrees."""
    if _nothing_to_change(case):
        return None
    terms, spec = case.data["terms"], case.protocol.contract
    outside = [name for name, bounds in (("sessions", spec.sessions), ("weeks", spec.weeks)) if terms[name] not in bounds]
    if not outside or supervisor_of(case.context):
        return None
    return with_supervisor(
        case,
        f"The contract's {' and '.join(outside)} lie outside the protocol's range.",
        current={name: terms[name] for name in ("sessions", "weeks")},
        required={"sessions": str(spec.sessions), "weeks": str(spec.weeks)},
    )


@rule(source="seed S4; domain I8", structural=True)
def contract_fits_phases(case: Case) -> Refusal | None:
    """The contract leaves room for the sessions already used and those that the phases to come must have."""
    if _nothing_to_change(case):
        return None
    protocol, course, sessions = case.protocol, case.course, case.data["terms"]["sessions"]
    last = protocol.last
    if course.phase == last.id and last is not protocol.first:
        needed = counters.consumed(protocol, course) - counters.consumed_in_last(protocol, course) + last.sessions_min
        fits, required = sessions == needed, f"exactly {needed}: the {last.id} phase has begun"
    else:
        needed = counters.fewest(protocol, course, case.phase)
        fits, required = sessions >= needed, f"at least {needed}"
    if fits:
        return None
    return case.stands("The contract does not fit the phases.", current=sessions, required=required)


def _nothing_to_change(case: Case) -> bool:
    """A change of a contract that was never agreed has no whole terms to judge: `contract_agreed` stands against it."""
    return case.trigger == "amend_contract" and case.course.contract is None
