"""Effects of opening, starting, changing phase, pauses, absences, ending and reopening."""

import datetime as dt
from collections.abc import Callable

import msgspec
from msgspec.structs import replace

from ipt_workflow.course.course import (
    Adopted,
    Contract,
    Course,
    Ending,
    Focus,
    Interruption,
    SickRole,
)
from ipt_workflow.course.effects import measures
from ipt_workflow.course.facts import Fact
from ipt_workflow.course.follow_up import CarriedOver
from ipt_workflow.course.triggers import BEGIN_PREFIX
from ipt_workflow.protocols.definition import ENDED, PAUSED, REFERRED


def opened(fact: Fact) -> Course:
    """`refer` and `adopt` open a course. The machine has added client, protocol and therapist to their data."""
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
    if "carried" in data:
        course = _carried(course, msgspec.convert(data["carried"], CarriedOver))
    return _adopted(course, fact) if fact.trigger == "adopt" else course


def _carried(course: Course, carried: CarriedOver) -> Course:
    """A follow-up course, with what it brings from the course before it."""
    version = carried.formulation.version if carried.formulation else 0
    return replace(course, formulations=version, **msgspec.structs.asdict(carried))


def open_followup(course: Course, fact: Fact) -> Course:
    return replace(course, followed_by=(*course.followed_by, fact.data["course"]))


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
            paused_days=data.get("paused_days", 0),
        ),
        attested=tuple(sorted(artefacts)),
    )


def start(course: Course, fact: Fact) -> Course:
    data = fact.data
    begun = replace(
        course, state=data["phase"], phase=data["phase"], started_at=fact.occurred_at, supervisor=data.get("supervisor")
    )
    return measures.started(begun)


def begin(course: Course, fact: Fact) -> Course:
    """A phase begins on the formulation that the client has accepted by then, and so does the problem area."""
    phase = fact.trigger[len(BEGIN_PREFIX) :]
    accepted = course.formulation.accepted_version if course.formulation else None
    focus = replace(course.focus, formulation=accepted) if course.focus else None
    return replace(course, state=phase, phase=phase, focus=focus)


def ended(state: str) -> Callable[[Course, Fact], Course]:
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


def reopen(course: Course, _fact: Fact) -> Course:
    state = course.ending.left if course.ending else course.state
    interruptions = course.interruptions
    if state == PAUSED and interruptions:
        interruptions = (*interruptions[:-1], replace(interruptions[-1], until=None))
    tracks = {key: measures.rejoined(track) for key, track in course.measures.items()}
    return replace(course, state=state, ending=None, interruptions=interruptions, measures=tracks)


def pause(course: Course, fact: Fact) -> Course:
    pause = Interruption(since=fact.occurred_at, planned_return=dt.date.fromisoformat(fact.data["planned_return"]))
    state = course.state if course.state in ENDED else PAUSED
    return replace(course, state=state, interruptions=(*course.interruptions, pause))


def resume(course: Course, fact: Fact) -> Course:
    state = course.phase or REFERRED if course.state == PAUSED else course.state
    return replace(_unpaused(course, fact.occurred_at), state=state)


def absent(course: Course, fact: Fact) -> Course:
    """An absence is an interruption that is over. The state stays: nothing said then that the course was paused."""
    began_at, ended_at = (msgspec.convert(fact.data[name], dt.datetime) for name in ("began_at", "ended_at"))
    absence = Interruption(since=began_at, planned_return=dt.date.fromisoformat(fact.data["until"]), until=ended_at)
    interruptions = sorted((*course.interruptions, absence), key=lambda each: each.since)
    return replace(course, interruptions=tuple(interruptions))


def _unpaused(course: Course, at: dt.datetime) -> Course:
    if not course.interruptions or course.interruptions[-1].until is not None:
        return course
    return replace(course, interruptions=(*course.interruptions[:-1], replace(course.interruptions[-1], until=at)))
