"""What a client's bundle holds of the log: their entries with their positions, and the records about them alone with their proofs."""

from collections.abc import Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from ipt_workflow.journal.proof import ipt_verify, tree
from ipt_workflow.journal.proof.leaves import ENTRY, RECORD
from ipt_workflow.store import log, log_bundles, statistics
from ipt_workflow.store.courses import one_of
from ipt_workflow.store.log_bundles import BundledEntry, BundledRecord
from ipt_workflow.store.schema import tables

leaf, entry, data, record, subject = tables.log_leaf, tables.entry, tables.entry_data, tables.audit_event, tables.audit_subject


class PlacedEntry(msgspec.Struct, frozen=True):
    """An entry, and its position in the log; None while it has none."""

    entry: BundledEntry
    position: int | None


class ProvedRecord(BundledRecord, frozen=True, kw_only=True):
    """A record with the proof, in Base64, that it stands at its position."""

    position: int
    proof: tuple[str, ...]


def entries(connection: sa.Connection, organisation: str, courses: Sequence[str]) -> list[PlacedEntry]:
    """Every entry of these courses, by course and seq."""
    statistics.join_many(connection)
    of_entry = sa.and_(
        leaf.c.organisation == entry.c.organisation,
        leaf.c.kind == ENTRY,
        leaf.c.course_id == entry.c.course_id,
        leaf.c.seq == entry.c.seq,
    )
    sealed = sa.and_(data.c.organisation == entry.c.organisation, data.c.course_id == entry.c.course_id, data.c.seq == entry.c.seq)
    statement = (
        sa.select(entry.c.course_id, entry.c.seq, entry.c.canonical, data.c.salt, data.c.sealed, leaf.c.position)
        .select_from(entry.outerjoin(data, sealed).outerjoin(leaf, of_entry))
        .where(entry.c.organisation == organisation, _among(connection, entry.c.course_id, courses))
        .order_by(entry.c.course_id, entry.c.seq)
    )
    rows = connection.execute(statement).all()
    written = log_bundles.bundled(connection, organisation, rows, texts=True)
    return [PlacedEntry(each, row.position) for each, row in zip(written, rows, strict=True)]


def records(connection: sa.Connection, organisation: str, courses: Sequence[str], size: int) -> list[ProvedRecord]:
    """The records about these courses and no others that are among the first `size` leaves, by position.

    The bytes of a record name every course that it touched, so one that touched another client's stays out.
    """
    statistics.join_many(connection)
    touching = sa.select(subject.c.event_id).where(
        subject.c.organisation == organisation, _among(connection, subject.c.course_id, courses)
    )
    others = sa.select(sa.literal(1)).where(
        subject.c.organisation == organisation,
        subject.c.event_id == record.c.id,
        ~_among(connection, subject.c.course_id, courses),
    )
    of_record = sa.and_(leaf.c.organisation == record.c.organisation, leaf.c.kind == RECORD, leaf.c.record_id == record.c.id)
    statement = (
        sa.select(leaf.c.position, *record.c)
        .select_from(record.join(leaf, of_record))
        .where(record.c.organisation == organisation, record.c.id.in_(touching), ~sa.exists(others), leaf.c.position < size)
        .order_by(leaf.c.position)
    )
    rows = connection.execute(statement).mappings().all()
    without = [row["id"] for row in rows if row["canonical"] is None]
    before = log_bundles.bytes_of_before(connection, organisation, without) if without else {}
    read = log.reader(connection, organisation)
    return [
        ProvedRecord(
            record=row["id"],
            canonical=log_bundles.text_of(row["canonical"] or before[row["id"]]),
            position=row["position"],
            proof=tuple(ipt_verify.encoded(each) for each in tree.inclusion(row["position"], size, read)),
        )
        for row in rows
    ]


def _among(connection: sa.Connection, column: sa.Column[Any], ids: Sequence[str]) -> sa.ColumnElement[bool]:
    return one_of(column, "ids", list(ids))[connection.dialect.name]
