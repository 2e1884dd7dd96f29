"""Refusals keep the structural part of their command, so that it can be replayed under another protocol."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("audit_event", sa.Column("command", sa.LargeBinary(), nullable=True))


def downgrade() -> None:
    raise NotImplementedError("What was refused is not forgotten; restore a backup instead.")
