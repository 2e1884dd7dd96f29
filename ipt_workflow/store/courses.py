"""Reading. Plain statements; they fetch and judge nothing."""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from ipt_workflow.course import Course
from ipt_workflow.journal import Entry, read
from ipt_workflow.protocols.definition import ENDED
from ipt_workflow.store.schema import tables

course, entry, entry_data, client, notice = tables.course, tables.entry, tables.entry_data, tables.client, tables.notice
_course_decoder = msgspec.json.Decoder(Course)


class StoredCourse(msgspec.Struct, frozen=True):
    """A course as its row has it. `client_ref` is None where the client was erased.

    `notices` is the attention that notices ask for by waiting: kinds, and since when.
    """

    course: Course
    head: str
    client_ref: str | None
    notices: Mapping[str, dt.datetime] = {}


def one_of(its_id: sa.ColumnElement[Any], ids: str) -> dict[str, sa.ColumnElement[bool]]:
    """For each database: that an id is one of those given as `ids`, in words that are the same for any number of them."""
    listed = sa.func.json_each(sa.bindparam(ids, type_=sa.JSON)).table_valued("value")
    given = sa.bindparam(ids, type_=postgresql.ARRAY(sa.String))
    return {"sqlite": its_id.in_(sa.select(listed.c.value)), "postgresql": its_id == sa.any_(given)}


def _by_ids(select: sa.Select[Any], organisation: sa.Column[Any], its_id: sa.Column[Any]) -> dict[str, sa.Select[Any]]:
    """A statement for each database that finds any number of ids."""
    ours = select.where(organisation == sa.bindparam("organisation"))
    return {dialect: ours.where(found) for dialect, found in one_of(its_id, "ids").items()}


def _found(
    connection: sa.Connection, statements: dict[str, sa.Select[Any]], organisation: str, ids: Sequence[str]
) -> sa.CursorResult[Any]:
    return connection.execute(statements[connection.dialect.name], {"organisation": organisation, "ids": list(ids)})


_with_client = course.outerjoin(client, sa.and_(client.c.organisation == course.c.organisation, client.c.id == course.c.client_id))
WAITING: sa.ColumnElement[str] = sa.literal_column("'waiting'")  # as the partial indexes say it, or they are not used


def _waiting(*more: sa.ColumnElement[bool]) -> sa.ScalarSelect[Any]:
    """Since when notices wait about a course, or about its client and no course. Two questions, since each has an index of its own."""

    def those(*about: sa.ColumnElement[bool]) -> sa.Select[Any]:
        ours = (notice.c.organisation == course.c.organisation, notice.c.status == WAITING, *more)
        return sa.select(notice.c.received_at.label("at")).where(*ours, *about).correlate(course)

    either = those(notice.c.course_id == course.c.id).union_all(
        those(notice.c.course_id.is_(None), notice.c.client_id == course.c.client_id)
    )
    return sa.select(sa.func.min(either.subquery("waiting").c.at)).scalar_subquery()


_since = _waiting()
_risk_since = _waiting(notice.c.risk)
WAITS = (_since.label("waits_since"), _risk_since.label("risk_since"))
_select_course = sa.select(course.c.snapshot, course.c.head, client.c.ref, *WAITS).select_from(_with_client)


def _stored(row: Any) -> StoredCourse:
    asked = {"notices": row.waits_since, "risk": row.risk_since}
    since = {kind: at for kind, at in asked.items() if at is not None}
    return StoredCourse(_course_decoder.decode(row.snapshot), row.head, row.ref, since)


_with_data = entry.outerjoin(
    entry_data,
    sa.and_(
        entry_data.c.organisation == entry.c.organisation,
        entry_data.c.course_id == entry.c.course_id,
        entry_data.c.seq == entry.c.seq,
    ),
)
_select_entries = sa.select(entry.c.canonical, entry_data.c.salt, entry_data.c.sealed).select_from(_with_data)


def _raw(column: sa.Column[Any], name: str | None = None) -> sa.ColumnElement[Any]:
    return sa.type_coerce(column, sa.types.NullType()).label(name or column.name)


_raw_entries = sa.select(
    *(_raw(column) for column in entry.c),
    _raw(entry_data.c.salt),
    _raw(entry_data.c.sealed),
    _raw(entry_data.c.seq, "sealed_seq"),
).select_from(_with_data)


def load_entries(
    connection: sa.Connection, organisation: str, course_id: str, after: int = 0, limit: int | None = None
) -> list[Entry]:
    """A course's entries in the order they were recorded, after a seq."""
    statement = (
        _select_entries.where(entry.c.organisation == organisation, entry.c.course_id == course_id, entry.c.seq > after)
        .order_by(entry.c.seq)
        .limit(limit)
    )
    return [read(row.canonical, salt=row.salt, sealed=row.sealed) for row in connection.execute(statement)]


_entries_of = _by_ids(_select_entries.order_by(entry.c.course_id, entry.c.seq), entry.c.organisation, entry.c.course_id)


def entries_of(connection: sa.Connection, organisation: str, course_ids: Sequence[str]) -> dict[str, list[Entry]]:
    """The journals of several courses, each in the order it was recorded."""
    found: dict[str, list[Entry]] = {course_id: [] for course_id in course_ids}
    for row in _found(connection, _entries_of, organisation, course_ids):
        each = read(row.canonical, salt=row.salt, sealed=row.sealed)
        found[each.written.course].append(each)
    return found


_raw_entries_of = _by_ids(_raw_entries.order_by(entry.c.course_id, entry.c.seq), entry.c.organisation, entry.c.course_id)
_raw_courses = _by_ids(sa.select(*(_raw(column) for column in course.c)), course.c.organisation, course.c.id)


def raw_entries(connection: sa.Connection, organisation: str, ids: Sequence[str]) -> dict[str, list[Any]]:
    """Courses' entries with every column as the driver gives it, converted and judged by nothing: for checking."""
    found: dict[str, list[Any]] = {its_id: [] for its_id in ids}
    for row in _found(connection, _raw_entries_of, organisation, ids):
        found[row.course_id].append(row)
    return found


def raw_courses(connection: sa.Connection, organisation: str, ids: Sequence[str]) -> dict[str, Any]:
    """Courses' rows in the same way."""
    return {row.id: row for row in _found(connection, _raw_courses, organisation, ids)}


def raw_form(connection: sa.Connection, column: sa.Column[Any], value: object) -> object:
    """A value as the driver gives it when it is read from this column unconverted."""
    convert = to_driver(column, connection.dialect)
    given = convert(value) if convert else value
    return bytes(given) if isinstance(given, memoryview) else given


def to_driver(column: sa.ColumnElement[Any], dialect: sa.Dialect) -> Callable[[Any], Any] | None:
    """How a value of this column, or of a parameter, is given to the driver; None where it is given as it is."""
    convert: Callable[[Any], Any] | None = column.type.dialect_impl(dialect).bind_processor(dialect)
    return convert


def other_open_course(connection: sa.Connection, organisation: str, client_id: str, but: str | None = None) -> str | None:
    """The client's open acute course, other than one."""
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


_clients_of = _by_ids(
    sa.select(course.c.id, course.c.client_id, client.c.ref).select_from(_with_client), course.c.organisation, course.c.id
)


def clients_of(connection: sa.Connection, organisation: str, course_ids: Sequence[str]) -> list[tuple[str, str, str | None]]:
    """Courses with their client's id and reference, which is None where it was erased."""
    return [(row.id, row.client_id, row.ref) for row in _found(connection, _clients_of, organisation, course_ids)]


def courses_of(connection: sa.Connection, organisation: str, client: str) -> tuple[str, ...]:
    """A client's courses."""
    statement = sa.select(course.c.id).where(course.c.organisation == organisation, course.c.client_id == client)
    return tuple(connection.execute(statement.order_by(course.c.id)).scalars())


class Filters(msgspec.Struct, frozen=True, kw_only=True):
    """What a list of courses is narrowed by."""

    state: str | None = None
    phase: str | None = None
    therapist: str | None = None
    protocol: str | None = None
    attention: str | None = None
    client: str | None = None
    ids: tuple[str, ...] | None = None


def caseload(
    connection: sa.Connection, organisation: str, filters: Filters, after: str, limit: int, now: dt.datetime
) -> list[StoredCourse]:
    """Courses in the order they were opened (their ids are UUIDv7), after an id."""
    statement = _select_course.where(course.c.organisation == organisation, course.c.id > after)
    for column, value in (
        (course.c.state, filters.state),
        (course.c.phase, filters.phase),
        (course.c.therapist, filters.therapist),
        (course.c.protocol, filters.protocol),
        (course.c.client_id, filters.client),
    ):
        if value is not None:
            statement = statement.where(column == value)
    if filters.ids is not None:
        statement = statement.where(course.c.id.in_(filters.ids))
    if filters.attention:
        statement = statement.where(_asks_for(organisation, filters.attention, now))
    rows = connection.execute(statement.order_by(course.c.id).limit(limit))
    return [_stored(row) for row in rows]


def open_courses_under(
    connection: sa.Connection, organisation: str, protocol: str, version: int, after: str, limit: int
) -> list[StoredCourse]:
    """The courses that have not ended under one version of a protocol, in the order they were opened, after an id."""
    statement = _select_course.where(
        course.c.organisation == organisation,
        course.c.id > after,
        course.c.protocol == protocol,
        course.c.protocol_version == version,
        course.c.state.not_in(ENDED),
    )
    return [_stored(row) for row in connection.execute(statement.order_by(course.c.id).limit(limit))]


def course_ids_of(connection: sa.Connection, organisation: str, protocol: str, after: str, limit: int) -> list[str]:
    """The courses under any version of a protocol, in the order they were opened, after an id."""
    statement = sa.select(course.c.id).where(
        course.c.organisation == organisation, course.c.id > after, course.c.protocol == protocol
    )
    return list(connection.execute(statement.order_by(course.c.id).limit(limit)).scalars())


def courses_by_id(connection: sa.Connection, organisation: str, ids: Sequence[str]) -> list[StoredCourse]:
    """Those of the ids that are a course's."""
    statement = _select_course.where(course.c.organisation == organisation, course.c.id.in_(ids))
    return [_stored(row) for row in connection.execute(statement)]


def _asks_for(organisation: str, kind: str, now: dt.datetime) -> sa.ColumnElement[bool]:
    """Whether a course asks for attention of a kind: by itself, or because a notice waits."""
    if kind == "notices":
        return _among(*_noticed(organisation))
    own: sa.ColumnElement[bool] = course.c[f"{kind}_from"] <= now
    if kind != "risk":
        return own
    itself = course.alias()
    at_risk = sa.select(itself.c.id).where(itself.c.organisation == organisation, itself.c.risk_from <= now)
    return _among(at_risk, *_noticed(organisation, notice.c.risk))


def _among(*selects: sa.Select[Any]) -> sa.ColumnElement[bool]:
    found: sa.ColumnElement[bool] = course.c.id.in_(sa.union(*selects))
    return found


def _noticed(organisation: str, *more: sa.ColumnElement[bool]) -> tuple[sa.Select[Any], sa.Select[Any]]:
    """The courses that notices wait about, and those of clients that notices wait about without naming a course."""
    waits = (notice.c.organisation == organisation, notice.c.status == WAITING, *more)
    theirs = course.alias()
    same_client = sa.and_(theirs.c.organisation == notice.c.organisation, theirs.c.client_id == notice.c.client_id)
    return (
        sa.select(notice.c.course_id).where(notice.c.course_id.is_not(None), *waits),
        sa.select(theirs.c.id).select_from(notice.join(theirs, same_client)).where(notice.c.course_id.is_(None), *waits),
    )


def of_client(connection: sa.Connection, organisation: str, client_id: str) -> list[StoredCourse]:
    """A client's courses, in the order they were opened."""
    statement = _select_course.where(course.c.organisation == organisation, course.c.client_id == client_id)
    return [_stored(row) for row in connection.execute(statement.order_by(course.c.id))]


def course_ids(connection: sa.Connection, organisation: str, after: str, limit: int) -> list[str]:
    statement = (
        sa.select(course.c.id).where(course.c.organisation == organisation, course.c.id > after).order_by(course.c.id).limit(limit)
    )
    return list(connection.execute(statement).scalars())


def known_courses(connection: sa.Connection, organisation: str, ids: Sequence[str]) -> set[str]:
    """Those of the ids that are a course's."""
    return set(
        connection.execute(sa.select(course.c.id).where(course.c.organisation == organisation, course.c.id.in_(ids))).scalars()
    )


def journal_course_ids(connection: sa.Connection, organisation: str, after: str, limit: int) -> list[str]:
    """Courses by their entries, so that a course whose row is gone is found all the same."""
    statement = (
        sa.select(entry.c.course_id)
        .where(entry.c.organisation == organisation, entry.c.course_id > after)
        .distinct()
        .order_by(entry.c.course_id)
        .limit(limit)
    )
    return list(connection.execute(statement).scalars())


def courses_by_state(connection: sa.Connection, organisation: str) -> list[tuple[str, str, int]]:
    """How many courses of each protocol are in each state."""
    statement = (
        sa.select(course.c.protocol, course.c.state, sa.func.count())
        .where(course.c.organisation == organisation)
        .group_by(course.c.protocol, course.c.state)
    )
    return [(row[0], row[1], row[2]) for row in connection.execute(statement)]


def insert(connection: sa.Connection, table: sa.Table, rows: Sequence[dict[str, Any]] | dict[str, Any]) -> None:
    connection.execute(sa.insert(table), rows)
