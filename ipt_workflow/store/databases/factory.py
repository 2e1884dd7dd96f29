"""Opening a database by its URL."""

import sqlalchemy as sa

from ipt_workflow.store.database import Database
from ipt_workflow.store.databases.sqlite import SqliteDatabase


def open_database(url: str, *, statement_seconds: float | None = None, connections: int = 4) -> Database:
    """Opens `sqlite:///path` or `postgresql://…`.

    On PostgreSQL a statement may take `statement_seconds`, and each of the two pools holds as many connections as `connections`.
    """
    parsed = sa.make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return SqliteDatabase(parsed)
    from ipt_workflow.store.databases.postgres import PostgresDatabase  # noqa: PLC0415 - its driver is loaded only if it is used

    return PostgresDatabase(parsed, statement_seconds, connections)
