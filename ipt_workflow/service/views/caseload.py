"""A course in a line, as lists of courses show it."""

import datetime as dt
import re
from collections.abc import Sequence
from typing import Literal

import msgspec

from ipt_workflow.access.relations import Basis
from ipt_workflow.course import Course, counters
from ipt_workflow.course.rules import Context
from ipt_workflow.machine import CourseMachine
from ipt_workflow.protocols import instruments
from ipt_workflow.protocols.definition import Protocol
from ipt_workflow.store.courses import StoredCourse

Direction = Literal["better", "worse", "same"]
SHORT = re.compile(r"\(([^()]+)\)\Z")


class ScoreLine(msgspec.Struct, frozen=True, kw_only=True):
    """The first and the last reading of a course's first scale of symptoms. `points` is the change towards health.

    `reliable`: it exceeds the scale's own error; None if the scale does not define that. `direction` and `points` are None after one reading.
    """

    title: str
    first: float
    last: float
    taken_at: dt.datetime
    band: str | None
    higher_is_worse: bool
    points: float | None
    direction: Direction | None
    reliable: bool | None


class CourseLine(msgspec.Struct, frozen=True, kw_only=True):
    """A course in a line. `session` of `sessions`, `week` of `weeks`: as in the words of its progress. `used` counts sessions that are used up.

    `seen_at` is when the client last attended. `basis` is why the reader sees the course, and `on_behalf_of` is whom they cover for.
    """

    id: str
    version: int
    client_ref: str | None
    label: str | None
    therapist: str | None
    protocol: str
    title: str
    state: str
    phase: str | None
    session: int
    used: int
    sessions: int | None
    week: int | None
    weeks: int | None
    seen_at: dt.datetime | None
    next_appointment: dt.datetime | None
    score: ScoreLine | None
    risk: str
    risk_since: dt.datetime | None
    attention: tuple[str, ...]
    basis: Basis | None
    on_behalf_of: str | None


def course_line(
    machine: CourseMachine, stored: StoredCourse, context: Context, *, label: str | None, attention: Sequence[str]
) -> CourseLine:
    """The line of a course at the context's `now`."""
    course, protocol = stored.course, machine.protocol
    counted, clock = counters.counters(protocol, course), counters.clock(course, context.now, context.zone)
    return CourseLine(
        id=course.id,
        version=course.version,
        client_ref=stored.client_ref,
        label=label,
        therapist=course.therapist,
        protocol=course.protocol,
        title=protocol.title,
        state=course.state,
        phase=course.phase,
        session=counted.session,
        used=counted.consumed,
        sessions=counted.contracted,
        week=clock.week if clock else None,
        weeks=clock.weeks if clock else None,
        seen_at=max((each.at for each in course.sessions if each.attended), default=None),
        next_appointment=min((each.scheduled_for for each in course.bookings if each.scheduled_for > context.now), default=None),
        score=_score(protocol, course),
        risk=course.risk.level,
        risk_since=course.risk.open_since,
        attention=tuple(attention),
        basis=stored.relation.basis if stored.relation else None,
        on_behalf_of=stored.relation.on_behalf_of if stored.relation else None,
    )


def _score(protocol: Protocol, course: Course) -> ScoreLine | None:
    """The line of the first of the protocol's scales of symptoms that has a total."""
    for key in protocol.instruments_for("symptoms"):
        track = course.measures.get(key)
        first, last = (track.baseline, track.last) if track else (None, None)
        if first and last and first.total is not None and last.total is not None:
            again = first.seq != last.seq
            return _line(protocol.instruments[key], first.total, last.total, last.at, again=again)
    return None


def _line(scale: instruments.Instrument, first: float, last: float, taken_at: dt.datetime, *, again: bool) -> ScoreLine:
    change = instruments.change(scale, first, last) if again else None
    reliable = None
    if change and change.reliable_improvement is not None:
        reliable = change.reliable_improvement or bool(change.reliable_deterioration)
    return ScoreLine(
        title=_short(scale.title),
        first=first,
        last=last,
        taken_at=taken_at,
        band=instruments.band(scale, last),
        higher_is_worse=scale.direction == "higher_is_worse",
        points=change.improvement if change else None,
        direction=_direction(change.improvement) if change else None,
        reliable=reliable,
    )


def _short(title: str) -> str:
    """What a scale is called for short: `PHQ-9` of `Patient Health Questionnaire (PHQ-9)`."""
    named = SHORT.search(title)
    return named[1] if named else title


def _direction(points: float) -> Direction:
    return "same" if points == 0 else "better" if points > 0 else "worse"
