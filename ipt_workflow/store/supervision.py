"""Courses as supervision looks at them, and the entries that record it. Plain statements: they fetch and decide nothing."""

import datetime as dt
from collections.abc import Mapping, Sequence

import msgspec
import sqlalchemy as sa

from ipt_workflow.access.relations import Viewer
from ipt_workflow.journal import Entry, read
from ipt_workflow.protocols.definition import ENDED
from ipt_workflow.store import relations, roles
from ipt_workflow.store.courses import COLUMNS, WITH_DATA, WITH_PEOPLE, StoredCourse, one_of, stored_course
from ipt_workflow.store.schema.tables import course, entry, entry_data, person

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
    connection: sa.Connection, organisation: str, who: Viewer, now: dt.datetime, since: Mapping[str, dt.datetime], limit: int
) -> dict[str, list[StoredCourse]]:
    """The courses that have needed attention of each kind since its moment at least, the longest first, as far as the viewer may see them.

    Each kind is read by its own index, up to the limit: so it does not matter how many courses there are.
    """
    condition = relations.sight(connection, organisation, who, now).condition
    visible = [course.c.organisation == organisation, *([] if condition is None else [condition])]
    ids: dict[str, list[str]] = {}
    for kind, moment in since.items():
        due = course.c[f"{kind}_from"]
        select = sa.select(course.c.id).where(*visible, due <= moment).order_by(due, course.c.id)
        ids[kind] = list(connection.execute(select.limit(limit)).scalars())
    every = one_of(course.c.id, "flagged", sorted({each for found in ids.values() for each in found}))[connection.dialect.name]
    statement = sa.select(*COLUMNS).select_from(WITH_PEOPLE).where(*visible, every)
    known = {row.id: stored_course(*row) for row in connection.execute(statement)}
    return {kind: [known[each] for each in found if each in known] for kind, found in ids.items()}


def of_leavers(connection: sa.Connection, organisation: str, who: Viewer, now: dt.datetime, limit: int) -> list[StoredCourse]:
    """Open courses whose therapist is known and may give therapy no longer, as far as the viewer may see them. People are few."""
    condition = relations.sight(connection, organisation, who, now).condition
    visible = [course.c.organisation == organisation, *([] if condition is None else [condition])]
    left = sa.select(person.c.id).where(person.c.organisation == organisation, ~roles.acts_as("therapist"))
    named = list(connection.execute(left).scalars())
    by_them = one_of(course.c.therapist, "leavers", named)[connection.dialect.name]
    statement = sa.select(*COLUMNS).select_from(WITH_PEOPLE).where(*visible, by_them, course.c.state.not_in(ENDED))
    return [stored_course(*row) for row in connection.execute(statement.order_by(course.c.id).limit(limit))]


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
