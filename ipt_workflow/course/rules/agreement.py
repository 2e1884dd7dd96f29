"""Rules about what therapist and client agree: the problem area and the contract."""

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

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


class Lack(NamedTuple):
    """What a problem area lacks: the message where nothing else is lacking, the words of `required`, and a code for lists."""

    message_id: str
    required: str
    code: str


DIED, LIVING, UNKNOWN, ATTESTED = "died", "living", "unknown", "attested"  # what the inventory says of a person
LOST = "people: the person lost, who is `deceased` in the inventory"
OTHER_PARTY = "people: the living person in dispute"
LACKS = {  # a lack because of somebody named is called by what the inventory says of them
    UNKNOWN: Lack("focus_grounded.unknown", "people: persons of the inventory", "people_of_the_inventory"),
    "nobody_lost": Lack("focus_grounded.lost", LOST, "the_person_lost"),
    LIVING: Lack("focus_grounded.living", LOST, "the_person_lost"),
    "stage": Lack("focus_grounded.role_dispute", "stage", "the_stage_of_the_dispute"),
    "nobody_in_dispute": Lack("focus_grounded.other_party", OTHER_PARTY, "the_living_person_in_dispute"),
    DIED: Lack("focus_grounded.dead", OTHER_PARTY, "the_living_person_in_dispute"),
    "roles": Lack("focus_grounded.role_transition", "old_role and new_role", "the_old_and_the_new_role"),
    "residual": Lack("focus_grounded.interpersonal_deficits", "others_do_not_fit: true", "that_the_others_do_not_fit"),
}
OF_PEOPLE = frozenset({UNKNOWN, "nobody_lost", LIVING, "nobody_in_dispute", DIED})


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
    """Grief names the person lost, a dispute its stage and a living person, a transition an old and a new role.

    Whoever is named is in the inventory. Interpersonal deficits are chosen only where no other area fits (soft).
    """
    people = _people(case)
    lacking = tuple(_lacking(case, people))
    if not lacking:
        return None
    lacks = [lack for _, lack in lacking]
    refuses = partial(
        case.refuses,
        current={"given": sorted(case.data), "people": people},
        required={each: "; ".join(LACKS[lack].required for area, lack in lacking if area == each) for each, _ in lacking},
        remedies=("record_inventory",) if OF_PEOPLE.intersection(lacks) else (),
        severity="soft" if lacks == ["residual"] else None,
    )
    if len(lacks) > 1:
        return refuses("focus_grounded.lacks", lacks=tuple(LACKS[lack].code for lack in lacks))
    named = tuple(name for name, says in people.items() if says == lacks[0])
    return refuses(LACKS[lacks[0]].message_id, people=named) if named else refuses(LACKS[lacks[0]].message_id)


def _people(case: Case) -> dict[str, str]:
    """Everybody whom the command names, with what the inventory says of them. One that was only attested has no rows to say it."""
    recorded = case.course.inventory.people if case.course.inventory else ()
    says = {person.id: DIED if person.deceased else LIVING for person in recorded}
    not_there = ATTESTED if "inventory" in case.course.attested else UNKNOWN
    return {name: says.get(name, not_there) for name in case.data.get("people", ())}


def _lacking(case: Case, people: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Each lack with its problem area, or with `people` where somebody is named whom the inventory does not have."""
    data, areas, says = case.data, _areas(case), set(people.values())
    if UNKNOWN in says:
        yield "people", UNKNOWN
    if "grief" in areas and says <= {LIVING}:
        yield "grief", LIVING if says else "nobody_lost"
    if "role_dispute" in areas and not data.get("stage"):
        yield "role_dispute", "stage"
    if "role_dispute" in areas and says <= {DIED}:
        yield "role_dispute", DIED if says else "nobody_in_dispute"
    if "role_transition" in areas and not (data.get("old_role") and data.get("new_role")):
        yield "role_transition", "roles"
    if "interpersonal_deficits" in areas and not data.get("others_do_not_fit"):
        yield "interpersonal_deficits", "residual"


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
    """The client has accepted a formulation after the one on which the present problem area rests."""
    formulation, focus = case.course.formulation, case.course.focus
    accepted = formulation.accepted_version if formulation else None
    if accepted is not None and accepted != (focus.formulation if focus else None):
        return None
    waiting = formulation is not None and formulation.version != accepted
    return case.refuses(
        "formulation_renewed.accept" if waiting else "formulation_renewed.record",
        current=accepted,
        required="a formulation accepted since the problem area was chosen and the phase began",
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
    in_time = case.allows("agree_contract")
    return case.refuses(
        "contract_agreed.agree" if in_time else "contract_agreed.too_late",
        current=None,
        required="a contract",
        remedies=ways_to_a_contract(case),
    )


def ways_to_a_contract(case: Case) -> tuple[str, ...]:
    """The triggers by which a course gets a contract that it lacks: later than the first phase, if it was taken over, an amendment."""
    return ("agree_contract", *(("amend",) if case.course.adopted else ()))


@rule(source="domain I6, I10")
def both_agree(case: Case) -> Refusal | None:
    """Client and therapist both agree the contract."""
    lacking = [who for who in ("client", "therapist") if not case.data[f"{who}_agrees"]]
    if not lacking:
        return None
    return case.refuses("both_agree", current=lacking, required="client_agrees and therapist_agrees", who=tuple(lacking))


@rule(source="seed S1; domain I7")
def contract_in_range(case: Case) -> Refusal | None:
    """Weeks and sessions that are agreed or changed lie in the protocol's range, or a supervisor agrees.

    A client who joined a group late may agree as many fewer as the group had held before.
    """
    terms, spec, changed = case.data["terms"], case.protocol.contract, _changed(case)
    ranges = {"sessions": spec.sessions, "weeks": spec.weeks}
    if changed and terms.get("from_joining"):
        ranges = _since_joining(case, ranges)
    outside = [name for name, bounds in ranges.items() if name in changed and terms[name] not in bounds]
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
    """A number of sessions leaves room for those already used and for those that the coming phases must have."""
    if "sessions" not in _changed(case):
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


def _changed(case: Case) -> frozenset[str]:
    """The terms that the command changes: all of them if it agrees the contract. Without a contract, `contract_agreed` refuses it."""
    terms, contract = case.data["terms"], case.course.contract
    if case.trigger != "amend_contract":
        return frozenset(terms)
    return frozenset(name for name, value in terms.items() if contract and value != getattr(contract, name))
