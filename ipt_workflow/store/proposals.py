"""Proposals: commands that wait for a supervisor's co-signature."""

import datetime as dt

import msgspec
import sqlalchemy as sa

from ipt_workflow.store.courses import course
from ipt_workflow.store.schema import tables


class StoredProposal(msgspec.Struct, frozen=True, kw_only=True):
    """A proposal. `body` is the command as JSON; it is emptied when the proposal is decided."""

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


_COLUMNS = [tables.proposal.c[name] for name in StoredProposal.__struct_fields__]


def insert(connection: sa.Connection, organisation: str, proposal: StoredProposal) -> None:
    connection.execute(sa.insert(tables.proposal), {"organisation": organisation, **msgspec.structs.asdict(proposal)})


def page(
    connection: sa.Connection, organisation: str, *, status: str | None, therapist: str | None, after: str, limit: int
) -> list[StoredProposal]:
    """Proposals in the order they were made; for a therapist those on their own courses."""
    table = tables.proposal
    statement = sa.select(*_COLUMNS).where(table.c.organisation == organisation, table.c.id > after)
    if status:
        statement = statement.where(table.c.status == status)
    if therapist is not None:
        own = sa.select(course.c.id).where(course.c.organisation == organisation, course.c.therapist == therapist)
        statement = statement.where(table.c.course_id.in_(own))
    return [StoredProposal(**row._mapping) for row in connection.execute(statement.order_by(table.c.id).limit(limit))]  # noqa: SLF001 - as in store/protocols.py


def find(connection: sa.Connection, organisation: str, proposal_id: str) -> StoredProposal | None:
    table = tables.proposal
    where = (table.c.organisation == organisation, table.c.id == proposal_id)
    row = connection.execute(sa.select(*_COLUMNS).where(*where)).first()
    return StoredProposal(**row._mapping) if row else None  # noqa: SLF001 - as in store/protocols.py
