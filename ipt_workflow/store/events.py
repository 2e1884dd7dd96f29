"""Events: outbox rows given their place, and read again with what they name.

A place is given out after commit, by one hand at a time, in the transaction that also lists who is to be told. So a reader who has
seen a place has seen every place before it, however late a transaction committed.
"""

import datetime as dt
from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from ipt_workflow.course import Course
from ipt_workflow.journal import Entry, read
from ipt_workflow.store.schema import tables

outbox, event, entry, course, audit_event = tables.outbox, tables.event, tables.entry, tables.course, tables.audit_event
task = tables.relay_task
AFTER_ENTRIES = 2**31 - 1  # where, within one moment, what is no entry comes
_course_decoder = msgspec.json.Decoder(Course)


class StoredEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event with what it names: the entry, or the refusal's trigger and rules. `shared` is whether its course may be told of."""

    id: str
    position: int
    kind: str
    created_at: dt.datetime
    course: str | None
    seq: int | None
    detail: str | None
    subscription: str | None
    entry: Entry | None
    refused: str | None
    rules: tuple[str, ...]
    shared: bool

    @property
    def trigger(self) -> str | None:
        """That of its entry."""
        return self.entry.written.trigger if self.entry else None


class NumberedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event that has just been given its place; `trigger` is that of its entry."""

    position: int
    kind: str
    course: str | None
    subscription: str | None
    created_at: dt.datetime
    trigger: str | None


def begin_task(connection: sa.Connection, organisation: str, name: str) -> None:
    """Makes the row that a hand locks to do this work, where there is none."""
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    connection.execute(insert(task).on_conflict_do_nothing(), {"organisation": organisation, "name": name, "position": 0})


def hold_task(connection: sa.Connection, organisation: str, name: str) -> int | None:
    """Locks the work until the transaction ends. Returns its position; None where another hand has it."""
    found: int | None = connection.execute(
        sa.select(task.c.position).where(task.c.organisation == organisation, task.c.name == name).with_for_update(skip_locked=True)
    ).scalar()
    return found


def put(connection: sa.Connection, organisation: str, row: dict[str, Any]) -> None:
    """One more thing to tell, in the caller's transaction."""
    connection.execute(sa.insert(outbox), {"organisation": organisation, **row})


def waiting(connection: sa.Connection, organisation: str) -> bool:
    """Whether the outbox holds anything."""
    return connection.execute(sa.select(outbox.c.id).where(outbox.c.organisation == organisation).limit(1)).first() is not None


def number_events(connection: sa.Connection, organisation: str, limit: int) -> int:
    """Gives the oldest outbox rows their places. Returns how many.

    Of one course they come in the order of its journal: an entry is never recorded before the one it follows. The rows are moved by the
    database, and never come here.
    """
    last = hold_task(connection, organisation, "place")
    if last is None:
        return 0
    told = {"organisation": organisation, "last": last, "limit": limit}
    placed = connection.execute(_place, told).rowcount
    if placed:
        connection.execute(_unqueue, told)
        connection.execute(
            sa.update(task).where(task.c.organisation == organisation, task.c.name == "place").values(position=last + placed)
        )
    return placed


def latest(connection: sa.Connection, organisation: str, count: int) -> list[NumberedEvent]:
    """The events that were placed last, in their order."""
    statement = (
        sa.select(event.c.position, event.c.kind, event.c.course_id, event.c.subscription_id, event.c.created_at, entry.c.trigger)
        .select_from(event.outerjoin(entry, _its_entry))
        .where(event.c.organisation == organisation)
        .order_by(event.c.position.desc())
        .limit(count)
    )
    return [
        NumberedEvent(
            position=row.position,
            kind=row.kind,
            course=row.course_id,
            subscription=row.subscription_id,
            created_at=row.created_at,
            trigger=row.trigger,
        )
        for row in reversed(connection.execute(statement).all())
    ]


_in_order = (outbox.c.created_at, outbox.c.course_id, sa.func.coalesce(outbox.c.seq, AFTER_ENTRIES), outbox.c.id)
_moved = ("id", "kind", "course_id", "seq", "detail", "subscription_id", "created_at")
_place = sa.insert(event).from_select(
    ["organisation", "position", *_moved],
    sa.select(
        outbox.c.organisation,
        sa.cast(sa.bindparam("last"), sa.Integer) + sa.func.row_number().over(order_by=_in_order),
        *(outbox.c[name] for name in _moved),
    )
    .where(outbox.c.organisation == sa.bindparam("organisation"))
    .order_by(*_in_order)
    .limit(sa.bindparam("limit")),
)
_unqueue = sa.delete(outbox).where(
    outbox.c.organisation == sa.bindparam("organisation"),
    outbox.c.id.in_(
        sa.select(event.c.id).where(event.c.organisation == sa.bindparam("organisation"), event.c.position > sa.bindparam("last"))
    ),
)
_its_entry = sa.and_(
    event.c.kind == "entry",
    entry.c.organisation == event.c.organisation,
    entry.c.course_id == event.c.course_id,
    entry.c.seq == event.c.seq,
)
_named = (
    event.outerjoin(entry, _its_entry)
    .outerjoin(
        audit_event,
        sa.and_(event.c.kind == "refusal", audit_event.c.organisation == event.c.organisation, audit_event.c.id == event.c.id),
    )
    .outerjoin(course, sa.and_(course.c.organisation == event.c.organisation, course.c.id == event.c.course_id))
)
_select = sa.select(event, entry.c.canonical, audit_event.c.action, audit_event.c.rules, course.c.snapshot).select_from(_named)


def at(connection: sa.Connection, organisation: str, positions: Sequence[int]) -> dict[int, StoredEvent]:
    """Events by their places."""
    rows = connection.execute(_select.where(event.c.organisation == organisation, event.c.position.in_(positions)))
    return {row.position: _told(row) for row in rows}


def after(connection: sa.Connection, organisation: str, position: int, limit: int) -> list[StoredEvent]:
    """Events that everybody may be told of, after a place."""
    statement = _select.where(event.c.organisation == organisation, event.c.position > position, event.c.kind != "ping")
    return [_told(row) for row in connection.execute(statement.order_by(event.c.position).limit(limit))]


def position_of(connection: sa.Connection, organisation: str, event_id: str) -> int | None:
    found: int | None = connection.execute(
        sa.select(event.c.position).where(event.c.organisation == organisation, event.c.id == event_id)
    ).scalar()
    return found


def first_since(connection: sa.Connection, organisation: str, moment: dt.datetime) -> int:
    """The first place of an event that happened at a moment or after; one past the last where there is none."""
    found = connection.execute(
        sa.select(sa.func.min(event.c.position)).where(event.c.organisation == organisation, event.c.created_at >= moment)
    ).scalar()
    return int(found) if found is not None else last_position(connection, organisation)[0] + 1


def last_position(connection: sa.Connection, organisation: str) -> tuple[int, str | None]:
    """The last place that was given out, and the id of the event that has it."""
    row = connection.execute(
        sa.select(event.c.position, event.c.id)
        .where(event.c.organisation == organisation)
        .order_by(event.c.position.desc())
        .limit(1)
    ).first()
    return (row.position, row.id) if row else (0, None)


def _told(row: Any) -> StoredEvent:
    return StoredEvent(
        id=row.id,
        position=row.position,
        kind=row.kind,
        created_at=row.created_at,
        course=row.course_id,
        seq=row.seq,
        detail=row.detail,
        subscription=row.subscription_id,
        entry=read(row.canonical, salt=None, sealed=None) if row.canonical is not None else None,
        refused=row.action,
        rules=tuple(row.rules.split(",")) if row.rules else (),
        shared=row.snapshot is None or _course_decoder.decode(row.snapshot).shared,
    )
