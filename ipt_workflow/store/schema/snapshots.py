"""Rebuilds the snapshots of courses from their journals after a change of the shape of `Course`."""

import sqlalchemy as sa

from ipt_workflow import journal
from ipt_workflow.errors import JournalBroken
from ipt_workflow.store.commits import rows
from ipt_workflow.store.schema import tables

BATCH = 1000  # courses in one query


def rebuild(connection: sa.Connection) -> None:
    """Folds every journal and stores each course as today's code writes it.

    A course with an unreadable journal keeps its snapshot; `audit verify` reports it.
    """
    course = tables.course
    key = sa.tuple_(course.c.organisation, course.c.id)
    after = ("", "")
    while True:
        batch = sa.select(course.c.organisation, course.c.id).where(key > sa.tuple_(*map(sa.literal, after))).order_by(*key.clauses)
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
    """A course's snapshot from its journal; None if the journal is empty or unreadable."""
    entry = tables.entry
    where = (entry.c.organisation == organisation, entry.c.course_id == course_id)
    stored = connection.execute(sa.select(entry.c.canonical).where(*where).order_by(entry.c.seq)).scalars()
    try:
        folded = journal.replay([journal.read(bytes(each), salt=None, sealed=None) for each in stored])
    except JournalBroken:
        return None
    return rows.snapshot(folded) if folded is not None else None
