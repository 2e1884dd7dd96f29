"""Proposals that can never pass lapse, with a reason. Those on courses that have ended lapse now."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

STATUSES = ("waiting", "cosigned", "declined", "lapsed")
REASONS = ("course_ended", "moved_on", "proposer")
ON_ENDED_COURSES = """
UPDATE proposal SET status = 'lapsed', reason = 'course_ended', body = NULL
WHERE status = 'waiting' AND trigger NOT IN ('reopen', 'amend') AND EXISTS (
  SELECT 1 FROM course WHERE course.organisation = proposal.organisation AND course.id = proposal.course_id
  AND course.state IN ('completed', 'ended_early', 'not_suitable')
)
"""


def upgrade() -> None:
    reason = sa.Enum(*REASONS, name="proposal_reason", native_enum=False, create_constraint=True, length=24)
    with op.batch_alter_table("proposal") as batch_op:
        batch_op.drop_constraint(op.f("ck_proposal_proposal_status"), type_="check")
        batch_op.create_check_constraint("proposal_status", f"status IN ({', '.join(repr(each) for each in STATUSES)})")
        batch_op.add_column(sa.Column("reason", reason, nullable=True))
    waiting = sa.text("status = 'waiting'")
    op.create_index(
        "ix_proposal_waiting", "proposal", ["organisation", "course_id"], postgresql_where=waiting, sqlite_where=waiting
    )
    op.execute(ON_ENDED_COURSES)


def downgrade() -> None:
    raise NotImplementedError("Lapsed proposals are kept as they are; restore a backup instead.")
