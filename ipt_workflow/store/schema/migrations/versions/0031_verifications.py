"""Verifications of the journal and exports of the audit log: how far they are, and what became of them."""

import sqlalchemy as sa
import sqlmodel
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

ROLES = ("therapist", "supervisor", "auditor", "ehr", "admin")
OUTCOMES = ("done", "stopped")
ENDING = ("verification", "audit_export")
SQLITE_GUARDS = tuple(
    statement
    for table in ENDING
    for statement in (
        f"CREATE TRIGGER guard_{table}_update BEFORE UPDATE ON {table} WHEN OLD.ended_at IS NOT NULL OR NEW.organisation IS NOT OLD.organisation OR NEW.id IS NOT OLD.id OR NEW.rowid IS NOT OLD.rowid BEGIN SELECT RAISE(ABORT, '{table} has ended'); END",
        f"CREATE TRIGGER guard_{table}_delete BEFORE DELETE ON {table} WHEN 1 BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END",
        f"CREATE TRIGGER guard_{table}_insert BEFORE INSERT ON {table} WHEN EXISTS (SELECT 1 FROM {table} WHERE organisation = NEW.organisation AND id = NEW.id) OR EXISTS (SELECT 1 FROM {table} WHERE rowid = NEW.rowid) BEGIN SELECT RAISE(ABORT, '{table} has this row already'); END",  # noqa: S608 - names of our tables
    )
)
POSTGRESQL_GUARDS = tuple(
    statement
    for table in ENDING
    for statement in (
        f"CREATE FUNCTION guard_{table}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF OLD.ended_at IS NOT NULL OR NEW.organisation IS DISTINCT FROM OLD.organisation OR NEW.id IS DISTINCT FROM OLD.id THEN RAISE EXCEPTION '{table} has ended' USING ERRCODE = 'restrict_violation'; END IF; RETURN NEW; END $$",
        f"CREATE TRIGGER guard_{table}_rows BEFORE DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION guard_append_only()",
        f"CREATE TRIGGER guard_{table}_truncate BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only()",
        f"CREATE TRIGGER guard_{table}_ended BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION guard_{table}()",
    )
)


def upgrade() -> None:
    text, moment = sqlmodel.sql.sqltypes.AutoString, sqlmodel.sql.sqltypes.UTCDateTime
    op.create_table(
        "verification",
        sa.Column("organisation", text(length=64), nullable=False),
        sa.Column("id", text(length=36), nullable=False),
        sa.Column("course_id", text(length=36), nullable=True),
        sa.Column("chains_only", sa.Boolean(), nullable=False),
        sa.Column("person", text(length=128), nullable=False),
        sa.Column("role", _one_of("verification_role", *ROLES), nullable=False),
        sa.Column("via", text(length=16), nullable=False),
        sa.Column("started_at", moment(), nullable=False),
        sa.Column("seen_at", moment(), nullable=False),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in ("total", "courses", "entries", "erased")),
        sa.Column("ended_at", moment(), nullable=True),
        sa.Column("outcome", _one_of("verification_outcome", *OUTCOMES), nullable=True),
        sa.Column("bad_course", text(length=36), nullable=True),
        sa.Column("bad_seq", sa.Integer(), nullable=True),
        sa.Column("fault", text(length=500), nullable=True),
        sa.PrimaryKeyConstraint("organisation", "id", name=op.f("pk_verification")),
    )
    op.create_table(
        "audit_export",
        sa.Column("organisation", text(length=64), nullable=False),
        sa.Column("id", text(length=36), nullable=False),
        sa.Column("format", _one_of("audit_export_format", "ndjson", "csv", "fhir"), nullable=False),
        sa.Column("filters", sa.LargeBinary(), nullable=False),
        sa.Column("person", text(length=128), nullable=False),
        sa.Column("role", _one_of("audit_export_role", *ROLES), nullable=False),
        sa.Column("via", text(length=16), nullable=False),
        sa.Column("started_at", moment(), nullable=False),
        sa.Column("seen_at", moment(), nullable=False),
        sa.Column("records", sa.Integer(), nullable=False),
        sa.Column("reached_at", moment(), nullable=True),
        sa.Column("ended_at", moment(), nullable=True),
        sa.Column("outcome", _one_of("audit_export_outcome", *OUTCOMES), nullable=True),
        sa.PrimaryKeyConstraint("organisation", "id", name=op.f("pk_audit_export")),
    )
    for statement in SQLITE_GUARDS if op.get_bind().dialect.name == "sqlite" else POSTGRESQL_GUARDS:
        op.execute(statement)


def _one_of(name: str, *values: str) -> sa.Enum:
    return sa.Enum(*values, name=name, native_enum=False, create_constraint=True, length=24)


def downgrade() -> None:
    raise NotImplementedError("What was recorded is not taken back; restore a backup instead.")
