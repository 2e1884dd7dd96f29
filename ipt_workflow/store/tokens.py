"""Tokens: created, listed and revoked. Requests look one up by `lookups.TOKENS`."""

import datetime as dt

import msgspec
import sqlalchemy as sa

from ipt_workflow.store.schema import tables


class TokenRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A token without its secret, of which only the hash is kept."""

    id: str
    role: str
    name: str
    subject: str
    created_at: dt.datetime
    expires_at: dt.datetime
    revoked_at: dt.datetime | None = None


def insert(connection: sa.Connection, organisation: str, token: TokenRecord, secret_hash: str) -> None:
    row = {"organisation": organisation, "secret_hash": secret_hash, **msgspec.structs.asdict(token)}
    connection.execute(sa.insert(tables.token), row)


def every(connection: sa.Connection, organisation: str) -> list[TokenRecord]:
    table = tables.token
    columns = [table.c[name] for name in TokenRecord.__struct_fields__]
    rows = connection.execute(
        sa.select(*columns).where(table.c.organisation == organisation).order_by(table.c.created_at, table.c.id)
    )
    return [TokenRecord(**row._mapping) for row in rows]  # noqa: SLF001 - SQLAlchemy's public name for a row's columns


def revoke(connection: sa.Connection, organisation: str, token_id: str, at: dt.datetime) -> bool:
    """Whether there was such a token, not revoked yet."""
    table = tables.token
    where = (table.c.organisation == organisation, table.c.id == token_id, table.c.revoked_at.is_(None))
    return connection.execute(sa.update(table).where(*where).values(revoked_at=at)).rowcount == 1
