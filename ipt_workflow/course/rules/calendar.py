"""Rules about the calendar: appointments to come, and absences."""

import datetime as dt
from collections.abc import Iterable

from ipt_workflow.course import counters
from ipt_workflow.course.course import Booking, Course
from ipt_workflow.course.effects.sessions import book_each
from ipt_workflow.course.rules.case import Case, rule
from ipt_workflow.errors import Refusal
from ipt_workflow.protocols.definition import Protocol


@rule(source="design")
def bookings_in_contract(case: Case) -> Refusal | None:
    """No more sessions are booked ahead than the contract still has. Before a contract: than the longest one would have."""
    new = {booking["scheduled_for"] for booking in case.data["bookings"]}
    after = book_each(case.course, *case.data["bookings"]).bookings
    others = [each for each in _ahead(after, case.at) if each.scheduled_for.isoformat() not in new]
    left = _left(case.protocol, case.course)
    if len(_ahead(after, case.at)) <= left:
        return None
    most, contract = max(0, left - len(others)), case.course.contract
    ending = case.course.phase == case.protocol.last.id and len(case.protocol.phases) > 1  # then the number of sessions is settled
    return case.refuses(
        "bookings_in_contract",
        current=len(new),
        required=f"at most {most}",
        remedies=(case.remedy("amend_contract", sessions=contract.sessions + len(new) - most),) if contract and not ending else (),
        left=left,
        booked=len(others),
        most=most,
    )


def free_to_book(protocol: Protocol, course: Course, at: dt.datetime) -> int:
    """How many more sessions may be booked."""
    return max(0, _left(protocol, course) - len(_ahead(course.bookings, at)))


def _left(protocol: Protocol, course: Course) -> int:
    left = counters.remaining(protocol, course)
    return max(0, protocol.contract.sessions.max - counters.used_total(protocol, course)) if left is None else left


def _ahead(bookings: Iterable[Booking], at: dt.datetime) -> list[Booking]:
    """The sessions that are booked for after a moment."""
    return [each for each in bookings if each.kind == "session" and each.scheduled_for > at]


@rule(source="design", structural=True)
def absence_over(case: Case) -> Refusal | None:
    """An absence ends after it begins, and is over when it is recorded. One that lasts is a pause."""
    since, until, recorded_on = case.data["since"], case.data["until"], case.day(case.at).isoformat()
    if until <= since:
        return case.refuses("absence_over.order", current=until, required=f"after {since}")
    if until <= recorded_on:
        return None
    return case.refuses("absence_over.lasts", current=until, required=f"by {recorded_on}", remedies=("pause",), until=until)
