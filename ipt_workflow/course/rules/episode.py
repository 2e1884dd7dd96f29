"""Rules about the course as a whole: opening, handing over, reopening, following up."""

import datetime as dt

from ipt_workflow.course.context import supervisor_of
from ipt_workflow.course.rules.case import Case, rule
from ipt_workflow.errors import Refusal, Remedy

REOPEN_DAYS = 30


@rule(source="domain I21")
def one_active_course(case: Case) -> Refusal | None:
    """A client has at most one open acute course; maintenance is not acute."""
    protocol = case.context.target or case.protocol
    ends_open = case.trigger != "relink_client" or case.course.open
    if not (protocol.acute and ends_open and case.context.other_open_course):
        return None
    return case.stands(
        "This client already has an open acute course. Complete or end that one first.",
        current="1 open acute course",
        required="none",
        remedies=("complete", "end_early"),
    )


@rule(source="domain 6.2")
def adopted_phase_exists(case: Case) -> Refusal | None:
    """A course begun elsewhere is taken over at a phase of its protocol, with counts for its phases only."""
    known = {phase.id for phase in case.protocol.phases}
    wrong = sorted({case.data["phase"], *case.data["attended"]} - known)
    if not wrong:
        return None
    return case.stands(
        f"The protocol has no phase {', '.join(wrong)}.",
        current=wrong,
        required="phases among " + ", ".join(phase.id for phase in case.protocol.phases),
    )


@rule(source="domain I17")
def no_acute_risk(case: Case) -> Refusal | None:
    """Acute risk holds the phase; it never holds recording, review, referral or ending early."""
    if case.course.risk.level != "acute":
        return None
    return case.stands("Risk is acute.", current="acute", required="not acute", remedies=("review_risk",))


@rule(source="machine.md, reopen")
def reopen_window(case: Case) -> Refusal | None:
    """An ending is taken back within 30 days of its being recorded; later a second supervisor agrees."""
    ending = case.course.ending
    if ending is None or case.context.cosigner or case.at - ending.recorded_at <= dt.timedelta(days=REOPEN_DAYS):
        return None
    days = (case.at - ending.recorded_at).days
    return with_supervisor(
        case,
        "The course ended too long ago for one supervisor to take that back.",
        current=f"{days} days ago",
        required=f"at most {REOPEN_DAYS} days ago, or a second supervisor's agreement",
    )


@rule(source="domain 6.2")
def supervisor_agrees(case: Case) -> Refusal | None:
    """A supervisor fires this, or cosigns it."""
    if supervisor_of(case.context):
        return None
    return with_supervisor(
        case, "This needs a supervisor's agreement.", current="none", required="a supervisor, or a proposal that one cosigns"
    )


@rule(source="machine.md, extend_phase")
def extension_allowed(case: Case) -> Refusal | None:
    """A phase is extended only where the protocol names an extended cap, and once."""
    phase = case.phase
    if phase.sessions_max_extended is not None and phase.id not in case.course.extended:
        return None
    extended = phase.id in case.course.extended
    return case.stands(
        f"The {phase.id} phase has been extended before." if extended else f"The protocol does not extend the {phase.id} phase.",
        current="extended" if extended else phase.sessions_max,
        required="a phase with an extended cap, not yet extended",
    )


@rule(source="design")
def protocol_differs(case: Case) -> Refusal | None:
    """A protocol is changed for another one, or another version."""
    target = case.context.target
    if target is None or target.digest != case.course.protocol_digest:
        return None
    return case.stands("The course already runs under this protocol.", current=target.key, required="another protocol or version")


@rule(source="design")
def same_protocol_family(case: Case) -> Refusal | None:
    """A course migrates to another version of its own protocol; to another protocol it changes, in the first phase."""
    target = case.context.target
    if target is None or target.id == case.course.protocol:
        return None
    return case.stands(
        "The course has another protocol, not another version of this one.",
        current=case.protocol.key,
        required=f"another version of {case.course.protocol}",
        remedies=("change_protocol",),
    )


@rule(source="design")
def carries_over(case: Case) -> Refusal | None:
    """Under the new version the course is not stuck: its phases, sessions and sick role are lawful there, and an ending can be reached."""
    if not case.obstacles:
        return None
    return case.stands(
        f"The course would be stuck: {' '.join(case.obstacles)}",
        current=list(case.obstacles),
        required="a course that carries over",
        remedies=(),
    )


@rule(source="design")
def client_differs(case: Case) -> Refusal | None:
    """A course is put with another client record than its own."""
    if case.context.client != case.course.client:
        return None
    return case.stands("The course already belongs to this client.", current="the same client", required="another client")


def with_supervisor(case: Case, message: str, *, current: object, required: object) -> Refusal:
    """A refusal whose remedy is to post the same command as a proposal for a supervisor to cosign."""
    refusal = case.stands(message, current=current, required=required)
    return Refusal(
        rule=refusal.rule,
        severity=refusal.severity,
        message=refusal.message,
        current=current,
        required=required,
        remedies=(Remedy(trigger=case.trigger, roles=("supervisor",)),),
        source=refusal.source,
    )
