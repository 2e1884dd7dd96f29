"""The fold: from accepted triggers to a course. It applies and never judges.

Entries chain in the order they were recorded and fold in the order they occurred, ties by seq. `timeline` puts them in that
order, with amendments acting in the place of what they supersede; `fold` applies them one by one.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
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
    Risk,
    Session,
    SickRole,
    Track,
)
from ipt_workflow.triggers import BEGIN_PREFIX, ENDED, PAUSED, REFERRED

BOOKINGS_MAX = 20
replace = msgspec.structs.replace


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """An accepted trigger as the fold reads it. `data` is structural."""

    course: str
    seq: int
    trigger: str
    data: dict[str, Any]
    occurred_at: dt.datetime
    recorded_at: dt.datetime
    person: str
    role: str
    cosigned_by: str | None = None
    overridden: tuple[str, ...] = ()
    contradicts: tuple[int, ...] = ()
    protocol_digest: str = ""


class Placed(msgspec.Struct, frozen=True, kw_only=True):
    """A fact where it acts: at the place of the entry `root` that it may supersede."""

    root: int
    fact: Fact
    contradicted: bool = False


Place = tuple[dt.datetime, int, int]


def place(seq: int, at: dt.datetime, session: int | None, times: Mapping[int, dt.datetime]) -> Place:
    """Where an entry acts: when it occurred, ties by seq. What is told of a session never acts before the session itself.

    `session` is the session that the entry names, if any; `times` says when the entries that stand occurred.
    """
    own = (at, seq, 0)
    if session is None or session not in times:
        return own
    return max(own, (times[session], session, seq))


def superseded_by(facts: Iterable[Fact]) -> dict[int, int]:
    """Which entry is superseded by which: the last amendment of each wins."""
    return {fact.data["supersedes"]: fact.seq for fact in facts if fact.trigger == "amend"}


def standing(facts: Sequence[Fact]) -> dict[int, Fact | None]:
    """For every entry that is not an amendment: the fact it stands for now, or None where it is void."""
    by_seq = {fact.seq: fact for fact in facts}
    amended = superseded_by(facts)
    stands: dict[int, Fact | None] = {}
    for fact in facts:
        if fact.trigger == "amend":
            continue
        current: Fact | None = fact
        for amendment in _amendments(fact.seq, by_seq, amended):
            current = amend(fact, current, amendment)
        stands[fact.seq] = current
    return stands


def _amendments(seq: int, by_seq: dict[int, Fact], amended: dict[int, int]) -> list[Fact]:
    """The amendments that act on an entry, in order. An amendment that was itself voided acts on nothing."""
    chain = []
    while (seq := amended.get(seq, 0)) in by_seq:
        chain.append(by_seq[seq])
    while chain and len(chain) > 1 and chain[-1].data.get("void"):
        chain = chain[:-2]
    return chain


def amend(original: Fact, current: Fact | None, amendment: Fact) -> Fact | None:
    """What an entry says once an amendment acts on it. It keeps its seq, and with it its name."""
    if amendment.data.get("void"):
        return None
    base = current or original
    occurred_at = amendment.data.get("occurred_at")
    return replace(
        base,
        data=amendment.data.get("data", base.data),
        occurred_at=msgspec.convert(occurred_at, dt.datetime) if occurred_at else base.occurred_at,
    )


def timeline(facts: Sequence[Fact], *, as_of: dt.datetime | None = None) -> list[Placed]:
    """The facts that stand, in the order they occurred; up to `as_of` where that is given."""
    stands = standing(facts)
    contradicted = {seq for fact in stands.values() if fact for seq in fact.contradicts}
    known = {seq: fact for seq, fact in stands.items() if fact is not None and (as_of is None or fact.occurred_at <= as_of)}
    times = {seq: fact.occurred_at for seq, fact in known.items()}
    placed = [Placed(root=seq, fact=fact, contradicted=seq in contradicted) for seq, fact in known.items()]
    return sorted(placed, key=lambda each: place(each.root, each.fact.occurred_at, each.fact.data.get("session"), times))


def fold(facts: Sequence[Fact], *, as_of: dt.datetime | None = None) -> Course | None:
    """The course that these entries tell of; None if it had not been opened by `as_of`."""
    course: Course | None = None
    for placed in timeline(facts, as_of=as_of):
        course = step(course, placed)
    return sealed_up(course, facts) if course else None


def sealed_up(course: Course, facts: Sequence[Fact]) -> Course:
    """The course with what only the whole journal tells: how far it reaches, and what contradicts what."""
    contradicted = tuple(sorted({seq for fact in standing(facts).values() if fact for seq in fact.contradicts}))
    return replace(
        course,
        version=max(fact.seq for fact in facts),
        last_recorded_at=max(fact.recorded_at for fact in facts),
        contradicted=contradicted,
    )


def step(course: Course | None, placed: Placed) -> Course:
    """One fact applied. A contradicted fact keeps what it tells but no longer moves the course."""
    moved = apply(course, placed.fact)
    if placed.contradicted and course is not None:
        return replace(moved, state=course.state, phase=course.phase, ending=course.ending)
    return moved


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
    return replace(course, state=fact.data["phase"], phase=fact.data["phase"], started_at=fact.occurred_at)


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
    )
    scheduled_for = data.get("scheduled_for")
    booked_for = msgspec.convert(scheduled_for, dt.datetime) if scheduled_for else fact.occurred_at
    bookings = tuple(b for b in course.bookings if b.scheduled_for != booked_for and (b.ref is None or b.ref != session.ref))
    deviations = course.deviations + (session.kind == "additional" and session.attended)
    return replace(course, sessions=(*course.sessions, session), bookings=bookings, deviations=deviations)


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


def _record_contact(course: Course, _fact: Fact) -> Course:
    return replace(course, contacts=course.contacts + 1)


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
        primary=data["primary"], secondary=data.get("secondary"), stage=data.get("stage"), formulation=accepted, changes=changes
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


def _announce_ending(course: Course, fact: Fact) -> Course:
    return replace(course, ending_announced_at=course.ending_announced_at or fact.occurred_at)


def _raise_risk(course: Course, fact: Fact) -> Course:
    level = fact.data["level"]
    open_since = course.risk.open_since if level == "none" else (course.risk.open_since or fact.occurred_at)
    return replace(course, risk=Risk(level=level, open_since=open_since))


def _review_risk(course: Course, fact: Fact) -> Course:
    return replace(course, risk=Risk(level=fact.data["level"]))


def _record_consent(course: Course, fact: Fact) -> Course:
    return replace(course, consents=tuple(sorted({*course.consents, fact.data["scope"]})))


def _withdraw_consent(course: Course, fact: Fact) -> Course:
    return replace(course, consents=tuple(scope for scope in course.consents if scope != fact.data["scope"]))


def _transfer(course: Course, fact: Fact) -> Course:
    return replace(course, therapist=fact.data["therapist"])


def _change_protocol(course: Course, fact: Fact) -> Course:
    data = fact.data
    phase = data["phase"] if course.phase else None
    return replace(
        course,
        protocol=data["protocol"],
        protocol_version=data["protocol_version"],
        protocol_digest=data["protocol_digest"],
        acute=data["acute"],
        phase=phase,
        state=phase if phase and course.state == course.phase else course.state,
        sessions=tuple(replace(s, phase=phase if s.phase else None) for s in course.sessions),
    )


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
    "change_protocol": _change_protocol,
    "relink_client": _relink_client,
}
