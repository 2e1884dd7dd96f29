"""Emergency access and its review, unmasking by auditors, events about them, and whether a course is shared.

`db upgrade` fills `course.shared`.
"""

import sqlalchemy as sa
import sqlmodel
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

ROLES = ("therapist", "supervisor", "auditor", "ehr", "admin")
OUTBOX_KINDS = ("entry", "refusal", "attention", "disabled", "ping", "emergency")
EVENT_KINDS = (*OUTBOX_KINDS, "withheld", "resumed")
APPEND_ONLY = {
    "emergency_access": "organisation = NEW.organisation AND id = NEW.id",
    "emergency_end": "organisation = NEW.organisation AND access_id = NEW.access_id",
    "emergency_review": "organisation = NEW.organisation AND access_id = NEW.access_id",
    "unmasking": "organisation = NEW.organisation AND id = NEW.id",
}
SQLITE_GUARDS = (
    *(
        f"CREATE TRIGGER guard_{table}_{verb.lower()} BEFORE {verb} ON {table} WHEN 1 BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        for table in APPEND_ONLY
        for verb in ("UPDATE", "DELETE")
    ),
    *(
        f"CREATE TRIGGER guard_{table}_insert BEFORE INSERT ON {table} WHEN EXISTS (SELECT 1 FROM {table} WHERE {same}) OR EXISTS (SELECT 1 FROM {table} WHERE rowid = NEW.rowid) BEGIN SELECT RAISE(ABORT, '{table} has this row already'); END"  # noqa: S608 - names of our tables
        for table, same in APPEND_ONLY.items()
    ),
    "CREATE TRIGGER guard_access_text_delete BEFORE DELETE ON access_text WHEN 1 BEGIN SELECT RAISE(ABORT, 'access_text is append-only'); END",
    "CREATE TRIGGER guard_access_text_insert BEFORE INSERT ON access_text WHEN EXISTS (SELECT 1 FROM access_text WHERE organisation = NEW.organisation AND id = NEW.id AND kind = NEW.kind) OR EXISTS (SELECT 1 FROM access_text WHERE rowid = NEW.rowid) BEGIN SELECT RAISE(ABORT, 'access_text has this row already'); END",
    "CREATE TRIGGER guard_access_text_update BEFORE UPDATE ON access_text WHEN NEW.salt IS NOT NULL OR NEW.sealed IS NOT NULL OR NEW.organisation IS NOT OLD.organisation OR NEW.id IS NOT OLD.id OR NEW.kind IS NOT OLD.kind OR NEW.rowid IS NOT OLD.rowid BEGIN SELECT RAISE(ABORT, 'access_text can only be erased'); END",
)
POSTGRESQL_GUARDS = (
    "CREATE FUNCTION guard_access_text() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.salt IS NOT NULL OR NEW.sealed IS NOT NULL OR NEW.organisation IS DISTINCT FROM OLD.organisation OR NEW.id IS DISTINCT FROM OLD.id OR NEW.kind IS DISTINCT FROM OLD.kind THEN RAISE EXCEPTION 'access_text can only be erased' USING ERRCODE = 'restrict_violation'; END IF; RETURN NEW; END $$",
    *(
        f"CREATE TRIGGER guard_{table}_rows BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION guard_append_only()"
        for table in APPEND_ONLY
    ),
    "CREATE TRIGGER guard_access_text_rows BEFORE DELETE ON access_text FOR EACH ROW EXECUTE FUNCTION guard_append_only()",
    *(
        f"CREATE TRIGGER guard_{table}_truncate BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only()"
        for table in (*APPEND_ONLY, "access_text")
    ),
    "CREATE TRIGGER guard_access_text_erasure BEFORE UPDATE ON access_text FOR EACH ROW EXECUTE FUNCTION guard_access_text()",
)


def upgrade() -> None:
    _create_tables()
    for statement in SQLITE_GUARDS if op.get_bind().dialect.name == "sqlite" else POSTGRESQL_GUARDS:
        op.execute(statement)
    for table, kinds in (("outbox", OUTBOX_KINDS), ("event", EVENT_KINDS)):
        with op.batch_alter_table(table) as batch:
            batch.drop_constraint(op.f(f"ck_{table}_{table}_kind"), type_="check")
            batch.create_check_constraint(f"{table}_kind", f"kind IN ({', '.join(repr(kind) for kind in kinds)})")
    op.add_column("course", sa.Column("shared", sa.Boolean(), nullable=False, server_default=sa.true()))


def _one_of(name: str, *values: str) -> sa.Enum:
    return sa.Enum(*values, name=name, native_enum=False, create_constraint=True, length=24)


def _create_tables() -> None:
    text, moment = sqlmodel.sql.sqltypes.AutoString, sqlmodel.sql.sqltypes.UTCDateTime
    op.create_table(
        "emergency_access",
        sa.Column("organisation", text(length=64), nullable=False),
        sa.Column("id", text(length=36), nullable=False),
        sa.Column("client_id", text(length=36), nullable=False),
        sa.Column("person", text(length=128), nullable=False),
        sa.Column("role", _one_of("emergency_role", *ROLES), nullable=False),
        sa.Column("via", text(length=16), nullable=False),
        sa.Column("code", _one_of("emergency_code", "ETREAT", "safeguarding", "cover_failed", "other"), nullable=False),
        sa.Column("starts_at", moment(), nullable=False),
        sa.Column("ends_at", moment(), nullable=False),
        sa.Column("restricted", sa.Boolean(), nullable=False),
        sa.Column("text_digest", text(length=64), nullable=False),
        sa.PrimaryKeyConstraint("organisation", "id", name=op.f("pk_emergency_access")),
    )
    op.create_index("ix_emergency_access_client", "emergency_access", ["organisation", "client_id", "starts_at"])
    op.create_index("ix_emergency_access_person", "emergency_access", ["organisation", "person", "starts_at"])
    op.create_table(
        "emergency_end",
        sa.Column("organisation", text(length=64), nullable=False),
        sa.Column("access_id", text(length=36), nullable=False),
        sa.Column("ended_at", moment(), nullable=False),
        sa.Column("ended_by", text(length=128), nullable=False),
        sa.PrimaryKeyConstraint("organisation", "access_id", name=op.f("pk_emergency_end")),
    )
    op.create_table(
        "emergency_review",
        sa.Column("organisation", text(length=64), nullable=False),
        sa.Column("access_id", text(length=36), nullable=False),
        sa.Column("reviewer", text(length=128), nullable=False),
        sa.Column("reviewed_at", moment(), nullable=False),
        sa.Column("verdict", _one_of("emergency_verdict", "justified", "not_justified"), nullable=False),
        sa.Column("text_digest", text(length=64), nullable=True),
        sa.PrimaryKeyConstraint("organisation", "access_id", name=op.f("pk_emergency_review")),
    )
    op.create_table(
        "unmasking",
        sa.Column("organisation", text(length=64), nullable=False),
        sa.Column("id", text(length=36), nullable=False),
        sa.Column("course_id", text(length=36), nullable=False),
        sa.Column("person", text(length=128), nullable=False),
        sa.Column("starts_at", moment(), nullable=False),
        sa.Column("ends_at", moment(), nullable=False),
        sa.Column("text_digest", text(length=64), nullable=False),
        sa.PrimaryKeyConstraint("organisation", "id", name=op.f("pk_unmasking")),
    )
    op.create_index("ix_unmasking_person", "unmasking", ["organisation", "person", "ends_at"])
    op.create_table(
        "access_text",
        sa.Column("organisation", text(length=64), nullable=False),
        sa.Column("id", text(length=36), nullable=False),
        sa.Column("kind", text(length=8), nullable=False),
        sa.Column("salt", text(length=64), nullable=True),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("organisation", "id", "kind", name=op.f("pk_access_text")),
    )


def downgrade() -> None:
    raise NotImplementedError("What was recorded is not taken back; restore a backup instead.")
