"""Indexes of courses by phase and by protocol, and by client in the order of ids.

Without them a search for a rare phase or protocol read every course. SQLite did so too for the courses of one client.
"""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_course_phase", "course", ["organisation", "phase", "id"])
    op.create_index("ix_course_protocol", "course", ["organisation", "protocol", "id"])
    op.drop_index("ix_course_client", table_name="course")
    op.create_index("ix_course_client", "course", ["organisation", "client_id", "id"])


def downgrade() -> None:
    raise NotImplementedError("A journal is not taken back; restore a backup instead.")
