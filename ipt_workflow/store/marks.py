"""Marks on clients' records: set, ended and read. Each is written in one transaction with its audit record and its events."""

import datetime as dt
from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from ipt_workflow.access.marks import MarkKind
from ipt_workflow.store import attempts, emergencies, events, holds, structs
from ipt_workflow.store.emergencies import SealedText
from ipt_workflow.store.events import NewEvent
from ipt_workflow.store.schema.tables import access_text as text
from ipt_workflow.store.schema.tables import client
from ipt_workflow.store.schema.tables import client_mark as mark
from ipt_workflow.store.units import LoggedEvent
from ipt_workflow.store.upserts import insert_or

SET, END = "note", "end_note"  # the kinds of texts


class StoredMark(msgspec.Struct, frozen=True, kw_only=True):
    """A mark. `client_ref` is None if the client was erased. `note` and `end_note` are sealed texts, None if there is none any more."""

    id: str
    client_id: str
    client_ref: str | None = None
    kind: MarkKind
    ground: str
    set_by: str
    set_role: str
    set_at: dt.datetime
    ended_at: dt.datetime | None = None
    ended_by: str | None = None
    client_informed: bool | None = None
    note: bytes | None = None
    end_note: bytes | None = None


class EndedMark(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a mark."""

    id: str
    ended_at: dt.datetime
    ended_by: str
    client_informed: bool


class MarkFilters(msgspec.Struct, frozen=True, kw_only=True):
    """A mark is listed if it meets all that are set."""

    kind: str | None = None
    client: str | None = None
    in_force: bool | None = None


_OWN = tuple(name for name in StoredMark.__struct_fields__ if name in mark.c)
_note, _end_note = text.alias(), text.alias()


def _text(table: sa.FromClause, kind: str) -> sa.ColumnElement[bool]:
    return sa.and_(table.c.organisation == mark.c.organisation, table.c.id == mark.c.id, table.c.kind == kind)


_select = sa.select(
    *(mark.c[name] for name in _OWN),
    client.c.ref.label("client_ref"),
    _note.c.sealed.label("note"),
    _end_note.c.sealed.label("end_note"),
).select_from(
    mark.outerjoin(_note, _text(_note, SET))
    .outerjoin(_end_note, _text(_end_note, END))
    .outerjoin(client, sa.and_(client.c.organisation == mark.c.organisation, client.c.id == mark.c.client_id))
)


def set_mark(
    connection: sa.Connection,
    organisation: str,
    new: StoredMark,
    note: SealedText | None,
    record: LoggedEvent,
    published: Sequence[NewEvent] = (),
) -> bool:
    """Sets a mark. Returns False, and writes nothing, if one of its kind and ground is in force for the client."""
    holds.lock(connection, organisation, new.client_id)
    row = {"organisation": organisation, **{name: getattr(new, name) for name in _OWN}}
    if connection.execute(insert_or(connection, mark).on_conflict_do_nothing(), row).rowcount == 0:
        return False
    _write_beside(connection, organisation, new.id, SET, note, record, published)
    return True


def end_mark(
    connection: sa.Connection,
    organisation: str,
    end: EndedMark,
    note: SealedText | None,
    record: LoggedEvent,
    published: Sequence[NewEvent] = (),
) -> bool:
    """Ends a mark. Returns False, and writes nothing, if it has ended already."""
    own = (mark.c.organisation == organisation, mark.c.id == end.id, mark.c.ended_at.is_(None))
    values = {"ended_at": end.ended_at, "ended_by": end.ended_by, "client_informed": end.client_informed}
    if connection.execute(sa.update(mark).where(*own).values(**values)).rowcount == 0:
        return False
    _write_beside(connection, organisation, end.id, END, note, record, published)
    return True


def _write_beside(
    connection: sa.Connection,
    organisation: str,
    mark_id: str,
    kind: str,
    note: SealedText | None,
    record: LoggedEvent,
    published: Sequence[NewEvent],
) -> None:
    if note:
        emergencies.keep_text(connection, organisation, mark_id, kind, note)
    attempts.log(connection, [record])
    for each in published:
        events.publish(connection, organisation, each)


class MarkInForce(msgspec.Struct, frozen=True):
    """A mark as those see it who see a course of the client."""

    kind: MarkKind
    ground: str


_in_force = sa.select(mark.c.kind, mark.c.ground).where(
    mark.c.organisation == sa.bindparam("organisation"), mark.c.client_id == sa.bindparam("client"), mark.c.ended_at.is_(None)
)


def in_force(connection: sa.Connection, organisation: str, client_id: str) -> list[MarkInForce]:
    """The marks in force on a client's record, oldest first."""
    values = {"organisation": organisation, "client": client_id}
    return [MarkInForce(*row) for row in connection.execute(_in_force.order_by(mark.c.set_at, mark.c.id), values)]


def find(connection: sa.Connection, organisation: str, mark_id: str) -> StoredMark | None:
    return structs.read_first(connection, _select.where(mark.c.organisation == organisation, mark.c.id == mark_id), StoredMark)


def page(connection: sa.Connection, organisation: str, filters: MarkFilters, after: str, limit: int) -> list[StoredMark]:
    """Marks after an id, in the order in which they were set."""
    statement = _select.where(mark.c.organisation == organisation, mark.c.id > after)
    if filters.kind is not None:
        statement = statement.where(mark.c.kind == filters.kind)
    if filters.client is not None:
        statement = statement.where(mark.c.client_id == filters.client)
    if filters.in_force is not None:
        ended = mark.c.ended_at.is_not(None)
        statement = statement.where(~ended if filters.in_force else ended)
    return structs.read_all(connection, statement.order_by(mark.c.id).limit(limit), StoredMark)
