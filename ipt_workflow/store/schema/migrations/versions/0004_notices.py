"""EHR notices: sources with their keys, notices, feeds.

A course's attention `notices` is read from the notices themselves, so its column is dropped.
"""

import sqlalchemy as sa
import sqlmodel
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("ix_course_notices", "course")
    op.drop_column("course", "notices_from")
    op.create_table(
        "source",
        sa.Column("organisation", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=False),
        sa.Column("id", sqlmodel.sql.sqltypes.AutoString(length=32), nullable=False),
        sa.Column("names_persons", sa.Boolean(), nullable=False),
        sa.Column("all_visits", sa.Boolean(), nullable=False),
        sa.Column("client_prefix", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=False),
        sa.Column("created_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=False),
        sa.Column("created_by", sqlmodel.sql.sqltypes.AutoString(length=128), nullable=False),
        sa.Column("disabled_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("organisation", "id", name=op.f("pk_source")),
    )
    op.create_table(
        "source_key",
        sa.Column("organisation", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=False),
        sa.Column("id", sqlmodel.sql.sqltypes.AutoString(length=36), nullable=False),
        sa.Column("source_id", sqlmodel.sql.sqltypes.AutoString(length=32), nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "standard-webhooks",
                "x-signature",
                "bearer",
                name="source_key_kind",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column("secret", sqlmodel.sql.sqltypes.AutoString(length=500), nullable=False),
        sa.Column("created_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=False),
        sa.Column("expires_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("organisation", "id", name=op.f("pk_source_key")),
    )
    op.create_index("ix_source_key_source", "source_key", ["organisation", "source_id"])
    op.create_table(
        "feed",
        sa.Column("organisation", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=False),
        sa.Column("source_id", sqlmodel.sql.sqltypes.AutoString(length=32), nullable=False),
        sa.Column("subscription", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=False),
        sa.Column("last_event", sa.Integer(), nullable=False),
        sa.Column("seen_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("organisation", "source_id", "subscription", name=op.f("pk_feed")),
    )
    _create_notice()


def _create_notice() -> None:
    op.create_table(
        "notice",
        sa.Column("organisation", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=False),
        sa.Column("id", sqlmodel.sql.sqltypes.AutoString(length=36), nullable=False),
        sa.Column("source_id", sqlmodel.sql.sqltypes.AutoString(length=32), nullable=False),
        sa.Column("key", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=False),
        sa.Column("body_hash", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=False),
        sa.Column("type", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=False),
        sa.Column("resource", sqlmodel.sql.sqltypes.AutoString(length=160), nullable=True),
        sa.Column("resource_version", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=True),
        sa.Column("resource_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=True),
        sa.Column("received_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=False),
        sa.Column(
            "status",
            sa.Enum(
                "received",
                "waiting",
                "applied",
                "ignored",
                "dismissed",
                name="notice_status",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column("risk", sa.Boolean(), nullable=False),
        sa.Column("client_id", sqlmodel.sql.sqltypes.AutoString(length=36), nullable=True),
        sa.Column("course_id", sqlmodel.sql.sqltypes.AutoString(length=36), nullable=True),
        sa.Column("seq", sa.Integer(), nullable=True),
        sa.Column("about_seq", sa.Integer(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.Column("detail", sa.LargeBinary(), nullable=True),
        sa.Column("decided_by", sqlmodel.sql.sqltypes.AutoString(length=128), nullable=True),
        sa.Column("decided_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("organisation", "id", name=op.f("pk_notice")),
        sa.UniqueConstraint("organisation", "source_id", "key", name=op.f("uq_notice_organisation_source_id_key")),
    )
    op.create_index("ix_notice_status", "notice", ["organisation", "status", "id"])
    op.create_index("ix_notice_resource", "notice", ["organisation", "source_id", "resource", "id"])
    some = sa.text("status = 'waiting'")
    for column in ("course_id", "client_id"):
        name = f"ix_notice_waiting_{column}"
        op.create_index(name, "notice", ["organisation", column], sqlite_where=some, postgresql_where=some)


def downgrade() -> None:
    raise NotImplementedError("What was told is not taken back; restore a backup instead.")
