"""What else was written about a client and is not in the journal: the same that an erasure removes, but for drafts and what was not sent."""

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from ipt_workflow.store.courses import one_of
from ipt_workflow.store.schema import tables


class ClientText(msgspec.Struct, frozen=True, kw_only=True):
    """A text: what it is, who wrote it and when. `content` is as it was written; a text that is no JSON is a string."""

    kind: str
    id: str
    written_by: str
    written_at: dt.datetime
    content: Any


def of_client(connection: sa.Connection, organisation: str, client_id: str, courses: Sequence[str]) -> list[ClientText]:
    """All of it, in the order in which it was written."""
    found = [
        ClientText(kind=kind, id=row.id, written_by=row.by, written_at=row.at, content=_content(row.text))
        for kind, statement in _statements(connection, organisation, client_id, courses)
        for row in connection.execute(statement)
    ]
    return sorted(found, key=lambda each: (each.written_at, each.kind, each.id))


def _statements(
    connection: sa.Connection, organisation: str, client_id: str, courses: Sequence[str]
) -> Iterator[tuple[str, sa.Select[Any]]]:
    label, proposal, notice, restriction = tables.client_label, tables.proposal, tables.notice, tables.restriction
    access, mark, unmasking = tables.emergency_access, tables.client_mark, tables.unmasking

    def among(column: sa.Column[Any]) -> sa.ColumnElement[bool]:
        return one_of(column, "ids", list(courses))[connection.dialect.name]

    def select(table: sa.Table, text: sa.ColumnElement[Any], by: str, at: str, *where: sa.ColumnElement[bool]) -> sa.Select[Any]:
        named = (table.c.id.label("id"), table.c[by].label("by"), table.c[at].label("at"), text.label("text"))
        return sa.select(*named).where(table.c.organisation == organisation, text.is_not(None), *where)

    def beside(table: sa.Table, by: str, at: str, *where: sa.ColumnElement[bool]) -> sa.Select[Any]:
        text = tables.access_text
        joined = table.join(text, sa.and_(text.c.organisation == table.c.organisation, text.c.id == table.c.id))
        return select(table, text.c.sealed, by, at, *where).select_from(joined)

    yield (
        "label",
        sa.select(label.c.client_id.label("id"), label.c.given_by.label("by"), label.c.given_at.label("at"), label.c.sealed.label("text"))
        .where(label.c.organisation == organisation, label.c.client_id == client_id, label.c.sealed.is_not(None)),
    )  # fmt: skip
    yield "emergency access", beside(access, "person", "starts_at", access.c.client_id == client_id)
    yield "mark", beside(mark, "set_by", "set_at", mark.c.client_id == client_id)
    yield "unmasking", beside(unmasking, "person", "starts_at", among(unmasking.c.course_id))
    yield (
        "restriction of a course",
        select(restriction, restriction.c.reason, "set_by", "set_at", among(restriction.c.course_id), restriction.c.reason != ""),
    )
    for name, text in (("proposal", proposal.c.body), ("comment on a proposal", proposal.c.comment)):
        yield name, select(proposal, text, "proposed_by", "proposed_at", among(proposal.c.course_id))
    theirs = sa.or_(notice.c.client_id == client_id, among(notice.c.course_id))
    yield "message that waits", select(notice, notice.c.body, "source_id", "received_at", theirs)


def _content(raw: Any) -> Any:
    """A text as JSON, where it is; else as a string."""
    if not isinstance(raw, bytes | memoryview):
        return raw
    try:
        return msgspec.json.decode(bytes(raw))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return bytes(raw).decode(errors="replace")
