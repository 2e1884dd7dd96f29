"""Effects of sessions, contacts and bookings."""

import datetime as dt
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec.structs import replace

from ipt_workflow.course.course import (
    Booking,
    Course,
    Session,
)
from ipt_workflow.course.facts import Fact

BOOKINGS_MAX = 20


def record_session(course: Course, fact: Fact) -> Course:
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
    bookings = tuple(
        booking
        for booking in course.bookings
        if booking.scheduled_for != booked_for and (booking.ref is None or booking.ref != session.ref)
    )
    deviations = course.deviations + (session.kind == "additional" and session.attended)
    met = _met(course, data) if session.attended else course.met
    return replace(course, sessions=(*course.sessions, session), bookings=bookings, deviations=deviations, met=met)


def _met(course: Course, data: dict[str, Any]) -> tuple[str, ...]:
    """Everybody but the client who has taken part so far."""
    return tuple(sorted({*course.met, *data.get("participants", ())} - {"client"}))


def on_session(change: Callable[[Session, Fact], Session]) -> Callable[[Course, Fact], Course]:
    """Applies a change to the session that the fact names."""

    def applier(course: Course, fact: Fact) -> Course:
        seq = fact.data["session"]
        return replace(course, sessions=tuple(change(each, fact) if each.seq == seq else each for each in course.sessions))

    return applier


def signed(session: Session, fact: Fact) -> Session:
    return replace(session, signed=True, focus=fact.data.get("focus"))


def linked(session: Session, fact: Fact) -> Session:
    return replace(session, ref=fact.data["ref"])


def acknowledged(session: Session, _fact: Fact) -> Session:
    return replace(session, acknowledged=True)


def book_session(course: Course, fact: Fact) -> Course:
    booking = msgspec.convert({name: fact.data[name] for name in ("scheduled_for", "kind", "ref") if name in fact.data}, Booking)
    others = tuple(each for each in course.bookings if booking.ref is None or each.ref != booking.ref)
    bookings = sorted((*others, booking), key=lambda each: each.scheduled_for)
    return replace(course, bookings=tuple(bookings[-BOOKINGS_MAX:]))


def record_contact(course: Course, fact: Fact) -> Course:
    kind = fact.data["kind"]
    contacted = {**course.contacted, kind: course.contacted.get(kind, 0) + 1}
    met = course.met if kind == "attempt" else _met(course, fact.data)
    return replace(course, contacts=course.contacts + 1, contacted=contacted, met=met)


def extend_phase(course: Course, _fact: Fact) -> Course:
    return replace(course, extended=(*course.extended, course.phase)) if course.phase else course
