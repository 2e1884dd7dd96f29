"""The revision that this version's tables need, and the revision of a database.

Every start and `/health/ready` compare them. Neither loads Alembic, which only migrations need.
"""

import sqlalchemy as sa

HEAD = "0020"  # the newest of migrations/versions
ATTENTION = "0017"  # the first whose courses note all kinds of attention of today
FOREIGN = "of another program"
SNAPSHOTS = "0015"  # the first whose snapshots have the shape of today's `Course`; a new shape needs a new revision


def current(connection: sa.Connection) -> str | None:
    """The revision of a database; None if it has none of our tables."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    rows = connection.exec_driver_sql("SELECT * FROM alembic_version")
    if list(rows.keys()) != ["version_num"]:
        return FOREIGN
    found = rows.scalars().all()
    return None if not found else str(found[0]) if len(found) == 1 else FOREIGN
