"""Disclosures that people of the clinic made by other ways than this service."""

import sqlalchemy as sa
import sqlmodel
from alembic import op

revision = "0035"
down_revision = "0034"
branch_labels = None
depends_on = None

ROLES = ("therapist", "supervisor", "auditor", "ehr", "admin")
SQLITE_GUARDS = (
    "CREATE TRIGGER guard_disclosure_update BEFORE UPDATE ON disclosure WHEN 1 BEGIN SELECT RAISE(ABORT, 'disclosure is append-only'); END",
    "CREATE TRIGGER guard_disclosure_delete BEFORE DELETE ON disclosure WHEN 1 BEGIN SELECT RAISE(ABORT, 'disclosure is append-only'); END",
    "CREATE TRIGGER guard_disclosure_insert BEFORE INSERT ON disclosure WHEN EXISTS (SELECT 1 FROM disclosure WHERE organisation = NEW.organisation AND id = NEW.id) OR EXISTS (SELECT 1 FROM disclosure WHERE rowid = NEW.rowid) BEGIN SELECT RAISE(ABORT, 'disclosure has this row already'); END",
)
POSTGRESQL_GUARDS = (
    "CREATE TRIGGER guard_disclosure_rows BEFORE UPDATE OR DELETE ON disclosure FOR EACH ROW EXECUTE FUNCTION guard_append_only()",
    "CREATE TRIGGER guard_disclosure_truncate BEFORE TRUNCATE ON disclosure FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only()",
)


def upgrade() -> None:
    text, moment = sqlmodel.sql.sqltypes.AutoString, sqlmodel.sql.sqltypes.UTCDateTime
    op.create_table(
        "disclosure",
        sa.Column("organisation", text(length=64), nullable=False),
        sa.Column("id", text(length=36), nullable=False),
        sa.Column("client_id", text(length=36), nullable=False),
        sa.Column("disclosed_at", moment(), nullable=False),
        sa.Column("purpose", text(length=16), nullable=False),
        sa.Column("authorised", sa.Boolean(), nullable=False),
        sa.Column("person", text(length=128), nullable=False),
        sa.Column(
            "role",
            sa.Enum(*ROLES, name="disclosure_role", native_enum=False, create_constraint=True, length=24),
            nullable=False,
        ),
        sa.Column("via", text(length=16), nullable=False),
        sa.Column("recorded_at", moment(), nullable=False),
        sa.Column("text_digest", text(length=64), nullable=False),
        sa.PrimaryKeyConstraint("organisation", "id", name=op.f("pk_disclosure")),
    )
    op.create_index("ix_disclosure_client", "disclosure", ["organisation", "client_id", "disclosed_at"])
    for statement in SQLITE_GUARDS if op.get_bind().dialect.name == "sqlite" else POSTGRESQL_GUARDS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("What was recorded is not taken back; restore a backup instead.")
