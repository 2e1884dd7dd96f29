"""Rules about the work of the first phase: evaluation, history, inventory, formulation, sick role, baseline."""

from ipt_workflow.course.context import supervisor_of
from ipt_workflow.course.course import Track
from ipt_workflow.course.rules.case import Case, rule
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
    """The diagnostic evaluation is recorded, with a diagnosis."""
    if case.course.evaluated:
        return None
    return case.refuses("evaluation_recorded", current=None, required="diagnosis", remedies=("record_evaluation",))


@rule(source="seed S6")
def history_complete(case: Case) -> Refusal | None:
    """The psychiatric history is recorded. The rule is soft where the missing parts are recorded as not obtainable."""
    history = case.course.history
    given = set(history.given) if history else set()
    missing = [part for part in HISTORY_PARTS if part not in given]
    if not missing:
        return None
    unobtainable = history is not None and set(missing) <= set(history.not_obtained)
    return case.refuses(
        "history_complete.not_obtained" if unobtainable else "history_complete.missing",
        current=sorted(given),
        required=list(HISTORY_PARTS),
        remedies=("record_history",),
        severity="soft" if unobtainable else None,
        missing=tuple(missing),
    )


@rule(source="seed S7")
def inventory_recorded(case: Case) -> Refusal | None:
    """There is an interpersonal inventory before a problem area is chosen from it."""
    if case.course.inventory or "inventory" in case.course.attested:
        return None
    return case.refuses("inventory_recorded", current=None, required="an interpersonal inventory", remedies=("record_inventory",))


@rule(source="seed S7")
def inventory_complete(case: Case) -> Refusal | None:
    """The interpersonal inventory has all four sections, in one version or in several."""
    sections = case.course.inventory.sections if case.course.inventory else ()
    missing = [section for section in INVENTORY_SECTIONS if section not in sections]
    if not missing:
        return None
    return case.refuses(
        "inventory_complete",
        current=list(sections),
        required=list(INVENTORY_SECTIONS),
        remedies=("record_inventory",),
        missing=tuple(missing),
    )


@rule(source="seed S7; domain A7")
def timeline_recorded(case: Case) -> Refusal | None:
    """A timeline shows how life events and symptoms followed each other."""
    if case.course.timeline:
        return None
    return case.refuses("timeline_recorded", current=None, required="a timeline", remedies=("record_timeline",))


@rule(source="seed S14")
def formulation_complete(case: Case) -> Refusal | None:
    """The formulation names the triad: crisis, the four biosocial vulnerabilities, social support."""
    parts = case.course.formulation.parts if case.course.formulation else ()
    missing = [part for part in TRIAD if part not in parts]
    if not missing:
        return None
    return case.refuses(
        "formulation_complete",
        current=list(parts),
        required=list(TRIAD),
        remedies=("record_formulation",),
        missing=tuple(part.rpartition(".")[2] for part in missing),
    )


@rule(source="domain A9")
def formulation_known(case: Case) -> Refusal | None:
    """The client answers to the latest formulation."""
    latest = case.course.formulation.version if case.course.formulation else None
    version = case.data["version"]
    if latest is None:
        return case.refuses("formulation_known.none", current=version, required="a formulation", remedies=("record_formulation",))
    if version == latest:
        return None
    return case.refuses("formulation_known.outdated", current=version, required=latest, version=version, latest=latest)


@rule(source="domain A9")
def formulation_accepted(case: Case) -> Refusal | None:
    """The client accepts the latest formulation. The rule is soft where the client accepts it in part."""
    formulation = case.course.formulation
    if formulation is None:
        return case.refuses("formulation_accepted.none", current=None, required="accepts", remedies=("record_formulation",))
    response = formulation.response
    if response == "accepts":
        return None
    in_part = response == "in_part"
    return case.refuses(
        "formulation_accepted.in_part" if in_part else "formulation_accepted.not_yet",
        current=response,
        required="accepts",
        remedies=("accept_formulation",),
        severity="soft" if in_part else None,
    )


@rule(source="seed S13; domain I14")
def baseline_measured(case: Case) -> Refusal | None:
    """There is a baseline of symptoms. The rule is soft where it is recorded that none could be obtained."""
    return measured(case, ("symptoms",), early=True)


@rule(source="seed S13; domain I14", soft=True)
def baseline_of_every_aim(case: Case) -> Refusal | None:
    """There is a baseline of interpersonal functioning and of social support."""
    return measured(case, OTHER_AIMS, early=True)


def measured(case: Case, aims: tuple[Aim, ...], *, early: bool) -> Refusal | None:
    """The refusal of the aims without a valid reading: a baseline (`early`), or one in the present phase."""
    lacking = tuple(aim for aim in aims if not _has_reading(case, aim, early=early))
    if not lacking:
        return None
    unobtainable = all(_not_obtained(case, aim, early=early) for aim in lacking)
    too_old = early and all(any(track.last for track in _tracks(case, aim)) for aim in lacking)
    counting = {aim: case.protocol.instruments_for(aim) for aim in lacking}
    if unobtainable:
        message_id = "measured.baseline_not_obtained" if early else "measured.end_not_obtained"
    elif too_old:
        message_id = "measured.baseline_too_old"
    else:
        message_id = "measured.baseline_missing" if early else "measured.end_missing"
    return case.refuses(
        message_id,
        current=[aim for aim in aims if aim not in lacking],
        required={aim: list(keys) for aim, keys in counting.items()},
        remedies=("record_measure",),
        severity="soft" if unobtainable else None,
        aims=lacking,
        scales=tuple(key.partition("@")[0] for keys in counting.values() for key in keys),
    )


def _tracks(case: Case, aim: Aim) -> list[Track]:
    return [case.course.measures[key] for key in case.protocol.instruments_for(aim) if key in case.course.measures]


def _has_reading(case: Case, aim: Aim, *, early: bool) -> bool:
    return any(track.baseline if early else case.course.phase in track.phases for track in _tracks(case, aim))


def _not_obtained(case: Case, aim: Aim, *, early: bool) -> bool:
    return any(track.not_obtained if early else case.course.phase in track.not_obtained for track in _tracks(case, aim))


RESOLVED = frozenset({"assigned_full", "assigned_limited", "waived", "relinquished"})


@rule(source="seed S9", structural=True)
def sick_role_resolved(case: Case) -> Refusal | None:
    """The sick role is assigned or waived. The rule is soft where the client declines it."""
    status = case.course.sick_role.status
    if status in RESOLVED:
        return None
    declined = status == "declined"
    return case.refuses(
        "sick_role_resolved.declined" if declined else "sick_role_resolved.pending",
        current=status,
        required="assigned_full, assigned_limited, declined or waived",
        remedies=("update_sick_role",) if declined else ("assign_sick_role",),
        severity="soft" if declined else None,
    )


@rule(source="domain 1.4")
def sick_role_used(case: Case) -> Refusal | None:
    """The protocol uses the sick role."""
    if case.protocol.sick_role.mode != "not_used":
        return None
    return case.refuses("sick_role_used", current="not_used", required="a protocol that uses it", protocol=case.protocol.title)


@rule(source="domain 1.4 (IPT-A)", soft=True)
def sick_role_mode_fits(case: Case) -> Refusal | None:
    """The sick role is limited where the protocol gives a limited one: no client is exempted from everything."""
    if case.protocol.sick_role.mode != "limited" or case.data["mode"] == "limited":
        return None
    return case.refuses("sick_role_mode_fits", current=case.data["mode"], required="limited", protocol=case.protocol.title)


@rule(source="domain 1.4 (Parsons 1951)")
def sick_role_explained(case: Case) -> Refusal | None:
    """The therapist explains that the client is not to blame for the illness. Without that there is no sick role."""
    if case.data["no_blame"]:
        return None
    return case.refuses("sick_role_explained", current=False, required=True)


@rule(source="seed S9", structural=True)
def sick_role_assigned(case: Case) -> Refusal | None:
    """There is a sick role to change or to give up."""
    status = case.course.sick_role.status
    if status.startswith("assigned") or (status == "declined" and case.trigger == "update_sick_role"):
        return None
    first = case.course.phase == case.protocol.first.id
    return case.refuses(
        "sick_role_assigned.assign" if first else "sick_role_assigned.none",
        current=status,
        required="assigned_full or assigned_limited",
        remedies=("assign_sick_role",) if first else (),
    )


@rule(source="seed S9; machine.md, waive_sick_role")
def waiver_agreed(case: Case) -> Refusal | None:
    """A supervisor agrees to do without the sick role where the protocol demands it."""
    if case.protocol.sick_role.mode not in {"full", "limited"} or supervisor_of(case.context):
        return None
    return case.needs_supervisor(
        "waiver_agreed", current=case.protocol.sick_role.mode, required="a supervisor, or a proposal that one cosigns"
    )
