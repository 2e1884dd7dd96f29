"""Months of the audit log whose records are removed. The leaves of these records stay in the log, with a checkpoint that proves them."""

import datetime as dt
from collections.abc import Iterable, Sequence

import msgspec
import sqlalchemy as sa

from ipt_workflow.store import attempts, structs
from ipt_workflow.store.schema import tables
from ipt_workflow.store.units import LoggedEvent

event, subject, reaping = tables.audit_event, tables.audit_subject, tables.audit_reaping
mark, course = tables.client_mark, tables.course
leaf, checkpoint = tables.log_leaf, tables.log_checkpoint


class MonthOfRecords(msgspec.Struct, frozen=True, kw_only=True):
    """The records of some kinds, of a time. `numbered` are those with a position in the log, and `last` the last such position."""

    records: int
    numbered: int
    last: int | None


class KeptCheckpoint(msgspec.Struct, frozen=True):
    """A checkpoint of the log: its size, its root in hex, and the signed note with what witnesses added."""

    size: int
    root: str
    note: str


class StoredReaping(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a month that was removed. `positions` is the JSON of the ranges of the log's positions, each with its first and last."""

    kind: str
    month: str
    starts_at: dt.datetime
    ends_at: dt.datetime
    records: int
    policies: str
    positions: bytes
    checkpoint_size: int
    checkpoint: str
    person: str
    role: str
    via: str
    decided_at: dt.datetime


def _of(organisation: str, kinds: Sequence[str], starts: dt.datetime, ends: dt.datetime) -> tuple[sa.ColumnElement[bool], ...]:
    time = event.c.recorded_at
    return event.c.organisation == organisation, time >= starts, time < ends, event.c.kind.in_(kinds)


def first_recorded_at(connection: sa.Connection, organisation: str, kinds: Sequence[str]) -> dt.datetime | None:
    """When the oldest record of these kinds was made that is still there."""
    ours = (event.c.organisation == organisation, event.c.kind.in_(kinds))
    statement = sa.select(event.c.recorded_at).where(*ours).order_by(event.c.recorded_at, event.c.id).limit(1)
    return connection.execute(statement).scalar()


_numbered = event.outerjoin(
    leaf,
    sa.and_(
        leaf.c.organisation == event.c.organisation,
        leaf.c.kind == sa.literal_column("'record'"),
        leaf.c.record_id == event.c.id,
    ),
)


def month(
    connection: sa.Connection, organisation: str, kinds: Sequence[str], starts: dt.datetime, ends: dt.datetime
) -> MonthOfRecords:
    """How many records of these kinds there are of a time."""
    counts = sa.select(sa.func.count(), sa.func.count(leaf.c.position), sa.func.max(leaf.c.position)).select_from(_numbered)
    records, numbered, last = connection.execute(counts.where(*_of(organisation, kinds, starts, ends))).one()
    return MonthOfRecords(records=records, numbered=numbered, last=last)


def held_clients(
    connection: sa.Connection, organisation: str, kinds: Sequence[str], starts: dt.datetime, ends: dt.datetime
) -> list[str]:
    """Clients with a hold in force whose courses the records of a time name."""
    named = (
        mark.join(course, sa.and_(course.c.organisation == mark.c.organisation, course.c.client_id == mark.c.client_id))
        .join(subject, sa.and_(subject.c.organisation == course.c.organisation, subject.c.course_id == course.c.id))
        .join(event, sa.and_(event.c.organisation == subject.c.organisation, event.c.id == subject.c.event_id))
    )
    held = (mark.c.organisation == organisation, mark.c.kind == sa.literal_column("'hold'"), mark.c.ended_at.is_(None))
    statement = sa.select(mark.c.client_id).distinct().select_from(named)
    return sorted(connection.execute(statement.where(*held, *_of(organisation, kinds, starts, ends))).scalars())


def covering(connection: sa.Connection, organisation: str, position: int) -> KeptCheckpoint | None:
    """The newest checkpoint, if it covers a position."""
    ours = (checkpoint.c.organisation == organisation, checkpoint.c.size > position)
    columns = (checkpoint.c.size, checkpoint.c.root, checkpoint.c.note, checkpoint.c.cosignatures)
    row = connection.execute(sa.select(*columns).where(*ours).order_by(checkpoint.c.size.desc()).limit(1)).first()
    return KeptCheckpoint(row.size, row.root, row.note + row.cosignatures) if row else None


def positions(
    connection: sa.Connection, organisation: str, kinds: Sequence[str], starts: dt.datetime, ends: dt.datetime
) -> list[int]:
    """The positions in the log of records of a time, in order."""
    statement = sa.select(leaf.c.position).select_from(_numbered).where(*_of(organisation, kinds, starts, ends))
    return list(connection.execute(statement.where(leaf.c.position.is_not(None)).order_by(leaf.c.position)).scalars())


def ranges(found: Iterable[int]) -> list[tuple[int, int]]:
    """Positions in order as ranges, each with its first and last."""
    together: list[tuple[int, int]] = []
    for each in found:
        if together and together[-1][1] == each - 1:
            together[-1] = (together[-1][0], each)
        else:
            together.append((each, each))
    return together


def reap(connection: sa.Connection, organisation: str, kinds: Sequence[str], new: StoredReaping, record: LoggedEvent) -> None:
    """Removes the records, and writes what was removed. The guards let nothing else go."""
    connection.execute(sa.insert(reaping), structs.row_of(organisation, new))
    its = sa.select(event.c.id).where(*_of(organisation, kinds, new.starts_at, new.ends_at))
    connection.execute(sa.delete(subject).where(subject.c.organisation == organisation, subject.c.event_id.in_(its)))
    connection.execute(sa.delete(event).where(*_of(organisation, kinds, new.starts_at, new.ends_at)))
    attempts.log(connection, [record])


def reaped(connection: sa.Connection, organisation: str) -> list[StoredReaping]:
    """What was removed, oldest month first."""
    statement = sa.select(*structs.columns(reaping, StoredReaping)).where(reaping.c.organisation == organisation)
    return structs.read_all(connection, statement.order_by(reaping.c.month, reaping.c.kind), StoredReaping)
