"""Courses as supervision looks at them, and the entries that record it. Plain statements: they fetch and decide nothing."""

import datetime as dt
from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from ipt_workflow.access.relations import Viewer
from ipt_workflow.journal import Entry, read
from ipt_workflow.protocols.definition import ENDED
from ipt_workflow.store import relations
from ipt_workflow.store.courses import COLUMNS, WITH_DATA, WITH_PEOPLE, Filters, StoredCourse, caseload, one_of, stored_course
from ipt_workflow.store.schema.tables import course, entry, entry_data

RECORDING = "record_supervision"
WORDS = (RECORDING, "amend", "move_entries")  # the triggers whose entries say what was agreed


class RecordPlace(msgspec.Struct, frozen=True):
    """Where a record stands in the list of all: when it was recorded, and the id of its entry."""

    at: dt.datetime
    id: str


class RecordSeq(msgspec.Struct, frozen=True):
    """An entry that records supervision, by its course and its seq."""

    course: str
    seq: int
    place: RecordPlace


def open_courses_of(connection: sa.Connection, organisation: str, therapists: Sequence[str], limit: int) -> list[StoredCourse]:
    """The open courses of these therapists, the oldest first."""
    theirs = one_of(course.c.therapist, "therapists", list(therapists))[connection.dialect.name]
    statement = sa.select(*COLUMNS).select_from(WITH_PEOPLE)
    statement = statement.where(course.c.organisation == organisation, theirs, course.c.state.not_in(ENDED))
    return [stored_course(*row) for row in connection.execute(statement.order_by(course.c.id).limit(limit))]


def flagged(
    connection: sa.Connection, organisation: str, who: Viewer, now: dt.datetime, kinds: Sequence[str], limit: int
) -> dict[str, list[StoredCourse]]:
    """The first courses that need attention of each of these kinds, as far as the viewer may see them at this moment."""
    return {kind: caseload(connection, organisation, Filters(viewer=who, attention=kind), "", limit, now) for kind in kinds}


def records(
    connection: sa.Connection, organisation: str, who: Viewer, now: dt.datetime, before: RecordPlace | None, limit: int
) -> list[RecordSeq]:
    """The records on courses that the viewer may see at this moment, the last recorded first."""
    statement = sa.select(entry.c.course_id, entry.c.seq, entry.c.recorded_at, entry.c.id)
    statement = statement.where(entry.c.organisation == organisation, entry.c.trigger == RECORDING)
    if before is not None:
        earlier = sa.and_(entry.c.recorded_at == before.at, entry.c.id < before.id)
        statement = statement.where(sa.or_(entry.c.recorded_at < before.at, earlier))
    visible = relations.visible_ids(connection, organisation, who, now)
    if visible is not None:
        statement = statement.where(entry.c.course_id.in_(visible))
    found = connection.execute(statement.order_by(entry.c.recorded_at.desc(), entry.c.id.desc()).limit(limit))
    return [RecordSeq(row.course_id, row.seq, RecordPlace(row.recorded_at, row.id)) for row in found]


def words_of(connection: sa.Connection, organisation: str, course_ids: Sequence[str]) -> dict[str, list[Entry]]:
    """The entries that say what was discussed and agreed on each of these courses, with those that correct them."""
    statement = sa.select(entry.c.canonical, entry_data.c.salt, entry_data.c.sealed).select_from(WITH_DATA)
    named = one_of(entry.c.course_id, "courses", list(course_ids))[connection.dialect.name]
    statement = statement.where(entry.c.organisation == organisation, named, entry.c.trigger.in_(WORDS))
    journals: dict[str, list[Entry]] = {each: [] for each in course_ids}
    for row in connection.execute(statement.order_by(entry.c.course_id, entry.c.seq)):
        recorded = read(row.canonical, salt=row.salt, sealed=row.sealed)
        journals[recorded.written.course].append(recorded)
    return journals
