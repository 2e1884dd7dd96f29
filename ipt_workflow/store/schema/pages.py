"""Finds damaged pages of a SQLite file. PostgreSQL has checksums of its own, and names a damaged page when it is read."""

import sqlalchemy as sa

REPORTED_MAX = 20


def damage(connection: sa.Connection) -> list[str]:
    """What SQLite finds wrong with its file; empty on PostgreSQL."""
    if connection.dialect.name != "sqlite":
        return []
    found = connection.exec_driver_sql(f"PRAGMA integrity_check({REPORTED_MAX})").scalars()
    return [
        line.strip() for text in found for line in str(text).splitlines() if line.strip() != "ok" and not line.startswith("***")
    ]
