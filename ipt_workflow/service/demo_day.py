"""The day on which the demonstration is made: appointments, scores, labels, proposals and an emergency access, so that everybody finds work."""

import datetime as dt
from collections.abc import Sequence
from typing import Any

from ipt_workflow.access.break_glass import NewEmergencyAccess
from ipt_workflow.access.principal import Principal
from ipt_workflow.course.triggers import Command
from ipt_workflow.runtime.clock import VirtualClock
from ipt_workflow.service.access.break_glass import EmergencyAccesses
from ipt_workflow.service.access.client_labels import ClientLabels, NewClientLabel
from ipt_workflow.service.clinic import Clinic
from ipt_workflow.service.courses import Courses
from ipt_workflow.service.proposals import Proposals
from ipt_workflow.service.writes import Write
from ipt_workflow.store import courses as stored_courses
from ipt_workflow.store.courses import Filters, StoredCourse

HOURS = (9, 10, 11, 14, 15)  # of the appointments of the day; one more was yesterday, and nobody recorded what became of it
SCORES = (17, 9, 15, 5, 2, 7)  # by PHQ-9, the day before; most clients had 8 at first
LABELS = ("Ms Abel", "Ms Bauer", "Mr Costa", "Mr Diaz")
UNDER_WAY = ("initial", "middle", "final")
COURSES_MAX = 100


async def make_day(clinic: Clinic, clock: VirtualClock, now: dt.datetime, therapist: Principal, supervisor: Principal) -> None:
    """Makes the day of a therapist. `clock` is the clinic's, and ends at `now`."""
    courses = await _under_way(clinic, therapist)
    today = now.astimezone(clinic.zone).replace(minute=0, second=0, microsecond=0)
    times = [*(today.replace(hour=hour) for hour in HOURS), today.replace(hour=HOURS[-1]) - dt.timedelta(days=1)]
    clock.set(min(times) - dt.timedelta(hours=4))
    for course, at, score in zip(courses, times, SCORES, strict=False):
        await _fire(clinic, therapist, course, "record_measure", {"instrument": "phq9", "total": score})
        await _fire(clinic, therapist, course, "book_session", {"scheduled_for": at.isoformat()})
    await _fire(clinic, therapist, courses[2], "record_contact", {"kind": "crisis", "risk": True, "summary": "He called at night."})
    for course, label in zip(courses, LABELS, strict=False):
        new = NewClientLabel(label=label)
        await ClientLabels(clinic).give(therapist, course.course.id, lambda new=new: new)  # type: ignore[misc]
    clock.set(now - dt.timedelta(hours=2))
    await _propose(clinic, therapist, supervisor, [each for each in courses if each.course.state == "initial"])
    await _in_an_emergency(clinic, courses[-1])
    clock.set(now)


async def _under_way(clinic: Clinic, therapist: Principal) -> list[StoredCourse]:
    """The therapist's courses of the usual form that go on, and of which no session waits for a signature."""
    filters = Filters(viewer=clinic.viewer(therapist), protocol="ipt", states=UNDER_WAY)
    found = await clinic.read(stored_courses.caseload, filters, "", COURSES_MAX, clinic.clock.now())
    return [each for each in found if not each.course.unsigned and not each.course.bookings]


async def _fire(clinic: Clinic, principal: Principal, course: StoredCourse, trigger: str, data: dict[str, Any]) -> None:
    command = Command(trigger, data)
    await Courses(clinic).fire(principal, course.course.id, Write(decode=lambda: (command,), version_required=False))


async def _propose(clinic: Clinic, therapist: Principal, supervisor: Principal, courses: Sequence[StoredCourse]) -> None:
    """Asks a supervisor twice for a longer first phase. They declined once, and have not answered yet."""
    proposals, made = Proposals(clinic), []
    for course in courses[:2]:
        command = Command("extend_phase", reason="The inventory takes one more session.")
        write = Write(decode=lambda command=command: (command,), version_required=False)  # type: ignore[misc]
        made.append(await proposals.propose(therapist, course.course.id, write))
    await proposals.decline(supervisor, made[0].id)


async def _in_an_emergency(clinic: Clinic, course: StoredCourse) -> None:
    """A colleague on duty opened a client's courses, and no supervisor has reviewed that yet."""
    assert course.client_ref is not None  # nobody has been erased here
    new = NewEmergencyAccess(client_ref=course.client_ref, code="ETREAT", reason="The client called the clinic in a crisis.")
    duty = Principal(person="therapist-3", role="therapist", via="cli")
    await EmergencyAccesses(clinic).start(duty, lambda: new)
