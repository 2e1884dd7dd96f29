"""What a bundle of the log holds: entries and records at their positions, the hashes in the tiles, and what stands in no position.

Whoever altered the database may have left any value in a row. So bytes are taken as they are, and what is missing is None.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from ipt_workflow.errors import JournalBroken
from ipt_workflow.journal.audit import record_bytes
from ipt_workflow.journal.proof import tree
from ipt_workflow.store import client_keys, log, statistics
from ipt_workflow.store.log import absent
from ipt_workflow.store.schema import tables

leaf, entry, data, record, subject = tables.log_leaf, tables.entry, tables.entry_data, tables.audit_event, tables.audit_subject
outbox, waits = tables.outbox, tables.log_outbox
UNLOGGED_MAX = 1000  # of each kind; one is enough for a log not to hold


class BundledEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An entry as the database has it. `canonical` is None if it is not there; `masked` says that its text is not for the reader."""

    course: str
    seq: int
    canonical: str | None
    salt: str | None
    sealed: str | None
    masked: bool = False


class BundledRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A record of the audit log as the database has it. `canonical` is None if it is not there."""

    record: str
    canonical: str | None


def entries(connection: sa.Connection, organisation: str, start: int, end: int, *, texts: bool) -> list[BundledEntry]:
    """The entries at the positions from `start` to before `end`, in order. Without `texts`, all are masked."""
    statistics.join_many(connection)
    return bundled(connection, organisation, connection.execute(_entries, _bounds(organisation, start, end)).all(), texts=texts)


def records(connection: sa.Connection, organisation: str, start: int, end: int) -> list[BundledRecord]:
    """The records at the positions from `start` to before `end`, in order."""
    statistics.join_many(connection)
    rows = connection.execute(_records, _bounds(organisation, start, end)).mappings().all()
    return _bundled_records(connection, organisation, rows)


def unlogged_entries(connection: sa.Connection, organisation: str, *, texts: bool) -> list[BundledEntry]:
    """Entries that have no position and do not wait for one."""
    statistics.join_many(connection)
    return bundled(connection, organisation, connection.execute(_unlogged_entries, {"owner": organisation}).all(), texts=texts)


def unlogged_records(connection: sa.Connection, organisation: str) -> list[BundledRecord]:
    """Records that have no position and do not wait for one."""
    statistics.join_many(connection)
    rows = connection.execute(_unlogged_records, {"owner": organisation}).mappings().all()
    return _bundled_records(connection, organisation, rows)


def leaf_hashes(connection: sa.Connection, organisation: str, number: int) -> bytes:
    """The leaf hashes of a tile. A tile that is not there has zeros, which are no leaf's hash."""
    held = log.tiles(connection, organisation, [(0, number)])
    return held.get((0, number), b"").ljust(tree.WIDTH * tree.HASH_BYTES, b"\0")


def bundled(connection: sa.Connection, organisation: str, rows: Sequence[Any], *, texts: bool) -> list[BundledEntry]:
    """The entries of rows, with their texts as they were written, or masked."""
    if texts:
        written = client_keys.opened(connection, organisation, [(row.salt, row.sealed) for row in rows])
    else:
        written = [(None, None)] * len(rows)
    return [
        BundledEntry(
            course=row.course_id, seq=row.seq, canonical=text_of(row.canonical), salt=salt, sealed=text_of(sealed), masked=not texts
        )
        for row, (salt, sealed) in zip(rows, written, strict=True)
    ]


def _bundled_records(connection: sa.Connection, organisation: str, rows: Sequence[Any]) -> list[BundledRecord]:
    """Records of a version without canonical bytes have those that their rows would have had."""
    without = [row["id"] for row in rows if row["id"] is not None and row["canonical"] is None]
    before = bytes_of_before(connection, organisation, without) if without else {}
    return [
        BundledRecord(record=row["record_id"], canonical=text_of(row["canonical"] or before.get(row["record_id"]))) for row in rows
    ]


def bytes_of_before(connection: sa.Connection, organisation: str, ids: Sequence[str]) -> dict[str, bytes]:
    """The bytes that records would have had, by id. Raises JournalBroken if their rows cannot be read."""
    courses: dict[str, list[str]] = {}
    named = sa.select(subject.c.event_id, subject.c.course_id).where(
        subject.c.organisation == organisation, subject.c.event_id.in_(ids)
    )
    for event_id, course in connection.execute(named):
        courses.setdefault(event_id, []).append(course)
    found = sa.select(record).where(record.c.organisation == organisation, record.c.id.in_(ids))
    try:
        return {row["id"]: record_bytes(dict(row), courses.get(row["id"], ())) for row in connection.execute(found).mappings()}
    except (ValueError, TypeError, AttributeError) as error:
        raise JournalBroken(f"A row of the audit log is not as it was written, one of {ids[0]} to {ids[-1]}.") from error


def text_of(raw: Any) -> str | None:
    """Bytes as the text that they are. Other bytes are replaced, and so have another hash."""
    return bytes(raw).decode(errors="replace") if isinstance(raw, bytes | memoryview) else raw


def _bounds(organisation: str, start: int, end: int) -> dict[str, Any]:
    return {"owner": organisation, "start": start, "end": end}


_owner = sa.bindparam("owner", type_=sa.String)
_placed = (
    leaf.c.organisation == _owner,
    leaf.c.position >= sa.bindparam("start", type_=sa.BigInteger),
    leaf.c.position < sa.bindparam("end", type_=sa.BigInteger),
)
_same_data = (data.c.organisation == entry.c.organisation, data.c.course_id == entry.c.course_id, data.c.seq == entry.c.seq)
_entries = (
    sa.select(leaf.c.course_id, leaf.c.seq, entry.c.canonical, data.c.salt, data.c.sealed)
    .select_from(
        leaf.outerjoin(
            entry,
            sa.and_(entry.c.organisation == leaf.c.organisation, entry.c.course_id == leaf.c.course_id, entry.c.seq == leaf.c.seq),
        ).outerjoin(data, sa.and_(*_same_data))
    )
    .where(*_placed, leaf.c.kind == sa.literal_column("'entry'"))
    .order_by(leaf.c.position)
)
_of_record = (record.c.id, record.c.canonical)
_records = (
    sa.select(leaf.c.record_id, *_of_record)
    .select_from(leaf.outerjoin(record, sa.and_(record.c.organisation == leaf.c.organisation, record.c.id == leaf.c.record_id)))
    .where(*_placed, leaf.c.kind == sa.literal_column("'record'"))
    .order_by(leaf.c.position)
)


_unlogged_entries = (
    sa.select(entry.c.course_id, entry.c.seq, entry.c.canonical, data.c.salt, data.c.sealed)
    .select_from(entry.outerjoin(data, sa.and_(*_same_data)))
    .where(
        entry.c.organisation == _owner,
        absent(leaf, leaf.c.kind == sa.literal_column("'entry'"), leaf.c.course_id == entry.c.course_id, leaf.c.seq == entry.c.seq),
        absent(outbox, outbox.c.course_id == entry.c.course_id, outbox.c.seq == entry.c.seq),
        absent(waits, waits.c.course_id == entry.c.course_id, waits.c.seq == entry.c.seq),
    )
    .limit(UNLOGGED_MAX)
)
_unlogged_records = (
    sa.select(record.c.id.label("record_id"), *_of_record)
    .where(
        record.c.organisation == _owner,
        absent(leaf, leaf.c.kind == sa.literal_column("'record'"), leaf.c.record_id == record.c.id),
        absent(waits, waits.c.id == record.c.id),
    )
    .limit(UNLOGGED_MAX)
)
