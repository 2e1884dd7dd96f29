"""The log of an organisation: positions for entries and records, the tree over them, and its leaves.

Positions are given after commit, by the one process that numbers events (`store.events`), and in its transaction. So they are dense, and a
crash leaves all of an addition or nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from ipt_workflow.errors import JournalBroken
from ipt_workflow.journal import entry_hash
from ipt_workflow.journal.audit import record_bytes
from ipt_workflow.journal.proof import leaves as proof_leaves
from ipt_workflow.journal.proof import tree
from ipt_workflow.journal.proof.leaves import ENTRY, RECORD, Leaf
from ipt_workflow.journal.proof.tree import ReadTile, TileKey
from ipt_workflow.store.courses import one_of
from ipt_workflow.store.inserts import insert_all
from ipt_workflow.store.numbered_entries import AFTER_ENTRIES, numbered_entries, positions
from ipt_workflow.store.schema import tables

event, entry, record, subject = tables.event, tables.entry, tables.audit_event, tables.audit_subject
outbox, waits, leaf, tile, head = tables.outbox, tables.log_outbox, tables.log_leaf, tables.log_tile, tables.log_head
BATCH = 2000  # of what waits for the log alone, in one transaction

_owner = sa.bindparam("owner", type_=sa.String)
_ids = {
    table.name: {
        dialect: sa.select(*chosen).where(table.c.organisation == _owner, listed) for dialect, listed in one_of(of, "ids").items()
    }
    for table, of, chosen in (
        (record, record.c.id, tuple(record.c)),
        (subject, subject.c.event_id, (subject.c.event_id, subject.c.course_id)),
    )
}


def waiting(connection: sa.Connection, organisation: str) -> bool:
    """Whether anything waits for the log alone."""
    return connection.execute(sa.select(waits.c.id).where(waits.c.organisation == organisation).limit(1)).first() is not None


def is_behind(connection: sa.Connection, organisation: str) -> bool:
    """Whether more waits for the log alone than one transaction takes."""
    more = sa.select(waits.c.id).where(waits.c.organisation == organisation).limit(1).offset(BATCH)
    return connection.execute(more).first() is not None


def append(connection: sa.Connection, organisation: str, numbered: range, limit: int = BATCH) -> int:
    """Gives the next positions to the entries among the `numbered` events, and to at most `limit` of what waits for the log alone.

    Returns how many of the latter. The caller has locked the task of numbering.
    """
    new = connection.execute(_new_entries, {"owner": organisation, **positions(numbered)}).all() if numbered else ()
    waited = connection.execute(_oldest, {"owner": organisation, "limit": limit}).all()
    if not new and not waited:
        return 0
    hashes = _hashes_of_before(connection, organisation, [each.id for each in waited if each.hash is None])
    there = [each for each in waited if each.hash or each.id in hashes]  # a record of before may have been removed meanwhile
    in_order = sorted([*new, *there], key=lambda each: (each.created_at, each.course_id or "", each.seq or AFTER_ENTRIES, each.id))
    before = size(connection, organisation)
    added = [
        Leaf(
            position=before + n,
            kind=RECORD if each.seq is None else ENTRY,
            hash=each.hash or hashes[each.id],
            course=each.course_id,
            seq=each.seq,
            record=each.id if each.seq is None else None,
        )
        for n, each in enumerate(in_order)
    ]
    if added:
        _write(connection, organisation, before, added)
    if waited:
        connection.execute(_forget[connection.dialect.name], {"owner": organisation, "ids": [each.id for each in waited]})
    return len(waited)


def _write(connection: sa.Connection, organisation: str, before: int, added: Sequence[Leaf]) -> None:
    insert_all(connection, leaf, [{"organisation": organisation, **_row(each)} for each in added])
    held = tiles(connection, organisation, [key for key, _ in tree.needed(before)])
    for (level, number), hashes in tree.added(before, proof_leaves.hashes(added), tree.reader(held)).items():
        key = {"organisation": organisation, "level": level, "number": number}
        if (level, number) in held:
            connection.execute(_grow, {"owner": organisation, "of_level": level, "of_number": number, "hashes": hashes})
        else:
            connection.execute(sa.insert(tile), {**key, "hashes": hashes})
    grown = {"owner": organisation, "size": before + len(added)}
    if connection.execute(_lengthen, grown).rowcount == 0:
        connection.execute(sa.insert(head), {"organisation": organisation, "size": grown["size"]})


def size(connection: sa.Connection, organisation: str) -> int:
    """How many leaves the log has."""
    return connection.execute(_size, {"owner": organisation}).scalar() or 0


def tiles(connection: sa.Connection, organisation: str, keys: Sequence[TileKey]) -> dict[TileKey, bytes]:
    """Those of these tiles that exist."""
    if not keys:
        return {}
    wanted = sa.or_(*(sa.and_(tile.c.level == level, tile.c.number == number) for level, number in keys))
    rows = connection.execute(
        sa.select(tile.c.level, tile.c.number, tile.c.hashes).where(tile.c.organisation == organisation, wanted)
    )
    return {(row.level, row.number): bytes(row.hashes) for row in rows}


def reader(connection: sa.Connection, organisation: str) -> ReadTile:
    """Reads tiles one by one, each once. Raises JournalBroken for one that is missing."""
    known: dict[TileKey, bytes] = {}

    def read(key: TileKey) -> bytes:
        if key not in known:
            known.update(tiles(connection, organisation, [key]))
        if key not in known:
            raise JournalBroken(f"The log has no tile {key[1]} of level {key[0]}.")
        return known[key]

    return read


def root(connection: sa.Connection, organisation: str, of_size: int) -> bytes:
    """The root of the first `of_size` leaves."""
    return tree.root(of_size, reader(connection, organisation))


def inclusion(connection: sa.Connection, organisation: str, position: int, of_size: int) -> tuple[bytes, ...]:
    """The proof that a leaf is among the first `of_size`. Raises ValueError if it is not."""
    return tree.inclusion(position, of_size, reader(connection, organisation))


def consistency(connection: sa.Connection, organisation: str, old_size: int, of_size: int) -> tuple[bytes, ...]:
    """The proof that a tree begins with an older one. Raises ValueError if it cannot."""
    return tree.consistency(old_size, of_size, reader(connection, organisation))


def leaves(connection: sa.Connection, organisation: str, start: int, end: int) -> list[Leaf]:
    """The leaves at the positions from `start` to before `end`, in order."""
    found = connection.execute(_between, {"owner": organisation, "start": start, "end": end})
    return [_leaf(row) for row in found]


def leaf_of_entry(connection: sa.Connection, organisation: str, course: str, seq: int) -> Leaf | None:
    where = (leaf.c.organisation == organisation, leaf.c.kind == ENTRY, leaf.c.course_id == course, leaf.c.seq == seq)
    row = connection.execute(sa.select(leaf).where(*where)).first()
    return _leaf(row) if row else None


def leaf_of_record(connection: sa.Connection, organisation: str, record_id: str) -> Leaf | None:
    where = (leaf.c.organisation == organisation, leaf.c.kind == RECORD, leaf.c.record_id == record_id)
    row = connection.execute(sa.select(leaf).where(*where)).first()
    return _leaf(row) if row else None


def _row(each: Leaf) -> dict[str, Any]:
    return {
        "position": each.position,
        "kind": each.kind,
        "course_id": each.course,
        "seq": each.seq,
        "record_id": each.record,
        "hash": each.hash,
    }


def _leaf(row: Any) -> Leaf:
    return Leaf(position=row.position, kind=row.kind, hash=row.hash, course=row.course_id, seq=row.seq, record=row.record_id)


def _hashes_of_before(connection: sa.Connection, organisation: str, ids: Sequence[str]) -> dict[str, str]:
    """The hashes of records that a version without hashes wrote: those of the bytes that their rows would have had."""
    if not ids:
        return {}
    known, dialect = {"owner": organisation, "ids": list(ids)}, connection.dialect.name
    courses: dict[str, list[str]] = {}
    for row in connection.execute(_ids[subject.name][dialect], known):
        courses.setdefault(row.event_id, []).append(row.course_id)
    rows = connection.execute(_ids[record.name][dialect], known).mappings()
    return {str(row["id"]): entry_hash(record_bytes(dict(row), courses.get(row["id"], ()))) for row in rows}


def enter_earlier(connection: sa.Connection, organisations: Sequence[str]) -> None:
    """Lets everything that no version with a log has entered wait for the log: the entries and records of before.

    `db upgrade` does it, and again once no process of the version before runs any more.
    """
    for organisation in organisations:
        for statement in (_earlier_entries, _earlier_records):
            connection.execute(statement, {"owner": organisation})


def absent(table: sa.Table, *same: sa.ColumnElement[bool]) -> sa.ColumnElement[bool]:
    """That no row of the organisation `owner` fulfils conditions."""
    return ~sa.exists(sa.select(sa.literal(1)).select_from(table).where(table.c.organisation == _owner, *same))


_columns = ["organisation", "id", "course_id", "seq", "hash", "created_at"]
_earlier_entries = sa.insert(waits).from_select(
    _columns,
    sa.select(entry.c.organisation, entry.c.id, entry.c.course_id, entry.c.seq, entry.c.hash, entry.c.recorded_at).where(
        entry.c.organisation == _owner,
        absent(leaf, leaf.c.kind == sa.literal_column("'entry'"), leaf.c.course_id == entry.c.course_id, leaf.c.seq == entry.c.seq),
        absent(outbox, outbox.c.id == entry.c.id),
        absent(waits, waits.c.id == entry.c.id),
    ),
)
_earlier_records = sa.insert(waits).from_select(
    _columns,
    sa.select(record.c.organisation, record.c.id, sa.null(), sa.null(), record.c.hash, record.c.recorded_at).where(
        record.c.organisation == _owner,
        absent(leaf, leaf.c.kind == sa.literal_column("'record'"), leaf.c.record_id == record.c.id),
        absent(waits, waits.c.id == record.c.id),
    ),
)
_new_entries = numbered_entries(event.c.created_at, event.c.id, event.c.course_id, event.c.seq, entry.c.hash)
_oldest = (
    sa.select(waits.c.created_at, waits.c.id, waits.c.course_id, waits.c.seq, waits.c.hash)
    .where(waits.c.organisation == _owner)
    .order_by(waits.c.id)  # ids sort by time
    .limit(sa.bindparam("limit", type_=sa.Integer))
)
_forget: Mapping[str, sa.Delete] = {
    dialect: sa.delete(waits).where(waits.c.organisation == _owner, listed) for dialect, listed in one_of(waits.c.id, "ids").items()
}
_size = sa.select(head.c.size).where(head.c.organisation == _owner)
_lengthen = sa.update(head).where(head.c.organisation == _owner).values(size=sa.bindparam("size", type_=sa.BigInteger))
_grow = (
    sa.update(tile)
    .where(
        tile.c.organisation == _owner,
        tile.c.level == sa.bindparam("of_level", type_=sa.Integer),
        tile.c.number == sa.bindparam("of_number", type_=sa.Integer),
    )
    .values(hashes=sa.bindparam("hashes", type_=sa.LargeBinary))
)
_between = (
    sa.select(leaf)
    .where(
        leaf.c.organisation == _owner,
        leaf.c.position >= sa.bindparam("start", type_=sa.BigInteger),
        leaf.c.position < sa.bindparam("end", type_=sa.BigInteger),
    )
    .order_by(leaf.c.position)
)
