"""Opening a database by its URL."""

import sqlalchemy as sa

from ipt_workflow.store.database import Database
from ipt_workflow.store.postgres import PostgresDatabase
from ipt_workflow.store.sqlite import SqliteDatabase


def open_database(url: str, *, statement_seconds: float | None = None, connections: int = 4) -> Database:
    """A database by its URL: `sqlite:///path` or `postgresql://…`. A statement on PostgreSQL may take so many seconds."""
    parsed = sa.make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return SqliteDatabase(parsed)
    return PostgresDatabase(parsed, statement_seconds, connections)
