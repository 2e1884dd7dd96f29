"""More kinds of attention: a column for each, and an index of the courses that need it, now or later.

`db upgrade` fills the columns.
"""

import sqlalchemy as sa
import sqlmodel
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

KINDS = ("owed", "consent", "not_attending", "deteriorating", "not_improving", "outcome_missing", "transfer_open")


def upgrade() -> None:
    for kind in KINDS:
        some = sa.text(f"{kind}_from IS NOT NULL")
        op.add_column("course", sa.Column(f"{kind}_from", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=True))
        op.create_index(
            f"ix_course_{kind}",
            "course",
            ["organisation", f"{kind}_from", "id"],
            sqlite_where=some,
            postgresql_where=some,
        )
    with op.batch_alter_table("attention_told") as batch:
        batch.alter_column(
            "kinds",
            existing_type=sqlmodel.sql.sqltypes.AutoString(length=64),
            type_=sqlmodel.sql.sqltypes.AutoString(length=255),
            existing_nullable=False,
        )


def downgrade() -> None:
    raise NotImplementedError("A journal is not taken back; restore a backup instead.")
