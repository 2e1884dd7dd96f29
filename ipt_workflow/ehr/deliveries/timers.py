"""The attention scan: publishes an event when a course begins to need attention.

Each kind of attention is reported once when it begins, and again only after it has ended. A late, repeated or restarted scan
therefore reports exactly what is new. One transaction writes the event and what was reported.
"""

import datetime as dt

from ipt_workflow.course import attention
from ipt_workflow.service.clinic import Clinic, new_id
from ipt_workflow.store import due
from ipt_workflow.store import events as stored_events
from ipt_workflow.store.database import Connection
from ipt_workflow.store.due import DueCourse
from ipt_workflow.store.events import NewEvent

BATCH = 100


async def scan(clinic: Clinic) -> int:
    """Scans every course that may have something new to report. Returns the number of events published."""
    total = 0
    while await clinic.read(due.find, clinic.clock.now(), 1):
        scanned, published = await clinic.database.write(_scan_batch, clinic)
        total += published
        if scanned < BATCH:
            break
    return total


def _scan_batch(connection: Connection, clinic: Clinic) -> tuple[int, int]:
    """Returns the number of courses scanned and of events published; zeros if another process is scanning."""
    if stored_events.lock_task(connection, clinic.organisation, stored_events.ATTENTION_SCAN) is None:
        return 0, 0
    now = clinic.clock.now()
    found = due.find(connection, clinic.organisation, now, BATCH)
    return len(found), sum(_report(connection, clinic, each, now) for each in found)


def _report(connection: Connection, clinic: Clinic, scanned: DueCourse, now: dt.datetime) -> int:
    """Publishes the kinds of attention that are new for a course. Returns how many."""
    course = scanned.course
    moments = attention.told_by_clock(clinic.machine_of(course).protocol, course, clinic.zone)
    kinds = tuple(kind for kind, since in moments.items() if since <= now)
    new = [kind for kind in kinds if kind not in scanned.reported]
    for kind in new:
        event = NewEvent(id=new_id(), kind="attention", course=course.id, detail=kind, created_at=now)
        stored_events.publish(connection, clinic.organisation, event)
    next_at = min((since for since in moments.values() if since > now), default=None)
    due.record_scan(connection, clinic.organisation, scanned, kinds, next_at)
    return len(new)
