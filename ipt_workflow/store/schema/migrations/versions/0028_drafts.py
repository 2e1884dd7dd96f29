"""Drafts: forms that somebody has begun and not recorded yet."""

import sqlalchemy as sa
import sqlmodel
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    text, moment = sqlmodel.sql.sqltypes.AutoString, sqlmodel.sql.sqltypes.UTCDateTime
    op.create_table(
        "draft",
        sa.Column("organisation", text(length=64), nullable=False),
        sa.Column("course_id", text(length=36), nullable=False),
        sa.Column("person", text(length=128), nullable=False),
        sa.Column("form", text(length=80), nullable=False),
        sa.Column("saved_at", moment(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("organisation", "course_id", "person", "form", name=op.f("pk_draft")),
    )
    op.create_index("ix_draft_person", "draft", ["organisation", "person", "saved_at"])


def downgrade() -> None:
    raise NotImplementedError("A journal is not taken back; restore a backup instead.")
