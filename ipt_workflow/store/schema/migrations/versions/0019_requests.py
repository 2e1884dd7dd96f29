"""The request behind every entry, and failed authentications by address and minute."""

import sqlalchemy as sa
import sqlmodel
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("entry", sa.Column("request_id", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=True))
    op.create_table(
        "authentication_failure",
        sa.Column("minute", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=False),
        sa.Column("address", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("minute", "address"),
    )


def downgrade() -> None:
    raise NotImplementedError("A journal is not taken back; restore a backup instead.")
