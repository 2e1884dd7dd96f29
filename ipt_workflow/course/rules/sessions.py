"""Rules about sessions: how many, when, by whom, signed or not."""

from typing import Any

from msgspec.structs import replace

from ipt_workflow.course import counters, visits
from ipt_workflow.course.course import Session
from ipt_workflow.course.effects.sessions import linked
from ipt_workflow.course.rules.case import Case, rule
from ipt_workflow.course.triggers import BEGIN_PREFIX
from ipt_workflow.errors import Refusal, Remedy
from ipt_workflow.values.types import ATTENDED


def _counts(case: Case) -> bool:
    """Whether one more session would count: attended (or held, where the phase counts so), and no deviation.

    A link to a group's session makes a session count that was not held without the group.
    """
    if "attendance" in case.data:
        return counters.counts_in(case.phase, visits.session_of(case.data, at=case.at, phase=case.course.phase))
    session = case.course.session(case.data["session"])
    if session is None or session.phase is None or "group_session" not in case.data:
        return False
    return counters.counts_in(case.phase, linked(session, case.data)) and not counters.counts_in(case.phase, session)


@rule(source="machine.md, record_session", structural=True)
def attendance_fits_state(case: Case) -> Refusal | None:
    """Before the course starts, only missed and cancelled appointments can be recorded."""
    if case.course.phase or case.data["attendance"] not in ATTENDED:
        return None
    started = case.context.later.get("start")
    if started is not None:
        return case.refuses(
            "attendance_fits_state.later",
            current=case.data["attendance"],
            required="2, 3, 4 or 7, or a started course",
            remedies=("start",),
            entry=started,
        )
    return case.refuses(
        "attendance_fits_state",
        current=case.data["attendance"],
        required="2, 3, 4 or 7, or a started course",
        remedies=("start",),
    )


@rule(source="seed S3, S4", structural=True)
def phase_session_cap(case: Case) -> Refusal | None:
    """A phase has no more counted sessions than the protocol allows. A middle phase leaves the contract room for later phases.

    Before a contract, a phase without a number of its own has no more than the longest contract would leave it.
    """
    if not case.course.phase or not _counts(case):
        return None
    phase, course = case.phase, case.course
    count, cap = counters.phase_count(course, phase), counters.most_in(case.protocol, course, phase)
    left, reserved = counters.remaining(case.protocol, course), counters.reserved_after(case.protocol, course, phase)
    full = count >= cap
    if not full and (left is None or left > reserved or not reserved):  # `contract_session_cap` keeps the last session
        return None
    after = case.protocol.next_phase(phase.id)
    begun = case.context.later.get(BEGIN_PREFIX + after.id) if after else None
    if begun is not None:
        return case.refuses(
            "phase_session_cap.later",
            current=count if full else left,
            required=f"fewer than {cap}" if full else f"more than {reserved} sessions remaining",
            remedies=_ways_on(case, longer=not full or phase.sessions_max is None),
            phase=phase.id,
            entry=begun,
        )
    if full:
        return case.refuses(
            "phase_session_cap.full",
            current=count,
            required=f"fewer than {cap}",
            remedies=_ways_on(case, longer=phase.sessions_max is None),
            phase=phase.id,
            most=cap,
        )
    return case.refuses(
        "phase_session_cap.reserved",
        current=left,
        required=f"more than {reserved} sessions remaining",
        remedies=_ways_on(case, longer=True),
        phase=phase.id,
        reserved=reserved,
    )


def _ways_on(case: Case, *, longer: bool) -> tuple[Remedy, ...]:
    """What helps where no session is left: the next step, a session more, or to record the session as `additional`.

    `longer`: a longer contract would leave the phase another session. The extension of a phase is for a session to come.
    """
    phase, course = case.phase, case.course
    after = case.protocol.next_phase(phase.id)
    remedies = [_before(case, BEGIN_PREFIX + after.id) if after else case.remedy("complete")]
    if phase.sessions_max_extended and phase.id not in course.extended and not case.late:
        remedies.append(case.remedy("extend_phase"))
    if longer and course.contract and (after or phase is case.protocol.first):  # a last phase that has begun is as long as it is
        remedies.append(_before(case, "amend_contract", sessions=course.contract.sessions + 1))
    if longer and course.contract is None and phase is case.protocol.first:
        remedies.append(_before(case, "agree_contract"))
    return (*remedies, *_additional(case))


def _before(case: Case, name: str, **data: Any) -> Remedy:
    """A trigger that helps a session if it comes before it: for a late session, together with it."""
    remedy = case.remedy(name, **data)
    return replace(remedy, via="together") if case.late and remedy.trigger == name else remedy


def _additional(case: Case) -> tuple[Remedy, ...]:
    """The record of a session beyond a cap."""
    return (case.remedy("record_session", kind="additional"),) if case.trigger == "record_session" else ()


@rule(source="domain I9", structural=True)
def contract_session_cap(case: Case) -> Refusal | None:
    """No more sessions are held than the contract has."""
    contract = case.course.contract
    if contract is None or not _counts(case):
        return None
    used = counters.consumed(case.protocol, case.course)
    if used < contract.sessions:
        return None
    return case.refuses(
        "contract_session_cap",
        current=used,
        required=f"fewer than {contract.sessions}",
        remedies=_ways_on(case, longer=True),
        sessions=contract.sessions,
    )


@rule(source="design", structural=True)
def session_already_recorded(case: Case) -> Refusal | None:
    """One visit is one session: the same reference, or the same moment, is not recorded twice."""
    ref, linking = case.data.get("ref"), case.data.get("session")
    for session in _recorded(case):
        if session.seq == linking:
            continue
        same_ref = session.named(ref)
        if same_ref or (linking is None and session.at == case.at):
            return case.refuses(
                "session_already_recorded",
                current=session.seq,
                required="a visit not yet recorded",
                remedies=() if same_ref else _link(case, session),
                entry=session.seq,
            )
    return None


@rule(source="design", soft=True)
def overlaps_session(case: Case) -> Refusal | None:
    """One visit is one session: a session does not overlap another one in time. A cancellation in time leaves its time free."""
    if "attendance" not in case.data:  # an amendment is judged in its place, by the data of the session
        return None
    session = visits.session_of(case.data, at=case.at)
    same = visits.same_visit(_recorded(case), session, case.context.zone)
    others = [each for each in same if not each.named(session.ref) and each.at != case.at]
    if not others:  # `session_already_recorded` refuses the same reference and the same moment
        return None
    remedies = _link(case, others[0])
    message_id = "overlaps_session.amended" if case.trigger == "amend" else "overlaps_session.again"
    return case.refuses(
        "overlaps_session.link" if remedies else message_id,
        current=[each.seq for each in others],
        required="a time that no other session takes",
        remedies=remedies,
        entry=others[0].seq,
    )


def _recorded(case: Case) -> tuple[Session, ...]:
    """Every recorded session: for a late entry or an amendment, also those that come after its place."""
    others = case.context.other_sessions
    return tuple({each.seq: each for each in (*case.course.sessions, *others)}.values()) if others else case.course.sessions


def _link(case: Case, session: Session) -> tuple[Remedy, ...]:
    """The link of a recorded session to the reference that a new record of the same visit gives."""
    ref = case.data.get("ref")
    return (case.remedy("link_session", session=session.seq, ref=ref),) if ref and case.trigger == "record_session" else ()


@rule(source="domain I24")
def within_planned_end(case: Case) -> Refusal | None:
    """A session that counts is held by the planned end, or within the protocol's days of grace after it."""
    planned_end = counters.planned_end(case.course, case.at, case.context.zone)
    if planned_end is None or not _counts(case):
        return None
    late = (case.day(case.at) - planned_end).days
    grace = case.protocol.contract.grace_days
    if late <= grace:
        return None
    return case.refuses(
        "within_planned_end",
        current=f"{late} days after the planned end",
        required=f"at most {grace} days after it",
        remedies=(_before(case, "amend_contract"), *_additional(case)),
        planned_end=planned_end.isoformat(),
    )


@rule(source="design")
def session_known(case: Case) -> Refusal | None:
    """The named session is one of this course."""
    seq = case.data["session"]
    if case.course.session(seq):
        return None
    return case.refuses(
        "session_known",
        current=seq,
        required=[session.seq for session in case.course.sessions],
        remedies=("record_session",),
        entry=seq,
    )


@rule(source="design")
def session_signable(case: Case) -> Refusal | None:
    """A signature is for a session of this course that was held and is not signed yet."""
    seq, required = case.data["session"], [each.seq for each in case.course.unsigned]
    session = case.course.session(seq)
    if session is None:
        return case.refuses("session_signable.unknown", current="no session", required=required, entry=seq)
    if session.signed:
        return case.refuses("session_signable.signed", current="signed", required=required, entry=seq)
    if not session.attended:
        current = f"not held (code {session.attendance})"
        return case.refuses("session_signable.not_held", current=current, required=required, entry=seq)
    return None


@rule(source="domain I27")
def own_session(case: Case) -> Refusal | None:
    """The therapist who gave a session signs it."""
    session = case.course.session(case.data["session"])
    if session is None or session.given_by in {None, case.context.actor.person}:
        return None
    return case.refuses(
        "own_session",
        current="another therapist",
        required="the therapist who gave the session",
        remedies=("attest_session",),
    )


@rule(source="domain I16")
def risk_reviewed(case: Case) -> Refusal | None:
    """A risk seen by the day of the session is reviewed before the session is signed."""
    session, since = case.course.session(case.data["session"]), case.course.risk.open_since
    if session is None or since is None or case.day(since) > case.day(session.at):
        return None
    return case.refuses("risk_reviewed", current="open", required="reviewed", remedies=("review_risk",))


@rule(source="machine.md, Hard and soft")
def deviation_open(case: Case) -> Refusal | None:
    """A supervisor acknowledges a session held beyond a cap that is not acknowledged yet."""
    seq, required = case.data["session"], [session.seq for session in case.course.open_deviations]
    if seq in required:
        return None
    return case.refuses("deviation_open", current=seq, required=required, entry=seq)


@rule(source="seed S3", structural=True)
def phase_sessions_met(case: Case) -> Refusal | None:
    """A phase has had the fewest sessions it must have before it is left. For a member of a group, these count from joining."""
    phase = case.phase
    count, needed = counters.phase_count(case.course, phase), counters.needed(case.protocol, case.course, phase)
    if count >= needed:
        return None
    return case.refuses(
        "phase_sessions_met",
        current=count,
        required=f"at least {needed}",
        remedies=("record_session",),
        phase=phase.id,
        count=count,
        needed=needed,
    )


@rule(source="domain 6.0")
def no_unsigned_session(case: Case) -> Refusal | None:
    """Every session that was held is signed, or attested, before the phase is left."""
    unsigned = [session.seq for session in case.course.unsigned]
    if not unsigned:
        return None
    return case.refuses(
        "no_unsigned_session",
        current=unsigned,
        required="every session signed",
        remedies=("sign_session", "attest_session"),
        entries=tuple(unsigned),
    )


@rule(source="machine.md, Hard and soft")
def no_open_deviation(case: Case) -> Refusal | None:
    """A supervisor has acknowledged every session held beyond a cap before the phase is left."""
    waiting = [session.seq for session in case.course.open_deviations]
    if not waiting:
        return None
    return case.refuses(
        "no_open_deviation",
        current=waiting,
        required="every deviation acknowledged",
        remedies=("acknowledge_deviation",),
        entries=tuple(waiting),
    )


@rule(source="design from domain S5", soft=True, parameters=("minimum",))
def middle_sessions_recommended(case: Case) -> Refusal | None:
    """The phase had at least the recommended number of sessions."""
    count, minimum = counters.phase_count(case.course, case.phase), case.parameters["minimum"]
    if count >= minimum:
        return None
    return case.refuses(
        "middle_sessions_recommended",
        current=count,
        required=f"at least {minimum}",
        remedies=("record_session",),
        phase=case.phase.id,
        count=count,
        minimum=minimum,
    )


@rule(source="domain I30", needs="group")
def pre_group_met(case: Case) -> Refusal | None:
    """The client met the therapist alone, before the group, as often as the protocol requires."""
    spec = case.protocol.group
    needed = spec.pre_individual.min if spec else 0
    count = case.course.contacted.get("pre_group", 0)
    if count >= needed:
        return None
    return case.refuses(
        "pre_group_met",
        current=count,
        required=f"at least {needed} contacts of kind pre_group",
        remedies=("record_contact",),
        count=count,
        needed=needed,
    )


@rule(source="seed S11", soft=True)
def focus_worked(case: Case) -> Refusal | None:
    """At least one signed session of the phase worked on the primary problem area."""
    focus = case.course.focus
    worked = {session.focus for session in case.course.sessions if session.signed and session.phase == case.phase.id}
    if focus is None or focus.primary in worked:
        return None
    unsigned = bool(case.course.unsigned)
    return case.refuses(
        "focus_worked.sign" if unsigned else "focus_worked.hold",
        current=sorted(area for area in worked if area),
        required=focus.primary,
        remedies=("sign_session",) if unsigned else ("record_session",),
        phase=case.phase.id,
    )
