"""The audit log: transitions from the journal, and beside them refusals, reads, exports and the like.

A log over all of them, with a position assigned after commit, comes later in a table of its own (`docs/decisions/0005`).
"""

import datetime as dt
from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, Any

import msgspec
import sqlalchemy as sa

from ipt_workflow.journal.audit import AuditRecord, audit_record
from ipt_workflow.store.courses import one_of
from ipt_workflow.store.database import Database
from ipt_workflow.store.lookups import DIALECTS, NamedStatement, from_driver
from ipt_workflow.store.schema import tables

entry, event, subject = tables.entry, tables.audit_event, tables.audit_subject
ID, COURSE = 1, 9  # where they stand in a row
# How a row's time is read, which comes first. PostgreSQL's driver gives it as it is.
_READ_TIME = {"sqlite": from_driver(entry.c.recorded_at, DIALECTS["sqlite"]), "postgresql": None}


class AuditFilters(msgspec.Struct, frozen=True, kw_only=True):
    kind: str | None = None
    course: str | None = None
    courses: tuple[str, ...] | None = None  # one of these
    id: str | None = None
    actor: str | None = None
    trigger: str | None = None
    group_session: str | None = None
    from_: dt.datetime | None = None
    to: dt.datetime | None = None


class Position(msgspec.Struct, frozen=True):
    """Where a reader of the audit log is: after this moment (in UTC) and id."""

    at: Annotated[dt.datetime, msgspec.Meta(tz=True)] = dt.datetime.min.replace(tzinfo=dt.UTC)
    id: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f-]{36}$")] = ""

    def __post_init__(self) -> None:
        if self.at.utcoffset():
            raise ValueError("at must be in UTC")


async def page(database: Database, organisation: str, filters: AuditFilters, after: Position, limit: int) -> list[AuditRecord]:
    """Records in the order they were written, after a position. Each names the courses it touched."""
    in_journal = filters.kind in {None, "transition"}
    beside_it = filters.kind != "transition" and filters.group_session is None
    if not (in_journal or beside_it):
        return []
    narrowed = {name: told for name, told in msgspec.structs.asdict(filters).items() if told or told == ()}
    statement = _page(database.dialect, in_journal, beside_it, frozenset(narrowed))
    given = {**narrowed, "organisation": organisation, "after": after.at, "after_id": after.id, "limit": limit}
    rows = await database.fetch(statement.sql, *statement.values(given))
    read = _READ_TIME[database.dialect]
    rows = [(read(row[0]), *row[1:]) for row in rows] if read else rows
    touched = await _subjects(database, organisation, [row[ID] for row in rows if row[COURSE] is None])
    return [audit_record(row, touched) for row in rows]


@lru_cache(maxsize=256)
def _page(dialect: str, in_journal: bool, beside_it: bool, given: frozenset[str]) -> NamedStatement:
    """The statement that the filters `given` narrow."""
    parts = ([_transitions(dialect, given)] if in_journal else []) + ([_events(dialect, given)] if beside_it else [])
    limit = sa.bindparam("limit", type_=sa.Integer)
    both = sa.union_all(*(sa.select(part.order_by("recorded_at", "id").limit(limit).subquery()) for part in parts)).subquery()
    return NamedStatement(sa.select(both).order_by(both.c.recorded_at, both.c.id).limit(limit), dialect)


def _transitions(dialect: str, given: frozenset[str]) -> sa.Select[Any]:
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
        sa.null().label("request_id"),
        entry.c.group_session,
    ]
    statement = _narrowed(sa.select(*columns), entry, given)
    for name, column in (("course", entry.c.course_id), ("group_session", entry.c.group_session), ("trigger", entry.c.trigger)):
        if name in given:
            statement = statement.where(column == sa.bindparam(name))
    return statement.where(one_of(entry.c.course_id, "courses")[dialect]) if "courses" in given else statement


def _events(dialect: str, given: frozenset[str]) -> sa.Select[Any]:
    nothing = [sa.cast(sa.null(), kind).label(name) for name, kind in (
        ("from_state", sa.String), ("to_state", sa.String), ("course_id", sa.String), ("seq", sa.Integer), ("cosigned_by", sa.String),
        ("hash", sa.String),
    )]  # fmt: skip
    columns = [event.c.recorded_at, event.c.id, event.c.kind, event.c.person, event.c.role, event.c.via, event.c.action, *nothing]
    of_none = sa.cast(sa.null(), sa.String).label("group_session")
    statement = _narrowed(sa.select(*columns, event.c.rules, event.c.request_id, of_none), event, given)
    if "kind" in given:
        statement = statement.where(event.c.kind == sa.bindparam("kind"))
    if "trigger" in given:
        statement = statement.where(event.c.kind == sa.literal_column("'refusal'"), event.c.action == sa.bindparam("trigger"))
    touching = sa.select(subject.c.event_id).where(subject.c.organisation == sa.bindparam("organisation"))
    if "course" in given:
        statement = statement.where(event.c.id.in_(touching.where(subject.c.course_id == sa.bindparam("course"))))
    if "courses" in given:
        statement = statement.where(event.c.id.in_(touching.where(one_of(subject.c.course_id, "courses")[dialect])))
    return statement


def _narrowed(statement: sa.Select[Any], table: sa.Table, given: frozenset[str]) -> sa.Select[Any]:
    time, row_id = table.c.recorded_at, table.c.id
    after, after_id = sa.bindparam("after", type_=time.type), sa.bindparam("after_id", type_=row_id.type)
    statement = statement.where(table.c.organisation == sa.bindparam("organisation"))
    statement = statement.where(time >= after, sa.or_(time > after, row_id > after_id))
    if "id" in given:
        statement = statement.where(row_id == sa.bindparam("id"))
    if "actor" in given:
        statement = statement.where(table.c.person == sa.bindparam("actor"))
    if "from_" in given:
        statement = statement.where(time >= sa.bindparam("from_", type_=time.type))
    if "to" in given:
        statement = statement.where(time < sa.bindparam("to", type_=time.type))
    return statement


async def _subjects(database: Database, organisation: str, events: list[str]) -> dict[str, tuple[str, ...]]:
    if not events:
        return {}
    statement = _SUBJECTS[database.dialect]
    touched: dict[str, list[str]] = {}
    given = {"organisation": organisation, "events": events}
    for event_id, course_id in await database.fetch(statement.sql, *statement.values(given)):
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
    """A refusal by rules, of a course: `command` is what it kept of the command, if anything."""

    course: str
    rules: tuple[str, ...]
    command: bytes | None


def refused_commands(connection: sa.Connection, organisation: str, courses: Sequence[str]) -> list[RefusalRow]:
    """What rules refused of these courses, in the order it was refused. That a role may not do something is no refusal by a rule."""
    statement = (
        sa.select(subject.c.course_id, event.c.rules, event.c.command)
        .select_from(subject.join(event, sa.and_(event.c.organisation == subject.c.organisation, event.c.id == subject.c.event_id)))
        .where(
            subject.c.organisation == organisation,
            subject.c.course_id.in_(courses),
            event.c.kind == "refusal",
            event.c.rules != "role",
        )
        .order_by(event.c.recorded_at, event.c.id)
    )
    return [RefusalRow(row.course_id, tuple(row.rules.split(",")), row.command) for row in connection.execute(statement)]
