"""Events that tell whether a course is shared, and an index by which a relay finds what is due of one subscription."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

KINDS = ("entry", "refusal", "attention", "disabled", "ping", "withheld", "resumed")


def upgrade() -> None:
    with op.batch_alter_table("event") as batch_op:
        batch_op.drop_constraint(op.f("ck_event_event_kind"), type_="check")
        batch_op.create_check_constraint("event_kind", f"kind IN ({', '.join(repr(kind) for kind in KINDS)})")
    sharing = sa.text("kind IN ('withheld', 'resumed')")
    op.create_index("ix_event_sharing", "event", ["organisation", "course_id"], postgresql_where=sharing, sqlite_where=sharing)
    waiting = sa.text("status = 'waiting'")
    op.create_index(
        "ix_delivery_waiting",
        "delivery",
        ["organisation", "subscription_id", "next_at", "position"],
        postgresql_where=waiting,
        sqlite_where=waiting,
    )


def downgrade() -> None:
    raise NotImplementedError("Events are kept as they are; restore a backup instead.")
