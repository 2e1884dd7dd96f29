"""Reads courses and their journals. Plain statements: they fetch and decide nothing."""

import datetime as dt
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from ipt_workflow.access import people
from ipt_workflow.access.relations import Relation, Viewer
from ipt_workflow.course import Course
from ipt_workflow.journal import Entry, read
from ipt_workflow.protocols.definition import ENDED
from ipt_workflow.store import attention, client_keys, processing, relations, roles
from ipt_workflow.store.schema.tables import client, course, entry, entry_data, person

course_decoder = msgspec.json.Decoder(Course)  # of snapshots


class StoredCourse(msgspec.Struct, frozen=True):
    """A course as its row holds it. `client_ref` is None if the client was erased.

    `asked` is the attention that its journal knows nothing of, since when by kind: that of waiting notices and unreviewed emergency
    accesses, and `unassigned` where the therapist is no person who may give therapy here. `processing` is the ground of the processing
    restriction on its client. `relation` is that of the person who sees the course, once it is known. `key` is the id of the key under which
    its texts are sealed, if it is known.
    """

    course: Course
    head: str
    client_ref: str | None
    asked: Mapping[str, dt.datetime] = {}
    restricted: bool = False
    processing: str | None = None
    relation: Relation | None = None
    key: str | None = None

    @property
    def is_glimpse(self) -> bool:
        """Whether the person sees the course by emergency access alone, which allows to read and to record a little."""
        return self.relation is not None and self.relation.writes is not None


def one_of(column: sa.ColumnElement[Any], ids: str, values: Sequence[str] | None = None) -> dict[str, sa.ColumnElement[bool]]:
    """The condition that a column holds one of the ids in the parameter `ids`, by dialect. Its text does not depend on their number.

    `values` are the parameter's, unless they are given when the statement runs.
    """
    listed = sa.func.json_each(sa.bindparam(ids, values, type_=sa.JSON)).table_valued("value")
    array = sa.bindparam(ids, values, type_=postgresql.ARRAY(sa.String))
    return {"sqlite": column.in_(sa.select(listed.c.value)), "postgresql": column == sa.any_(array)}


def by_ids(select: sa.Select[Any], organisation: sa.Column[Any], id_column: sa.Column[Any]) -> dict[str, sa.Select[Any]]:
    """A statement by dialect that takes any number of ids."""
    ours = select.where(organisation == sa.bindparam("organisation"))
    return {dialect: ours.where(found) for dialect, found in one_of(id_column, "ids").items()}


def execute_by_ids(
    connection: sa.Connection, statements: dict[str, sa.Select[Any]], organisation: str, ids: Collection[str]
) -> sa.CursorResult[Any]:
    """Runs one of the statements that `by_ids` makes."""
    return connection.execute(statements[connection.dialect.name], {"organisation": organisation, "ids": list(ids)})


WITH_CLIENT = course.outerjoin(client, sa.and_(client.c.organisation == course.c.organisation, client.c.id == course.c.client_id))
WITH_PEOPLE = course.outerjoin(person, sa.and_(person.c.organisation == course.c.organisation, person.c.id == course.c.therapist))
# Of each course by itself: for a join, PostgreSQL would read every client of a small clinic.
_ref = sa.select(client.c.ref).where(client.c.organisation == course.c.organisation, client.c.id == course.c.client_id)
COLUMNS = (
    *(course.c.id, course.c.snapshot, course.c.head, _ref.correlate(course).scalar_subquery().label("ref"), course.c.restricted),
    processing.ground_of(),
    client_keys.current(course.c.organisation, course.c.id).label("key"),
    attention.UNREVIEWED_SINCE.label("emergency_since"),
    *(*attention.ATTENTION_OF_NOTICES, person.c.roles, person.c.status, person.c.left_at),
)  # of a stored course
_select_course = sa.select(*COLUMNS).select_from(WITH_PEOPLE)


def stored_course(
    _id: str,
    snapshot: bytes,
    head: str,
    ref: str | None,
    restricted: bool,
    processing_ground: str | None,
    key: str | None,
    emergency_since: dt.datetime | None,
    waits_since: dt.datetime | None,
    risk_since: dt.datetime | None,
    *therapist: Any,
) -> StoredCourse:
    """A course from the values of COLUMNS. `therapist` are those of the person's row, if they have one."""
    found = course_decoder.decode(snapshot)
    known = roles.staff_member(found.therapist or "", *therapist) if therapist[0] is not None else None
    asked = {"notices": waits_since, "risk": risk_since, "unassigned": people.unassigned_since(found, known)}
    since = {kind: at for kind, at in asked.items() if at is not None}
    return StoredCourse(found, head, ref, since | attention.kinds_since(emergency_since), restricted, processing_ground, key=key)


WITH_DATA = entry.outerjoin(
    entry_data,
    sa.and_(
        entry_data.c.organisation == entry.c.organisation,
        entry_data.c.course_id == entry.c.course_id,
        entry_data.c.seq == entry.c.seq,
    ),
)
_select_entries = sa.select(entry.c.canonical, entry_data.c.salt, entry_data.c.sealed).select_from(WITH_DATA)


def _raw(column: sa.Column[Any], name: str | None = None) -> sa.ColumnElement[Any]:
    return sa.type_coerce(column, sa.types.NullType()).label(name or column.name)


RAW_ENTRY = (
    *(_raw(column) for column in entry.c),
    _raw(entry_data.c.salt),
    _raw(entry_data.c.sealed),
    _raw(entry_data.c.seq, "sealed_seq"),
)
_raw_entries = sa.select(*RAW_ENTRY).select_from(WITH_DATA)


def load_entries(
    connection: sa.Connection,
    organisation: str,
    course_id: str,
    after: int = 0,
    limit: int | None = None,
    triggers: Sequence[str] = (),
) -> list[Entry]:
    """A course's entries after a seq, in the order they were recorded; with `triggers`, only theirs."""
    values = {"organisation": organisation, "course": course_id, "after": after, "limit": limit, "triggers": list(triggers)}
    return read_entries(
        connection, organisation, connection.execute(_entries(limited=limit is not None, of_triggers=bool(triggers)), values)
    )


def read_entries(connection: sa.Connection, organisation: str, found: Iterable[Any]) -> list[Entry]:
    """The entries of rows with canonical bytes, salt and sealed document."""
    rows = list(found)
    texts = client_keys.opened(connection, organisation, [(row.salt, row.sealed) for row in rows])
    return [read(row.canonical, salt=salt, sealed=sealed) for row, (salt, sealed) in zip(rows, texts, strict=True)]


@cache
def _entries(*, limited: bool, of_triggers: bool) -> sa.Select[Any]:
    """A course's entries after a seq. Both, the limit and the triggers are parameters."""
    its = (entry.c.organisation == relations.ORGANISATION, entry.c.course_id == sa.bindparam("course"))
    statement = _select_entries.where(*its, entry.c.seq > sa.bindparam("after")).order_by(entry.c.seq)
    if of_triggers:
        statement = statement.where(entry.c.trigger.in_(sa.bindparam("triggers", expanding=True)))
    return statement.limit(sa.bindparam("limit", type_=sa.Integer)) if limited else statement


_entries_of = by_ids(_select_entries.order_by(entry.c.course_id, entry.c.seq), entry.c.organisation, entry.c.course_id)


def entries_of(connection: sa.Connection, organisation: str, course_ids: Sequence[str]) -> dict[str, list[Entry]]:
    """The journals of several courses, each in the order it was recorded."""
    journals: dict[str, list[Entry]] = {course_id: [] for course_id in course_ids}
    for recorded in read_entries(connection, organisation, execute_by_ids(connection, _entries_of, organisation, course_ids)):
        journals[recorded.written.course].append(recorded)
    return journals


_raw_entries_of = by_ids(_raw_entries.order_by(entry.c.course_id, entry.c.seq), entry.c.organisation, entry.c.course_id)
_raw_courses = by_ids(sa.select(*(_raw(column) for column in course.c)), course.c.organisation, course.c.id)


def raw_entries(connection: sa.Connection, organisation: str, ids: Sequence[str]) -> dict[str, list[sa.Row[Any]]]:
    """The entries of courses for `integrity`: every column as the driver returns it, neither converted nor checked."""
    by_course: dict[str, list[sa.Row[Any]]] = {course_id: [] for course_id in ids}
    for row in execute_by_ids(connection, _raw_entries_of, organisation, ids):
        by_course[row.course_id].append(row)
    return by_course


def raw_courses(connection: sa.Connection, organisation: str, ids: Sequence[str]) -> dict[str, sa.RowMapping]:
    """The rows of courses, also as the driver returns them, by course and by column."""
    return {row["id"]: row for row in execute_by_ids(connection, _raw_courses, organisation, ids).mappings()}


def raw_form(connection: sa.Connection, column: sa.Column[Any], value: object) -> object:
    """A value in the form in which the driver returns it when it is read from this column unconverted."""
    convert = to_driver(column, connection.dialect)
    converted = convert(value) if convert else value
    return bytes(converted) if isinstance(converted, memoryview) else converted


def to_driver(column: sa.ColumnElement[Any], dialect: sa.Dialect) -> Callable[[Any], Any] | None:
    """Converts a value of this column or parameter for the driver; None if the driver takes it unconverted."""
    convert: Callable[[Any], Any] | None = column.type.dialect_impl(dialect).bind_processor(dialect)
    return convert


def other_open_course(connection: sa.Connection, organisation: str, client_id: str, but: str | None = None) -> str | None:
    """The id of the client's open acute course, other than the course `but`; None if there is none."""
    statement = sa.select(course.c.id).where(
        course.c.organisation == organisation, course.c.client_id == client_id, course.c.active_acute, course.c.id != (but or "")
    )
    found: str | None = connection.execute(statement).scalar()
    return found


def client_id(connection: sa.Connection, organisation: str, ref: str) -> str | None:
    found: str | None = connection.execute(
        sa.select(client.c.id).where(client.c.organisation == organisation, client.c.ref == ref)
    ).scalar()
    return found


_clients_of = by_ids(
    sa.select(course.c.id, course.c.client_id, client.c.ref).select_from(WITH_CLIENT), course.c.organisation, course.c.id
)


class CourseClient(msgspec.Struct, frozen=True):
    """A course with its client's id and reference. `ref` is None if the client was erased."""

    course_id: str
    client_id: str
    ref: str | None


def clients_of(connection: sa.Connection, organisation: str, course_ids: Sequence[str]) -> list[CourseClient]:
    """The clients of courses that exist."""
    return [
        CourseClient(row.id, row.client_id, row.ref) for row in execute_by_ids(connection, _clients_of, organisation, course_ids)
    ]


def courses_of(connection: sa.Connection, organisation: str, client_id: str) -> tuple[str, ...]:
    """The ids of a client's courses."""
    statement = sa.select(course.c.id).where(course.c.organisation == organisation, course.c.client_id == client_id)
    return tuple(connection.execute(statement.order_by(course.c.id)).scalars())


class Filters(msgspec.Struct, frozen=True, kw_only=True):
    """A course is listed if it meets all that are set. With a `viewer`: only what this person may see."""

    viewer: Viewer | None = None
    state: str | None = None
    states: tuple[str, ...] | None = None  # any of these
    phase: str | None = None
    therapist: str | None = None
    protocol: str | None = None
    attention: str | None = None
    changed_since: dt.datetime | None = None
    client: str | None = None
    ids: tuple[str, ...] | None = None


def caseload(
    connection: sa.Connection, organisation: str, filters: Filters, after: str, limit: int, now: dt.datetime
) -> list[StoredCourse]:
    """A page of courses after an id, in the order they were opened (ids are UUIDv7)."""
    sight = relations.sight(connection, organisation, filters.viewer, now) if filters.viewer else relations.EVERYTHING
    if sight.own_only and filters.viewer:  # as a filter, so that the index of therapists serves all the others beside it
        if filters.therapist not in {None, filters.viewer.person}:
            return []
        filters, sight = msgspec.structs.replace(filters, therapist=filters.viewer.person), relations.EVERYTHING
    named, due = _by_what_is_due(connection, organisation, filters, now)
    due += [] if sight.condition is None else [sight.condition]
    named += [] if filters.ids is None else [set(filters.ids)]
    conditions = [course.c.organisation == organisation, *_conditions(filters), *due]
    if named:  # without a range of ids, in which a database would read every course
        later = sorted(each for each in set.intersection(*named) if each > after)
        conditions.append(one_of(course.c.id, "named", later)[connection.dialect.name])
    else:
        conditions.append(course.c.id > after)
    if filters.states is not None:
        conditions = [course.c.organisation == organisation, course.c.id.in_(_first_of(filters.states, conditions, limit))]
    statement = _select_course.where(*conditions).order_by(course.c.id).limit(limit)
    seen = relations.values(organisation, filters.viewer, now) if filters.viewer else {}
    return [stored_course(*row) for row in connection.execute(statement, seen)]


def _conditions(filters: Filters) -> list[sa.ColumnElement[bool]]:
    """Those filters that name a value of a column. Beside a therapist or a client, no index serves the others: it would find more."""
    narrow = ((course.c.therapist, filters.therapist), (course.c.client_id, filters.client))
    conditions: list[sa.ColumnElement[bool]] = [column == value for column, value in narrow if value is not None]
    narrowed = bool(conditions)
    for column, value in ((course.c.state, filters.state), (course.c.phase, filters.phase), (course.c.protocol, filters.protocol)):
        if value is not None:
            conditions.append((sa.func.coalesce(column, "") if narrowed else column) == value)
    return conditions


def _first_of(states: Sequence[str], conditions: Sequence[sa.ColumnElement[bool]], limit: int) -> sa.Select[Any]:
    """The ids of the first courses in any of the states. Each state is read in its own order, so an index serves it."""
    if not states:
        return sa.select(course.c.id).where(sa.false())
    firsts = [
        sa.select(sa.select(course.c.id).where(course.c.state == state, *conditions).order_by(course.c.id).limit(limit).subquery())
        for state in states
    ]
    either = sa.union_all(*firsts).subquery()
    return sa.select(either.c.id).order_by(either.c.id).limit(limit)


def open_courses_under(
    connection: sa.Connection, organisation: str, protocol: str, version: int, after: str, limit: int
) -> list[StoredCourse]:
    """A page of the courses that have not ended under one version of a protocol, after an id, in the order they were opened."""
    statement = _select_course.where(
        course.c.organisation == organisation,
        course.c.id > after,
        course.c.protocol == protocol,
        course.c.protocol_version == version,
        course.c.state.not_in(ENDED),
    )
    return [stored_course(*row) for row in connection.execute(statement.order_by(course.c.id).limit(limit))]


def course_ids_of(connection: sa.Connection, organisation: str, protocol: str, after: str, limit: int) -> list[str]:
    """A page of the ids of courses under any version of a protocol, after an id, in the order they were opened."""
    statement = sa.select(course.c.id).where(
        course.c.organisation == organisation, course.c.id > after, course.c.protocol == protocol
    )
    return list(connection.execute(statement.order_by(course.c.id).limit(limit)).scalars())


_courses_by_id = by_ids(_select_course, course.c.organisation, course.c.id)


def courses_by_id(connection: sa.Connection, organisation: str, ids: Sequence[str]) -> list[StoredCourse]:
    """The courses that exist under these ids."""
    found: Iterable[Any] = execute_by_ids(connection, _courses_by_id, organisation, ids)
    return [stored_course(*row) for row in found]


FEW = 2000  # so many ids are looked up one by one; if more courses fit, a walk in the order of ids soon fills a page


def _by_what_is_due(
    connection: sa.Connection, organisation: str, filters: Filters, now: dt.datetime
) -> tuple[list[set[str]], list[sa.ColumnElement[bool]]]:
    """What attention and changes ask of courses: the ids that they must be among, and conditions where the ids are many.

    The databases cannot tell which way to a page is short: by what is due or new, or by a walk in the order of ids.
    """
    named, conditions = [], []
    if filters.attention:
        selects = [] if filters.therapist else attention.needing_ids(organisation, filters.attention, now)
        few = _few(connection, *selects)
        named += few
        conditions += [] if few else [attention.needing(organisation, filters.attention, now)]
    if filters.changed_since:
        entries = sa.select(entry.c.course_id).where(entry.c.organisation == organisation)
        named += _few(connection, entries.where(entry.c.recorded_at >= filters.changed_since))
        conditions.append(course.c.last_recorded_at >= filters.changed_since)
    return named, conditions


def _few(connection: sa.Connection, *selects: sa.Select[Any]) -> list[set[str]]:
    """The ids that any of the statements finds, if they are few."""
    rows = [list(connection.execute(select.limit(FEW + 1)).scalars()) for select in selects]
    return [set().union(*rows)] if rows and all(len(each) <= FEW for each in rows) else []


class ClientCourse(msgspec.Struct, frozen=True):
    """A client's course by their ids."""

    client_id: str
    course_id: str


def courses_of_clients(
    connection: sa.Connection, organisation: str, client_ids: Sequence[str], who: Viewer, now: dt.datetime
) -> list[ClientCourse]:
    """The courses of several clients, in the order they were opened, as far as the viewer may see them at this moment."""
    statement = sa.select(course.c.client_id, course.c.id).where(
        course.c.organisation == organisation, course.c.client_id.in_(client_ids)
    )
    condition = relations.sight(connection, organisation, who, now).condition
    if condition is not None:
        statement = statement.where(condition)
    found = connection.execute(statement.order_by(course.c.id), relations.values(organisation, who, now))
    return [ClientCourse(row.client_id, row.id) for row in found]


_of_client = _select_course.where(
    course.c.organisation == relations.ORGANISATION, course.c.client_id == sa.bindparam("client")
).order_by(course.c.id)


def of_client(connection: sa.Connection, organisation: str, client_id: str) -> list[StoredCourse]:
    """A client's courses, in the order they were opened."""
    values = {"organisation": organisation, "client": client_id}
    return [stored_course(*row) for row in connection.execute(_of_client, values)]


def course_ids(connection: sa.Connection, organisation: str, after: str, limit: int) -> list[str]:
    statement = (
        sa.select(course.c.id).where(course.c.organisation == organisation, course.c.id > after).order_by(course.c.id).limit(limit)
    )
    return list(connection.execute(statement).scalars())


def known_courses(connection: sa.Connection, organisation: str, ids: Sequence[str]) -> set[str]:
    """The ids that belong to courses."""
    return set(
        connection.execute(sa.select(course.c.id).where(course.c.organisation == organisation, course.c.id.in_(ids))).scalars()
    )


def journal_course_ids(connection: sa.Connection, organisation: str, after: str, limit: int) -> list[str]:
    """Ids of courses that have entries. So a course whose row is gone is found too."""
    statement = (
        sa.select(entry.c.course_id)
        .where(entry.c.organisation == organisation, entry.c.course_id > after)
        .distinct()
        .order_by(entry.c.course_id)
        .limit(limit)
    )
    return list(connection.execute(statement).scalars())


def courses_by_state(connection: sa.Connection, organisation: str) -> list[tuple[str, str, int]]:
    """How many courses there are, by protocol and state."""
    statement = (
        sa.select(course.c.protocol, course.c.state, sa.func.count())
        .where(course.c.organisation == organisation)
        .group_by(course.c.protocol, course.c.state)
    )
    return [(row[0], row[1], row[2]) for row in connection.execute(statement)]
