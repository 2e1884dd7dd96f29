"""Idempotency keys that have expired are found by that alone. An index that begins with the organisation could be taken, while the
table was nearly empty, for the one that finds a key, and stay in a plan that was made then."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("ix_idempotency_expires", table_name="idempotency")
    op.create_index("ix_idempotency_expires", "idempotency", ["expires_at"], unique=False)


def downgrade() -> None:
    raise NotImplementedError("Restore a backup instead.")
