"""Erasures, and the keys of clients. Records of groups' sessions that wait keep no digest of what they say: nobody sends them again."""

import sqlalchemy as sa
import sqlmodel
from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None

ROLES = ("therapist", "supervisor", "auditor", "ehr", "admin")
SQLITE_GUARDS = (
    *(
        f"CREATE TRIGGER guard_erasure_{verb.lower()} BEFORE {verb} ON erasure WHEN 1 BEGIN SELECT RAISE(ABORT, 'erasure is append-only'); END"
        for verb in ("UPDATE", "DELETE")
    ),
    "CREATE TRIGGER guard_erasure_insert BEFORE INSERT ON erasure WHEN EXISTS (SELECT 1 FROM erasure WHERE organisation = NEW.organisation AND id = NEW.id) OR EXISTS (SELECT 1 FROM erasure WHERE rowid = NEW.rowid) BEGIN SELECT RAISE(ABORT, 'erasure has this row already'); END",
)
POSTGRESQL_GUARDS = (
    "CREATE TRIGGER guard_erasure_rows BEFORE UPDATE OR DELETE ON erasure FOR EACH ROW EXECUTE FUNCTION guard_append_only()",
    "CREATE TRIGGER guard_erasure_truncate BEFORE TRUNCATE ON erasure FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only()",
)


def upgrade() -> None:
    text, moment = sqlmodel.sql.sqltypes.AutoString, sqlmodel.sql.sqltypes.UTCDateTime
    op.create_table(
        "erasure",
        sa.Column("organisation", text(length=64), nullable=False),
        sa.Column("id", text(length=36), nullable=False),
        sa.Column("client_id", text(length=36), nullable=False),
        sa.Column("course_id", text(length=36), nullable=True),
        sa.Column("seq", sa.Integer(), nullable=True),
        sa.Column("ground", text(length=24), nullable=False),
        sa.Column("person", text(length=128), nullable=False),
        sa.Column(
            "role", sa.Enum(*ROLES, name="erasure_role", native_enum=False, create_constraint=True, length=24), nullable=False
        ),
        sa.Column("via", text(length=16), nullable=False),
        sa.Column("erased_at", moment(), nullable=False),
        sa.Column("removed", sa.LargeBinary(), nullable=False),
        sa.Column("remains", sa.LargeBinary(), nullable=False),
        sa.Column("again_of", text(length=36), nullable=True),
        sa.PrimaryKeyConstraint("organisation", "id", name=op.f("pk_erasure")),
    )
    op.create_index("ix_erasure_client", "erasure", ["organisation", "client_id", "id"])
    op.create_table(
        "client_key",
        sa.Column("organisation", text(length=64), nullable=False),
        sa.Column("id", text(length=36), nullable=False),
        sa.Column("course_id", text(length=36), nullable=False),
        sa.Column("wrapped", text(length=500), nullable=True),
        sa.Column("made_at", moment(), nullable=False),
        sa.Column("shredded_at", moment(), nullable=True),
        sa.PrimaryKeyConstraint("organisation", "id", name=op.f("pk_client_key")),
    )
    op.create_index("ix_client_key_course", "client_key", ["organisation", "course_id", "id"])
    op.execute("UPDATE notice SET body_hash = '' WHERE source_id = 'group'")
    for statement in SQLITE_GUARDS if op.get_bind().dialect.name == "sqlite" else POSTGRESQL_GUARDS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("What was recorded is not taken back; restore a backup instead.")
