"""Retention: policies in force, decisions about records that were due, and months of the audit log that were reaped.

The guards of the audit log let records go that a row of `audit_reaping` is about, and no others.
"""

import sqlalchemy as sa
import sqlmodel
from alembic import op

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None

ROLES = ("therapist", "supervisor", "auditor", "ehr", "admin")
SQLITE_DROPPED = ("DROP TRIGGER guard_audit_event_delete", "DROP TRIGGER guard_audit_subject_delete")
POSTGRESQL_DROPPED = (
    "DROP TRIGGER guard_audit_event_rows ON audit_event",
    "DROP TRIGGER guard_audit_subject_rows ON audit_subject",
)
SQLITE_GUARDS = (
    "CREATE TRIGGER guard_retention_decision_update BEFORE UPDATE ON retention_decision WHEN 1 BEGIN SELECT RAISE(ABORT, 'retention_decision is append-only'); END",
    "CREATE TRIGGER guard_audit_reaping_update BEFORE UPDATE ON audit_reaping WHEN 1 BEGIN SELECT RAISE(ABORT, 'audit_reaping is append-only'); END",
    "CREATE TRIGGER guard_retention_policy_update BEFORE UPDATE ON retention_policy WHEN OLD.ended_at IS NOT NULL OR NEW.organisation IS NOT OLD.organisation OR NEW.id IS NOT OLD.id OR NEW.rowid IS NOT OLD.rowid BEGIN SELECT RAISE(ABORT, 'retention_policy has ended'); END",
    "CREATE TRIGGER guard_audit_event_delete BEFORE DELETE ON audit_event WHEN NOT EXISTS (SELECT 1 FROM audit_reaping r JOIN audit_event e ON e.organisation = r.organisation AND e.recorded_at >= r.starts_at AND e.recorded_at < r.ends_at AND ((r.kind = 'access_log' AND e.kind IN ('read', 'refusal', 'sign_in')) OR (r.kind = 'disclosure_log' AND e.kind IN ('export', 'delivery'))) WHERE e.organisation = OLD.organisation AND e.id = OLD.id) BEGIN SELECT RAISE(ABORT, 'audit_event is append-only'); END",
    "CREATE TRIGGER guard_audit_subject_delete BEFORE DELETE ON audit_subject WHEN NOT EXISTS (SELECT 1 FROM audit_reaping r JOIN audit_event e ON e.organisation = r.organisation AND e.recorded_at >= r.starts_at AND e.recorded_at < r.ends_at AND ((r.kind = 'access_log' AND e.kind IN ('read', 'refusal', 'sign_in')) OR (r.kind = 'disclosure_log' AND e.kind IN ('export', 'delivery'))) WHERE e.organisation = OLD.organisation AND e.id = OLD.event_id) BEGIN SELECT RAISE(ABORT, 'audit_subject is append-only'); END",
    "CREATE TRIGGER guard_retention_decision_delete BEFORE DELETE ON retention_decision WHEN 1 BEGIN SELECT RAISE(ABORT, 'retention_decision is append-only'); END",
    "CREATE TRIGGER guard_retention_decision_insert BEFORE INSERT ON retention_decision WHEN EXISTS (SELECT 1 FROM retention_decision WHERE organisation = NEW.organisation AND id = NEW.id) OR EXISTS (SELECT 1 FROM retention_decision WHERE rowid = NEW.rowid) BEGIN SELECT RAISE(ABORT, 'retention_decision has this row already'); END",
    "CREATE TRIGGER guard_audit_reaping_delete BEFORE DELETE ON audit_reaping WHEN 1 BEGIN SELECT RAISE(ABORT, 'audit_reaping is append-only'); END",
    "CREATE TRIGGER guard_audit_reaping_insert BEFORE INSERT ON audit_reaping WHEN EXISTS (SELECT 1 FROM audit_reaping WHERE organisation = NEW.organisation AND kind = NEW.kind AND month = NEW.month) OR EXISTS (SELECT 1 FROM audit_reaping WHERE rowid = NEW.rowid) BEGIN SELECT RAISE(ABORT, 'audit_reaping has this row already'); END",
    "CREATE TRIGGER guard_retention_policy_delete BEFORE DELETE ON retention_policy WHEN 1 BEGIN SELECT RAISE(ABORT, 'retention_policy is append-only'); END",
    "CREATE TRIGGER guard_retention_policy_insert BEFORE INSERT ON retention_policy WHEN EXISTS (SELECT 1 FROM retention_policy WHERE organisation = NEW.organisation AND id = NEW.id) OR EXISTS (SELECT 1 FROM retention_policy WHERE rowid = NEW.rowid) BEGIN SELECT RAISE(ABORT, 'retention_policy has this row already'); END",
)
POSTGRESQL_GUARDS = (
    "CREATE FUNCTION guard_retention_policy() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF OLD.ended_at IS NOT NULL OR NEW.organisation IS DISTINCT FROM OLD.organisation OR NEW.id IS DISTINCT FROM OLD.id THEN RAISE EXCEPTION 'retention_policy has ended' USING ERRCODE = 'restrict_violation'; END IF; RETURN NEW; END $$",
    "CREATE FUNCTION guard_reaping_of_audit_event() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NOT EXISTS (SELECT 1 FROM audit_reaping r JOIN audit_event e ON e.organisation = r.organisation AND e.recorded_at >= r.starts_at AND e.recorded_at < r.ends_at AND ((r.kind = 'access_log' AND e.kind IN ('read', 'refusal', 'sign_in')) OR (r.kind = 'disclosure_log' AND e.kind IN ('export', 'delivery'))) WHERE e.organisation = OLD.organisation AND e.id = OLD.id) THEN RAISE EXCEPTION 'audit_event is append-only' USING ERRCODE = 'restrict_violation'; END IF; RETURN OLD; END $$",
    "CREATE TRIGGER guard_audit_event_reaped BEFORE DELETE ON audit_event FOR EACH ROW EXECUTE FUNCTION guard_reaping_of_audit_event()",
    "CREATE FUNCTION guard_reaping_of_audit_subject() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NOT EXISTS (SELECT 1 FROM audit_reaping r JOIN audit_event e ON e.organisation = r.organisation AND e.recorded_at >= r.starts_at AND e.recorded_at < r.ends_at AND ((r.kind = 'access_log' AND e.kind IN ('read', 'refusal', 'sign_in')) OR (r.kind = 'disclosure_log' AND e.kind IN ('export', 'delivery'))) WHERE e.organisation = OLD.organisation AND e.id = OLD.event_id) THEN RAISE EXCEPTION 'audit_subject is append-only' USING ERRCODE = 'restrict_violation'; END IF; RETURN OLD; END $$",
    "CREATE TRIGGER guard_audit_subject_reaped BEFORE DELETE ON audit_subject FOR EACH ROW EXECUTE FUNCTION guard_reaping_of_audit_subject()",
    "CREATE TRIGGER guard_audit_event_rows BEFORE UPDATE ON audit_event FOR EACH ROW EXECUTE FUNCTION guard_append_only()",
    "CREATE TRIGGER guard_audit_subject_rows BEFORE UPDATE ON audit_subject FOR EACH ROW EXECUTE FUNCTION guard_append_only()",
    "CREATE TRIGGER guard_retention_decision_rows BEFORE UPDATE OR DELETE ON retention_decision FOR EACH ROW EXECUTE FUNCTION guard_append_only()",
    "CREATE TRIGGER guard_retention_decision_truncate BEFORE TRUNCATE ON retention_decision FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only()",
    "CREATE TRIGGER guard_audit_reaping_rows BEFORE UPDATE OR DELETE ON audit_reaping FOR EACH ROW EXECUTE FUNCTION guard_append_only()",
    "CREATE TRIGGER guard_audit_reaping_truncate BEFORE TRUNCATE ON audit_reaping FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only()",
    "CREATE TRIGGER guard_retention_policy_rows BEFORE DELETE ON retention_policy FOR EACH ROW EXECUTE FUNCTION guard_append_only()",
    "CREATE TRIGGER guard_retention_policy_truncate BEFORE TRUNCATE ON retention_policy FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only()",
    "CREATE TRIGGER guard_retention_policy_ended BEFORE UPDATE ON retention_policy FOR EACH ROW EXECUTE FUNCTION guard_retention_policy()",
)


def upgrade() -> None:
    text, moment = sqlmodel.sql.sqltypes.AutoString, sqlmodel.sql.sqltypes.UTCDateTime
    op.create_table(
        "retention_policy",
        sa.Column("organisation", text(length=64), nullable=False),
        sa.Column("id", text(length=36), nullable=False),
        sa.Column("name", text(length=64), nullable=False),
        sa.Column("kind", _one_of("retention_policy_kind", "record", "access_log", "disclosure_log"), nullable=False),
        sa.Column("jurisdiction", text(length=8), nullable=False),
        sa.Column("bound", _one_of("retention_policy_bound", "floor", "ceiling"), nullable=False),
        sa.Column("period", text(length=16), nullable=False),
        sa.Column("anchor", _one_of("retention_policy_anchor", "last_contact", "death", "majority", "recorded"), nullable=False),
        sa.Column("citation", text(length=500), nullable=False),
        sa.Column("verified", _one_of("retention_policy_verified", "law", "secondary", "no"), nullable=False),
        sa.Column("note", text(length=4000), nullable=True),
        sa.Column("adopted_by", text(length=128), nullable=False),
        sa.Column("adopted_role", _one_of("retention_policy_role", *ROLES), nullable=False),
        sa.Column("adopted_at", moment(), nullable=False),
        sa.Column("ended_at", moment(), nullable=True),
        sa.Column("ended_by", text(length=128), nullable=True),
        sa.PrimaryKeyConstraint("organisation", "id", name=op.f("pk_retention_policy")),
    )
    in_force = sa.text("ended_at IS NULL")
    op.create_index(
        "uq_retention_policy_in_force",
        "retention_policy",
        ["organisation", "name"],
        unique=True,
        sqlite_where=in_force,
        postgresql_where=in_force,
    )
    op.create_table(
        "retention_decision",
        sa.Column("organisation", text(length=64), nullable=False),
        sa.Column("id", text(length=36), nullable=False),
        sa.Column("deed", text(length=36), nullable=False),
        sa.Column("client_id", text(length=36), nullable=False),
        sa.Column("decision", _one_of("retention_decision", "erase", "keep"), nullable=False),
        sa.Column("ground", text(length=64), nullable=False),
        sa.Column("until", sa.Date(), nullable=True),
        sa.Column("policies", text(length=2000), nullable=False),
        sa.Column("counts", sa.LargeBinary(), nullable=False),
        sa.Column("person", text(length=128), nullable=False),
        sa.Column("role", _one_of("retention_decision_role", *ROLES), nullable=False),
        sa.Column("via", text(length=16), nullable=False),
        sa.Column("decided_at", moment(), nullable=False),
        sa.PrimaryKeyConstraint("organisation", "id", name=op.f("pk_retention_decision")),
    )
    op.create_index("ix_retention_decision_client", "retention_decision", ["organisation", "client_id", "id"])
    op.create_index("ix_retention_decision_deed", "retention_decision", ["organisation", "deed", "id"])
    op.create_table(
        "audit_reaping",
        sa.Column("organisation", text(length=64), nullable=False),
        sa.Column("kind", _one_of("audit_reaping_kind", "access_log", "disclosure_log"), nullable=False),
        sa.Column("month", text(length=7), nullable=False),
        sa.Column("starts_at", moment(), nullable=False),
        sa.Column("ends_at", moment(), nullable=False),
        sa.Column("records", sa.Integer(), nullable=False),
        sa.Column("policies", text(length=2000), nullable=False),
        sa.Column("positions", sa.LargeBinary(), nullable=False),
        sa.Column("checkpoint_size", sa.BigInteger(), nullable=False),
        sa.Column("checkpoint", sa.Text(), nullable=False),
        sa.Column("person", text(length=128), nullable=False),
        sa.Column("role", _one_of("audit_reaping_role", *ROLES), nullable=False),
        sa.Column("via", text(length=16), nullable=False),
        sa.Column("decided_at", moment(), nullable=False),
        sa.PrimaryKeyConstraint("organisation", "kind", "month", name=op.f("pk_audit_reaping")),
    )
    sqlite = op.get_bind().dialect.name == "sqlite"
    for statement in (*SQLITE_DROPPED, *SQLITE_GUARDS) if sqlite else (*POSTGRESQL_DROPPED, *POSTGRESQL_GUARDS):
        op.execute(statement)


def _one_of(name: str, *values: str) -> sa.Enum:
    return sa.Enum(*values, name=name, native_enum=False, create_constraint=True, length=24)


def downgrade() -> None:
    raise NotImplementedError("What was recorded is not taken back; restore a backup instead.")
