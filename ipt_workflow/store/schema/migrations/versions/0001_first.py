"""The first tables, and the guards on rows that may never change."""

import sqlalchemy as sa
import sqlmodel
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SQLITE_GUARDS = (
    "CREATE TRIGGER guard_entry_update BEFORE UPDATE ON entry WHEN 1 BEGIN SELECT RAISE(ABORT, 'entry is append-only'); END",
    "CREATE TRIGGER guard_audit_event_update BEFORE UPDATE ON audit_event WHEN 1 BEGIN SELECT RAISE(ABORT, 'audit_event is append-only'); END",
    "CREATE TRIGGER guard_audit_subject_update BEFORE UPDATE ON audit_subject WHEN 1 BEGIN SELECT RAISE(ABORT, 'audit_subject is append-only'); END",
    "CREATE TRIGGER guard_entry_delete BEFORE DELETE ON entry WHEN 1 BEGIN SELECT RAISE(ABORT, 'entry is append-only'); END",
    "CREATE TRIGGER guard_entry_insert BEFORE INSERT ON entry WHEN EXISTS (SELECT 1 FROM entry WHERE organisation = NEW.organisation AND course_id = NEW.course_id AND seq = NEW.seq) OR EXISTS (SELECT 1 FROM entry WHERE organisation = NEW.organisation AND id = NEW.id) OR EXISTS (SELECT 1 FROM entry WHERE rowid = NEW.rowid) BEGIN SELECT RAISE(ABORT, 'entry has this row already'); END",
    "CREATE TRIGGER guard_audit_event_delete BEFORE DELETE ON audit_event WHEN 1 BEGIN SELECT RAISE(ABORT, 'audit_event is append-only'); END",
    "CREATE TRIGGER guard_audit_event_insert BEFORE INSERT ON audit_event WHEN EXISTS (SELECT 1 FROM audit_event WHERE organisation = NEW.organisation AND id = NEW.id) OR EXISTS (SELECT 1 FROM audit_event WHERE rowid = NEW.rowid) BEGIN SELECT RAISE(ABORT, 'audit_event has this row already'); END",
    "CREATE TRIGGER guard_audit_subject_delete BEFORE DELETE ON audit_subject WHEN 1 BEGIN SELECT RAISE(ABORT, 'audit_subject is append-only'); END",
    "CREATE TRIGGER guard_audit_subject_insert BEFORE INSERT ON audit_subject WHEN EXISTS (SELECT 1 FROM audit_subject WHERE organisation = NEW.organisation AND event_id = NEW.event_id AND course_id = NEW.course_id) OR EXISTS (SELECT 1 FROM audit_subject WHERE rowid = NEW.rowid) BEGIN SELECT RAISE(ABORT, 'audit_subject has this row already'); END",
    "CREATE TRIGGER guard_entry_data_delete BEFORE DELETE ON entry_data WHEN 1 BEGIN SELECT RAISE(ABORT, 'entry_data is append-only'); END",
    "CREATE TRIGGER guard_entry_data_insert BEFORE INSERT ON entry_data WHEN EXISTS (SELECT 1 FROM entry_data WHERE organisation = NEW.organisation AND course_id = NEW.course_id AND seq = NEW.seq) OR EXISTS (SELECT 1 FROM entry_data WHERE rowid = NEW.rowid) BEGIN SELECT RAISE(ABORT, 'entry_data has this row already'); END",
    "CREATE TRIGGER guard_entry_data_update BEFORE UPDATE ON entry_data WHEN NEW.salt IS NOT NULL OR NEW.sealed IS NOT NULL OR NEW.organisation IS NOT OLD.organisation OR NEW.course_id IS NOT OLD.course_id OR NEW.seq IS NOT OLD.seq OR NEW.rowid IS NOT OLD.rowid BEGIN SELECT RAISE(ABORT, 'entry_data can only be erased'); END",
)

POSTGRESQL_GUARDS = (
    "CREATE FUNCTION guard_append_only() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation'; END $$",
    "CREATE FUNCTION guard_erasure() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.salt IS NOT NULL OR NEW.sealed IS NOT NULL OR NEW.organisation IS DISTINCT FROM OLD.organisation OR NEW.course_id IS DISTINCT FROM OLD.course_id OR NEW.seq IS DISTINCT FROM OLD.seq THEN RAISE EXCEPTION 'entry_data can only be erased' USING ERRCODE = 'restrict_violation'; END IF; RETURN NEW; END $$",
    "CREATE TRIGGER guard_entry_rows BEFORE UPDATE OR DELETE ON entry FOR EACH ROW EXECUTE FUNCTION guard_append_only()",
    "CREATE TRIGGER guard_entry_truncate BEFORE TRUNCATE ON entry FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only()",
    "CREATE TRIGGER guard_audit_event_rows BEFORE UPDATE OR DELETE ON audit_event FOR EACH ROW EXECUTE FUNCTION guard_append_only()",
    "CREATE TRIGGER guard_audit_event_truncate BEFORE TRUNCATE ON audit_event FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only()",
    "CREATE TRIGGER guard_audit_subject_rows BEFORE UPDATE OR DELETE ON audit_subject FOR EACH ROW EXECUTE FUNCTION guard_append_only()",
    "CREATE TRIGGER guard_audit_subject_truncate BEFORE TRUNCATE ON audit_subject FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only()",
    "CREATE TRIGGER guard_entry_data_rows BEFORE DELETE ON entry_data FOR EACH ROW EXECUTE FUNCTION guard_append_only()",
    "CREATE TRIGGER guard_entry_data_truncate BEFORE TRUNCATE ON entry_data FOR EACH STATEMENT EXECUTE FUNCTION guard_append_only()",
    "CREATE TRIGGER guard_entry_data_erasure BEFORE UPDATE ON entry_data FOR EACH ROW EXECUTE FUNCTION guard_erasure()",
)


def upgrade() -> None:
    op.create_table(
        "audit_event",
        sa.Column("organisation", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=False),
        sa.Column("id", sqlmodel.sql.sqltypes.AutoString(length=36), nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "refusal",
                "read",
                "export",
                "sign_in",
                "config",
                "proposal",
                name="audit_kind",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column("recorded_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=False),
        sa.Column("person", sqlmodel.sql.sqltypes.AutoString(length=128), nullable=False),
        sa.Column(
            "role",
            sa.Enum(
                "therapist",
                "supervisor",
                "auditor",
                "ehr",
                "admin",
                name="audit_role",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column("via", sqlmodel.sql.sqltypes.AutoString(length=16), nullable=False),
        sa.Column("action", sqlmodel.sql.sqltypes.AutoString(length=80), nullable=False),
        sa.Column("rules", sqlmodel.sql.sqltypes.AutoString(length=2000), nullable=True),
        sa.Column("request_id", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=True),
        sa.PrimaryKeyConstraint("organisation", "id", name=op.f("pk_audit_event")),
    )
    op.create_index("ix_audit_event_person", "audit_event", ["organisation", "person", "recorded_at", "id"], unique=False)
    op.create_index("ix_audit_event_recorded", "audit_event", ["organisation", "recorded_at", "id"], unique=False)
    op.create_table(
        "audit_subject",
        sa.Column("organisation", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=False),
        sa.Column("event_id", sqlmodel.sql.sqltypes.AutoString(length=36), nullable=False),
        sa.Column("course_id", sqlmodel.sql.sqltypes.AutoString(length=36), nullable=False),
        sa.PrimaryKeyConstraint("organisation", "event_id", "course_id", name=op.f("pk_audit_subject")),
    )
    op.create_index("ix_audit_subject_course", "audit_subject", ["organisation", "course_id", "event_id"], unique=False)
    op.create_table(
        "client",
        sa.Column("organisation", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=False),
        sa.Column("id", sqlmodel.sql.sqltypes.AutoString(length=36), nullable=False),
        sa.Column("ref", sqlmodel.sql.sqltypes.AutoString(length=128), nullable=True),
        sa.Column("created_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("organisation", "id", name=op.f("pk_client")),
        sa.UniqueConstraint("organisation", "ref", name=op.f("uq_client_organisation_ref")),
    )
    op.create_table(
        "course",
        sa.Column("organisation", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=False),
        sa.Column("id", sqlmodel.sql.sqltypes.AutoString(length=36), nullable=False),
        sa.Column("client_id", sqlmodel.sql.sqltypes.AutoString(length=36), nullable=False),
        sa.Column("therapist", sqlmodel.sql.sqltypes.AutoString(length=128), nullable=True),
        sa.Column("protocol", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=False),
        sa.Column("protocol_version", sa.Integer(), nullable=False),
        sa.Column("protocol_digest", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=False),
        sa.Column("state", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=False),
        sa.Column("phase", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=True),
        sa.Column("active_acute", sa.Boolean(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("head", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=False),
        sa.Column("last_recorded_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=False),
        sa.Column("snapshot", sa.LargeBinary(), nullable=False),
        sa.Column("overdue_from", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=True),
        sa.Column("blocked_from", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=True),
        sa.Column("ending_from", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=True),
        sa.Column("risk_from", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=True),
        sa.Column("unsigned_from", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=True),
        sa.Column("deviation_from", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=True),
        sa.Column("notices_from", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=True),
        sa.Column("unassigned_from", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=True),
        sa.Column("contradicted_from", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("organisation", "id", name=op.f("pk_course")),
    )
    op.create_index("ix_course_client", "course", ["organisation", "client_id"], unique=False)
    op.create_index("ix_course_state", "course", ["organisation", "state", "id"], unique=False)
    op.create_index("ix_course_therapist", "course", ["organisation", "therapist", "id"], unique=False)
    op.create_index(
        "uq_course_one_active",
        "course",
        ["organisation", "client_id"],
        unique=True,
        sqlite_where=sa.text("active_acute"),
        postgresql_where=sa.text("active_acute"),
    )
    op.create_table(
        "entry",
        sa.Column("organisation", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=False),
        sa.Column("course_id", sqlmodel.sql.sqltypes.AutoString(length=36), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("id", sqlmodel.sql.sqltypes.AutoString(length=36), nullable=False),
        sa.Column("trigger", sqlmodel.sql.sqltypes.AutoString(length=80), nullable=False),
        sa.Column("from_state", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=True),
        sa.Column("to_state", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=False),
        sa.Column("person", sqlmodel.sql.sqltypes.AutoString(length=128), nullable=False),
        sa.Column(
            "role",
            sa.Enum(
                "therapist",
                "supervisor",
                "auditor",
                "ehr",
                "admin",
                name="entry_role",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column("via", sqlmodel.sql.sqltypes.AutoString(length=16), nullable=False),
        sa.Column("cosigned_by", sqlmodel.sql.sqltypes.AutoString(length=128), nullable=True),
        sa.Column("occurred_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=False),
        sa.Column("recorded_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=False),
        sa.Column("protocol_digest", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=False),
        sa.Column("data_digest", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=False),
        sa.Column("prev_hash", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=False),
        sa.Column("hash", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=False),
        sa.Column("canonical", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("organisation", "course_id", "seq", name=op.f("pk_entry")),
        sa.UniqueConstraint("organisation", "id", name=op.f("uq_entry_organisation_id")),
    )
    op.create_index("ix_entry_person", "entry", ["organisation", "person", "recorded_at", "id"], unique=False)
    op.create_index("ix_entry_recorded", "entry", ["organisation", "recorded_at", "id"], unique=False)
    op.create_index("ix_entry_trigger", "entry", ["organisation", "trigger", "recorded_at", "id"], unique=False)
    op.create_table(
        "entry_data",
        sa.Column("organisation", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=False),
        sa.Column("course_id", sqlmodel.sql.sqltypes.AutoString(length=36), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("salt", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=True),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("organisation", "course_id", "seq", name=op.f("pk_entry_data")),
    )
    op.create_table(
        "idempotency",
        sa.Column("organisation", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=False),
        sa.Column("scope", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=False),
        sa.Column("body", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=False),
        sa.Column("course_id", sqlmodel.sql.sqltypes.AutoString(length=36), nullable=False),
        sa.Column("first_seq", sa.Integer(), nullable=False),
        sa.Column("last_seq", sa.Integer(), nullable=False),
        sa.Column("expires_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("organisation", "scope", name=op.f("pk_idempotency")),
    )
    op.create_index("ix_idempotency_expires", "idempotency", ["organisation", "expires_at"], unique=False)
    op.create_table(
        "outbox",
        sa.Column("organisation", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=False),
        sa.Column("id", sqlmodel.sql.sqltypes.AutoString(length=36), nullable=False),
        sa.Column("course_id", sqlmodel.sql.sqltypes.AutoString(length=36), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("created_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("organisation", "id", name=op.f("pk_outbox")),
    )
    op.create_table(
        "proposal",
        sa.Column("organisation", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=False),
        sa.Column("id", sqlmodel.sql.sqltypes.AutoString(length=36), nullable=False),
        sa.Column("course_id", sqlmodel.sql.sqltypes.AutoString(length=36), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("trigger", sqlmodel.sql.sqltypes.AutoString(length=80), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.Column("proposed_by", sqlmodel.sql.sqltypes.AutoString(length=128), nullable=False),
        sa.Column(
            "proposed_role",
            sa.Enum(
                "therapist",
                "supervisor",
                "auditor",
                "ehr",
                "admin",
                name="proposal_role",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column("proposed_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=False),
        sa.Column(
            "status",
            sa.Enum(
                "waiting", "cosigned", "declined", name="proposal_status", native_enum=False, create_constraint=True, length=24
            ),
            nullable=False,
        ),
        sa.Column("decided_by", sqlmodel.sql.sqltypes.AutoString(length=128), nullable=True),
        sa.Column("decided_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=True),
        sa.Column("entry_seq", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("organisation", "id", name=op.f("pk_proposal")),
    )
    op.create_index("ix_proposal_status", "proposal", ["organisation", "status", "id"], unique=False)
    op.create_table(
        "protocol",
        sa.Column("organisation", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=False),
        sa.Column("id", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("digest", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=False),
        sa.Column("definition", sa.LargeBinary(), nullable=False),
        sa.Column("loaded_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("organisation", "id", "version", name=op.f("pk_protocol")),
    )
    op.create_table(
        "token",
        sa.Column("organisation", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=False),
        sa.Column("id", sqlmodel.sql.sqltypes.AutoString(length=32), nullable=False),
        sa.Column("secret_hash", sqlmodel.sql.sqltypes.AutoString(length=64), nullable=False),
        sa.Column(
            "role",
            sa.Enum(
                "therapist",
                "supervisor",
                "auditor",
                "ehr",
                "admin",
                name="token_role",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column("name", sqlmodel.sql.sqltypes.AutoString(length=128), nullable=False),
        sa.Column("subject", sqlmodel.sql.sqltypes.AutoString(length=128), nullable=False),
        sa.Column("created_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=False),
        sa.Column("expires_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=False),
        sa.Column("revoked_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("organisation", "id", name=op.f("pk_token")),
    )

    for statement in SQLITE_GUARDS if op.get_bind().dialect.name == "sqlite" else POSTGRESQL_GUARDS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("A journal is not taken back; restore a backup instead.")
