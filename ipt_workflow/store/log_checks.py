"""Checks the log: each leaf against what it names, the tiles against the leaves, and the checkpoints against the tiles."""

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from ipt_workflow.errors import JournalBroken
from ipt_workflow.journal import GENESIS, entry_hash
from ipt_workflow.journal.audit import record_bytes
from ipt_workflow.journal.chain import check_entry
from ipt_workflow.journal.proof import ipt_verify, tree
from ipt_workflow.journal.proof.ipt_verify import Checkpoint, NotProved, entry_leaf, leaf_hash, record_leaf, root_of
from ipt_workflow.journal.proof.leaves import ENTRY
from ipt_workflow.journal.proof.tree import HASH_BYTES, WIDTH, ReadTile
from ipt_workflow.store import client_keys, integrity, log, statistics
from ipt_workflow.store.client_keys import Text
from ipt_workflow.store.courses import RAW_ENTRY, one_of
from ipt_workflow.store.schema import tables

leaf, entry, entry_data, course = tables.log_leaf, tables.entry, tables.entry_data, tables.course
record, subject, reaping, checkpoint = tables.audit_event, tables.audit_subject, tables.audit_reaping, tables.log_checkpoint
outbox, waits = tables.outbox, tables.log_outbox
before = entry.alias("before")
AROUND = dt.timedelta(minutes=1)  # between what was done and its record


class LogFault(msgspec.Struct, frozen=True, kw_only=True):
    """The first position at which the log is not as it was written, and what is wrong there. An entry has its course and seq."""

    position: int
    fault: str
    course: str | None = None
    seq: int | None = None


class ReapingDetails(msgspec.Struct, frozen=True):
    """What a record says of a month of records that somebody removed."""

    kind: str
    month: str
    positions: tuple[tuple[int, int], ...]


class ReapingDeed(msgspec.Struct, frozen=True):
    """The part of such a record that tells which leaves have no record any more."""

    details: ReapingDetails


class LogSlice(msgspec.Struct, frozen=True, kw_only=True):
    """What was checked: the positions from `start` to before `end`. `size` is how many the log had then."""

    start: int
    end: int
    size: int
    fault: LogFault | None = None


def check_slice(
    connection: sa.Connection, organisation: str, start: int, end: int | None = None, *, whole: bool = True
) -> LogSlice:
    """Checks the leaves from `start` to before `end`, or to the last, and all that they complete of the tree.

    `whole` also reads each entry: its bytes, columns, sealed document, its link to the entry before, and whether its course goes on as the
    course's row says. Without it, the entries' hashes alone are compared, for whoever reads the courses too.
    """
    statistics.join_many(connection)
    size = log.size(connection, organisation)
    end = size if end is None else min(end, size)
    known = {"owner": organisation, "start": start, "end": end}
    read = log.reader(connection, organisation)
    try:
        fault = (
            _beyond(connection, organisation, size)
            or _leaf_fault(connection, known, read, whole=whole)
            or _tree_fault(start, end, read)
            or _checkpoint_fault(connection, known, read)
        )
    except JournalBroken as error:
        fault = LogFault(position=start, fault=f"log_tile: {error}")
    return LogSlice(start=start, end=end, size=size, fault=fault)


def check_kept(connection: sa.Connection, organisation: str, kept: Checkpoint) -> LogFault | None:
    """Whether the log still begins with the tree of a checkpoint that somebody kept."""
    size = log.size(connection, organisation)
    if size < kept.size:
        return LogFault(position=size, fault=f"log: it has {size} leaves, and the checkpoint that was kept has {kept.size}")
    try:
        found = tree.root(kept.size, log.reader(connection, organisation))
    except (JournalBroken, ValueError) as error:
        return LogFault(position=0, fault=f"log_tile: {error}")
    return (
        None
        if found == kept.root
        else LogFault(position=0, fault="log: it does not begin with the tree of the checkpoint that was kept")
    )


def _beyond(connection: sa.Connection, organisation: str, size: int) -> LogFault | None:
    """A fault if leaves lie after the end of the log."""
    known = {"owner": organisation, "start": size, "end": size + 1}
    found = connection.execute(sa.select(leaf.c.position).where(*_in_slice), known).first()
    return LogFault(position=size, fault="log_head: the log has more leaves than it says") if found else None


def _leaf_fault(connection: sa.Connection, known: dict[str, Any], read: ReadTile, *, whole: bool) -> LogFault | None:
    rows = connection.execute(_whole if whole else _quick, known).all()
    records = _records(connection, known)
    sealed = [(row.salt, row.sealed) for row in rows] if whole else [(None, None)] * len(rows)
    texts = dict(zip((row.position for row in rows), client_keys.opened(connection, known["owner"], sealed), strict=True))
    for position, row in zip(range(known["start"], known["end"]), [*rows, *[None] * (known["end"] - known["start"])], strict=False):
        if row is None or row.position != position:
            return LogFault(position=position, fault="log_leaf: the leaf is missing")
        if row.kind == ENTRY:
            fault = _entry_fault(connection, known["owner"], row, texts[position], whole=whole)
            digest = leaf_hash(entry_leaf(position, row.leaf_course, row.leaf_seq, row.leaf_hash))
        else:
            fault = records.fault(row)
            digest = leaf_hash(record_leaf(position, row.record_id, row.leaf_hash))
        if fault is None and digest != _hash(read, 0, position):
            fault = "log_tile: it does not hold the hash of the leaf"
        if fault:
            return LogFault(position=position, fault=fault, course=row.leaf_course, seq=row.leaf_seq)
    return _end_fault(connection, known) if whole else None


def _entry_fault(connection: sa.Connection, organisation: str, row: Any, text: Text, *, whole: bool) -> str | None:
    if row.hash is None:
        return "entry: it is missing"
    if row.hash != row.leaf_hash:
        return "hash: it is not that of the leaf"
    if not whole:
        return None
    _, fault = integrity.read_entry(connection, row, text)
    if fault:
        return fault
    previous = GENESIS if row.leaf_seq == 1 else row.before_hash or ""
    checks = check_entry((row.canonical, row.hash, *text), previous, organisation, row.leaf_course, row.leaf_seq)
    if not checks.bytes:
        return "hash: it is not the SHA-256 of the canonical bytes"
    if not checks.link:
        return "prev_hash: the entry does not follow the one before"
    return None if checks.sealed else "sealed: the document is not the one that was hashed"


def _end_fault(connection: sa.Connection, known: dict[str, Any]) -> LogFault | None:
    """A fault if the row of a course of this slice does not end where its entries end."""
    for row in connection.execute(_ends, known):
        if row.version != row.last_seq:
            there = "the row is missing" if row.version is None else f"it is {row.version}, and the last entry is {row.last_seq}"
            return LogFault(position=row.position, fault=f"course.version: {there}", course=row.course_id, seq=row.last_seq)
    return None


class SliceRecords:
    """The records of a slice by their ids, and the positions whose records were removed when their time was over."""

    def __init__(self, rows: dict[str, Any], courses: dict[str, list[str]], removed: Sequence[tuple[int, int]]) -> None:
        self._rows, self._courses, self._removed = rows, courses, removed

    def fault(self, leaf_row: Any) -> str | None:
        row, position = self._rows.get(leaf_row.record_id), leaf_row.position
        if row is None:
            reaped = any(first <= position <= last for first, last in self._removed)
            return None if reaped else "audit_event: the record is missing"
        kept = row["canonical"]
        if entry_hash(self._written(row) if kept is None else kept) != leaf_row.leaf_hash:
            return "audit_event: the record is not the one that was hashed"
        if kept is not None and (row["hash"] != leaf_row.leaf_hash or kept != self._written(row)):
            return "audit_event: a column differs from the hashed bytes"
        return None

    def _written(self, row: Any) -> bytes:
        try:
            details = msgspec.json.decode(row["canonical"]).get("details") if row["canonical"] else None
            return record_bytes(row, self._courses.get(row["id"], ()), details)
        except (msgspec.DecodeError, AttributeError, ValueError, TypeError):
            return b""


def _records(connection: sa.Connection, known: dict[str, Any]) -> SliceRecords:
    rows = {row["id"]: row for row in connection.execute(_records_of, known).mappings()}
    courses: dict[str, list[str]] = {}
    for row in connection.execute(_subjects_of, known):
        courses.setdefault(row.event_id, []).append(row.course_id)
    return SliceRecords(rows, courses, _removed(connection, known["owner"]))


def _removed(connection: sa.Connection, organisation: str) -> list[tuple[int, int]]:
    """The ranges of positions whose records were removed, as the records of the log say who removed them: a row beside the log proves nothing."""
    ranges: list[tuple[int, int]] = []
    for row in connection.execute(_reapings, {"owner": organisation}):
        deeds = {"owner": organisation, "person": row.person, "since": row.decided_at - AROUND, "until": row.decided_at + AROUND}
        for raw in connection.execute(_deeds, deeds).scalars():
            details = _reaping_details(raw)
            if details and (details.kind, details.month) == (row.kind, row.month):
                ranges += details.positions
    return ranges


def _reaping_details(raw: bytes) -> ReapingDetails | None:
    try:
        return msgspec.json.decode(raw, type=ReapingDeed).details
    except msgspec.DecodeError:
        return None  # somebody altered the record: it names nothing that was removed rightly


def _tree_fault(start: int, end: int, read: ReadTile) -> LogFault | None:
    """A fault if a tile that a slice completes is not below the right hash of the level above."""
    level, first, last = 0, start // WIDTH, end // WIDTH
    while first < last:
        for number in range(first, last):
            if root_of(list(_hashes(read((level, number))))[:WIDTH]) != _hash(read, level + 1, number):
                return LogFault(
                    position=number * WIDTH ** (level + 1), fault=f"log_tile: tile {number} of level {level} is not as it was"
                )
        level, first, last = level + 1, first // WIDTH, last // WIDTH
    return None


def _checkpoint_fault(connection: sa.Connection, known: dict[str, Any], read: ReadTile) -> LogFault | None:
    """A fault if a checkpoint that ends in the slice is not of this tree: of several, the newest is checked."""
    row = connection.execute(_checkpoint, known).first()
    if row is None:
        return None
    try:
        signed = ipt_verify.read_checkpoint(ipt_verify.read_note(row.note).text)
    except NotProved as error:
        return LogFault(position=row.size - 1, fault=f"log_checkpoint: {error}")
    if (signed.origin, signed.size, signed.root) == (row.origin, row.size, tree.root(row.size, read)):
        return None
    return LogFault(position=known["start"], fault=f"log_checkpoint: the tree of size {row.size} is not the one that was signed")


def _hashes(tile: bytes) -> Iterator[bytes]:
    return (tile[at : at + HASH_BYTES] for at in range(0, len(tile), HASH_BYTES))


def _hash(read: ReadTile, level: int, position: int) -> bytes:
    number, at = divmod(position, WIDTH)
    return read((level, number))[at * HASH_BYTES : (at + 1) * HASH_BYTES]


def unlogged(connection: sa.Connection, organisation: str, ids: Sequence[str]) -> tuple[str, int] | None:
    """The first entry of these courses that has no position, and waits for none: its course and seq."""
    statistics.join_many(connection)
    row = connection.execute(_unlogged[connection.dialect.name], {"owner": organisation, "ids": list(ids)}).first()
    return (row.course_id, row.seq) if row else None


_owner = sa.bindparam("owner", type_=sa.String)
_in_slice = (
    leaf.c.organisation == _owner,
    leaf.c.position >= sa.bindparam("start", type_=sa.BigInteger),
    leaf.c.position < sa.bindparam("end", type_=sa.BigInteger),
)
_of_leaf = (
    leaf.c.position,
    leaf.c.kind,
    leaf.c.course_id.label("leaf_course"),
    leaf.c.seq.label("leaf_seq"),
    leaf.c.record_id,
    leaf.c.hash.label("leaf_hash"),
)
_leaf_of_entry = sa.and_(
    entry.c.organisation == leaf.c.organisation, entry.c.course_id == leaf.c.course_id, entry.c.seq == leaf.c.seq
)
_with_entry = leaf.outerjoin(entry, _leaf_of_entry)
_with_all = _with_entry.outerjoin(
    entry_data,
    sa.and_(
        entry_data.c.organisation == leaf.c.organisation, entry_data.c.course_id == leaf.c.course_id, entry_data.c.seq == leaf.c.seq
    ),
).outerjoin(
    before,
    sa.and_(before.c.organisation == leaf.c.organisation, before.c.course_id == leaf.c.course_id, before.c.seq == leaf.c.seq - 1),
)
_whole = (
    sa.select(*RAW_ENTRY, *_of_leaf, before.c.hash.label("before_hash"))
    .select_from(_with_all)
    .where(*_in_slice)
    .order_by(leaf.c.position)
)
_quick = sa.select(*_of_leaf, entry.c.hash).select_from(_with_entry).where(*_in_slice).order_by(leaf.c.position)
_records_of = sa.select(record).select_from(
    leaf.join(record, sa.and_(record.c.organisation == leaf.c.organisation, record.c.id == leaf.c.record_id))
).where(*_in_slice)  # fmt: skip
_subjects_of = sa.select(subject.c.event_id, subject.c.course_id).select_from(
    leaf.join(subject, sa.and_(subject.c.organisation == leaf.c.organisation, subject.c.event_id == leaf.c.record_id))
).where(*_in_slice)  # fmt: skip
_unlogged = {
    dialect: sa.select(entry.c.course_id, entry.c.seq)
    .select_from(entry.outerjoin(leaf, sa.and_(leaf.c.kind == sa.literal_column("'entry'"), _leaf_of_entry)))
    .where(
        entry.c.organisation == _owner,
        listed,
        leaf.c.position.is_(None),
        ~sa.exists().where(outbox.c.organisation == _owner, outbox.c.id == entry.c.id),
        ~sa.exists().where(waits.c.organisation == _owner, waits.c.id == entry.c.id),
    )
    .order_by(entry.c.course_id, entry.c.seq)
    .limit(1)
    for dialect, listed in one_of(entry.c.course_id, "ids").items()
}
_reapings = sa.select(reaping.c.kind, reaping.c.month, reaping.c.person, reaping.c.decided_at).where(
    reaping.c.organisation == _owner
)
_deeds = sa.select(record.c.canonical).where(
    record.c.organisation == _owner,
    record.c.person == sa.bindparam("person", type_=sa.String),
    record.c.recorded_at.between(
        sa.bindparam("since", type_=record.c.recorded_at.type), sa.bindparam("until", type_=record.c.recorded_at.type)
    ),
    record.c.kind == sa.literal_column("'config'"),
    record.c.action == sa.literal(ipt_verify.REAPED),
    record.c.canonical.is_not(None),
)
_touched = (
    sa.select(leaf.c.course_id, sa.func.min(leaf.c.position).label("position"))
    .where(*_in_slice, leaf.c.kind == sa.literal_column("'entry'"))
    .group_by(leaf.c.course_id)
    .subquery("touched")
)
_last_seq = (
    sa.select(sa.func.max(entry.c.seq))
    .where(entry.c.organisation == _owner, entry.c.course_id == _touched.c.course_id)
    .scalar_subquery()
)
_ends = sa.select(_touched.c.course_id, _touched.c.position, course.c.version, _last_seq.label("last_seq")).select_from(
    _touched.outerjoin(course, sa.and_(course.c.organisation == _owner, course.c.id == _touched.c.course_id))
)
_checkpoint = (
    sa.select(checkpoint.c.size, checkpoint.c.origin, checkpoint.c.note)
    .where(
        checkpoint.c.organisation == _owner,
        checkpoint.c.size > sa.bindparam("start", type_=sa.BigInteger),
        checkpoint.c.size <= sa.bindparam("end", type_=sa.BigInteger),
    )
    .order_by(checkpoint.c.size.desc())
    .limit(1)
)
