"""Rules about the last phase and the end of a course."""

import datetime as dt

from ipt_workflow.course import counters
from ipt_workflow.course.rules.case import Case, rule
from ipt_workflow.course.rules.first_phase import OTHER_AIMS, measured
from ipt_workflow.errors import Refusal


@rule(source="seed S4; domain I8", structural=True)
def final_remaining(case: Case) -> Refusal | None:
    """The last phase is the contract's last sessions: it begins when exactly so many remain."""
    needed = case.protocol.last.sessions_min
    left = counters.remaining(case.protocol, case.course)
    if left == needed:
        return None
    remedies: tuple[str, ...] = ("agree_contract",) if left is None else ("amend_contract",)
    return case.stands(
        f"The {case.protocol.last.id} phase begins when {needed} sessions remain.",
        current=left,
        required=needed,
        remedies=("record_session", "amend_contract") if left is not None and left > needed else remedies,
    )


@rule(source="domain I11")
def ending_announced(case: Case) -> Refusal | None:
    """The ending has been raised with the client."""
    if case.course.ending_announced_at:
        return None
    return case.stands("The ending has not been announced.", current=None, required="announced", remedies=("announce_ending",))


@rule(source="seed S4; domain I13", structural=True)
def final_held(case: Case) -> Refusal | None:
    """The last phase has used all its sessions."""
    used, needed = counters.consumed_in_last(case.protocol, case.course), case.protocol.last.sessions_min
    if used >= needed:
        return None
    return case.stands(
        f"The {case.protocol.last.id} phase has not had all its sessions.",
        current=used,
        required=needed,
        remedies=("record_session",),
    )


@rule(source="domain I13", soft=True)
def final_attended(case: Case) -> Refusal | None:
    """The client attended all sessions of the last phase."""
    attended, needed = counters.attended_in(case.course, case.protocol.last), case.protocol.last.sessions_min
    if attended >= needed:
        return None
    room = counters.consumed_in_last(case.protocol, case.course) < needed
    return case.stands(
        f"The client attended fewer sessions of the {case.protocol.last.id} phase than it has.",
        current=attended,
        required=needed,
        remedies=("record_session",) if room else (),
    )


@rule(source="seed S12")
def gains_recorded(case: Case) -> Refusal | None:
    """The client's gains have been reviewed."""
    if case.course.gains:
        return None
    return case.stands("The gains have not been reviewed.", current=None, required="gains", remedies=("record_gains",))


@rule(source="seed S12")
def independence_recorded(case: Case) -> Refusal | None:
    """It is on record what the client now does without the therapist."""
    if case.course.independence:
        return None
    return case.stands(
        "The client's independence has not been recorded.", current=None, required="independence", remedies=("record_independence",)
    )


@rule(source="seed S12")
def recurrence_planned(case: Case) -> Refusal | None:
    """There is a plan that anticipates, identifies and manages a recurrence."""
    if case.course.recurrence_planned:
        return None
    return case.stands(
        "There is no plan for recurrence.", current=None, required="anticipate, identify, manage", remedies=("plan_for_recurrence",)
    )


@rule(source="domain Z6")
def continuation_decided(case: Case) -> Refusal | None:
    """It is decided what follows the acute course, if anything."""
    if case.course.continuation:
        return None
    return case.stands(
        "It has not been decided what follows.", current=None, required="a decision", remedies=("decide_continuation",)
    )


@rule(source="seed S13; domain Z5")
def end_measured(case: Case) -> Refusal | None:
    """Symptoms were measured in the last phase; that they could not be is said, and makes the rule soft."""
    return measured(case, ("symptoms",), early=False)


@rule(source="seed S13; domain Z5", soft=True)
def end_of_every_aim(case: Case) -> Refusal | None:
    """Interpersonal functioning and social support were measured in the last phase."""
    return measured(case, OTHER_AIMS, early=False)


@rule(source="domain I25")
def sick_role_relinquished(case: Case) -> Refusal | None:
    """A sick role that was assigned has been given up."""
    status = case.course.sick_role.status
    if not status.startswith("assigned"):
        return None
    return case.stands(
        "The sick role has not been given up.", current=status, required="relinquished", remedies=("relinquish_sick_role",)
    )


@rule(source="seed S1")
def contracted_weeks_served(case: Case) -> Refusal | None:
    """The course is in the last of its contracted weeks, or past it."""
    contract = case.course.contract
    clock = counters.clock(case.course, case.at, case.context.zone)
    if contract is None or (clock and clock.week >= contract.weeks):
        return None
    earliest = None
    if clock:
        first_day_of_last_week = clock.started_on + dt.timedelta(weeks=contract.weeks - 1, days=clock.paused_days)
        earliest = counters.midnight(first_day_of_last_week, case.context.zone)
    return case.stands(
        "The contracted weeks are not over.",
        current=clock.week if clock else None,
        required=f"week {contract.weeks}",
        remedies=("amend_contract",),
        earliest=earliest,
    )


@rule(source="domain Z7")
def alternative_offered(case: Case) -> Refusal | None:
    """Where the client did not improve, it was the treatment that failed: something else has been offered."""
    outcome = case.data.get("outcome")
    offered = case.course.continuation in {"alternative", "referral"} or case.course.referred_on
    if outcome not in {"no_response", "deterioration"} or offered:
        return None
    return case.stands(
        "Nothing else has been offered to a client who did not improve.",
        current=case.course.continuation,
        required="alternative or referral, or a referral on record",
        remedies=("decide_continuation", "refer_on"),
    )
