"""A complete, valid command for every trigger, made for one course at one moment.

The texts are placeholders. The codes, numbers and references fit the course. So a caller without any knowledge of IPT can lead a
course to its end by posting the examples of `options`.
"""

import datetime as dt
from collections.abc import Callable
from typing import Any

from ipt_workflow.course import counters, outcome
from ipt_workflow.course.course import Course
from ipt_workflow.course.fold import superseded_by
from ipt_workflow.course.rules import Actor, Case, Context, amendments, calendar, first_phase, setting
from ipt_workflow.course.triggers import BEGIN_PREFIX, NOT_AMENDABLE, OPENINGS, find
from ipt_workflow.protocols.definition import Protocol

Example = Callable[[Protocol, Course, Context], dict[str, Any]]
REASON = "Agreed in supervision."
DAY_OF_FIVE = ("07:00", "07:30", "09:00", "18:30", "23:00")


def example(protocol: Protocol, course: Course | None, name: str, context: Context) -> dict[str, Any]:
    """A command body: `{trigger, data, reason?}`. `course` may be None for triggers that open one."""
    row = find(name, protocol)
    body: dict[str, Any] = {"trigger": name, "data": _data(protocol, course, name, context)}
    if row is not None and (row.reason_required or name == "review_risk"):  # a review that lowers the risk needs one too
        body["reason"] = REASON
    return body


def _data(protocol: Protocol, course: Course | None, name: str, context: Context) -> dict[str, Any]:
    if name.startswith(BEGIN_PREFIX):
        return {}
    if name in OPENINGS:
        return _opening(protocol, name)
    if course is None:
        raise ValueError(f"{name} needs a course")
    return EXAMPLES[name](protocol, course, context)


def _opening(protocol: Protocol, name: str) -> dict[str, Any]:
    ages = protocol.ages
    band = "25-44" if 25 in ages and 44 in ages else f"{ages.min}-{ages.max}"
    data = {"source": "General practitioner", "indication": protocol.indications[0], "age_band": band}
    if name == "refer":
        return data
    return {
        **data,
        "phase": protocol.first.id,
        "attended": {protocol.first.id: 1},
        "artefacts": ["evaluation", "history"],
        "consent": ["treatment"],
    }


def _fixed(data: dict[str, Any]) -> Example:
    return lambda _protocol, _course, _context: data


def _day(context: Context, days: int = 0) -> str:
    return (context.now.astimezone(context.zone).date() + dt.timedelta(days=days)).isoformat()


def _start(protocol: Protocol, _course: Course, context: Context) -> dict[str, Any]:
    data = {"suitability": "suitable", "exclusions_checked": ["psychosis", "bipolar"]}
    named = protocol.supervision and context.example_supervisor
    return {**data, "supervisor": context.example_supervisor} if named else data


def _record_consent(protocol: Protocol, course: Course, _context: Context) -> dict[str, Any]:
    """The first consent that the protocol still requires."""
    required = protocol.consent.by if protocol.consent else ("client",)
    lacking = [who for who in required if f"treatment:{who}" not in course.consenting]
    return {"scope": "treatment", "who": (lacking or ["client"])[0]}


def _record_contact(protocol: Protocol, course: Course, _context: Context) -> dict[str, Any]:
    """The first contact that a gate of the protocol still requires."""
    required = {name for phase in protocol.phases for name in phase.requires}
    if "engagement" in required and not course.contacted.get("engagement"):
        return {"kind": "engagement", "medium": "face_to_face", "minutes": 50}
    if "pre_group_meeting" in required and _lacks_pre_group_meeting(protocol, course):
        return {"kind": "pre_group", "medium": "face_to_face", "minutes": 50}
    if "parent_contact" in required and not setting.PARENTS.intersection(course.met):
        return {"kind": "collateral", "medium": "face_to_face", "minutes": 50, "participants": ["client", "parent"]}
    return {"kind": "check_in", "medium": "telephone", "minutes": 10, "summary": "Called about the next date."}


def _lacks_pre_group_meeting(protocol: Protocol, course: Course) -> bool:
    return protocol.group is not None and course.contacted.get("pre_group", 0) < protocol.group.pre_individual.min


def _record_rhythm(protocol: Protocol, course: Course, context: Context) -> dict[str, Any]:
    """A week of similar days: the week before the earliest recorded one."""
    form = protocol.rhythm.instrument if protocol.rhythm else "srm5"
    recorded = [week.week_of for week in course.rhythm.weeks]
    first = (min(recorded) if recorded else context.now.astimezone(context.zone).date()) - dt.timedelta(days=7)
    times = dict(zip(("out_of_bed", "first_contact", "start_of_day", "dinner", "to_bed"), DAY_OF_FIVE, strict=True))
    days = [{"on": (first + dt.timedelta(days=day)).isoformat(), "times": times, "mood": 0} for day in range(7)]
    return {"instrument": form, "week_of": first.isoformat(), "days": days}


def _record_supervision(_protocol: Protocol, course: Course, context: Context) -> dict[str, Any]:
    therapist = context.example_therapist or course.therapist or context.actor.person
    return {
        "supervisor": context.example_supervisor or "supervisor",
        "supervisees": [therapist],
        "kind": "individual",
        "minutes": 50,
        "discussed": "How the middle phase keeps to the problem area.",
        "actions": ["Bring the tape of the next session."],
    }


def _pause(_protocol: Protocol, _course: Course, context: Context) -> dict[str, Any]:
    return {"planned_return": _day(context, 14)}


def _end_early(_protocol: Protocol, course: Course, context: Context) -> dict[str, Any]:
    return {
        "end_code": "47" if course.phase else "14",
        "last_contact": _day(context),
        "risk_status": course.risk.level,
        "attempts": 2,
    }


def _complete(protocol: Protocol, course: Course, _context: Context) -> dict[str, Any]:
    given = "no_response" if course.continuation == "alternative" else "response"
    return {"outcome": "deterioration" if outcome.contradiction(protocol, course, given) else given, "end_code": "46"}


def _record_session(protocol: Protocol, course: Course, _context: Context) -> dict[str, Any]:
    if course.phase is None:
        return {"attendance": "3", "kind": "session"}
    return {
        "attendance": "5",
        "kind": "session",
        "medium": (protocol.medium.default or protocol.medium.allowed[0]) if protocol.medium else "face_to_face",
        "minutes": protocol.contract.minutes.max,
        "participants": list(protocol.participants.required) if protocol.participants else ["client"],
    }


def _signable(course: Course, context: Context) -> int:
    own = [session.seq for session in course.unsigned if session.given_by == context.actor.person]
    unsigned = [session.seq for session in course.unsigned]
    return (own or unsigned or [session.seq for session in course.sessions] or [course.version])[0]


def _sign_session(_protocol: Protocol, course: Course, context: Context) -> dict[str, Any]:
    data: dict[str, Any] = {"session": _signable(course, context), "techniques": ["communication_analysis"]}
    if course.focus:
        data["focus"] = course.focus.primary
    return {**data, "summary": "Worked on the problem area."}


def _attest_session(_protocol: Protocol, course: Course, context: Context) -> dict[str, Any]:
    return {"session": _signable(course, context), "summary": "Attested from the record."}


def _link_session(_protocol: Protocol, course: Course, _context: Context) -> dict[str, Any]:
    seq = course.sessions[-1].seq if course.sessions else course.version
    return {"session": seq, "ref": f"Appointment/{course.id[-12:]}-{seq}-{course.version}"}


def _book_session(_protocol: Protocol, course: Course, context: Context) -> dict[str, Any]:
    cadence = course.contract.cadence_days if course.contract else 7
    return {"scheduled_for": (context.now + dt.timedelta(days=cadence)).isoformat(), "kind": "session"}


def _book_series(protocol: Protocol, course: Course, context: Context) -> dict[str, Any]:
    """The next four weeks, or as many as the contract leaves."""
    booking = _book_session(protocol, course, context)["scheduled_for"]
    times = min(4, max(1, calendar.free_to_book(protocol, course, context.now)))
    return {"scheduled_for": booking, "times": times, "every_days": course.contract.cadence_days if course.contract else 7}


def _acknowledge_deviation(_protocol: Protocol, course: Course, _context: Context) -> dict[str, Any]:
    open_ones = [session.seq for session in course.open_deviations]
    return {"session": (open_ones or [course.version])[0]}


def _record_inventory(_protocol: Protocol, _course: Course, _context: Context) -> dict[str, Any]:
    sections = {section: f"What the client tells of {section.replace('_', ' ')}." for section in first_phase.INVENTORY_SECTIONS}
    people = [
        {"id": "p1", "relationship": "partner", "closeness": "close"},
        {"id": "p2", "relationship": "parent", "deceased": True},
    ]
    return {"people": people, **sections}


def _accept_formulation(_protocol: Protocol, course: Course, _context: Context) -> dict[str, Any]:
    return {
        "version": course.formulation.version if course.formulation else 1,
        "response": "accepts",
        "words": "That is how it is.",
    }


def _assign_sick_role(protocol: Protocol, _course: Course, context: Context) -> dict[str, Any]:
    return {
        "mode": "limited" if protocol.sick_role.mode == "limited" else "full",
        "illness_named": "Depression",
        "no_blame": True,
        "exemptions": [{"obligation": "Hosting the family", "until": _day(context, 56)}],
        "recovery_work": ["Comes to sessions", "Speaks about what happened in the week"],
        "response": "accepts",
    }


def _select_focus(protocol: Protocol, course: Course, _context: Context) -> dict[str, Any]:
    if "role_transition" in protocol.focus.areas:
        return {"primary": "role_transition", "old_role": "Employee", "new_role": "Retired", "rationale": "It began with retiring."}
    people = [*_others(course, deceased=False), *_others(course, deceased=True)]
    return {"primary": protocol.focus.areas[0], "stage": "renegotiation", "people": people, "others_do_not_fit": True}


def _change_focus(_protocol: Protocol, course: Course, _context: Context) -> dict[str, Any]:
    people = _others(course, deceased=False)
    return {"primary": "role_dispute", "stage": "renegotiation", "people": people, "rationale": "The dispute has come to the fore."}


def _others(course: Course, *, deceased: bool) -> list[str]:
    """The first person of the inventory who is alive, or who died; before there is an inventory, one of its example."""
    if course.inventory is None:
        return ["p2" if deceased else "p1"]
    return [person.id for person in course.inventory.people if person.deceased == deceased][:1]


def _set_dispute_stage(_protocol: Protocol, course: Course, _context: Context) -> dict[str, Any]:
    stage = course.focus.stage if course.focus else None
    return {"stage": {None: "renegotiation", "renegotiation": "impasse", "impasse": "renegotiation"}.get(stage, "resolved")}


def _agree_contract(protocol: Protocol, course: Course, _context: Context) -> dict[str, Any]:
    spec = protocol.contract
    return {
        "sessions": max(spec.sessions.min, counters.fewest(protocol, course, protocol.first)),
        "weeks": spec.weeks.min,
        "cadence_days": spec.cadence_days,
        "missed_count": False,
        "pause_stops_clock": True,
        "goals": ["Feel well enough to work", "Settle the new role"],
        "client_agrees": True,
        "therapist_agrees": True,
    }


def _amend_contract(protocol: Protocol, course: Course, _context: Context) -> dict[str, Any]:
    sessions = course.contract.sessions if course.contract else protocol.contract.sessions.min
    weeks = course.contract.weeks if course.contract else protocol.contract.weeks.min
    at_most = protocol.contract.sessions.max
    longer = sessions if course.phase == protocol.last.id else min(sessions + 1, max(sessions, at_most))
    return {
        "sessions": longer,
        "weeks": min(weeks + 1, max(weeks, protocol.contract.weeks.max)),
        "client_agrees": True,
        "therapist_agrees": True,
    }


def _record_measure(protocol: Protocol, course: Course, _context: Context) -> dict[str, Any]:
    """The first instrument that a gate still requires: a baseline first, then a reading in the last phase."""
    key = next((spec.instruments[0] for spec in protocol.measures if _lacks_reading(course, protocol, spec.instruments)), None)
    instrument = protocol.instruments[key or protocol.measures[0].instruments[0]]
    if instrument.risk_item is None:
        return {"instrument": instrument.key, "total": (instrument.total_min + instrument.total_max) // 2}
    answer = min(instrument.item_min + 1, instrument.item_max)
    items = [instrument.item_min if index + 1 == instrument.risk_item else answer for index in range(instrument.items)]
    return {"instrument": instrument.key, "items": items}


def _lacks_reading(course: Course, protocol: Protocol, keys: tuple[str, ...]) -> bool:
    tracks = [course.measures[key] for key in keys if key in course.measures]
    if course.phase == protocol.last.id:
        return not any(course.phase in track.phases for track in tracks)
    return not any(track.baseline for track in tracks)


def _transfer(_protocol: Protocol, course: Course, context: Context) -> dict[str, Any]:
    therapist = context.example_therapist or course.therapist or context.actor.person
    return {"therapist": therapist, "handover": "Formulation and contract were talked through."}


def _move(protocol: Protocol, _course: Course, context: Context) -> dict[str, Any]:
    target = context.target or protocol
    return {"protocol": target.id, "protocol_version": target.version}


def _open_followup(protocol: Protocol, course: Course, context: Context) -> dict[str, Any]:
    therapist = context.example_therapist or course.therapist
    return {"protocol": protocol.id, **({"therapist": therapist} if therapist else {})}


def _amend(protocol: Protocol, course: Course, context: Context) -> dict[str, Any]:
    """The latest entry that this actor may amend, repeated at its own time."""
    superseded = superseded_by(context.history)
    for fact in reversed(context.history):
        root = amendments.amended_root(context.history, fact.seq)
        if fact.seq in superseded or root is None or root.trigger in NOT_AMENDABLE:
            continue
        if _may_amend(protocol, course, fact.seq, context):
            at = fact.data.get("occurred_at") if fact.trigger == "amend" else None
            return {"supersedes": fact.seq, "occurred_at": at or fact.occurred_at.isoformat()}
    return {"supersedes": 1, "occurred_at": context.now.isoformat()}


def _move_entries(_protocol: Protocol, course: Course, context: Context) -> dict[str, Any]:
    """The latest session. The other course is one that nobody has yet."""
    return {"course": context.course_id or course.id, "entries": [course.sessions[-1].seq if course.sessions else course.version]}


def _may_amend(protocol: Protocol, course: Course, seq: int, context: Context) -> bool:
    case = Case(protocol=protocol, course=course, trigger="amend", data={"supersedes": seq}, at=context.now, context=context)
    return amendments.amendment_agreed(case) is None


EXAMPLES: dict[str, Example] = {
    "start": _start,
    "decline": _fixed({"end_code": "13", "onward_plan": "Referred to the trauma service."}),
    "complete": _complete,
    "pause": _pause,
    "resume": _fixed({}),
    "record_absence": lambda _protocol, _course, context: {"since": _day(context, -14), "until": _day(context)},
    "end_early": _end_early,
    "reopen": _fixed({}),
    "record_session": _record_session,
    "sign_session": _sign_session,
    "attest_session": _attest_session,
    "link_session": _link_session,
    "record_contact": _record_contact,
    "book_session": _book_session,
    "book_series": _book_series,
    "acknowledge_deviation": _acknowledge_deviation,
    "record_evaluation": _fixed(
        {"diagnosis": "Depressive episode, moderate", "criteria": "ICD-10 F32.1", "risk_screen": "No risk disclosed"}
    ),
    "record_history": _fixed({part: f"What the client tells of {part.replace('_', ' ')}." for part in first_phase.HISTORY_PARTS}),
    "record_inventory": _record_inventory,
    "record_timeline": _fixed({"events": [{"when": "In spring", "event": "Retired", "symptom_change": "Low mood within weeks"}]}),
    "record_formulation": _fixed(
        {
            "crisis": "Retirement",
            "vulnerabilities": {
                "attachment_style": "Anxious",
                "genetic_vulnerability": "Mother had depression",
                "personality": "Conscientious",
                "temperament": "Reserved",
            },
            "social_support": "Partner, few friends",
            "plain_words": "The mood fell when the role that carried it ended.",
        }
    ),
    "accept_formulation": _accept_formulation,
    "assign_sick_role": _assign_sick_role,
    "update_sick_role": _fixed({"response": "accepts"}),
    "waive_sick_role": _fixed({}),
    "relinquish_sick_role": _fixed({"taken_up_again": ["Hosts the family"]}),
    "select_focus": _select_focus,
    "change_focus": _change_focus,
    "set_dispute_stage": _set_dispute_stage,
    "agree_contract": _agree_contract,
    "amend_contract": _amend_contract,
    "extend_phase": _fixed({}),
    "record_measure": _record_measure,
    "record_rhythm": _record_rhythm,
    "set_rhythm_target": _fixed(
        {"targets": [{"activity": "out_of_bed", "time": "07:00", "within_minutes": 30}], "plan": "An alarm."}
    ),
    "record_prescriber_review": _fixed({"findings": "Medication unchanged, levels in range."}),
    "record_review": _fixed({"decision": "continue", "summary": "Well; sees friends, works."}),
    "announce_ending": _fixed({"feelings": "Sad, and ready."}),
    "record_gains": _fixed({"gains": ["Sees friends weekly", "Sleeps through"]}),
    "record_independence": _fixed({"does_alone": ["Speaks about disagreements at once"]}),
    "plan_for_recurrence": _fixed(
        {"anticipate": ["Anniversaries"], "identify": ["Waking early"], "manage": ["Calls a friend", "Calls the practice"]}
    ),
    "decide_continuation": _fixed({"decision": "none", "plan": "A call after three months."}),
    "raise_risk": _fixed({"level": "elevated", "plan": "Safety plan written.", "told": ["General practitioner"]}),
    "review_risk": _fixed({"level": "monitored", "plan": "Asked at every session."}),
    "record_consent": _record_consent,
    "withdraw_consent": _fixed({"scope": "sharing", "who": "client"}),
    "refer_on": _fixed({"target": "Dietician"}),
    "note": _fixed({"text": "Prefers mornings."}),
    "record_supervision": _record_supervision,
    "transfer": _transfer,
    "change_protocol": _move,
    "migrate_protocol": _move,
    "relink_client": _fixed({"kind": "wrong_client", "client_ref": "EHR-000000"}),
    "open_followup": _open_followup,
    "amend": _amend,
    "move_entries": _move_entries,
}


def stranger(protocol: Protocol, now: dt.datetime) -> tuple[Course, Context]:
    """A course and a context of nobody, for the general examples of the trigger table."""
    course = Course(
        id="00000000-0000-7000-8000-000000000000",
        version=1,
        state="referred",
        client="00000000-0000-7000-8000-000000000000",
        protocol=protocol.id,
        protocol_version=protocol.version,
        protocol_digest=protocol.digest,
        acute=protocol.acute,
        opened_at=now,
        last_occurred_at=now,
        last_recorded_at=now,
    )
    return course, Context(now=now, actor=Actor("therapist", "therapist"))
