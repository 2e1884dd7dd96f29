"""Drops the index on the expiry of idempotency keys. Expired keys are removed by a scan of the table, once an hour.

While the table was nearly empty, a plan could use this index to find a key. The plan was kept, and every request paid for it.
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("ix_idempotency_expires", table_name="idempotency")


def downgrade() -> None:
    raise NotImplementedError("Keys are kept as they are; restore a backup instead.")
