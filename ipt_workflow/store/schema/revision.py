"""The revision that this version's tables need, and the revision of a database.

Every start and `/health/ready` compare them. Neither loads Alembic, which only migrations need.
"""

import sqlalchemy as sa

HEAD = "0037"  # the newest of migrations/versions
ATTENTION = "0017"  # the first whose courses note all kinds of attention of today
ROW_SECURITY = "0025"  # the first whose processes bind their connections to organisations
SHARING = "0026"  # the first whose courses note whether they are shared
FOREIGN = "of another program"
SNAPSHOTS = "0015"  # the first whose snapshots have the shape of today's `Course`; a new shape needs a new revision

TABLES = 0x1B7_DB  # the advisory lock of who makes or changes the tables


def current(connection: sa.Connection) -> str | None:
    """The revision of a database; None if it has none of our tables."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    rows = connection.exec_driver_sql("SELECT * FROM alembic_version")
    if list(rows.keys()) != ["version_num"]:
        return FOREIGN
    found = rows.scalars().all()
    return None if not found else str(found[0]) if len(found) == 1 else FOREIGN


def take_turns(connection: sa.Connection) -> None:
    """Waits until no other process makes or changes the tables. Until the end of the transaction, no other will."""
    if connection.dialect.name == "postgresql":  # SQLite has one writer anyway
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(TABLES)))
