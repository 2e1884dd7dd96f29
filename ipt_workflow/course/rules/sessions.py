"""Rules about sessions: how many, when, by whom, signed or not."""

from ipt_workflow.course import counters
from ipt_workflow.course.course import Session
from ipt_workflow.course.rules.case import Case, rule
from ipt_workflow.course.triggers import BEGIN_PREFIX
from ipt_workflow.errors import Refusal
from ipt_workflow.values.types import ATTENDED


def _counts(case: Case) -> bool:
    """Whether the session told of would count: attended (or, where the phase counts so, held), and not as a deviation."""
    data = case.data
    told = Session(
        seq=0,
        phase=case.course.phase,
        at=case.at,
        attendance=data["attendance"],
        kind=data.get("kind", "session"),
        given_by=None,
        group_session=data.get("group_session"),
        group_held=data.get("group_held", False),
    )
    return counters.counts_in(case.phase, told)


@rule(source="machine.md, record_session", structural=True)
def attendance_fits_state(case: Case) -> Refusal | None:
    """Before the course starts only missed and cancelled appointments can be told of."""
    if case.course.phase or case.data["attendance"] not in ATTENDED:
        return None
    return case.stands(
        "A session cannot be held before the course has started.",
        current=case.data["attendance"],
        required="2, 3, 4 or 7, or a started course",
        remedies=("start",),
    )


@rule(source="seed S3, S4", structural=True)
def phase_session_cap(case: Case) -> Refusal | None:
    """A phase has no more sessions that count than the protocol allows; a middle phase leaves the contract room for what follows.

    Before a contract, a phase without a number of its own has no more than the longest contract would leave it.
    """
    if not case.course.phase or not _counts(case):
        return None
    phase, course = case.phase, case.course
    count, cap = counters.phase_count(course, phase), counters.most_in(case.protocol, course, phase)
    left, reserved = counters.remaining(case.protocol, course), counters.reserved_after(case.protocol, phase)
    full = count >= cap
    if not full and (left is None or left > reserved):
        return None
    after = case.protocol.next_phase(phase.id)
    remedies: tuple[str, ...] = (BEGIN_PREFIX + after.id,) if after else ()
    if phase.sessions_max_extended and phase.id not in course.extended:
        remedies += ("extend_phase",)
    if phase.sessions_max is None and course.contract is None and phase is case.protocol.first:
        remedies += ("agree_contract",)
    return case.stands(
        f"The {phase.id} phase has had all its sessions. One that took place all the same is told of as kind `additional`.",
        current=count,
        required=f"fewer than {cap}" if full else f"more than {reserved} sessions remaining",
        remedies=remedies,
    )


@rule(source="domain I9", structural=True)
def contract_session_cap(case: Case) -> Refusal | None:
    """No more sessions are held than the contract has."""
    contract = case.course.contract
    if contract is None or not _counts(case):
        return None
    used = counters.consumed(case.protocol, case.course)
    if used < contract.sessions:
        return None
    return case.stands(
        "All contracted sessions are used up. One that took place all the same is told of as kind `additional`.",
        current=used,
        required=f"fewer than {contract.sessions}",
        remedies=() if case.phase is case.protocol.last else ("amend_contract",),
    )


@rule(source="design", structural=True)
def session_already_recorded(case: Case) -> Refusal | None:
    """One visit is one session: the same reference, or the same moment, is not told of twice."""
    ref = case.data.get("ref")
    linking = case.data.get("session")
    for session in case.course.sessions:
        if session.seq == linking:
            continue
        same_ref = ref is not None and session.ref == ref
        if same_ref or (linking is None and session.at == case.at):
            return case.stands(
                f"This visit is entry {session.seq} already. Amend that entry if it is wrong.",
                current=session.seq,
                required="a visit not yet recorded",
            )
    return None


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
    return case.stands(
        f"The course was planned to end on {planned_end}. Agree more weeks first.",
        current=f"{late} days after the planned end",
        required=f"at most {grace} days after it",
        remedies=("amend_contract",),
    )


@rule(source="design")
def session_known(case: Case) -> Refusal | None:
    """The session named is one of this course."""
    if case.course.session(case.data["session"]):
        return None
    return case.stands(
        f"Entry {case.data['session']} is no session of this course.",
        current=case.data["session"],
        required=[session.seq for session in case.course.sessions],
        remedies=("record_session",),
    )


@rule(source="design")
def session_signable(case: Case) -> Refusal | None:
    """What is signed is a session of this course that was held and is not signed yet."""
    session = case.course.session(case.data["session"])
    if session and session.attended and not session.signed:
        return None
    current = "no session" if session is None else "signed" if session.signed else f"not held (code {session.attendance})"
    return case.stands(
        f"Entry {case.data['session']} is not a session that waits for a signature.",
        current=current,
        required=[each.seq for each in case.course.unsigned],
    )


@rule(source="domain I27")
def own_session(case: Case) -> Refusal | None:
    """The therapist who gave a session signs it."""
    session = case.course.session(case.data["session"])
    if session is None or session.given_by in {None, case.context.actor.person}:
        return None
    return case.stands(
        "Another therapist gave this session. A supervisor can attest it.",
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
    return case.stands(
        "A risk seen by the day of this session has not been reviewed.",
        current="open",
        required="reviewed",
        remedies=("review_risk",),
    )


@rule(source="machine.md, Hard and soft")
def deviation_open(case: Case) -> Refusal | None:
    """What is acknowledged is a session held beyond a cap that nobody has acknowledged yet."""
    if case.data["session"] in {session.seq for session in case.course.open_deviations}:
        return None
    return case.stands(
        f"Entry {case.data['session']} is not an open deviation.",
        current=case.data["session"],
        required=[session.seq for session in case.course.open_deviations],
    )


@rule(source="seed S3", structural=True)
def phase_sessions_met(case: Case) -> Refusal | None:
    """A phase is left after the fewest sessions it must have."""
    phase = case.phase
    count = counters.phase_count(case.course, phase)
    if count >= phase.sessions_min:
        return None
    return case.stands(
        f"The {phase.id} phase has not had enough sessions.",
        current=count,
        required=f"at least {phase.sessions_min}",
        remedies=("record_session",),
    )


@rule(source="domain 6.0")
def no_unsigned_session(case: Case) -> Refusal | None:
    """Every session that was held is signed, or attested, before the phase is left."""
    unsigned = [session.seq for session in case.course.unsigned]
    if not unsigned:
        return None
    return case.stands(
        "Some sessions are not signed.",
        current=unsigned,
        required="every session signed",
        remedies=("sign_session", "attest_session"),
    )


@rule(source="machine.md, Hard and soft")
def no_open_deviation(case: Case) -> Refusal | None:
    """A supervisor has taken note of every session held beyond a cap before the phase is left."""
    waiting = [session.seq for session in case.course.open_deviations]
    if not waiting:
        return None
    return case.stands(
        "A session was held beyond a cap, and no supervisor has acknowledged it.",
        current=waiting,
        required="every deviation acknowledged",
        remedies=("acknowledge_deviation",),
    )


@rule(source="design from domain S5", soft=True, parameters=("minimum",))
def middle_sessions_recommended(case: Case) -> Refusal | None:
    """The phase had at least the recommended number of sessions."""
    count, minimum = counters.phase_count(case.course, case.phase), case.parameters["minimum"]
    if count >= minimum:
        return None
    return case.stands(
        f"The {case.phase.id} phase is shorter than recommended.",
        current=count,
        required=f"at least {minimum}",
        remedies=("record_session",),
    )


@rule(source="domain I30", needs="group")
def pre_group_met(case: Case) -> Refusal | None:
    """The client met the therapist alone, before the group, as often as the protocol asks."""
    spec = case.protocol.group
    needed = spec.pre_individual.min if spec else 0
    if case.course.contacted.get("pre_group", 0) >= needed:
        return None
    return case.stands(
        "There was no individual meeting before the group, or too few of them.",
        current=case.course.contacted.get("pre_group", 0),
        required=f"at least {needed} contacts of kind pre_group",
        remedies=("record_contact",),
    )


@rule(source="seed S11", soft=True)
def focus_worked(case: Case) -> Refusal | None:
    """At least one signed session of the phase worked on the primary problem area."""
    focus = case.course.focus
    worked = {session.focus for session in case.course.sessions if session.signed and session.phase == case.phase.id}
    if focus is None or focus.primary in worked:
        return None
    return case.stands(
        "No signed session of this phase worked on the primary problem area.",
        current=sorted(area for area in worked if area),
        required=focus.primary,
        remedies=("sign_session",) if case.course.unsigned else ("record_session",),
    )
