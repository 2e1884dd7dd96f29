"""Events: outbox rows with a position, read with the entry or refusal that they name.

Positions are assigned after commit, by one process at a time, in the transaction that also creates the deliveries. So a reader that
has seen a position has seen all earlier ones, even if a transaction commits late.
"""

import datetime as dt
from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from ipt_workflow.journal import Entry, read
from ipt_workflow.store import consents, log
from ipt_workflow.store.consents import Sharing
from ipt_workflow.store.numbered_entries import AFTER_ENTRIES, NUMBERED, positions
from ipt_workflow.store.schema import tables
from ipt_workflow.store.upserts import insert_or

outbox, event, entry, audit_event = tables.outbox, tables.event, tables.entry, tables.audit_event
task = tables.relay_task
NUMBERING, ATTENTION_SCAN, SUBSCRIBING = "place", "clocks", "subscribing"  # the names of tasks, as they are stored


class NewEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event for the outbox. `detail` is the kind of attention, the id of an emergency access, or why a subscription was disabled."""

    id: str
    kind: str
    created_at: dt.datetime
    course: str | None = None
    detail: str | None = None
    subscription: str | None = None


class StoredEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event with the entry it names, or with the refused trigger and its rules.

    `sharing` says for which purposes its course may be shown to others; that of an event about no course is for all.
    """

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
    sharing: Sharing

    @property
    def trigger(self) -> str | None:
        """The entry's trigger."""
        return self.entry.written.trigger if self.entry else None


class NumberedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event that has just received its position. `trigger` is its entry's trigger."""

    position: int
    kind: str
    course: str | None
    subscription: str | None
    created_at: dt.datetime
    trigger: str | None


def lock_task(connection: sa.Connection, organisation: str, name: str, *, wait: bool = False) -> int | None:
    """Locks a task until the transaction ends. Returns its position; None if another process holds the lock.

    With `wait`, waits for the other process.
    """
    statement = sa.select(task.c.position).where(task.c.organisation == organisation, task.c.name == name)
    statement = statement.with_for_update(skip_locked=not wait)
    found: int | None = connection.execute(statement).scalar()
    if found is None:  # locked, or not there yet
        row = {"organisation": organisation, "name": name, "position": 0}
        connection.execute(insert_or(connection, task).on_conflict_do_nothing(), row)
        found = connection.execute(statement).scalar()
    return found


def publish(connection: sa.Connection, organisation: str, new: NewEvent) -> None:
    """Adds an event to the outbox, in the caller's transaction."""
    row = {
        "organisation": organisation,
        "id": new.id,
        "kind": new.kind,
        "course_id": new.course,
        "detail": new.detail,
        "subscription_id": new.subscription,
        "created_at": new.created_at,
    }
    connection.execute(sa.insert(outbox), row)


def waiting(connection: sa.Connection, organisation: str) -> bool:
    """Whether the outbox holds events."""
    return connection.execute(sa.select(outbox.c.id).where(outbox.c.organisation == organisation).limit(1)).first() is not None


def number_events(connection: sa.Connection, organisation: str, limit: int, *, wait: bool = False) -> int:
    """Moves the oldest outbox rows to the events and assigns their positions. Returns how many.

    A course's events follow the order of its journal. The database moves the rows; they are never loaded. An entry by which sharing ended
    or began again is followed by an event that says so. While another process numbers, it moves none, or waits if asked to.

    The entries, and what else waits for the log, get their positions there as well.
    """
    last = lock_task(connection, organisation, NUMBERING, wait=wait)
    if last is None:
        return 0
    numbered = connection.execute(_insert_numbered, {"organisation": organisation, "last": last, "limit": limit}).rowcount
    new = range(last + 1, last + 1 + numbered)
    log.append(connection, organisation, new)
    if numbered:
        connection.execute(_empty_outbox[connection.dialect.name], {"owner": organisation, **positions(new)})
        numbered += consents.publish_changes(connection, organisation, new)
        connection.execute(
            sa.update(task).where(task.c.organisation == organisation, task.c.name == NUMBERING).values(position=last + numbered)
        )
    return numbered


def latest(connection: sa.Connection, organisation: str, count: int) -> list[NumberedEvent]:
    """The events with the highest positions, in order."""
    statement = (
        sa.select(event.c.position, event.c.kind, event.c.course_id, event.c.subscription_id, event.c.created_at, entry.c.trigger)
        .select_from(event.outerjoin(entry, _entry_of_event))
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
_insert_numbered = sa.insert(event).from_select(
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
_owner = sa.bindparam("owner", type_=sa.String)
_numbered_ids = sa.select(event.c.id).where(event.c.organisation == _owner, NUMBERED).order_by(event.c.position)
_empty_outbox = {
    dialect: sa.delete(outbox).where(outbox.c.organisation == _owner, numbered)
    for dialect, numbered in {
        "sqlite": outbox.c.id.in_(_numbered_ids),
        # As an array: while its statistics are old, PostgreSQL would read the events again for every row of the outbox.
        "postgresql": outbox.c.id == sa.any_(sa.func.array(_numbered_ids.scalar_subquery())),
    }.items()
}
_entry_of_event = sa.and_(
    event.c.kind == "entry",
    entry.c.organisation == event.c.organisation,
    entry.c.course_id == event.c.course_id,
    entry.c.seq == event.c.seq,
)
_named = event.outerjoin(entry, _entry_of_event).outerjoin(
    audit_event,
    sa.and_(event.c.kind == "refusal", audit_event.c.organisation == event.c.organisation, audit_event.c.id == event.c.id),
)
_select = sa.select(event, entry.c.canonical, audit_event.c.action, audit_event.c.rules).select_from(_named)
_at_positions = {
    "sqlite": event.c.position.in_(
        sa.select(sa.func.json_each(sa.bindparam("positions", type_=sa.JSON)).table_valued("value").c.value)
    ),
    "postgresql": event.c.position == sa.any_(sa.bindparam("positions", type_=postgresql.ARRAY(sa.Integer))),
}
_select_at = {dialect: _select.where(event.c.organisation == _owner, listed) for dialect, listed in _at_positions.items()}


def at(connection: sa.Connection, organisation: str, positions: Sequence[int]) -> dict[int, StoredEvent]:
    """Events by their positions."""
    rows = connection.execute(_select_at[connection.dialect.name], {"owner": organisation, "positions": list(positions)}).all()
    return {each.position: each for each in _read_all(connection, organisation, rows)}


def after(connection: sa.Connection, organisation: str, position: int, limit: int) -> list[StoredEvent]:
    """Events after a position, without pings: a ping is for one subscription."""
    statement = _select.where(event.c.organisation == organisation, event.c.position > position, event.c.kind != "ping")
    return _read_all(connection, organisation, connection.execute(statement.order_by(event.c.position).limit(limit)).all())


def position_of(connection: sa.Connection, organisation: str, event_id: str) -> int | None:
    found: int | None = connection.execute(
        sa.select(event.c.position).where(event.c.organisation == organisation, event.c.id == event_id)
    ).scalar()
    return found


def first_since(connection: sa.Connection, organisation: str, moment: dt.datetime) -> int:
    """The first position of the events since a moment; one past the last position if there are none."""
    found = connection.execute(
        sa.select(sa.func.min(event.c.position)).where(event.c.organisation == organisation, event.c.created_at >= moment)
    ).scalar()
    return int(found) if found is not None else last_position(connection, organisation)[0] + 1


def last_position(connection: sa.Connection, organisation: str) -> tuple[int, str | None]:
    """The last position, and the id of its event; 0 and None if there are no events."""
    row = connection.execute(
        sa.select(event.c.position, event.c.id)
        .where(event.c.organisation == organisation)
        .order_by(event.c.position.desc())
        .limit(1)
    ).first()
    return (row.position, row.id) if row else (0, None)


def _read_all(connection: sa.Connection, organisation: str, rows: Sequence[Any]) -> list[StoredEvent]:
    courses = consents.sharing(connection, organisation, {row.course_id for row in rows if row.course_id})
    return [_stored(row, courses.get(row.course_id, Sharing())) for row in rows]


def _stored(row: Any, sharing: Sharing) -> StoredEvent:
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
        sharing=sharing,
    )
