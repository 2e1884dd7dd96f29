"""Inserts many rows by one statement, which takes them as JSON. Rows hold no bytes.

With a statement for each row, a thread that writes to SQLite would wait for its turn after every row; on PostgreSQL every row would
cost a message.
"""

from collections.abc import Sequence
from functools import cache

import msgspec
import sqlalchemy as sa

from ipt_workflow.store.commits import batches
from ipt_workflow.store.commits.rows import Row


def insert_all(connection: sa.Connection, table: sa.Table, new: Sequence[Row]) -> None:
    """Inserts rows, each with a value for every column of the table."""
    if not new:
        return
    dialect = connection.dialect.name
    known = batches.columns(dialect, table)
    given = [known.values(row) for row in new] if dialect == "sqlite" else new
    connection.exec_driver_sql(_insert_sql(dialect, table), (msgspec.json.encode(given).decode(),))


@cache
def _insert_sql(dialect: str, table: sa.Table) -> str:
    known = batches.columns(dialect, table)
    names = ", ".join(known.names)
    if dialect == "sqlite":
        values = ", ".join(f"json_extract(value, '$[{index}]')" for index in range(len(known.names)))
        return f"INSERT INTO {table.name} ({names}) SELECT {values} FROM json_each(?)"
    shapes = ", ".join(f"{name} {kind}" for name, kind in zip(known.names, known.types, strict=True))
    return f"INSERT INTO {table.name} ({names}) SELECT {names} FROM json_to_recordset($1::JSON) AS given ({shapes})"
