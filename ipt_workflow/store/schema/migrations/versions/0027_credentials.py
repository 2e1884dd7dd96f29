"""Passkeys, recovery codes, and passwords with a second factor."""

import sqlalchemy as sa
import sqlmodel
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None


def upgrade() -> None:
    text, moment = sqlmodel.sql.sqltypes.AutoString, sqlmodel.sql.sqltypes.UTCDateTime
    op.create_table(
        "passkey",
        sa.Column("organisation", text(length=64), nullable=False),
        sa.Column("id", text(length=64), nullable=False),
        sa.Column("person", text(length=128), nullable=False),
        sa.Column("user_handle", sa.LargeBinary(), nullable=False),
        sa.Column("credential", sa.LargeBinary(), nullable=False),
        sa.Column("sign_count", sa.BigInteger(), nullable=False),
        sa.Column("synced", sa.Boolean(), nullable=False),
        sa.Column("created_at", moment(), nullable=False),
        sa.Column("used_at", moment(), nullable=True),
        sa.PrimaryKeyConstraint("organisation", "id", name=op.f("pk_passkey")),
    )
    op.create_index("ix_passkey_person", "passkey", ["organisation", "person"])
    op.create_table(
        "recovery_code",
        sa.Column("organisation", text(length=64), nullable=False),
        sa.Column("person", text(length=128), nullable=False),
        sa.Column("hash", text(length=64), nullable=False),
        sa.Column("created_at", moment(), nullable=False),
        sa.PrimaryKeyConstraint("organisation", "person", "hash", name=op.f("pk_recovery_code")),
    )
    op.create_table(
        "password",
        sa.Column("organisation", text(length=64), nullable=False),
        sa.Column("person", text(length=128), nullable=False),
        sa.Column("hash", text(length=255), nullable=False),
        sa.Column("second_factor", text(length=255), nullable=False),
        sa.Column("used_step", sa.BigInteger(), nullable=False),
        sa.Column("changed_at", moment(), nullable=False),
        sa.PrimaryKeyConstraint("organisation", "person", name=op.f("pk_password")),
    )


def downgrade() -> None:
    raise NotImplementedError("A journal is not taken back; restore a backup instead.")
