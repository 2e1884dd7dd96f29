"""Proposals, read."""

from typing import Any

import sqlalchemy as sa

from ipt_workflow.store.courses import course
from ipt_workflow.store.schema import tables


def proposals(
    connection: sa.Connection, organisation: str, *, status: str | None, therapist: str | None, after: str, limit: int
) -> list[Any]:
    """Proposals in the order they were made; for a therapist those on their own courses."""
    table = tables.proposal
    statement = sa.select(table).where(table.c.organisation == organisation, table.c.id > after)
    if status:
        statement = statement.where(table.c.status == status)
    if therapist is not None:
        own = sa.select(course.c.id).where(course.c.organisation == organisation, course.c.therapist == therapist)
        statement = statement.where(table.c.course_id.in_(own))
    return list(connection.execute(statement.order_by(table.c.id).limit(limit)))


def proposal(connection: sa.Connection, organisation: str, proposal_id: str) -> Any | None:
    table = tables.proposal
    return connection.execute(sa.select(table).where(table.c.organisation == organisation, table.c.id == proposal_id)).first()
