"""The audit log: transitions from the journal, merged with events: refusals, reads, exports and the like.

There is no table of both. One with a position assigned after commit may follow (`docs/decisions/0005`).
"""

import datetime as dt
from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, Any

import msgspec
import sqlalchemy as sa

from ipt_workflow.journal.audit import OVERRIDING, AuditRecord, audit_record
from ipt_workflow.store.courses import one_of
from ipt_workflow.store.database import Database
from ipt_workflow.store.lookups import DIALECTS, NamedStatement, from_driver
from ipt_workflow.store.schema.tables import audit_event as event
from ipt_workflow.store.schema.tables import audit_subject as subject
from ipt_workflow.store.schema.tables import entry
from ipt_workflow.values.types import whole

BY_NO_RULE = ("role", "hidden")  # in the place of rules: the caller's role may not, or the course exists for others alone
ID = 1  # position of the record's id in a row
COURSE = 9  # position of a transition's course in a row; an event has none there
# The bytes of an entry that overrode rules, else null: only these need be read. Any other bytes that look so do no harm.
_OVERRIDING: dict[str, sa.ColumnElement[Any]] = {
    "sqlite": sa.case((sa.func.instr(entry.c.canonical, sa.literal_column(f"X'{OVERRIDING.hex()}'")) > 0, entry.c.canonical)),
    "postgresql": sa.case(
        (
            sa.func.pg_catalog.position(entry.c.canonical, sa.literal_column(f"'\\x{OVERRIDING.hex()}'::bytea")) > 0,
            entry.c.canonical,
        )
    ),
}


def overriding(dialect: str) -> sa.ColumnElement[Any]:
    """The bytes of an entry that overrode rules, else null."""
    return _OVERRIDING[dialect]


# Converts the time that comes first in a row. PostgreSQL's driver returns a datetime already.
_READ_TIME = {"sqlite": from_driver(entry.c.recorded_at, DIALECTS["sqlite"]), "postgresql": None}


class AuditFilters(msgspec.Struct, frozen=True, kw_only=True):
    """A record is listed if it meets all that are set."""

    kind: str | None = None
    course: str | None = None
    courses: tuple[str, ...] | None = None  # any of these
    id: str | None = None
    actor: str | None = None
    trigger: str | None = None
    group_session: str | None = None
    from_: dt.datetime | None = None
    to: dt.datetime | None = None


class Position(msgspec.Struct, frozen=True):
    """A place in the audit log: after this moment (in UTC) and id."""

    at: Annotated[dt.datetime, msgspec.Meta(tz=True)] = dt.datetime.min.replace(tzinfo=dt.UTC)
    id: Annotated[str, msgspec.Meta(pattern=whole(r"[0-9a-f-]{36}"))] = ""

    def __post_init__(self) -> None:
        if self.at.utcoffset():
            raise ValueError("at must be in UTC")


NEWEST = Position(dt.datetime.max.replace(tzinfo=dt.UTC))  # where a log that is read backwards begins


async def page(
    database: Database, organisation: str, filters: AuditFilters, after: Position, limit: int, *, newest_first: bool = False
) -> list[AuditRecord]:
    """A page of records after a position, in the order they were written or backwards. Each names the courses it touched."""
    transitions = filters.kind in {None, "transition"}
    events = filters.kind != "transition" and filters.group_session is None
    if not (transitions or events):
        return []
    conditions = {name: value for name, value in msgspec.structs.asdict(filters).items() if value or value == ()}
    statement = _page(database.dialect, transitions, events, frozenset(conditions), newest_first)
    parameters = {**conditions, "organisation": organisation, "after": after.at, "after_id": after.id, "limit": limit}
    rows = await database.fetch(statement.sql, *statement.values(parameters), organisations=(organisation,))
    read = _READ_TIME[database.dialect]
    rows = [(read(row[0]), *row[1:]) for row in rows] if read else rows
    touched = await _subjects(database, organisation, [row[ID] for row in rows if row[COURSE] is None])
    return [audit_record(row, touched) for row in rows]


@lru_cache(maxsize=256)
def _page(dialect: str, transitions: bool, events: bool, filters: frozenset[str], newest_first: bool) -> NamedStatement:
    """The statement for transitions, events or both. `filters` are the names of the filters that are set."""
    parts = [(_transitions(dialect, filters), entry)] if transitions else []
    parts += [(_events(dialect, filters), event)] if events else []
    limit = sa.bindparam("limit", type_=sa.Integer)

    def ordered(select: sa.Select[Any], columns: Any) -> sa.Select[Any]:
        by = (columns.recorded_at, columns.id)
        return select.order_by(*[each.desc() for each in by] if newest_first else by).limit(limit)

    narrowed = [ordered(_after(part, table, newest_first), table.c).subquery() for part, table in parts]
    both = sa.union_all(*(sa.select(part) for part in narrowed)).subquery()
    return NamedStatement(ordered(sa.select(both), both.c), dialect)


def _after(statement: sa.Select[Any], table: sa.Table, newest_first: bool) -> sa.Select[Any]:
    """The rows after the position, forwards or backwards."""
    time, row_id = table.c.recorded_at, table.c.id
    after, after_id = sa.bindparam("after", type_=time.type), sa.bindparam("after_id", type_=row_id.type)
    if newest_first:
        return statement.where(time <= after, sa.or_(time < after, row_id < after_id))
    return statement.where(time >= after, sa.or_(time > after, row_id > after_id))


def _transitions(dialect: str, filters: frozenset[str]) -> sa.Select[Any]:
    columns = [
        entry.c.recorded_at,
        entry.c.id,
        sa.literal_column("'transition'", sa.String).label("kind"),
        entry.c.person,
        entry.c.role,
        entry.c.via,
        entry.c.trigger.label("action"),
        entry.c.from_state,
        entry.c.to_state,
        entry.c.course_id,
        entry.c.seq,
        entry.c.cosigned_by,
        entry.c.hash,
        sa.null().label("rules"),
        entry.c.request_id,
        entry.c.group_session,
        entry.c.basis,
        entry.c.purpose,
        entry.c.on_behalf_of,
        _OVERRIDING[dialect].label("canonical"),
    ]
    statement = _narrowed(sa.select(*columns), entry, filters)
    for name, column in (("course", entry.c.course_id), ("group_session", entry.c.group_session), ("trigger", entry.c.trigger)):
        if name in filters:
            statement = statement.where(column == sa.bindparam(name))
    return statement.where(one_of(entry.c.course_id, "courses")[dialect]) if "courses" in filters else statement


def _events(dialect: str, filters: frozenset[str]) -> sa.Select[Any]:
    transitions_only = [sa.cast(sa.null(), kind).label(name) for name, kind in (
        ("from_state", sa.String), ("to_state", sa.String), ("course_id", sa.String), ("seq", sa.Integer), ("cosigned_by", sa.String),
        ("hash", sa.String),
    )]  # fmt: skip
    columns = [
        event.c.recorded_at,
        event.c.id,
        event.c.kind,
        event.c.person,
        event.c.role,
        event.c.via,
        event.c.action,
        *transitions_only,
    ]
    group_session = sa.cast(sa.null(), sa.String).label("group_session")
    on_behalf_of = sa.cast(sa.null(), sa.String).label("on_behalf_of")
    canonical = sa.cast(sa.null(), sa.LargeBinary).label("canonical")
    columns += [event.c.rules, event.c.request_id, group_session, event.c.basis, event.c.purpose, on_behalf_of, canonical]
    statement = _narrowed(sa.select(*columns), event, filters)
    if "kind" in filters:
        statement = statement.where(event.c.kind == sa.bindparam("kind"))
    if "trigger" in filters:
        statement = statement.where(event.c.kind == sa.literal_column("'refusal'"), event.c.action == sa.bindparam("trigger"))
    touching = sa.select(subject.c.event_id).where(subject.c.organisation == sa.bindparam("organisation"))
    if "course" in filters:
        statement = statement.where(event.c.id.in_(touching.where(subject.c.course_id == sa.bindparam("course"))))
    if "courses" in filters:
        statement = statement.where(event.c.id.in_(touching.where(one_of(subject.c.course_id, "courses")[dialect])))
    return statement


def _narrowed(statement: sa.Select[Any], table: sa.Table, filters: frozenset[str]) -> sa.Select[Any]:
    time, row_id = table.c.recorded_at, table.c.id
    statement = statement.where(table.c.organisation == sa.bindparam("organisation"))
    if "id" in filters:
        statement = statement.where(row_id == sa.bindparam("id"))
    if "actor" in filters:
        statement = statement.where(table.c.person == sa.bindparam("actor"))
    if "from_" in filters:
        statement = statement.where(time >= sa.bindparam("from_", type_=time.type))
    if "to" in filters:
        statement = statement.where(time < sa.bindparam("to", type_=time.type))
    return statement


async def _subjects(database: Database, organisation: str, events: list[str]) -> dict[str, tuple[str, ...]]:
    """The courses that events touched, by event."""
    if not events:
        return {}
    statement = _SUBJECTS[database.dialect]
    touched: dict[str, list[str]] = {}
    parameters = {"organisation": organisation, "events": events}
    for event_id, course_id in await database.fetch(statement.sql, *statement.values(parameters), organisations=(organisation,)):
        touched.setdefault(event_id, []).append(course_id)
    return {event_id: tuple(courses) for event_id, courses in touched.items()}


_SUBJECTS = {
    dialect: NamedStatement(
        sa.select(subject.c.event_id, subject.c.course_id)
        .where(subject.c.organisation == sa.bindparam("organisation"), found)
        .order_by(subject.c.event_id, subject.c.course_id),
        dialect,
    )
    for dialect, found in one_of(subject.c.event_id, "events").items()
}


class RefusalRow(msgspec.Struct, frozen=True):
    """A refusal by rules, of a course. `command` is what was kept of the refused command; None if nothing was kept."""

    course: str
    rules: tuple[str, ...]
    command: bytes | None


def refused_commands(connection: sa.Connection, organisation: str, courses: Sequence[str]) -> list[RefusalRow]:
    """Refusals by rules of commands on these courses, oldest first. Those that no rule of a protocol made are left out."""
    statement = (
        sa.select(subject.c.course_id, event.c.rules, event.c.command)
        .select_from(subject.join(event, sa.and_(event.c.organisation == subject.c.organisation, event.c.id == subject.c.event_id)))
        .where(
            subject.c.organisation == organisation,
            subject.c.course_id.in_(courses),
            event.c.kind == "refusal",
            event.c.rules.not_in(BY_NO_RULE),
        )
        .order_by(event.c.recorded_at, event.c.id)
    )
    return [RefusalRow(row.course_id, tuple(row.rules.split(",")), row.command) for row in connection.execute(statement)]
