"""Sessions of people who signed in, what may be used once, and in the audit log the role of those who were not let in."""

import sqlalchemy as sa
import sqlmodel
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

ROLES = ("therapist", "supervisor", "auditor", "ehr", "admin")
METHODS = ("oidc", "passkey", "password", "recovery", "link", "smart")
KINDS = ("oidc", "smart", "link", "enrolment", "passkey", "logout", "assertion")
SQLITE_GUARDS = (
    "CREATE TRIGGER guard_audit_event_update BEFORE UPDATE ON audit_event WHEN 1 BEGIN SELECT RAISE(ABORT, 'audit_event is append-only'); END",
    "CREATE TRIGGER guard_audit_event_delete BEFORE DELETE ON audit_event WHEN 1 BEGIN SELECT RAISE(ABORT, 'audit_event is append-only'); END",
    "CREATE TRIGGER guard_audit_event_insert BEFORE INSERT ON audit_event WHEN EXISTS (SELECT 1 FROM audit_event WHERE organisation = NEW.organisation AND id = NEW.id) OR EXISTS (SELECT 1 FROM audit_event WHERE rowid = NEW.rowid) BEGIN SELECT RAISE(ABORT, 'audit_event has this row already'); END",
)


def upgrade() -> None:
    with op.batch_alter_table("audit_event") as batch:
        batch.drop_constraint(op.f("ck_audit_event_audit_role"), type_="check")
        known = ", ".join(repr(each) for each in (*ROLES, "operator", "nobody"))
        batch.create_check_constraint("audit_role", f"role IN ({known})")
    for statement in SQLITE_GUARDS if op.get_bind().dialect.name == "sqlite" else ():
        op.execute(statement)
    text, moment = sqlmodel.sql.sqltypes.AutoString, sqlmodel.sql.sqltypes.UTCDateTime
    op.create_table(
        "sign_in_session",
        sa.Column("organisation", text(length=64), nullable=False),
        sa.Column("id", text(length=32), nullable=False),
        sa.Column("secret_hash", text(length=64), nullable=False),
        sa.Column("access_hash", text(length=64), nullable=True),
        sa.Column("person", text(length=128), nullable=False),
        sa.Column(
            "role", sa.Enum(*ROLES, name="sign_in_role", native_enum=False, create_constraint=True, length=24), nullable=True
        ),
        sa.Column("roles", text(length=80), nullable=False),
        sa.Column(
            "method", sa.Enum(*METHODS, name="sign_in_method", native_enum=False, create_constraint=True, length=24), nullable=False
        ),
        sa.Column("created_at", moment(), nullable=False),
        sa.Column("authenticated_at", moment(), nullable=True),
        sa.Column("seen_at", moment(), nullable=False),
        sa.Column("expires_at", moment(), nullable=False),
        sa.Column("ended_at", moment(), nullable=True),
        sa.Column("ended_why", text(length=24), nullable=True),
        sa.Column("issuer", text(length=255), nullable=True),
        sa.Column("subject", text(length=255), nullable=True),
        sa.Column("provider_session", text(length=255), nullable=True),
        sa.Column("logout_hint", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("organisation", "id", name=op.f("pk_sign_in_session")),
    )
    op.create_index("ix_sign_in_session_id", "sign_in_session", ["id"], unique=True)
    op.create_index("ix_sign_in_session_person", "sign_in_session", ["organisation", "person"])
    op.create_index("ix_sign_in_session_subject", "sign_in_session", ["organisation", "issuer", "subject"])
    op.create_table(
        "one_time",
        sa.Column("organisation", text(length=64), nullable=False),
        sa.Column(
            "kind", sa.Enum(*KINDS, name="one_time_kind", native_enum=False, create_constraint=True, length=24), nullable=False
        ),
        sa.Column("hash", text(length=64), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", moment(), nullable=False),
        sa.Column("expires_at", moment(), nullable=False),
        sa.PrimaryKeyConstraint("organisation", "kind", "hash", name=op.f("pk_one_time")),
    )
    op.create_index("ix_one_time_expires", "one_time", ["organisation", "expires_at"])


def downgrade() -> None:
    raise NotImplementedError("A journal is not taken back; restore a backup instead.")
