"""Systems that prove themselves with a key; scopes and last use of tokens."""

import sqlalchemy as sa
import sqlmodel
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    text, moment = sqlmodel.sql.sqltypes.AutoString, sqlmodel.sql.sqltypes.UTCDateTime
    op.add_column("token", sa.Column("scopes", text(length=2000), nullable=True))
    op.add_column("token", sa.Column("system", text(length=32), nullable=True))
    op.add_column("token", sa.Column("last_used_at", moment(), nullable=True))
    op.create_index("ix_token_system", "token", ["organisation", "system"])
    op.create_table(
        "system",
        sa.Column("organisation", text(length=64), nullable=False),
        sa.Column("id", text(length=32), nullable=False),
        sa.Column("name", text(length=128), nullable=False),
        sa.Column(
            "role",
            sa.Enum("ehr", "auditor", name="system_role", native_enum=False, create_constraint=True, length=24),
            nullable=False,
        ),
        sa.Column("scopes", text(length=2000), nullable=False),
        sa.Column("jwks_url", text(length=2000), nullable=True),
        sa.Column("jwks", sa.LargeBinary(), nullable=True),
        sa.Column("source", text(length=32), nullable=True),
        sa.Column("created_at", moment(), nullable=False),
        sa.Column("created_by", text(length=128), nullable=False),
        sa.Column("last_token_at", moment(), nullable=True),
        sa.Column("revoked_at", moment(), nullable=True),
        sa.PrimaryKeyConstraint("organisation", "id", name=op.f("pk_system")),
    )
    op.create_table(
        "system_assertion",
        sa.Column("organisation", text(length=64), nullable=False),
        sa.Column("system", text(length=32), nullable=False),
        sa.Column("jti", text(length=64), nullable=False),
        sa.Column("expires_at", moment(), nullable=False),
        sa.PrimaryKeyConstraint("organisation", "system", "jti", name=op.f("pk_system_assertion")),
    )


def downgrade() -> None:
    raise NotImplementedError("A journal is not taken back; restore a backup instead.")
