"""Marks on clients' records: holds, processing restrictions and objections; and what a subscription receives events for."""

import sqlalchemy as sa
import sqlmodel
from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None

ROLES = ("therapist", "supervisor", "auditor", "ehr", "admin")
EVENT_KINDS = ("entry", "refusal", "attention", "disabled", "ping", "emergency", "withheld", "resumed")
KINDS = ("hold", "restriction", "objection")
SQLITE_GUARDS = (
    "CREATE TRIGGER guard_client_mark_update BEFORE UPDATE ON client_mark WHEN OLD.ended_at IS NOT NULL OR NEW.organisation IS NOT OLD.organisation OR NEW.id IS NOT OLD.id OR NEW.rowid IS NOT OLD.rowid BEGIN SELECT RAISE(ABORT, 'client_mark has ended'); END",
    "CREATE TRIGGER guard_client_mark_delete BEFORE DELETE ON client_mark WHEN 1 BEGIN SELECT RAISE(ABORT, 'client_mark is append-only'); END",
    "CREATE TRIGGER guard_client_mark_insert BEFORE INSERT ON client_mark WHEN EXISTS (SELECT 1 FROM client_mark WHERE organisation = NEW.organisation AND id = NEW.id) OR EXISTS (SELECT 1 FROM client_mark WHERE rowid = NEW.rowid) BEGIN SELECT RAISE(ABORT, 'client_mark has this row already'); END",
)
POSTGRESQL_GUARDS = (
    "CREATE FUNCTION guard_client_mark() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF OLD.ended_at IS NOT NULL OR NEW.organisation IS DISTINCT FROM OLD.organisation OR NEW.id IS DISTINCT FROM OLD.id THEN RAISE EXCEPTION 'client_mark has ended' USING ERRCODE = 'restrict_violation'; END IF; RETURN NEW; END $$",
    "CREATE TRIGGER guard_client_mark_rows BEFORE DELETE ON client_mark FOR EACH ROW EXECUTE FUNCTION guard_append_only()",
    "CREATE TRIGGER guard_client_mark_truncate BEFORE TRUNCATE ON client_mark FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only()",
    "CREATE TRIGGER guard_client_mark_ended BEFORE UPDATE ON client_mark FOR EACH ROW EXECUTE FUNCTION guard_client_mark()",
)


def upgrade() -> None:
    text, moment = sqlmodel.sql.sqltypes.AutoString, sqlmodel.sql.sqltypes.UTCDateTime
    op.create_table(
        "client_mark",
        sa.Column("organisation", text(length=64), nullable=False),
        sa.Column("id", text(length=36), nullable=False),
        sa.Column("client_id", text(length=36), nullable=False),
        sa.Column("kind", _one_of("client_mark_kind", *KINDS), nullable=False),
        sa.Column("ground", text(length=64), nullable=False),
        sa.Column("set_by", text(length=128), nullable=False),
        sa.Column("set_role", _one_of("client_mark_role", *ROLES), nullable=False),
        sa.Column("set_at", moment(), nullable=False),
        sa.Column("ended_at", moment(), nullable=True),
        sa.Column("ended_by", text(length=128), nullable=True),
        sa.Column("client_informed", sa.Boolean(), nullable=True),
        sa.PrimaryKeyConstraint("organisation", "id", name=op.f("pk_client_mark")),
    )
    in_force = sa.text("ended_at IS NULL")
    partial = {"sqlite_where": in_force, "postgresql_where": in_force}
    op.create_index(
        "uq_client_mark_in_force", "client_mark", ["organisation", "client_id", "kind", "ground"], unique=True, **partial
    )
    op.create_index("ix_client_mark_kind", "client_mark", ["organisation", "kind", "client_id"], **partial)
    op.create_index("ix_client_mark_client", "client_mark", ["organisation", "client_id", "id"])
    for statement in SQLITE_GUARDS if op.get_bind().dialect.name == "sqlite" else POSTGRESQL_GUARDS:
        op.execute(statement)
    op.add_column("subscription", sa.Column("purpose", text(length=16), nullable=False, server_default="TREAT"))
    with op.batch_alter_table("outbox") as batch:
        batch.drop_constraint(op.f("ck_outbox_outbox_kind"), type_="check")
        batch.create_check_constraint("outbox_kind", f"kind IN ({', '.join(repr(kind) for kind in EVENT_KINDS)})")


def _one_of(name: str, *values: str) -> sa.Enum:
    return sa.Enum(*values, name=name, native_enum=False, create_constraint=True, length=24)


def downgrade() -> None:
    raise NotImplementedError("What was recorded is not taken back; restore a backup instead.")
