"""Applying one fact to a course: one function a trigger. It applies and never judges, and reads structural data alone."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import msgspec

from ipt_workflow.course import (
    Adopted,
    Booking,
    Contract,
    Course,
    Ending,
    Focus,
    Formulation,
    History,
    Interruption,
    Inventory,
    Person,
    Reading,
    RhythmAim,
    RhythmWeek,
    Risk,
    Session,
    SickRole,
    Track,
)
from ipt_workflow.fact import Fact
from ipt_workflow.protocols.definition import ENDED, PAUSED, REFERRED
from ipt_workflow.repinning import repinned
from ipt_workflow.triggers import BEGIN_PREFIX

BOOKINGS_MAX = 20
RHYTHM_WEEKS_MAX = 60
replace = msgspec.structs.replace


def apply(course: Course | None, fact: Fact) -> Course:
    """The course after a fact."""
    if course is None:
        return _opened(fact)
    applier = _begin if fact.trigger.startswith(BEGIN_PREFIX) else APPLIERS.get(fact.trigger, _keep)
    applied = applier(course, fact)
    return replace(
        applied,
        version=max(course.version, fact.seq),
        last_occurred_at=max(course.last_occurred_at, fact.occurred_at),
        last_recorded_at=max(course.last_recorded_at, fact.recorded_at),
        overrides=applied.overrides + len(fact.overridden),
    )


def _opened(fact: Fact) -> Course:
    """`refer` and `adopt` open a course; the shell has added client, protocol and therapist to their data."""
    data = fact.data
    course = Course(
        id=fact.course,
        version=fact.seq,
        state=REFERRED,
        client=data["client"],
        therapist=data.get("therapist"),
        protocol=data["protocol"],
        protocol_version=data["protocol_version"],
        protocol_digest=data["protocol_digest"],
        acute=data["acute"],
        linked_from=data.get("linked_from"),
        indication=data.get("indication"),
        age_band=data.get("age_band"),
        opened_at=fact.occurred_at,
        last_occurred_at=fact.occurred_at,
        last_recorded_at=fact.recorded_at,
    )
    return _adopted(course, fact) if fact.trigger == "adopt" else course


def _adopted(course: Course, fact: Fact) -> Course:
    data = fact.data
    first_session_on = data.get("first_session_on")
    artefacts = set(data.get("artefacts", ()))
    focus = data.get("focus")
    return replace(
        course,
        state=data["phase"],
        phase=data["phase"],
        started_at=fact.occurred_at,
        consents=tuple(sorted(data.get("consent", ()))),
        sick_role=SickRole(status=data.get("sick_role", "pending")),
        focus=Focus(primary=focus["primary"], secondary=focus.get("secondary")) if focus else None,
        contract=msgspec.convert(data["contract"], Contract) if "contract" in data else None,
        adopted=Adopted(
            at=fact.occurred_at,
            attended=data["attended"],
            first_session_on=dt.date.fromisoformat(first_session_on) if first_session_on else None,
        ),
        attested=tuple(sorted(artefacts)),
    )


def _keep(course: Course, _fact: Fact) -> Course:
    """Triggers that change nothing the fold holds: notes, and what only the journal tells."""
    return course


def _start(course: Course, fact: Fact) -> Course:
    data = fact.data
    return replace(course, state=data["phase"], phase=data["phase"], started_at=fact.occurred_at, supervisor=data.get("supervisor"))


def _begin(course: Course, fact: Fact) -> Course:
    phase = fact.trigger[len(BEGIN_PREFIX) :]
    return replace(course, state=phase, phase=phase)


def _ended(state: str) -> Callable[[Course, Fact], Course]:
    def end(course: Course, fact: Fact) -> Course:
        left = course.ending.left if course.ending else course.state
        ending = Ending(
            at=fact.occurred_at,
            recorded_at=fact.recorded_at,
            left=left,
            end_code=fact.data.get("end_code", "46"),
            outcome=fact.data.get("outcome"),
        )
        return replace(_unpaused(course, fact.occurred_at), state=state, ending=ending)

    return end


def _reopen(course: Course, _fact: Fact) -> Course:
    state = course.ending.left if course.ending else course.state
    interruptions = course.interruptions
    if state == PAUSED and interruptions:
        interruptions = (*interruptions[:-1], replace(interruptions[-1], until=None))
    return replace(course, state=state, ending=None, interruptions=interruptions)


def _pause(course: Course, fact: Fact) -> Course:
    pause = Interruption(since=fact.occurred_at, planned_return=dt.date.fromisoformat(fact.data["planned_return"]))
    state = course.state if course.state in ENDED else PAUSED
    return replace(course, state=state, interruptions=(*course.interruptions, pause))


def _resume(course: Course, fact: Fact) -> Course:
    state = course.phase or REFERRED if course.state == PAUSED else course.state
    return replace(_unpaused(course, fact.occurred_at), state=state)


def _unpaused(course: Course, at: dt.datetime) -> Course:
    if not course.interruptions or course.interruptions[-1].until is not None:
        return course
    return replace(course, interruptions=(*course.interruptions[:-1], replace(course.interruptions[-1], until=at)))


def _record_session(course: Course, fact: Fact) -> Course:
    data = fact.data
    session = Session(
        seq=fact.seq,
        phase=course.phase,
        at=fact.occurred_at,
        attendance=data["attendance"],
        kind=data.get("kind", "session"),
        given_by=data.get("given_by"),
        ref=data.get("ref"),
        late_notice=data.get("late_notice", False),
        excused=data.get("excused", False),
        group_session=data.get("group_session"),
        group_held=data.get("group_held", False),
    )
    scheduled_for = data.get("scheduled_for")
    booked_for = msgspec.convert(scheduled_for, dt.datetime) if scheduled_for else fact.occurred_at
    bookings = tuple(b for b in course.bookings if b.scheduled_for != booked_for and (b.ref is None or b.ref != session.ref))
    deviations = course.deviations + (session.kind == "additional" and session.attended)
    met = _met(course, data) if session.attended else course.met
    return replace(course, sessions=(*course.sessions, session), bookings=bookings, deviations=deviations, met=met)


def _met(course: Course, data: dict[str, Any]) -> tuple[str, ...]:
    """Everybody but the client who has taken part by now."""
    return tuple(sorted({*course.met, *data.get("participants", ())} - {"client"}))


def _on_session(change: Callable[[Session, Fact], Session]) -> Callable[[Course, Fact], Course]:
    """Applies a change to the session that the fact names."""

    def applier(course: Course, fact: Fact) -> Course:
        seq = fact.data["session"]
        return replace(course, sessions=tuple(change(s, fact) if s.seq == seq else s for s in course.sessions))

    return applier


def _signed(session: Session, fact: Fact) -> Session:
    return replace(session, signed=True, focus=fact.data.get("focus"))


def _linked(session: Session, fact: Fact) -> Session:
    return replace(session, ref=fact.data["ref"])


def _acknowledged(session: Session, _fact: Fact) -> Session:
    return replace(session, acknowledged=True)


def _book_session(course: Course, fact: Fact) -> Course:
    booking = msgspec.convert({name: fact.data[name] for name in ("scheduled_for", "kind", "ref") if name in fact.data}, Booking)
    others = tuple(b for b in course.bookings if booking.ref is None or b.ref != booking.ref)
    return replace(course, bookings=tuple(sorted((*others, booking), key=lambda b: b.scheduled_for))[-BOOKINGS_MAX:])


def _record_contact(course: Course, fact: Fact) -> Course:
    kind = fact.data["kind"]
    contacted = {**course.contacted, kind: course.contacted.get(kind, 0) + 1}
    met = course.met if kind == "attempt" else _met(course, fact.data)
    return replace(course, contacts=course.contacts + 1, contacted=contacted, met=met)


def _record_evaluation(course: Course, fact: Fact) -> Course:
    return replace(course, evaluated=bool(fact.data.get("diagnosis")))


def _record_history(course: Course, fact: Fact) -> Course:
    given = tuple(sorted(name for name, value in fact.data.items() if value is True))
    return replace(course, history=History(given=given, not_obtained=tuple(sorted(fact.data.get("not_obtained", ())))))


def _record_inventory(course: Course, fact: Fact) -> Course:
    before = course.inventory or Inventory()
    sections = {name for name, value in fact.data.items() if value is True}
    people = {person.id: person for person in before.people}
    for told in fact.data.get("people", ()):
        known = people.get(told["id"])
        deceased = told.get("deceased", known.deceased if known else False)
        people[told["id"]] = Person(id=told["id"], deceased=deceased)
    return replace(
        course,
        inventory=Inventory(
            sections=tuple(sorted({*before.sections, *sections})), people=tuple(people[key] for key in sorted(people))
        ),
    )


def _record_timeline(course: Course, _fact: Fact) -> Course:
    return replace(course, timeline=True)


def _record_formulation(course: Course, fact: Fact) -> Course:
    parts = {name for name in ("crisis", "social_support", "plain_words") if fact.data.get(name)}
    parts |= {f"vulnerabilities.{name}" for name, value in fact.data.get("vulnerabilities", {}).items() if value}
    accepted = course.formulation.accepted_version if course.formulation else None
    version = fact.data["version"]
    return replace(
        course,
        formulation=Formulation(version=version, parts=tuple(sorted(parts)), accepted_version=accepted),
        formulations=max(course.formulations, version),
    )


def _accept_formulation(course: Course, fact: Fact) -> Course:
    formulation = course.formulation
    if formulation is None or formulation.version != fact.data["version"]:
        return course
    response = fact.data["response"]
    accepted = formulation.accepted_version if response == "declines" else formulation.version
    return replace(course, formulation=replace(formulation, response=response, accepted_version=accepted))


def _assign_sick_role(course: Course, fact: Fact) -> Course:
    response = fact.data["response"]
    status = "declined" if response == "declines" else f"assigned_{fact.data['mode']}"
    return replace(course, sick_role=SickRole(status=status, response=response))


def _update_sick_role(course: Course, fact: Fact) -> Course:
    role = course.sick_role
    response = fact.data.get("response", role.response)
    mode = fact.data.get("mode")
    status = f"assigned_{mode}" if mode else role.status
    if response == "declines":
        status = "declined"
    elif status == "declined":
        status = f"assigned_{mode or 'limited'}"
    return replace(course, sick_role=SickRole(status=status, response=response))


def _sick_role_status(status: str) -> Callable[[Course, Fact], Course]:
    return lambda course, _fact: replace(course, sick_role=replace(course.sick_role, status=status))


def _set_focus(course: Course, fact: Fact) -> Course:
    data = fact.data
    accepted = course.formulation.accepted_version if course.formulation else None
    changes = (course.focus.changes if course.focus else 0) + (fact.trigger == "change_focus")
    focus = Focus(
        primary=data["primary"],
        secondary=data.get("secondary"),
        further=tuple(data.get("further", ())),
        stage=data.get("stage"),
        formulation=accepted,
        changes=changes,
    )
    return replace(course, focus=focus)


def _set_dispute_stage(course: Course, fact: Fact) -> Course:
    return replace(course, focus=replace(course.focus, stage=fact.data["stage"]) if course.focus else None)


def _set_contract(course: Course, fact: Fact) -> Course:
    """`terms` is the whole contract as it was agreed then, also where an amendment named only what changed."""
    amendments = (course.contract.amendments if course.contract else 0) + (fact.trigger == "amend_contract")
    return replace(course, contract=msgspec.convert({**fact.data["terms"], "amendments": amendments}, Contract))


def _extend_phase(course: Course, _fact: Fact) -> Course:
    return replace(course, extended=(*course.extended, course.phase)) if course.phase else course


def _record_measure(course: Course, fact: Fact) -> Course:
    data = fact.data
    key = data["instrument"]
    track = course.measures.get(key, Track())
    stage = course.phase or course.state
    if data.get("not_obtained"):
        track = replace(track, not_obtained=tuple(sorted({*track.not_obtained, stage})))
    else:
        track = _taken(
            track, Reading(seq=fact.seq, at=msgspec.convert(data["taken_at"], dt.datetime), total=data.get("total")), stage
        )
    risk = course.risk
    if data.get("risk"):
        seen = msgspec.convert(data["taken_at"], dt.datetime)
        risk = replace(risk, open_since=min(risk.open_since or seen, seen))
    return replace(course, measures={**course.measures, key: track}, risk=risk)


def _taken(track: Track, reading: Reading, stage: str) -> Track:
    track = replace(track, count=track.count + 1)
    if reading.total is None:
        return track
    earliest = track.baseline is None or reading.at < track.baseline.at
    latest = track.last is None or reading.at >= track.last.at
    return replace(
        track,
        baseline=reading if earliest else track.baseline,
        last=reading if latest else track.last,
        phases=tuple(sorted({*track.phases, stage})),
    )


def _record_rhythm(course: Course, fact: Fact) -> Course:
    """Weeks are kept in their order, the latest of them; one that is told again stands in place of the first."""
    data = fact.data
    week = RhythmWeek(
        seq=fact.seq,
        week_of=dt.date.fromisoformat(data["week_of"]),
        instrument=data["instrument"],
        hits=data["hits"],
        activities=data["activities"],
        met=data.get("met", 0),
        aimed=data.get("aimed", 0),
    )
    rhythm = course.rhythm
    others = [each for each in rhythm.weeks if each.week_of != week.week_of]
    weeks = tuple(sorted((*others, week), key=lambda each: each.week_of))[-RHYTHM_WEEKS_MAX:]
    return replace(course, rhythm=replace(rhythm, count=rhythm.count + (len(others) == len(rhythm.weeks)), weeks=weeks))


def _set_rhythm_target(course: Course, fact: Fact) -> Course:
    targets = tuple(msgspec.convert({"within_minutes": 45, **each}, RhythmAim) for each in fact.data["targets"])
    return replace(course, rhythm=replace(course.rhythm, targets=targets))


def _announce_ending(course: Course, fact: Fact) -> Course:
    return replace(course, ending_announced_at=course.ending_announced_at or fact.occurred_at)


def _raise_risk(course: Course, fact: Fact) -> Course:
    level = fact.data["level"]
    open_since = course.risk.open_since if level == "none" else (course.risk.open_since or fact.occurred_at)
    return replace(course, risk=Risk(level=level, open_since=open_since))


def _review_risk(course: Course, fact: Fact) -> Course:
    return replace(course, risk=Risk(level=fact.data["level"]))


def _who(fact: Fact) -> str:
    return f"{fact.data['scope']}:{fact.data.get('who', 'client')}"


def _record_consent(course: Course, fact: Fact) -> Course:
    scope = fact.data["scope"]
    return replace(
        course,
        consents=tuple(sorted({*course.consents, scope})),
        consenting=tuple(sorted({*course.consenting, _who(fact)})),
        withdrawn=tuple(each for each in course.withdrawn if each != scope),
    )


def _withdraw_consent(course: Course, fact: Fact) -> Course:
    scope = fact.data["scope"]
    return replace(
        course,
        consents=tuple(each for each in course.consents if each != scope),
        consenting=tuple(each for each in course.consenting if each != _who(fact)),
        withdrawn=tuple(sorted({*course.withdrawn, scope})),
    )


def _transfer(course: Course, fact: Fact) -> Course:
    return replace(course, therapist=fact.data["therapist"])


def _relink_client(course: Course, fact: Fact) -> Course:
    return replace(course, client=fact.data["client"])


def _set(**changes: Any) -> Callable[[Course, Fact], Course]:
    return lambda course, _fact: replace(course, **changes)


APPLIERS: dict[str, Callable[[Course, Fact], Course]] = {
    "start": _start,
    "decline": _ended("not_suitable"),
    "complete": _ended("completed"),
    "end_early": _ended("ended_early"),
    "reopen": _reopen,
    "pause": _pause,
    "resume": _resume,
    "record_session": _record_session,
    "sign_session": _on_session(_signed),
    "attest_session": _on_session(_signed),
    "link_session": _on_session(_linked),
    "acknowledge_deviation": _on_session(_acknowledged),
    "record_contact": _record_contact,
    "book_session": _book_session,
    "record_evaluation": _record_evaluation,
    "record_history": _record_history,
    "record_inventory": _record_inventory,
    "record_timeline": _record_timeline,
    "record_formulation": _record_formulation,
    "accept_formulation": _accept_formulation,
    "assign_sick_role": _assign_sick_role,
    "update_sick_role": _update_sick_role,
    "waive_sick_role": _sick_role_status("waived"),
    "relinquish_sick_role": _sick_role_status("relinquished"),
    "select_focus": _set_focus,
    "change_focus": _set_focus,
    "set_dispute_stage": _set_dispute_stage,
    "agree_contract": _set_contract,
    "amend_contract": _set_contract,
    "extend_phase": _extend_phase,
    "record_measure": _record_measure,
    "record_rhythm": _record_rhythm,
    "set_rhythm_target": _set_rhythm_target,
    "record_prescriber_review": _set(prescriber_reviewed=True),
    "record_review": lambda course, fact: replace(course, reviewed_at=fact.occurred_at),
    "announce_ending": _announce_ending,
    "record_gains": _set(gains=True),
    "record_independence": _set(independence=True),
    "plan_for_recurrence": _set(recurrence_planned=True),
    "decide_continuation": lambda course, fact: replace(course, continuation=fact.data["decision"]),
    "raise_risk": _raise_risk,
    "review_risk": _review_risk,
    "record_consent": _record_consent,
    "withdraw_consent": _withdraw_consent,
    "refer_on": _set(referred_on=True),
    "transfer": _transfer,
    "change_protocol": lambda course, fact: repinned(course, fact.data),
    "migrate_protocol": lambda course, fact: repinned(course, fact.data),
    "relink_client": _relink_client,
}
