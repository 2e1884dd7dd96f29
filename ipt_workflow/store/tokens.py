"""Tokens, listed and revoked."""

import datetime as dt

import sqlalchemy as sa

from ipt_workflow.store.schema import tables
from ipt_workflow.store.schema.tables import TokenRow


def tokens(connection: sa.Connection, organisation: str) -> list[TokenRow]:
    table = tables.token
    rows = connection.execute(sa.select(table).where(table.c.organisation == organisation).order_by(table.c.created_at, table.c.id))
    return [TokenRow(**row._mapping) for row in rows]  # noqa: SLF001


def revoke_token(connection: sa.Connection, organisation: str, token_id: str, at: dt.datetime) -> bool:
    table = tables.token
    where = (table.c.organisation == organisation, table.c.id == token_id, table.c.revoked_at.is_(None))
    return connection.execute(sa.update(table).where(*where).values(revoked_at=at)).rowcount == 1
