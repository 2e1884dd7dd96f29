"""Failed authentications: counted by address and minute, for the whole installation, and never more rows than ROWS_MAX."""

import datetime as dt
from collections.abc import Mapping

import msgspec
import sqlalchemy as sa

from ipt_workflow.store.schema.tables import authentication_failure as table
from ipt_workflow.store.upserts import insert_or

ROWS_MAX = 100_000
Counts = Mapping[tuple[dt.datetime, str], int]  # by minute and address


class FailureCount(msgspec.Struct, frozen=True, kw_only=True):
    """How often authentication failed from an address in a minute."""

    minute: dt.datetime
    address: str
    count: int


def add(connection: sa.Connection, counts: Counts, keep_from: dt.datetime) -> None:
    """Adds to the counts, then removes those before `keep_from`, and the oldest beyond ROWS_MAX."""
    insert = insert_or(connection, table)
    adding = insert.on_conflict_do_update(
        index_elements=[table.c.minute, table.c.address], set_={"count": table.c.count + insert.excluded.count}
    )
    rows = [{"minute": minute, "address": address, "count": count} for (minute, address), count in sorted(counts.items())]
    connection.execute(adding, rows)
    newest = sa.select(table.c.minute).order_by(table.c.minute.desc(), table.c.address).offset(ROWS_MAX).limit(1)
    beyond = connection.execute(newest).scalar_one_or_none()
    end = keep_from if beyond is None else max(keep_from, beyond + dt.timedelta(minutes=1))
    connection.execute(sa.delete(table).where(table.c.minute < end))


def newest(connection: sa.Connection, limit: int) -> list[FailureCount]:
    """The newest counts, the newest first."""
    statement = (
        sa.select(table.c.minute, table.c.address, table.c.count).order_by(table.c.minute.desc(), table.c.address).limit(limit)
    )
    return [FailureCount(minute=minute, address=address, count=count) for minute, address, count in connection.execute(statement)]
