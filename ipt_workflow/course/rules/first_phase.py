"""Rules about the work of the first phase: evaluation, history, inventory, formulation, sick role, baseline."""

from ipt_workflow.course.context import supervisor_of
from ipt_workflow.course.rules.case import Case, rule
from ipt_workflow.course.rules.episode import with_supervisor
from ipt_workflow.errors import Refusal
from ipt_workflow.protocols.instruments import Aim

HISTORY_PARTS = (
    "onset", "previous_episodes", "past_treatment", "family_history", "medical_and_substance", "medication", "suicide_history",
)  # fmt: skip
INVENTORY_SECTIONS = ("current_relationships", "capacity_for_intimacy", "social_patterns", "changes_in_relationships")
TRIAD = (
    "crisis", "vulnerabilities.attachment_style", "vulnerabilities.genetic_vulnerability", "vulnerabilities.personality",
    "vulnerabilities.temperament", "social_support",
)  # fmt: skip
OTHER_AIMS: tuple[Aim, ...] = ("interpersonal_functioning", "social_support")


@rule(source="seed S6")
def evaluation_recorded(case: Case) -> Refusal | None:
    """The diagnostic evaluation is on record, with a diagnosis."""
    if case.course.evaluated:
        return None
    return case.stands(
        "There is no diagnostic evaluation with a diagnosis.", current=None, required="diagnosis", remedies=("record_evaluation",)
    )


@rule(source="seed S6")
def history_complete(case: Case) -> Refusal | None:
    """The psychiatric history is on record; what could not be obtained is said, and makes the rule soft."""
    history = case.course.history
    given = set(history.given) if history else set()
    unobtainable = set(history.not_obtained) if history else set()
    missing = [part for part in HISTORY_PARTS if part not in given]
    if not missing:
        return None
    return case.stands(
        f"The psychiatric history lacks {', '.join(missing)}.",
        current=sorted(given),
        required=list(HISTORY_PARTS),
        remedies=("record_history",),
        severity="soft" if set(missing) <= unobtainable else None,
    )


@rule(source="seed S7")
def inventory_recorded(case: Case) -> Refusal | None:
    """There is an interpersonal inventory before a problem area is chosen from it."""
    if case.course.inventory or "inventory" in case.course.attested:
        return None
    return case.stands(
        "There is no interpersonal inventory.", current=None, required="an interpersonal inventory", remedies=("record_inventory",)
    )


@rule(source="seed S7")
def inventory_complete(case: Case) -> Refusal | None:
    """The interpersonal inventory has all four sections, in whichever versions they were told."""
    sections = case.course.inventory.sections if case.course.inventory else ()
    missing = [section for section in INVENTORY_SECTIONS if section not in sections]
    if not missing:
        return None
    return case.stands(
        f"The interpersonal inventory lacks {', '.join(missing)}.",
        current=list(sections),
        required=list(INVENTORY_SECTIONS),
        remedies=("record_inventory",),
    )


@rule(source="seed S7; domain A7")
def timeline_recorded(case: Case) -> Refusal | None:
    """It is on record how life events and symptoms followed each other."""
    if case.course.timeline:
        return None
    return case.stands("There is no timeline.", current=None, required="a timeline", remedies=("record_timeline",))


@rule(source="seed S14")
def formulation_complete(case: Case) -> Refusal | None:
    """The formulation names the triad: crisis, the four biosocial vulnerabilities, social support."""
    parts = case.course.formulation.parts if case.course.formulation else ()
    missing = [part for part in TRIAD if part not in parts]
    if not missing:
        return None
    return case.stands(
        f"The formulation lacks {', '.join(missing)}.", current=list(parts), required=list(TRIAD), remedies=("record_formulation",)
    )


@rule(source="domain A9")
def formulation_known(case: Case) -> Refusal | None:
    """What the client answers to is the latest formulation."""
    latest = case.course.formulation.version if case.course.formulation else None
    if latest is not None and case.data["version"] == latest:
        return None
    return case.stands(
        "This is not the latest formulation." if latest else "There is no formulation.",
        current=case.data["version"],
        required=latest or "a formulation",
        remedies=() if latest else ("record_formulation",),
    )


@rule(source="domain A9")
def formulation_accepted(case: Case) -> Refusal | None:
    """The client accepts the latest formulation; acceptance in part makes the rule soft."""
    formulation = case.course.formulation
    response = formulation.response if formulation else None
    if response == "accepts":
        return None
    return case.stands(
        "The client has not accepted the latest formulation.",
        current=response,
        required="accepts",
        remedies=("accept_formulation",) if formulation else ("record_formulation",),
        severity="soft" if response == "in_part" else None,
    )


@rule(source="seed S13; domain I14")
def baseline_measured(case: Case) -> Refusal | None:
    """There is a baseline of symptoms; that it could not be obtained is said, and makes the rule soft."""
    return measured(case, ("symptoms",), early=True)


@rule(source="seed S13; domain I14", soft=True)
def baseline_of_every_aim(case: Case) -> Refusal | None:
    """There is a baseline of interpersonal functioning and of social support."""
    return measured(case, OTHER_AIMS, early=True)


def measured(case: Case, aims: tuple[Aim, ...], *, early: bool) -> Refusal | None:
    """Whether every aim has a valid reading: by now (`early`), or in the present phase."""
    lacking = [aim for aim in aims if not _has_reading(case, aim, early=early)]
    if not lacking:
        return None
    refused = all(_not_obtained(case, aim, early=early) for aim in lacking)
    when = "baseline" if early else "end"
    return case.stands(
        f"There is no {when} measure of {' and '.join(aim.replace('_', ' ') for aim in lacking)}.",
        current=[aim for aim in aims if aim not in lacking],
        required={aim: list(case.protocol.instruments_for(aim)) for aim in lacking},
        remedies=("record_measure",),
        severity="soft" if refused else None,
    )


def _has_reading(case: Case, aim: Aim, *, early: bool) -> bool:
    tracks = [case.course.measures[key] for key in case.protocol.instruments_for(aim) if key in case.course.measures]
    return any(track.baseline if early else case.course.phase in track.phases for track in tracks)


def _not_obtained(case: Case, aim: Aim, *, early: bool) -> bool:
    tracks = [case.course.measures[key] for key in case.protocol.instruments_for(aim) if key in case.course.measures]
    return any(track.not_obtained if early else case.course.phase in track.not_obtained for track in tracks)


RESOLVED = frozenset({"assigned_full", "assigned_limited", "waived", "relinquished"})


@rule(source="seed S9", structural=True)
def sick_role_resolved(case: Case) -> Refusal | None:
    """The sick role is assigned or waived; a client who declines it makes the rule soft."""
    status = case.course.sick_role.status
    if status in RESOLVED:
        return None
    return case.stands(
        "The client has declined the sick role." if status == "declined" else "The sick role has not been assigned.",
        current=status,
        required="assigned_full, assigned_limited, declined or waived",
        remedies=("update_sick_role",) if status == "declined" else ("assign_sick_role",),
        severity="soft" if status == "declined" else None,
    )


@rule(source="domain 1.4")
def sick_role_used(case: Case) -> Refusal | None:
    """The protocol uses the sick role."""
    if case.protocol.sick_role.mode != "not_used":
        return None
    return case.stands(f"{case.protocol.title} does not use the sick role.", current="not_used", required="a protocol that uses it")


@rule(source="domain 1.4 (IPT-A)", soft=True)
def sick_role_mode_fits(case: Case) -> Refusal | None:
    """Where the protocol gives a limited sick role, nobody is exempted from everything."""
    if case.protocol.sick_role.mode != "limited" or case.data["mode"] == "limited":
        return None
    return case.stands(f"{case.protocol.title} gives a limited sick role.", current=case.data["mode"], required="limited")


@rule(source="domain 1.4 (Parsons 1951)")
def sick_role_explained(case: Case) -> Refusal | None:
    """The client is told not to be to blame for the illness; without that it is no sick role."""
    if case.data["no_blame"]:
        return None
    return case.stands("The client was not told that nobody is to blame.", current=False, required=True)


@rule(source="seed S9", structural=True)
def sick_role_assigned(case: Case) -> Refusal | None:
    """There is a sick role to change or to give up."""
    status = case.course.sick_role.status
    if status.startswith("assigned") or (status == "declined" and case.trigger == "update_sick_role"):
        return None
    first = case.course.phase == case.protocol.first.id
    return case.stands(
        "There is no sick role.",
        current=status,
        required="assigned_full or assigned_limited",
        remedies=("assign_sick_role",) if first else (),
    )


@rule(source="seed S9; machine.md, waive_sick_role")
def waiver_agreed(case: Case) -> Refusal | None:
    """Where the protocol demands the sick role, a supervisor agrees to do without it."""
    if case.protocol.sick_role.mode not in {"full", "limited"} or supervisor_of(case.context):
        return None
    return with_supervisor(
        case,
        "The protocol demands the sick role.",
        current=case.protocol.sick_role.mode,
        required="a supervisor, or a proposal that one cosigns",
    )
