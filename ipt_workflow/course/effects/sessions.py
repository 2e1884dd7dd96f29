"""Effects of sessions, contacts and bookings."""

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec.structs import replace

from ipt_workflow.course import visits
from ipt_workflow.course.course import Booking, Course, HeldBefore, Session
from ipt_workflow.course.facts import Fact

BOOKINGS_MAX = 20


def record_session(course: Course, fact: Fact) -> Course:
    data = fact.data
    course = joined_late(course, data)
    session = visits.session_of(data, at=fact.occurred_at, seq=fact.seq, phase=course.phase)
    booked_for = session.scheduled_for or fact.occurred_at
    bookings = tuple(
        booking for booking in course.bookings if booking.scheduled_for != booked_for and booking.ref not in session.refs
    )
    deviations = course.deviations + (session.kind == "additional" and session.attended)
    met = _met(course, data) if session.attended else course.met
    return replace(course, sessions=(*course.sessions, session), bookings=bookings, deviations=deviations, met=met)


def joined_late(course: Course, data: dict[str, Any]) -> Course:
    """The course that knows what its group had held before the client joined, if this data says so.

    A session of a group always says: without `held_before` in it, nothing was held before.
    """
    known = data.get("held_before")
    if known is None and data.get("group_session") is None:
        return course
    return replace(course, held_before=msgspec.convert(known, HeldBefore) if known else None)


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


def link_session(course: Course, fact: Fact) -> Course:
    """The session gets another name, or becomes part of a group's session. Its booking under that name is over."""
    data, session = fact.data, course.session(fact.data["session"])
    if session is None:
        return course
    course = joined_late(course, data)
    sessions = tuple(linked(each, data) if each is session else each for each in course.sessions)
    bookings = tuple(booking for booking in course.bookings if booking.ref is None or booking.ref != data.get("ref"))
    met = _met(course, {"participants": ("group",)}) if data.get("group_held") and session.attended else course.met
    return replace(course, sessions=sessions, bookings=bookings, met=met)


def linked(session: Session, data: dict[str, Any]) -> Session:
    """The session after a `link_session` with this data."""
    ref, group = data.get("ref"), data.get("group_session")
    if ref:
        session = replace(session, ref=ref, earlier_refs=tuple(each for each in session.refs if each != ref))
    if group is None:
        return session
    return replace(session, group_session=group, group_held=data["group_held"], given_by=data["given_by"])


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
