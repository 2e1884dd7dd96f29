"""Rules about the course as a whole: opening, handing over, reopening, following up."""

import datetime as dt

from msgspec.structs import replace

from ipt_workflow.course.context import supervisor_of
from ipt_workflow.course.rules.case import Case, rule
from ipt_workflow.errors import Refusal, Remedy
from ipt_workflow.values.types import RISK_LEVELS

REOPEN_DAYS = 30


@rule(source="domain I21")
def one_active_course(case: Case) -> Refusal | None:
    """A client has at most one open acute course. Maintenance is not acute."""
    protocol = case.context.target or case.protocol
    ends_open = case.trigger != "relink_client" or case.course.open
    if not (protocol.acute and ends_open and case.context.other_open_course):
        return None
    closing = tuple(replace(case.remedy(name), course="other") for name in ("complete", "end_early", "decline"))
    return case.refuses("one_active_course", current="1 open acute course", required="none", remedies=closing)


@rule(source="domain 6.2")
def adopted_phase_exists(case: Case) -> Refusal | None:
    """A course begun elsewhere is taken over at a phase of its protocol, with counts for its phases only."""
    phases = case.protocol.phase_ids
    wrong = sorted({case.data["phase"], *case.data["attended"]} - set(phases))
    if not wrong:
        return None
    return case.refuses(
        "adopted_phase_exists",
        current=wrong,
        required="phases among " + ", ".join(phases),
        phases=tuple(wrong),
        allowed=phases,
    )


@rule(source="domain I17", both_times=True)
def no_acute_risk(case: Case) -> Refusal | None:
    """The client's risk is not acute. Acute risk never prevents recording, review, referral or ending early."""
    if case.course.risk.level != "acute":
        return None
    return case.refuses("no_acute_risk", current="acute", required="not acute", remedies=("review_risk",))


@rule(source="design")
def lower_risk_explained(case: Case) -> Refusal | None:
    """A review that lowers the level of the risk gives a reason."""
    present, level = case.course.risk.level, case.data["level"]
    if RISK_LEVELS.index(level) >= RISK_LEVELS.index(present) or case.data.get("explained"):
        return None
    return case.refuses("lower_risk_explained", current=present, required="a reason, or a level that is not lower", level=present)


@rule(source="machine.md, reopen")
def reopen_window(case: Case) -> Refusal | None:
    """A course is reopened within 30 days of the recording of its ending. Later a second supervisor agrees.

    The 30 days are for people, so they end when the reopening is recorded, whatever time it is dated to.
    """
    ending = case.course.ending
    if ending is None or case.context.cosigner or case.context.now - ending.recorded_at <= dt.timedelta(days=REOPEN_DAYS):
        return None
    days = (case.context.now - ending.recorded_at).days
    return case.needs_supervisor(
        "reopen_window",
        current=f"{days} days ago",
        required=f"at most {REOPEN_DAYS} days ago, or a second supervisor's agreement",
        days=days,
        most=REOPEN_DAYS,
    )


@rule(source="domain 6.2")
def supervisor_agrees(case: Case) -> Refusal | None:
    """A supervisor fires this, or cosigns it."""
    if supervisor_of(case.context):
        return None
    return case.needs_supervisor("supervisor_agrees", current="none", required="a supervisor, or a proposal that one cosigns")


@rule(source="machine.md, extend_phase")
def extension_allowed(case: Case) -> Refusal | None:
    """A phase is extended only where the protocol names an extended cap, and once."""
    phase = case.phase
    extended = phase.id in case.course.extended
    if phase.sessions_max_extended is not None and not extended:
        return None
    return case.refuses(
        "extension_allowed.already" if extended else "extension_allowed.never",
        current="extended" if extended else phase.sessions_max,
        required="a phase with an extended cap, not yet extended",
        phase=phase.id,
    )


@rule(source="design")
def declined_by_therapist(case: Case) -> Refusal | None:
    """A supervisor declines a referral before treatment begins, such as a duplicate. Later the therapist declines the course."""
    if case.context.actor.role == "therapist" or case.course.phase is None:
        return None
    remedy = Remedy(trigger="decline", roles=("therapist",))
    return case.refuses("declined_by_therapist", current=case.course.phase, required="referred", remedies=(remedy,))


@rule(source="design")
def protocol_differs(case: Case) -> Refusal | None:
    """A course goes on under another protocol or another version than its present one."""
    target = case.context.target
    if target is None or target.digest != case.course.protocol_digest:
        return None
    return case.refuses("protocol_differs", current=target.key, required="another protocol or version", protocol=target.key)


@rule(source="design")
def same_protocol_family(case: Case) -> Refusal | None:
    """A course migrates to another version of its own protocol. To another protocol it changes, in the first phase."""
    target = case.context.target
    if target is None or target.id == case.course.protocol:
        return None
    return case.refuses(
        "same_protocol_family",
        current=case.protocol.key,
        required=f"another version of {case.course.protocol}",
        remedies=("change_protocol",),
        protocol=case.course.protocol,
    )


@rule(source="design")
def carries_over(case: Case) -> Refusal | None:
    """Under the new version the course is not stuck: its phases, sessions and sick role are lawful, and it can reach an ending."""
    if not case.obstacles:
        return None
    return case.refuses(
        "carries_over",
        current=list(case.obstacles),
        required="a course that carries over",
        obstacles=" ".join(case.obstacles),
    )


@rule(source="design")
def client_differs(case: Case) -> Refusal | None:
    """A course is linked to another client record than its present one."""
    if case.context.client != case.course.client:
        return None
    return case.refuses("client_differs", current="the same client", required="another client")
