"""The audit log: transitions from the journal, and beside them refusals, reads, exports and the like.

A log over all of them, with a position assigned after commit, comes later in a table of its own (`docs/decisions/0005`).
"""

import datetime as dt
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import sqlalchemy as sa

from ipt_workflow.store import tables
from ipt_workflow.views import AuditRecord, audit_record

entry, event, subject = tables.entry, tables.audit_event, tables.audit_subject


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


def page(connection: sa.Connection, organisation: str, filters: AuditFilters, after: Position, limit: int) -> list[AuditRecord]:
    """Records in the order they were written, after a position. Each names the courses it touched."""
    parts = []
    if filters.kind in {None, "transition"}:
        parts.append(_transitions(organisation, filters, after).limit(limit))
    if filters.kind != "transition" and filters.group_session is None:
        parts.append(_events(organisation, filters, after).limit(limit))
    if not parts:
        return []
    both = sa.union_all(*(sa.select(part.order_by("recorded_at", "id").subquery()) for part in parts)).subquery()
    rows = connection.execute(sa.select(both).order_by(both.c.recorded_at, both.c.id).limit(limit)).fetchall()
    touched = _subjects(connection, organisation, [row.id for row in rows if row.course_id is None])
    return [audit_record(row, touched) for row in rows]


def _transitions(organisation: str, filters: AuditFilters, after: Position) -> sa.Select[Any]:
    columns = [
        entry.c.id,
        sa.literal("transition").label("kind"),
        entry.c.recorded_at,
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
    statement = _narrowed(sa.select(*columns), entry, organisation, filters, after)
    if filters.course:
        statement = statement.where(entry.c.course_id == filters.course)
    if filters.courses is not None:
        statement = statement.where(entry.c.course_id.in_(filters.courses))
    if filters.group_session:
        statement = statement.where(entry.c.group_session == filters.group_session)
    return statement.where(entry.c.trigger == filters.trigger) if filters.trigger else statement


def _events(organisation: str, filters: AuditFilters, after: Position) -> sa.Select[Any]:
    nothing = [sa.cast(sa.null(), kind).label(name) for name, kind in (
        ("from_state", sa.String), ("to_state", sa.String), ("course_id", sa.String), ("seq", sa.Integer), ("cosigned_by", sa.String),
        ("hash", sa.String),
    )]  # fmt: skip
    columns = [event.c.id, event.c.kind, event.c.recorded_at, event.c.person, event.c.role, event.c.via, event.c.action, *nothing]
    of_none = sa.cast(sa.null(), sa.String).label("group_session")
    statement = _narrowed(sa.select(*columns, event.c.rules, event.c.request_id, of_none), event, organisation, filters, after)
    if filters.kind:
        statement = statement.where(event.c.kind == filters.kind)
    if filters.trigger:
        statement = statement.where(event.c.kind == "refusal", event.c.action == filters.trigger)
    if filters.course:
        touching = sa.select(subject.c.event_id).where(
            subject.c.organisation == organisation, subject.c.course_id == filters.course
        )
        statement = statement.where(event.c.id.in_(touching))
    if filters.courses is not None:
        touching = sa.select(subject.c.event_id).where(
            subject.c.organisation == organisation, subject.c.course_id.in_(filters.courses)
        )
        statement = statement.where(event.c.id.in_(touching))
    return statement


def _narrowed(
    statement: sa.Select[Any], table: sa.Table, organisation: str, filters: AuditFilters, after: Position
) -> sa.Select[Any]:
    time, row_id = table.c.recorded_at, table.c.id
    statement = statement.where(table.c.organisation == organisation, time >= after.at, sa.or_(time > after.at, row_id > after.id))
    if filters.id:
        statement = statement.where(row_id == filters.id)
    if filters.actor:
        statement = statement.where(table.c.person == filters.actor)
    if filters.from_:
        statement = statement.where(time >= filters.from_)
    if filters.to:
        statement = statement.where(time < filters.to)
    return statement


class RefusedCommand(msgspec.Struct, frozen=True):
    """A refusal by rules, of a course: `command` is what it kept of the command, if anything."""

    course: str
    rules: tuple[str, ...]
    command: bytes | None


def refused_commands(connection: sa.Connection, organisation: str, courses: Sequence[str]) -> list[RefusedCommand]:
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
    return [RefusedCommand(row.course_id, tuple(row.rules.split(",")), row.command) for row in connection.execute(statement)]


def _subjects(connection: sa.Connection, organisation: str, events: list[str]) -> dict[str, tuple[str, ...]]:
    if not events:
        return {}
    statement = sa.select(subject.c.event_id, subject.c.course_id).where(
        subject.c.organisation == organisation, subject.c.event_id.in_(events)
    )
    touched: dict[str, list[str]] = {}
    for event_id, course_id in connection.execute(statement.order_by(subject.c.event_id, subject.c.course_id)):
        touched.setdefault(event_id, []).append(course_id)
    return {event_id: tuple(courses) for event_id, courses in touched.items()}
