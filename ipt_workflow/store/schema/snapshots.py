"""Taking the snapshots of courses again, from their journals, when the shape of `Course` has changed."""

import sqlalchemy as sa

from ipt_workflow import journal
from ipt_workflow.errors import JournalBroken
from ipt_workflow.store.commits import rows
from ipt_workflow.store.schema import tables

BATCH = 1000  # courses listed at once


def retake(connection: sa.Connection) -> None:
    """Folds every journal and stores the course as today's code writes it.

    A course whose journal cannot be read keeps its snapshot; `audit verify` reports the course.
    """
    course = tables.course
    place = sa.tuple_(course.c.organisation, course.c.id)
    after = ("", "")
    while True:
        batch = (
            sa.select(course.c.organisation, course.c.id).where(place > sa.tuple_(*map(sa.literal, after))).order_by(*place.clauses)
        )
        found = connection.execute(batch.limit(BATCH)).all()
        for organisation, course_id in found:
            snapshot = _snapshot(connection, organisation, course_id)
            if snapshot is not None:
                where = (course.c.organisation == organisation, course.c.id == course_id)
                connection.execute(sa.update(course).where(*where).values(snapshot=snapshot))
        if len(found) < BATCH:
            return
        after = tuple(found[-1])


def _snapshot(connection: sa.Connection, organisation: str, course_id: str) -> bytes | None:
    """A course's snapshot from its journal; None if the journal is empty or cannot be read."""
    entry = tables.entry
    where = (entry.c.organisation == organisation, entry.c.course_id == course_id)
    written = connection.execute(sa.select(entry.c.canonical).where(*where).order_by(entry.c.seq)).scalars()
    try:
        folded = journal.replay([journal.read(bytes(each), salt=None, sealed=None) for each in written])
    except JournalBroken:
        return None
    return rows.snapshot(folded) if folded is not None else None
