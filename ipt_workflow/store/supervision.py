"""Courses as supervision looks at them, and the entries that record it. Plain statements: they fetch and decide nothing."""

import datetime as dt
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import msgspec
import sqlalchemy as sa

from ipt_workflow.access.relations import Viewer
from ipt_workflow.course.discussed import Discussed
from ipt_workflow.journal import Entry
from ipt_workflow.store import processing, relations, roles
from ipt_workflow.store.courses import (
    COLUMNS,
    FEW,
    WITH_DATA,
    WITH_PEOPLE,
    StoredCourse,
    courses_by_id,
    one_of,
    read_entries,
    stored_course,
)
from ipt_workflow.store.relations import ORGANISATION, Sight
from ipt_workflow.store.schema.tables import OPEN, course, entry, entry_data, person

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


class OpenCourse(msgspec.Struct, frozen=True):
    """What tells whether somebody may see an open course, and since when nobody has discussed it in supervision."""

    id: str
    therapist: str | None
    restricted: bool
    shared: bool
    processing: str | None
    undiscussed_since: dt.datetime | None


def open_courses_of(connection: sa.Connection, organisation: str, therapists: Sequence[str], limit: int) -> list[OpenCourse]:
    """The open courses of these therapists, the oldest first. They are many, so little of each is read."""
    values = {"organisation": organisation, "therapists": list(therapists), "limit": limit}
    columns = ("id", "therapist", "restricted", "shared", "snapshot")
    rows = _first_open(connection, columns, relations.EVERYTHING, values)
    grounds = processing.courses_restricted(connection, organisation, [row.id for row in rows])
    undiscussed = {row.id: _discussed.decode(row.snapshot).undiscussed_since for row in rows}
    return [OpenCourse(row.id, row.therapist, row.restricted, row.shared, grounds.get(row.id), undiscussed[row.id]) for row in rows]


def flagged(
    connection: sa.Connection, organisation: str, who: Viewer, now: dt.datetime, since: Mapping[str, dt.datetime], limit: int
) -> dict[str, list[StoredCourse]]:
    """The courses that have needed attention of each kind since its moment at least, the longest first, as far as the viewer may see them.

    Each kind is read by its own index, up to the limit: so it does not matter how many courses there are.
    """
    sight, values = relations.sight(connection, organisation, who, now), relations.values(organisation, who, now)
    ids: dict[str, list[str]] = {kind: [] for kind in since}
    moments = {f"since_{kind}": moment for kind, moment in since.items()}
    for kind, course_id in connection.execute(_due(sight, tuple(since)), {**values, **moments, "limit": limit}):
        ids[kind].append(course_id)
    every = sorted({each for found in ids.values() for each in found})
    read = _courses(connection, _among(connection.dialect.name, sight), {**values, "flagged": every}) if every else []
    known = {each.course.id: each for each in read}
    return {kind: [known[each] for each in found if each in known] for kind, found in ids.items()}


def of_leavers(connection: sa.Connection, organisation: str, who: Viewer, now: dt.datetime, limit: int) -> list[StoredCourse]:
    """Open courses whose therapist is known and may give therapy no longer, as far as the viewer may see them. People are few."""
    values = relations.values(organisation, who, now)
    named = list(connection.execute(_left, values).scalars())
    if not named:
        return []
    sight = relations.sight(connection, organisation, who, now)
    ids = [row.id for row in _first_open(connection, ("id",), sight, {**values, "therapists": named, "limit": limit})]
    return courses_by_id(connection, organisation, ids)


_courses_with_people = sa.select(*COLUMNS).select_from(WITH_PEOPLE)
_left = sa.select(person.c.id).where(person.c.organisation == ORGANISATION, ~roles.acts_as("therapist"))
_discussed = msgspec.json.Decoder(Discussed)
_LIMIT = sa.bindparam("limit", type_=sa.Integer)


def _first_open(
    connection: sa.Connection, columns: tuple[str, ...], sight: Sight, values: Mapping[str, Any]
) -> Sequence[sa.Row[Any]]:
    """The first open courses that can be seen of the therapists in a parameter.

    If they have few, those are looked up by their ids. Else a walk in the order of ids soon meets enough of them.
    """
    dialect = connection.dialect.name
    ids = connection.execute(_some_open(dialect), {**values, "limit": FEW + 1}).scalars().all()
    few = {"ids": sorted(ids)} if len(ids) <= FEW else {}
    return connection.execute(_open_courses(dialect, columns, sight, few=bool(few)), {**values, **few}).all()


@cache
def _some_open(dialect: str) -> sa.Select[Any]:
    theirs = one_of(course.c.therapist, "therapists")[dialect]
    return sa.select(course.c.id).where(course.c.organisation == ORGANISATION, theirs, sa.literal_column(OPEN)).limit(_LIMIT)


@cache
def _open_courses(dialect: str, columns: tuple[str, ...], sight: Sight, *, few: bool) -> sa.Select[Any]:
    among = one_of(course.c.id, "ids")[dialect] if few else one_of(course.c.therapist, "therapists")[dialect]
    statement = sa.select(*(course.c[name] for name in columns)).where(*sight.conditions, among, sa.literal_column(OPEN))
    return statement.order_by(course.c.id).limit(_LIMIT)


@cache
def _due(sight: Sight, kinds: tuple[str, ...]) -> sa.Select[Any]:
    """The courses that have needed attention of each kind since its moment, by kind, the longest first."""
    each = []
    for kind in kinds:
        due = course.c[f"{kind}_from"]
        columns: tuple[sa.ColumnElement[Any], ...] = (
            sa.literal_column(f"'{kind}'").label("kind"),
            due.label("since"),
            course.c.id.label("id"),
        )
        needing = sa.select(*columns).where(*sight.conditions, due <= sa.bindparam(f"since_{kind}", type_=due.type))
        each.append(sa.select(needing.order_by(due, course.c.id).limit(_LIMIT).subquery()))
    either = sa.union_all(*each).subquery()
    return sa.select(either.c.kind, either.c.id).order_by(either.c.kind, either.c.since, either.c.id)


@cache
def _among(dialect: str, sight: Sight) -> sa.Select[Any]:
    return _courses_with_people.where(*sight.conditions, one_of(course.c.id, "flagged")[dialect])


def _courses(connection: sa.Connection, statement: sa.Select[Any], values: Mapping[str, Any]) -> list[StoredCourse]:
    return [stored_course(*row) for row in connection.execute(statement, values)]


def records(
    connection: sa.Connection, organisation: str, who: Viewer, now: dt.datetime, before: RecordPlace | None, limit: int
) -> list[RecordSeq]:
    """The records on courses that the viewer may see at this moment, the last recorded first."""
    statement = sa.select(entry.c.course_id, entry.c.seq, entry.c.recorded_at, entry.c.id)
    statement = statement.where(entry.c.organisation == organisation, entry.c.trigger == RECORDING)
    if before is not None:
        earlier = sa.and_(entry.c.recorded_at == before.at, entry.c.id < before.id)
        statement = statement.where(sa.or_(entry.c.recorded_at < before.at, earlier))
    visible = relations.sight(connection, organisation, who, now).ids
    if visible is not None:
        statement = statement.where(entry.c.course_id.in_(visible))
    latest = statement.order_by(entry.c.recorded_at.desc(), entry.c.id.desc()).limit(limit)
    found = connection.execute(latest, relations.values(organisation, who, now))
    return [RecordSeq(row.course_id, row.seq, RecordPlace(row.recorded_at, row.id)) for row in found]


def words_of(connection: sa.Connection, organisation: str, course_ids: Sequence[str]) -> dict[str, list[Entry]]:
    """The entries that say what was discussed and agreed on each of these courses, with those that correct them."""
    journals: dict[str, list[Entry]] = {each: [] for each in course_ids}
    values = {"organisation": organisation, "courses": list(course_ids)}
    for recorded in read_entries(connection, organisation, connection.execute(_words_of(connection.dialect.name), values)):
        journals[recorded.written.course].append(recorded)
    return journals


@cache
def _words_of(dialect: str) -> sa.Select[Any]:
    statement = sa.select(entry.c.canonical, entry_data.c.salt, entry_data.c.sealed).select_from(WITH_DATA)
    named = one_of(entry.c.course_id, "courses")[dialect]
    statement = statement.where(entry.c.organisation == ORGANISATION, named, entry.c.trigger.in_(WORDS))
    return statement.order_by(entry.c.course_id, entry.c.seq)
