"""Cover by colleagues, restricted courses, and on what basis every entry was written."""

import sqlalchemy as sa
import sqlmodel
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

ROLES = ("therapist", "supervisor", "auditor", "ehr", "admin")


def upgrade() -> None:
    text, moment = sqlmodel.sql.sqltypes.AutoString, sqlmodel.sql.sqltypes.UTCDateTime
    for name, length in (("basis", 16), ("purpose", 16), ("on_behalf_of", 128)):
        op.add_column("entry", sa.Column(name, text(length=length), nullable=True))
    op.add_column("proposal", sa.Column("therapist", text(length=128), nullable=True))
    op.add_column("course", sa.Column("restricted", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_table(
        "cover",
        sa.Column("organisation", text(length=64), nullable=False),
        sa.Column("id", text(length=36), nullable=False),
        sa.Column("therapist", text(length=128), nullable=False),
        sa.Column("colleague", text(length=128), nullable=False),
        sa.Column("starts_at", moment(), nullable=False),
        sa.Column("ends_at", moment(), nullable=False),
        sa.Column("everything", sa.Boolean(), nullable=False),
        sa.Column("client_told", sa.Boolean(), nullable=False),
        sa.Column("reason", text(length=4000), nullable=False),
        sa.Column("set_by", text(length=128), nullable=False),
        sa.Column(
            "set_role", sa.Enum(*ROLES, name="cover_role", native_enum=False, create_constraint=True, length=24), nullable=False
        ),
        sa.Column("set_at", moment(), nullable=False),
        sa.Column("ended_at", moment(), nullable=True),
        sa.Column("ended_by", text(length=128), nullable=True),
        sa.PrimaryKeyConstraint("organisation", "id", name=op.f("pk_cover")),
    )
    op.create_index("ix_cover_colleague", "cover", ["organisation", "colleague", "ends_at"])
    op.create_index("ix_cover_therapist", "cover", ["organisation", "therapist", "ends_at"])
    op.create_table(
        "cover_course",
        sa.Column("organisation", text(length=64), nullable=False),
        sa.Column("cover_id", text(length=36), nullable=False),
        sa.Column("course_id", text(length=36), nullable=False),
        sa.PrimaryKeyConstraint("organisation", "cover_id", "course_id", name=op.f("pk_cover_course")),
    )
    op.create_table(
        "restriction",
        sa.Column("organisation", text(length=64), nullable=False),
        sa.Column("id", text(length=36), nullable=False),
        sa.Column("course_id", text(length=36), nullable=False),
        sa.Column("reason", text(length=4000), nullable=False),
        sa.Column("set_by", text(length=128), nullable=False),
        sa.Column("set_at", moment(), nullable=False),
        sa.Column("ended_at", moment(), nullable=True),
        sa.Column("ended_by", text(length=128), nullable=True),
        sa.PrimaryKeyConstraint("organisation", "id", name=op.f("pk_restriction")),
    )
    in_force = sa.text("ended_at IS NULL")
    op.create_index(
        "uq_restriction_course",
        "restriction",
        ["organisation", "course_id"],
        unique=True,
        sqlite_where=in_force,
        postgresql_where=in_force,
    )
    op.create_table(
        "restriction_person",
        sa.Column("organisation", text(length=64), nullable=False),
        sa.Column("restriction_id", text(length=36), nullable=False),
        sa.Column("person", text(length=128), nullable=False),
        sa.PrimaryKeyConstraint("organisation", "restriction_id", "person", name=op.f("pk_restriction_person")),
    )
    op.create_index("ix_restriction_person_person", "restriction_person", ["organisation", "person", "restriction_id"])


def downgrade() -> None:
    raise NotImplementedError("A journal is not taken back; restore a backup instead.")
