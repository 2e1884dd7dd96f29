"""Proposals that a supervisor returns for revision, with a comment."""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

STATUSES = ("waiting", "returned", "cosigned", "declined", "lapsed")
REASONS = ("course_ended", "moved_on", "proposer", "revised")


def upgrade() -> None:
    with op.batch_alter_table("proposal") as batch:
        for name, column, values in (("proposal_status", "status", STATUSES), ("proposal_reason", "reason", REASONS)):
            batch.drop_constraint(op.f(f"ck_proposal_{name}"), type_="check")
            batch.create_check_constraint(name, f"{column} IN ({', '.join(repr(each) for each in values)})")
        batch.add_column(sa.Column("comment", sa.LargeBinary(), nullable=True))
    op.drop_index("ix_proposal_waiting", "proposal")
    undecided = sa.text("body IS NOT NULL")
    op.create_index(
        "ix_proposal_undecided", "proposal", ["organisation", "course_id"], postgresql_where=undecided, sqlite_where=undecided
    )


def downgrade() -> None:
    raise NotImplementedError("Returned proposals are kept as they are; restore a backup instead.")
