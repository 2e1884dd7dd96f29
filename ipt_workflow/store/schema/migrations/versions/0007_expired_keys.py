"""Idempotency keys that have expired are removed by reading the table, once an hour. While it was nearly empty, the index for that could
be taken for the one that finds a key, and stay in a plan made then; and every request paid for it."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("ix_idempotency_expires", table_name="idempotency")


def downgrade() -> None:
    raise NotImplementedError("Keys are kept as they are; restore a backup instead.")
