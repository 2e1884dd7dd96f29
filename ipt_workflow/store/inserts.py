"""Inserts many rows by one statement, which takes them as JSON. Bytes in rows are those of JSON documents.

With a statement for each row, a thread that writes to SQLite would wait for its turn after every row; on PostgreSQL every row would
cost a message.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

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
    if dialect == "sqlite":
        given: Any = [[_text(value) for value in known.values(row)] for row in new]
    else:
        given = [{name: _text(value) for name, value in row.items()} for row in new]
    connection.exec_driver_sql(_insert_sql(dialect, table), (msgspec.json.encode(given).decode(),))


def _text(value: Any) -> Any:
    """Bytes as the text that they are."""
    return bytes(value).decode() if isinstance(value, bytes | memoryview) else value


@cache
def _insert_sql(dialect: str, table: sa.Table) -> str:
    known = batches.columns(dialect, table)
    names = ", ".join(known.names)
    if dialect == "sqlite":
        extracted = [(name, f"json_extract(value, '$[{index}]')") for index, name in enumerate(known.names)]
        values = ", ".join(f"CAST({value} AS BLOB)" if name in known.of_bytes else value for name, value in extracted)
        return f"INSERT INTO {table.name} ({names}) SELECT {values} FROM json_each(?)"
    shapes = ", ".join(
        f"{name} {'TEXT' if name in known.of_bytes else kind}" for name, kind in zip(known.names, known.types, strict=True)
    )
    values = ", ".join(f"convert_to({name}, 'UTF8')" if name in known.of_bytes else name for name in known.names)
    return f"INSERT INTO {table.name} ({names}) SELECT {values} FROM json_to_recordset($1::JSON) AS given ({shapes})"
