"""Indexes of the courses that need attention, now or later, one for each kind."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

KINDS = ("overdue", "blocked", "ending", "risk", "unsigned", "deviation", "notices", "unassigned", "contradicted")


def upgrade() -> None:
    for kind in KINDS:
        some = sa.text(f"{kind}_from IS NOT NULL")
        op.create_index(
            f"ix_course_{kind}",
            "course",
            ["organisation", f"{kind}_from", "id"],
            sqlite_where=some,
            postgresql_where=some,
        )


def downgrade() -> None:
    raise NotImplementedError("A journal is not taken back; restore a backup instead.")
