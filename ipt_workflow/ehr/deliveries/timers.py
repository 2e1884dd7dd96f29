"""The clocks of courses: what comes due with time becomes an event, once.

A kind is told when it comes to hold, and again only after it has ceased to: so a scan that is late, or runs twice, or after a restart,
tells what holds and was not told yet. What was told is written with the event, or neither is.
"""

import datetime as dt

import sqlalchemy as sa

from ipt_workflow.course import attention
from ipt_workflow.service.clinic import Clinic, new_id
from ipt_workflow.store import due
from ipt_workflow.store import events as stored

BATCH = 100


async def scan(clinic: Clinic) -> int:
    """Looks at every course whose clock may have something to say. Returns how many events that made."""
    total = 0
    while await clinic.read(due.to_look_at, clinic.clock.now(), 1):
        looked, told = await clinic.database.write(_batch, clinic)
        total += told
        if looked < BATCH:
            break
    return total


def _batch(connection: sa.Connection, clinic: Clinic) -> tuple[int, int]:
    """Looks at some courses. Returns how many, and how many events that made; nothing where another hand is at it."""
    stored.begin_task(connection, clinic.organisation, "clocks")
    if stored.hold_task(connection, clinic.organisation, "clocks") is None:
        return 0, 0
    now = clinic.clock.now()
    found = due.to_look_at(connection, clinic.organisation, now, BATCH)
    return len(found), sum(_look(connection, clinic, ticking, now) for ticking in found)


def _look(connection: sa.Connection, clinic: Clinic, ticking: due.Ticking, now: dt.datetime) -> int:
    course = ticking.course
    moments = attention.told_by_clock(clinic.machine_of(course).protocol, course, clinic.zone)
    holding = tuple(kind for kind, since in moments.items() if since <= now)
    new = [kind for kind in holding if kind not in ticking.known]
    for kind in new:
        row = {"id": new_id(), "kind": "attention", "course_id": course.id, "detail": kind, "created_at": now}
        stored.put(connection, clinic.organisation, row)
    due.note(
        connection, clinic.organisation, ticking, holding, min((since for since in moments.values() if since > now), default=None)
    )
    return len(new)
