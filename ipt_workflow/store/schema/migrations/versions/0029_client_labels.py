"""Labels of clients, and indexes by which open courses and somebody's proposals are found."""

import sqlalchemy as sa
import sqlmodel
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

OPEN = "state NOT IN ('completed', 'ended_early', 'not_suitable')"


def upgrade() -> None:
    text, moment = sqlmodel.sql.sqltypes.AutoString, sqlmodel.sql.sqltypes.UTCDateTime
    op.create_table(
        "client_label",
        sa.Column("organisation", text(length=64), nullable=False),
        sa.Column("client_id", text(length=36), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.Column("given_by", text(length=128), nullable=False),
        sa.Column("given_at", moment(), nullable=False),
        sa.PrimaryKeyConstraint("organisation", "client_id", name=op.f("pk_client_label")),
    )
    for name, columns in (("ix_course_open", ["id"]), ("ix_course_open_therapist", ["therapist", "id"])):
        some = sa.text(OPEN)
        op.create_index(name, "course", ["organisation", *columns], sqlite_where=some, postgresql_where=some)
    op.create_index("ix_proposal_proposer", "proposal", ["organisation", "proposed_by", "id"])


def downgrade() -> None:
    raise NotImplementedError("A journal is not taken back; restore a backup instead.")
