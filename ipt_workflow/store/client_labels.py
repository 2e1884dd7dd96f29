"""What a clinic calls its clients beside their references. A label that was taken away or erased leaves a row without its text."""

import datetime as dt
from collections.abc import Sequence

import msgspec
import sqlalchemy as sa

from ipt_workflow.store import attempts
from ipt_workflow.store.courses import by_ids, execute_by_ids
from ipt_workflow.store.schema.tables import client_label as table
from ipt_workflow.store.schema.tables import course
from ipt_workflow.store.units import LoggedEvent
from ipt_workflow.store.upserts import insert_or


class StoredLabel(msgspec.Struct, frozen=True, kw_only=True):
    """A client's label. `sealed` is its document, None if it was taken away or erased."""

    client_id: str
    sealed: bytes | None
    given_by: str
    given_at: dt.datetime


def give(connection: sa.Connection, organisation: str, new: StoredLabel, record: LoggedEvent) -> None:
    """Sets a client's label in place of the one they had, or takes it away, and records that."""
    key = {"organisation": organisation, "client_id": new.client_id}
    values = {"sealed": new.sealed, "given_by": new.given_by, "given_at": new.given_at}
    insert = insert_or(connection, table).values(**key, **values)
    connection.execute(insert.on_conflict_do_update(index_elements=list(key), set_=values))
    attempts.log(connection, [record])


def of_course(connection: sa.Connection, organisation: str, course_id: str) -> StoredLabel | None:
    """The label of a course's client; None if they never had one."""
    joined = course.join(table, sa.and_(table.c.organisation == course.c.organisation, table.c.client_id == course.c.client_id))
    statement = sa.select(table.c.client_id, table.c.sealed, table.c.given_by, table.c.given_at).select_from(joined)
    row = connection.execute(statement.where(course.c.organisation == organisation, course.c.id == course_id)).mappings().first()
    return StoredLabel(**row) if row else None


_given = sa.select(table.c.client_id, table.c.sealed).where(table.c.sealed.is_not(None))
_of_clients = by_ids(_given, table.c.organisation, table.c.client_id)


def of_clients(connection: sa.Connection, organisation: str, client_ids: Sequence[str]) -> dict[str, bytes]:
    """The documents of the labels that these clients have, by client."""
    return {row.client_id: row.sealed for row in execute_by_ids(connection, _of_clients, organisation, client_ids)}
