"""What PostgreSQL knows of its tables, and plans from.

Under row-level security the organisation is compared twice. So while the statistics are old, PostgreSQL expects one row of every index that
begins with it, and takes any of them.
"""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

# The tables that are read as a whole, each with those that are joined to it.
JOINED = ("audit_event", "audit_subject", "entry", "entry_data", "log_leaf", "log_outbox", "outbox")
FEW = 50  # rows of which PostgreSQL makes no statistics


def join_many(connection: sa.Connection) -> None:
    """Before many rows are joined: while the statistics are old, PostgreSQL reads each table once, until the transaction ends.

    By itself it would read all rows of an organisation again for each row of the other table.
    """
    if connection.dialect.name == "postgresql" and connection.execute(_old, {"names": list(JOINED), "few": FEW}).first():
        connection.execute(_read_once)


_old = sa.text(
    "SELECT 1 FROM pg_stat_user_tables WHERE schemaname = current_schema() AND relname = ANY (:names)"
    " AND n_mod_since_analyze > :few + n_live_tup / 2 LIMIT 1"
).bindparams(sa.bindparam("names", type_=postgresql.ARRAY(sa.String)))
_read_once = sa.text("SELECT set_config('enable_nestloop', 'off', true)")
