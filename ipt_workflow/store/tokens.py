"""Tokens: created, listed and revoked. Requests look one up by `lookups.TOKENS`."""

import datetime as dt
from collections.abc import Collection, Mapping

import msgspec
import sqlalchemy as sa

from ipt_workflow.access.people import STAFF_ROLES
from ipt_workflow.store import people, structs
from ipt_workflow.store.schema.tables import token as table


class TokenRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A token without its secret. The database keeps only the secret's hash. `source` is the EHR whose messages its bearer may read.

    `scopes` are separated by spaces; without them, the role alone decides. `system` is the system that got it as an access token.
    """

    id: str
    role: str
    name: str
    subject: str
    created_at: dt.datetime
    expires_at: dt.datetime
    revoked_at: dt.datetime | None = None
    source: str | None = None
    scopes: str | None = None
    system: str | None = None
    last_used_at: dt.datetime | None = None


def insert(connection: sa.Connection, organisation: str, token: TokenRecord, secret_hash: str) -> None:
    """Inserts a token. The subject of a person's role becomes a known person who has it. Raises PersonLeft if the subject has left."""
    if token.role in STAFF_ROLES:
        people.make_known(connection, organisation, token.subject, token.role, token.created_at)
    else:
        people.require_not_left(connection, organisation, token.subject)
    put(connection, organisation, token, secret_hash)


def put(connection: sa.Connection, organisation: str, token: TokenRecord, secret_hash: str) -> None:
    """Inserts a token of whoever it is. A system is no person."""
    connection.execute(sa.insert(table), {**structs.row_of(organisation, token), "secret_hash": secret_hash})


def every(connection: sa.Connection, organisation: str) -> list[TokenRecord]:
    """Tokens that somebody made. Access tokens of systems come and go."""
    statement = sa.select(*structs.columns(table, TokenRecord)).where(
        table.c.organisation == organisation, table.c.system.is_(None)
    )
    return structs.read_all(connection, statement.order_by(table.c.created_at, table.c.id), TokenRecord)


def stripped(connection: sa.Connection, organisation: str, subject: str, role: str) -> bool:
    """Whether a person had tokens for a role and every one of them was revoked. An expired token was not taken away."""
    where = (table.c.organisation == organisation, table.c.subject == subject, table.c.role == role)
    kept = list(connection.execute(sa.select(table.c.revoked_at.is_(None)).where(*where)).scalars())
    return bool(kept) and not any(kept)


def revoke(connection: sa.Connection, organisation: str, token_id: str, at: dt.datetime) -> bool:
    """Revokes a token. Returns False if there is none or it is already revoked."""
    return _revoke(connection, organisation, at, table.c.id == token_id) == 1


def revoke_roles(connection: sa.Connection, organisation: str, subject: str, roles: Collection[str], at: dt.datetime) -> int:
    """Revokes the tokens that a person has for these roles. Returns how many."""
    return _revoke(connection, organisation, at, table.c.subject == subject, table.c.role.in_(roles))


def _revoke(connection: sa.Connection, organisation: str, at: dt.datetime, *conditions: sa.ColumnElement[bool]) -> int:
    where = (table.c.organisation == organisation, table.c.revoked_at.is_(None), *conditions)
    return connection.execute(sa.update(table).where(*where).values(revoked_at=at)).rowcount


def note_uses(connection: sa.Connection, organisation: str, uses: Mapping[str, dt.datetime]) -> None:
    """Writes when tokens were last used, by their ids."""
    at = sa.bindparam("at", type_=table.c.last_used_at.type)
    where = (table.c.organisation == organisation, table.c.id == sa.bindparam("token", type_=sa.String))
    older = sa.or_(table.c.last_used_at.is_(None), table.c.last_used_at < at)
    rows = [{"token": each, "at": used} for each, used in sorted(uses.items())]
    connection.execute(sa.update(table).where(*where, older).values(last_used_at=at), rows)
