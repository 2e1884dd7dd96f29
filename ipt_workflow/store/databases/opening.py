"""Opening a database by its URL."""

import sqlalchemy as sa

from ipt_workflow.store.database import Database
from ipt_workflow.store.databases.sqlite import SqliteDatabase


def open_database(url: str, *, statement_seconds: float | None = None, connections: int = 4) -> Database:
    """A database by its URL: `sqlite:///path` or `postgresql://…`. A statement on PostgreSQL may take so many seconds."""
    parsed = sa.make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return SqliteDatabase(parsed)
    from ipt_workflow.store.databases.postgres import PostgresDatabase  # noqa: PLC0415 - its driver is loaded where it is used

    return PostgresDatabase(parsed, statement_seconds, connections)
