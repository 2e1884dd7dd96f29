"""Which migration this version of the tables needs, and which one a database is at.

Every start checks this, and so does `/health/ready`. Neither loads Alembic, which only migrating needs.
"""

import sqlalchemy as sa

HEAD = "0007"  # the newest of migrations/versions
SNAPSHOTS = "0005"  # since this one, snapshots have the shape of today's `Course`; a change of the shape needs a new revision


def current(connection: sa.Connection) -> str | None:
    """The revision a database is at; None where it has none of our tables."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    return connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one_or_none()
