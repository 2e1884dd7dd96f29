"""Systems that prove themselves with a key of their own, the assertions they used, and the access tokens they got."""

import datetime as dt

import msgspec
import sqlalchemy as sa
from msgspec import UNSET, UnsetType

from ipt_workflow.store import structs, tokens
from ipt_workflow.store.schema import tables
from ipt_workflow.store.tokens import TokenRecord
from ipt_workflow.store.upserts import insert_or

system, assertion, token = tables.system, tables.system_assertion, tables.token
KEPT = dt.timedelta(days=1)  # after it expired, so that a last use can still be written


class StoredSystem(msgspec.Struct, frozen=True, kw_only=True):
    """A system. Its keys are at `jwks_url`, or are `jwks`. `scopes` are separated by spaces."""

    id: str
    name: str
    role: str
    scopes: str
    jwks_url: str | None
    jwks: bytes | None
    source: str | None
    created_at: dt.datetime
    created_by: str
    last_token_at: dt.datetime | None = None
    revoked_at: dt.datetime | None = None


class SystemUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """What changes of a system. Fields that are not set keep their values."""

    name: str | UnsetType = UNSET
    scopes: str | UnsetType = UNSET
    jwks_url: str | UnsetType | None = UNSET
    jwks: bytes | UnsetType | None = UNSET


_select = sa.select(*structs.columns(system, StoredSystem))


def add(connection: sa.Connection, organisation: str, new: StoredSystem) -> bool:
    """Adds a system; False if the id is taken."""
    adding = insert_or(connection, system).values(structs.row_of(organisation, new)).on_conflict_do_nothing()
    return connection.execute(adding).rowcount == 1


def find(connection: sa.Connection, organisation: str, system_id: str) -> StoredSystem | None:
    where = (system.c.organisation == organisation, system.c.id == system_id)
    return structs.read_first(connection, _select.where(*where), StoredSystem)


def every(connection: sa.Connection, organisation: str, after: str = "", limit: int | None = None) -> list[StoredSystem]:
    """The systems after an id, in the order of their ids."""
    statement = _select.where(system.c.organisation == organisation, system.c.id > after)
    return structs.read_all(connection, statement.order_by(system.c.id).limit(limit), StoredSystem)


def update(connection: sa.Connection, organisation: str, system_id: str, changed: SystemUpdate, at: dt.datetime) -> bool:
    """Changes a system that is not revoked, and ends its access tokens; False if there is none."""
    values = {name: value for name, value in msgspec.structs.asdict(changed).items() if value is not UNSET}
    return _ended(connection, organisation, system_id, at, values)


def revoke(connection: sa.Connection, organisation: str, system_id: str, at: dt.datetime) -> bool:
    """Revokes a system with its access tokens; False if there is none, or it is revoked already."""
    return _ended(connection, organisation, system_id, at, {"revoked_at": at})


def _ended(connection: sa.Connection, organisation: str, system_id: str, at: dt.datetime, values: dict[str, object]) -> bool:
    """Changes the system's row first: who issues a token waits for that row, and so no token is issued in between."""
    where = (system.c.organisation == organisation, system.c.id == system_id, system.c.revoked_at.is_(None))
    if connection.execute(sa.update(system).where(*where).values(**values)).rowcount == 0:
        return False
    live = (token.c.organisation == organisation, token.c.system == system_id, token.c.revoked_at.is_(None))
    connection.execute(sa.update(token).where(*live).values(revoked_at=at))
    return True


class Used(msgspec.Struct, frozen=True):
    """An assertion that was accepted, by the SHA-256 of its jti. After `expires_at` it would be too old anyway."""

    jti: str
    expires_at: dt.datetime


def issue(
    connection: sa.Connection, organisation: str, system_id: str, used: Used, new: TokenRecord, secret_hash: str
) -> str | None:
    """Stores an access token. Returns why it may not be issued: the system is `gone`, or the assertion was `used` before.

    Removes what has long expired.
    """
    where = (system.c.organisation == organisation, system.c.id == system_id, system.c.revoked_at.is_(None))
    if connection.execute(sa.update(system).where(*where).values(last_token_at=new.created_at)).rowcount == 0:
        return "gone"
    old = (assertion.c.organisation == organisation, assertion.c.system == system_id, assertion.c.expires_at < new.created_at)
    connection.execute(sa.delete(assertion).where(*old))
    keeping = insert_or(connection, assertion).values(organisation=organisation, system=system_id, **msgspec.structs.asdict(used))
    if connection.execute(keeping.on_conflict_do_nothing()).rowcount == 0:
        return "used"
    past = (token.c.organisation == organisation, token.c.system == system_id, token.c.expires_at < new.created_at - KEPT)
    connection.execute(sa.delete(token).where(*past))
    tokens.put(connection, organisation, new, secret_hash)
    return None
