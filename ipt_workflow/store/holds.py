"""Holds on clients' records: while one is in force, nothing of the client is erased, and no retention period ends."""

import datetime as dt
from collections.abc import Collection

import msgspec
import sqlalchemy as sa

from ipt_workflow.store.courses import by_ids, execute_by_ids
from ipt_workflow.store.schema.tables import client
from ipt_workflow.store.schema.tables import client_mark as mark


class HoldInForce(msgspec.Struct, frozen=True, kw_only=True):
    """A hold on a client's record. `ground` is a code of `access.marks.GROUNDS`."""

    id: str
    ground: str
    set_by: str
    set_at: dt.datetime


_select = (
    sa.select(mark.c.client_id, mark.c.id, mark.c.ground, mark.c.set_by, mark.c.set_at)
    .where(mark.c.kind == sa.literal_column("'hold'"), mark.c.ended_at.is_(None))
    .order_by(mark.c.set_at, mark.c.id)
)
_of_clients = by_ids(_select, mark.c.organisation, mark.c.client_id)


def blocking(connection: sa.Connection, organisation: str, client_id: str) -> list[HoldInForce]:
    """The holds in force on a client's record, oldest first.

    It locks the record until the transaction ends, so that nobody sets a hold before what was not blocked is done.
    """
    lock(connection, organisation, client_id)
    return of_clients(connection, organisation, [client_id]).get(client_id, [])


def lock(connection: sa.Connection, organisation: str, client_id: str) -> bool:
    """Locks a client's record until the transaction ends. Returns whether there is one."""
    own = sa.select(client.c.id).where(client.c.organisation == organisation, client.c.id == client_id)
    return connection.execute(own.with_for_update()).first() is not None


def of_clients(connection: sa.Connection, organisation: str, client_ids: Collection[str]) -> dict[str, list[HoldInForce]]:
    """The holds in force on the records of clients, oldest first, by client. It locks nothing."""
    found: dict[str, list[HoldInForce]] = {}
    for row in execute_by_ids(connection, _of_clients, organisation, client_ids) if client_ids else ():
        found.setdefault(row.client_id, []).append(HoldInForce(id=row.id, ground=row.ground, set_by=row.set_by, set_at=row.set_at))
    return found
