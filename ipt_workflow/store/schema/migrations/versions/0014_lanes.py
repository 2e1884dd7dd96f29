"""Indexes of waiting deliveries that begin with the subscription, so that PostgreSQL has one way only to find the first of a lane.

While its statistics were old, it took any index that begins with the organisation, and read every waiting delivery for each lane.
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("ix_delivery_due", "ix_delivery_waiting", "ix_delivery_lane"):
        op.drop_index(name, table_name="delivery")
    op.create_index("ix_delivery_status", "delivery", ["organisation", "status"])
    for name, columns in (("ix_delivery_waiting", ["next_at", "position"]), ("ix_delivery_in_lane", ["lane", "position"])):
        waiting = sa.text("status = 'waiting'")
        op.create_index(name, "delivery", ["subscription_id", *columns], postgresql_where=waiting, sqlite_where=waiting)


def downgrade() -> None:
    raise NotImplementedError("A journal is not taken back; restore a backup instead.")
