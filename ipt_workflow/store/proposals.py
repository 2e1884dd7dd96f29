"""Proposals: commands that wait for a supervisor's co-signature."""

import datetime as dt

import msgspec
import sqlalchemy as sa

from ipt_workflow.store import structs
from ipt_workflow.store.schema.tables import course
from ipt_workflow.store.schema.tables import proposal as table


class StoredProposal(msgspec.Struct, frozen=True, kw_only=True):
    """A proposal. `body` is the command as JSON, None once the proposal is decided."""

    id: str
    course_id: str
    version: int
    trigger: str
    body: bytes | None
    proposed_by: str
    proposed_role: str
    proposed_at: dt.datetime
    status: str
    decided_by: str | None = None
    decided_at: dt.datetime | None = None
    entry_seq: int | None = None


_select = sa.select(*structs.columns(table, StoredProposal))


def insert(connection: sa.Connection, organisation: str, proposal: StoredProposal) -> None:
    connection.execute(sa.insert(table), structs.row_of(organisation, proposal))


def page(
    connection: sa.Connection, organisation: str, *, status: str | None, therapist: str | None, after: str, limit: int
) -> list[StoredProposal]:
    """A page of proposals after an id, in the order they were made. With a therapist: those on the therapist's courses."""
    statement = _select.where(table.c.organisation == organisation, table.c.id > after)
    if status:
        statement = statement.where(table.c.status == status)
    if therapist is not None:
        own = sa.select(course.c.id).where(course.c.organisation == organisation, course.c.therapist == therapist)
        statement = statement.where(table.c.course_id.in_(own))
    return structs.read_all(connection, statement.order_by(table.c.id).limit(limit), StoredProposal)


def find(connection: sa.Connection, organisation: str, proposal_id: str) -> StoredProposal | None:
    statement = _select.where(table.c.organisation == organisation, table.c.id == proposal_id)
    return structs.read_first(connection, statement, StoredProposal)
