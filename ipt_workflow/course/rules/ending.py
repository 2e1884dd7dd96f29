"""Rules about the last phase and the end of a course."""

import datetime as dt

from ipt_workflow.course import counters, outcome
from ipt_workflow.course.rules.agreement import ways_to_a_contract
from ipt_workflow.course.rules.case import Case, rule
from ipt_workflow.course.rules.first_phase import OTHER_AIMS, measured
from ipt_workflow.errors import Refusal
from ipt_workflow.values.types import AGREED


@rule(source="seed S4; domain I8", structural=True)
def final_remaining(case: Case) -> Refusal | None:
    """The last phase is the contract's last sessions: it begins when exactly that many remain."""
    last, left = case.protocol.last, counters.remaining(case.protocol, case.course)
    needed = counters.needed(case.protocol, case.course, last)
    if left == needed:
        return None
    if left is None:
        in_time = case.allows("agree_contract")
        return case.refuses(
            "final_remaining.no_contract" if in_time else "final_remaining.too_late",
            current=None,
            required=needed,
            remedies=ways_to_a_contract(case),
            phase=last.id,
            needed=needed,
        )
    if left > needed:
        return case.refuses(
            "final_remaining.too_many",
            current=left,
            required=needed,
            remedies=("record_session", "amend_contract"),
            phase=last.id,
            needed=needed,
            left=left,
        )
    return case.refuses(
        "final_remaining.too_few", current=left, required=needed, remedies=("amend_contract",), phase=last.id, needed=needed
    )


@rule(source="domain I11")
def ending_announced(case: Case) -> Refusal | None:
    """The therapist has raised the ending with the client."""
    if case.course.ending_announced_at:
        return None
    return case.refuses("ending_announced", current=None, required="announced", remedies=("announce_ending",))


@rule(source="seed S4; domain I13", structural=True)
def final_held(case: Case) -> Refusal | None:
    """The last phase has used all its sessions."""
    last = case.protocol.last
    used, needed = counters.consumed_in_last(case.protocol, case.course), counters.needed(case.protocol, case.course, last)
    if used >= needed:
        return None
    return case.refuses(
        "final_held",
        current=used,
        required=needed,
        remedies=("record_session",),
        phase=last.id,
        used=used,
        needed=needed,
    )


@rule(source="domain I13", soft=True)
def final_attended(case: Case) -> Refusal | None:
    """The client attended all sessions of the last phase. A member of a group attended those since joining."""
    last = case.protocol.last
    attended, needed = counters.attended_in(case.course, last), counters.needed(case.protocol, case.course, last)
    if attended >= needed:
        return None
    more_to_come = counters.consumed_in_last(case.protocol, case.course) < needed
    return case.refuses(
        "final_attended.more_to_come" if more_to_come else "final_attended.missed",
        current=attended,
        required=needed,
        remedies=("record_session",) if more_to_come else (),
        phase=last.id,
        attended=attended,
        needed=needed,
    )


@rule(source="seed S12")
def gains_recorded(case: Case) -> Refusal | None:
    """Therapist and client have reviewed the client's gains."""
    if case.course.gains:
        return None
    return case.refuses("gains_recorded", current=None, required="gains", remedies=("record_gains",))


@rule(source="seed S12")
def independence_recorded(case: Case) -> Refusal | None:
    """It is recorded what the client now does without the therapist."""
    if case.course.independence:
        return None
    return case.refuses("independence_recorded", current=None, required="independence", remedies=("record_independence",))


@rule(source="seed S12")
def recurrence_planned(case: Case) -> Refusal | None:
    """There is a plan that anticipates, identifies and manages a recurrence."""
    if case.course.recurrence_planned:
        return None
    return case.refuses(
        "recurrence_planned", current=None, required="anticipate, identify, manage", remedies=("plan_for_recurrence",)
    )


@rule(source="domain Z6")
def continuation_decided(case: Case) -> Refusal | None:
    """It is decided what follows the acute course, if anything."""
    if case.course.continuation:
        return None
    return case.refuses("continuation_decided", current=None, required="a decision", remedies=("decide_continuation",))


@rule(source="seed S13; domain Z5")
def end_measured(case: Case) -> Refusal | None:
    """Symptoms were measured in the last phase. The rule is soft where it is recorded that they could not be."""
    return measured(case, ("symptoms",), early=False)


@rule(source="seed S13; domain Z5", soft=True)
def end_of_every_aim(case: Case) -> Refusal | None:
    """Interpersonal functioning and social support were measured in the last phase."""
    return measured(case, OTHER_AIMS, early=False)


@rule(source="domain I25")
def sick_role_relinquished(case: Case) -> Refusal | None:
    """The client has given up a sick role that was assigned."""
    status = case.course.sick_role.status
    if not status.startswith("assigned"):
        return None
    return case.refuses("sick_role_relinquished", current=status, required="relinquished", remedies=("relinquish_sick_role",))


@rule(source="seed S1")
def contracted_weeks_served(case: Case) -> Refusal | None:
    """The course is in the last of its contracted weeks, or past it."""
    contract = case.course.contract
    clock = counters.clock(case.course, case.at, case.context.zone)
    if contract is None:
        return None
    required = f"week {contract.weeks}"
    if clock is None:
        return case.refuses(
            "contracted_weeks_served.not_begun",
            current=None,
            required=required,
            remedies=("amend_contract",),
            weeks=contract.weeks,
        )
    if clock.week >= contract.weeks:
        return None
    weeks_left_at_start = contract.weeks - 1 - counters.weeks_before(case.course, clock.started_on, case.context.zone)
    first_day_of_last_week = clock.started_on + dt.timedelta(weeks=weeks_left_at_start, days=clock.paused_days)
    return case.refuses(
        "contracted_weeks_served.running",
        current=clock.week,
        required=required,
        remedies=("amend_contract",),
        earliest=counters.midnight(first_day_of_last_week, case.context.zone),
        week=clock.week,
        weeks=contract.weeks,
    )


@rule(source="domain Z7")
def alternative_offered(case: Case) -> Refusal | None:
    """A client who did not improve, or became reliably worse by the scales, has been offered something else: the treatment failed, not
    the client.
    """
    by_scales = outcome.by_scales(case.protocol, case.course)
    failed = case.data.get("outcome") in {"no_response", "deterioration"} or (by_scales and by_scales.reliable_deterioration)
    offered = case.course.continuation in {"alternative", "referral"} or case.course.referred_on
    if not failed or offered:
        return None
    return case.refuses(
        "alternative_offered",
        current=case.course.continuation,
        required="alternative or referral, or a referral on record",
        remedies=("decide_continuation", "refer_on"),
    )


@rule(source="F41, F46; domain Z7", soft=True, needs="outcome_scales")
def outcome_fits_measures(case: Case) -> Refusal | None:
    """The outcome does not contradict the scales. It is no improvement where they show reliable deterioration, no deterioration where
    they show reliable improvement, and no remission where the client is still a case, or not in remission by a scale without caseness.
    """
    given = case.data.get("outcome")
    shown = outcome.contradiction(case.protocol, case.course, given) if given else None
    if given is None or shown is None:
        return None
    message_id, by_scales = {
        "worse": ("outcome_fits_measures.worse", "reliable deterioration"),
        "better": ("outcome_fits_measures.better", "reliable improvement"),
        "case": ("outcome_fits_measures.case", "no recovery"),
    }[shown]
    return case.refuses(message_id, current=given, required=f"an outcome that fits: {by_scales}", outcome=(given,))


@rule(source="F41; design")
def end_code_fits(case: Case) -> Refusal | None:
    """An early ending has code 46 only from the last phase. Every other code may be given from any open state."""
    last = case.protocol.last
    if case.data["end_code"] != AGREED or case.course.phase == last.id:
        return None
    return case.refuses(
        "end_code_fits",
        current=case.course.state,
        required=f"{last.id}, or another code",
        remedies=("end_early",),
        phase=last.id,
    )
