"""Makes again what is stored with every course: its snapshot after a change of the shape of `Course`, and since when it needs attention."""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping

import msgspec
import sqlalchemy as sa

from ipt_workflow import journal
from ipt_workflow.course import Course
from ipt_workflow.errors import JournalBroken
from ipt_workflow.store.commits import rows
from ipt_workflow.store.courses import course_decoder
from ipt_workflow.store.schema import tables

BATCH = 1000  # courses in one query
Due = Callable[[Course], Mapping[str, dt.datetime]]


def rebuild(connection: sa.Connection) -> None:
    """Folds every journal and stores each course as today's code writes it.

    A course with an unreadable journal keeps its snapshot; `audit verify` reports it.
    """
    for organisation, course_id, _ in _courses(connection):
        snapshot = _snapshot(connection, organisation, course_id)
        if snapshot is not None:
            _update(connection, organisation, course_id, {"snapshot": snapshot})


def note_attention(connection: sa.Connection, due: Due) -> None:
    """Stores since when every course needs attention, by kind, as `due` says. A course with an unreadable snapshot is left out."""
    for organisation, course_id, snapshot in _courses(connection):
        try:
            since = due(course_decoder.decode(snapshot))
        except msgspec.DecodeError:
            continue
        _update(connection, organisation, course_id, {f"{kind}_from": since.get(kind) for kind in tables.ATTENTION})


def note_sharing(connection: sa.Connection) -> None:
    """Stores which courses are not shared. A course with an unreadable snapshot is left out."""
    for organisation, course_id, snapshot in _courses(connection):
        try:
            shared = course_decoder.decode(snapshot).shared
        except msgspec.DecodeError:
            continue
        if not shared:
            _update(connection, organisation, course_id, {"shared": False})


def _courses(connection: sa.Connection) -> Iterator[tuple[str, str, bytes]]:
    """Every course: its organisation, its id and its snapshot."""
    course = tables.course
    key = sa.tuple_(course.c.organisation, course.c.id)
    columns = sa.select(course.c.organisation, course.c.id, course.c.snapshot)
    after = ("", "")
    while True:
        batch = columns.where(key > sa.tuple_(*map(sa.literal, after))).order_by(*key.clauses)
        found = connection.execute(batch.limit(BATCH)).all()
        yield from ((row.organisation, row.id, row.snapshot) for row in found)
        if len(found) < BATCH:
            return
        after = (found[-1].organisation, found[-1].id)


def _update(connection: sa.Connection, organisation: str, course_id: str, values: dict[str, object]) -> None:
    course = tables.course
    where = (course.c.organisation == organisation, course.c.id == course_id)
    connection.execute(sa.update(course).where(*where).values(**values))


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
